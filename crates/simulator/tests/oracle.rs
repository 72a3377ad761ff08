//! The simulator against recorded masters: the same commands on the same number of shards must give the same
//! journal records, flow by flow and in order.
//!
//! Masked: transaction ids of ordinary records, times derived from the clock, stream ids (mapped one to one), the order of members that a
//! hash table gave. SPOP's choices are injected. Everything else must be equal to the byte.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use common::{Client, Replica, Resp, capture_file, records, until};
use journal::{Record, RecordKind};
use simulator::{Release, Simulator};

/// Commands of `journal.txt` that the simulator does not know, by name; `JSON.SET` of a part of a document too.
const UNSUPPORTED: &[&str] = &[
    "BF.ADD",
    "BF.RESERVE",
    "BITFIELD",
    "CF.ADD",
    "CL.THROTTLE",
    "CMS.INCRBY",
    "CMS.INITBYDIM",
    "DELEX",
    "EVAL",
    "GEOADD",
    "GEORADIUS",
    "GEOSEARCHSTORE",
    "JSON.MSET",
    "JSON.NUMINCRBY",
    "JSON.SET",
    "PFADD",
    "PFMERGE",
    "SCRIPT",
    "SORT",
    "TOPK.ADD",
    "TOPK.RESERVE",
];

/// What those commands left in the recorded journal under another name, or under the name of a supported command.
const THEIR_RECORDS: &[&str] =
    &["DEL j:throttle", "INCR j:lua2", "JSON.SET j:json $ \"x\"", "RPUSH j:lua3", "SET j:hllm", "SET j:lua1"];

/// Commands that are refused with an error by the recorded master, all of which the simulator refuses too.
const REFUSED: &[&str] = &["EXPIREAT j:m3", "PEXPIREAT j:m4"];

fn latin(s: &str) -> Bytes {
    s.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<u8>>().into()
}

fn text(b: &[u8]) -> String {
    b.iter().map(|&b| char::from(b)).collect()
}

/// The lines of `journal.txt`: database and words.
fn played(capture: &str) -> Vec<(u16, Vec<String>)> {
    let file = capture_file(capture, "journal.txt").unwrap();
    std::str::from_utf8(&file)
        .unwrap()
        .lines()
        .map(|line| {
            let row: Vec<serde_json::Value> = serde_json::from_str(line).unwrap();
            let words = row[1..].iter().map(|w| w.as_str().unwrap().to_owned()).collect();
            (row[0].as_u64().unwrap() as u16, words)
        })
        .collect()
}

/// The recorded journals, one per flow.
fn recorded(capture: &str) -> (Vec<Vec<Record>>, Vec<u64>) {
    let meta: serde_json::Value =
        serde_json::from_slice(&capture_file(capture, "meta.json").unwrap()).unwrap();
    let next: Vec<u64> = serde_json::from_value(meta["next_lsn_at_end"].clone()).unwrap();
    let flows = next.len();
    let journal = |i: usize| {
        let bytes = capture_file(capture, &format!("flow-{i}.bin")).unwrap();
        let token = meta["eof_tokens"][i].as_str().unwrap();
        records(&common::after_token(&bytes, token).unwrap(), 1)
    };
    ((0..flows).map(journal).collect(), next)
}

fn is_stream_id(s: &str) -> bool {
    s.split_once('-')
        .is_some_and(|(ms, seq)| ms.len() == 13 && !seq.is_empty() && seq.bytes().all(|b| b.is_ascii_digit()))
}

/// A record as a line, with what may differ masked.
fn line(r: &Record, ids: &BTreeMap<String, String>) -> String {
    let mut words: Vec<String> = r.args.iter().map(|a| text(a)).collect();
    for w in &mut words {
        if let Some(id) = ids.get(w) {
            *w = id.clone();
        }
    }
    for i in 1..words.len() {
        if ["PXAT", "TIME"].contains(&words[i - 1].as_str()) {
            words[i] = "<ms>".to_owned();
        }
    }
    match words[0].as_str() {
        "PEXPIREAT" => words[2] = "<ms>".to_owned(),
        // The order in which a store command found the members.
        "SADD" if words[1].starts_with("j:s") => words[2..].sort(),
        "ZADD" if words[1].starts_with("j:z") => {
            let mut pairs: Vec<String> = words[2..].chunks(2).map(|p| p.join(" ")).collect();
            pairs.sort();
            words.truncate(2);
            words.extend(pairs);
        }
        _ => {}
    }
    let kind = match r.kind {
        RecordKind::Command => "",
        RecordKind::Expired => "EXPIRED ",
        RecordKind::Multi => "MULTI ",
    };
    let zero = if r.txid == 0 { "0" } else { "n" };
    format!("{} {zero} {kind}{}", r.db, words.join("\u{1f}"))
}

fn is_theirs(r: &Record) -> bool {
    let words = r.args.iter().map(|a| text(a)).collect::<Vec<_>>();
    if words[0] == "JSON.SET" {
        return words[2] != "$";
    }
    if UNSUPPORTED.contains(&words[0].as_str()) {
        return true;
    }
    let head = words[..2.min(words.len())].join(" ");
    THEIR_RECORDS.iter().any(|t| *t == head)
}

/// Plays a capture's seed and `journal.txt` into a simulator and compares every flow.
async fn play(capture: &str, release: Release) {
    let (expected, next) = recorded(capture);
    let master = Simulator::builder().shards(expected.len()).release(release).start().await.unwrap();
    let mut clients = Vec::new();
    for db in 0..16 {
        let mut c = Client::open(master.addr()).await;
        c.call(&["SELECT", &db.to_string()]).await;
        clients.push(c);
    }
    seed(&mut clients).await;
    let mut replica = Replica::attach(master.addr(), None).await;
    replica.reach_stable().await;

    // The members that SPOP took: SREM records of the set that no client sent.
    let sent: BTreeSet<String> = played(capture).iter().map(|(_, w)| w.join(" ")).collect();
    for r in expected.iter().flatten() {
        let words: Vec<String> = r.args.iter().map(|a| text(a)).collect();
        if words.starts_with(&["SREM".to_owned(), "j:set".to_owned()]) && !sent.contains(&words.join(" ")) {
            master.choose_next(r.args[2..].iter().cloned());
        }
    }

    let (mut skipped, mut refused) = (BTreeSet::new(), Vec::new());
    let mut new_ids: Vec<String> = Vec::new();
    let old_ids: Vec<String> = expected
        .iter()
        .flatten()
        .filter(|r| r.args[0] == "XADD")
        .map(|r| r.args.iter().map(|a| text(a)).rfind(|w| is_stream_id(w)).unwrap())
        .collect();
    for (db, mut words) in played(capture) {
        let client = &mut clients[usize::from(db)];
        let fails = words.last().is_some_and(|w| w.starts_with("ERR "));
        if fails {
            words.pop();
        }
        if words[0] == "MULTI/EXEC" {
            client.call(&["MULTI"]).await;
            for inner in [&["SET", "j:tx1", "1"][..], &["INCRBY", "j:tx2", "1"], &["LPUSH", "j:tx3", "x"]] {
                assert_eq!(client.call(inner).await.text(), "QUEUED");
            }
            client.call(&["EXEC"]).await;
            continue;
        }
        let part_of_document = words[0] == "JSON.SET" && words[2] != "$";
        if UNSUPPORTED.contains(&words[0].as_str()) && (words[0] != "JSON.SET" || part_of_document) {
            skipped.insert(words[0].clone());
            if words[0] == "BITFIELD" {
                // BITOP reads what it left; the record of this stand-in is dropped below.
                client.call(&[&b"SET"[..], b"j:bf", b"\xd2"]).await;
            }
            continue;
        }
        if words[0] == "SET" && words[1] == "j:short" {
            client.call(&words).await;
            until("j:short to expire", || {
                master.execute(0, &["EXISTS", "j:short"]) == simulator::Reply::Int(0)
            })
            .await;
            continue;
        }
        for w in &mut words {
            if let Some(i) = old_ids.iter().position(|id| id == w) {
                *w = new_ids[i].clone();
            }
        }
        let args: Vec<Bytes> = words.iter().map(|w| latin(w)).collect();
        let reply = client.call(&args).await;
        if words[0] == "XADD" {
            new_ids.push(reply.text());
        }
        if fails {
            refused.push(format!("{} {}", words[0], words[1]));
        }
        assert_eq!(reply.is_error(), fails, "{words:?} -> {reply:?}");
    }
    println!("skipped: {skipped:?}");
    println!("refused: {refused:?}");

    let ids: BTreeMap<String, String> = old_ids.into_iter().zip(new_ids).collect();
    let none = BTreeMap::new();
    let lsns = master.lsns();
    until("all records", || (0..expected.len()).all(|i| records_so_far(&replica, i) == Some(lsns[i]))).await;
    for (i, flow) in expected.iter().enumerate() {
        let want: Vec<String> = flow.iter().filter(|r| !is_theirs(r)).map(|r| line(r, &ids)).collect();
        let got = records(&replica.journal(i).unwrap(), 1);
        let got: Vec<String> = got
            .iter()
            .filter(|r| r.args[..] != [&b"SET"[..], b"j:bf", b"\xd2"])
            .map(|r| line(r, &none))
            .collect();
        for (n, (want, got)) in want.iter().zip(&got).enumerate() {
            assert_eq!(got, want, "{capture} flow {i} record {n}");
        }
        assert_eq!(got.len(), want.len(), "{capture} flow {i}");
        assert_eq!(flow.len() as u64 + 1, next[i]);
    }
    if skipped.is_empty() {
        return;
    }
    let known: BTreeSet<String> = UNSUPPORTED.iter().map(|s| (*s).to_owned()).collect();
    assert_eq!(skipped, known);
    let allowed: Vec<String> = REFUSED.iter().map(|s| (*s).to_owned()).collect();
    assert_eq!(refused, allowed);
}

/// The next LSN according to what arrived, once whole records have.
fn records_so_far(replica: &Replica, flow: usize) -> Option<u64> {
    let mut decoder = journal::Decoder::new(journal::Limits::default());
    decoder.feed(replica.journal(flow)?.into());
    let mut next = 1;
    while let Some(e) = decoder.next().unwrap() {
        next += u64::from(!matches!(e, journal::Entry::Lsn(_)));
    }
    (decoder.pending_bytes() == 0).then_some(next)
}

/// The part of `record.py`'s `seed_types` that `journal.txt` builds on.
async fn seed(clients: &mut [Client]) {
    let c = &mut clients[0];
    let mut big = vec!["HSET".to_owned(), "hash:big".into()];
    (0..3000).for_each(|i| big.extend([format!("field-{i}"), format!("value-{i}").repeat(1 + i % 5)]));
    assert_eq!(c.call(&big).await, Resp::Int(3000));
    for chunk in 0..10 {
        let mut huge = vec!["RPUSH".to_owned(), "list:huge".into()];
        huge.extend((0..2000).map(|i| format!("{chunk}-{i}-{}", "p".repeat(40))));
        c.call(&huge).await;
    }
    c.call(&["SET", "", "empty key"]).await;
    for db in [1, 2, 15] {
        let c = &mut clients[db];
        c.call(&["SET", "str:1", &format!("in db {db}")]).await;
    }
}

#[tokio::test]
async fn journals_as_1_40_does() {
    play("v1.40.1/commands", Release::V1_40).await;
}

#[tokio::test]
async fn journals_as_1_34_does() {
    play("v1.34.0/commands", Release::V1_34).await;
}

#[tokio::test]
async fn flushes_reach_every_flow_with_one_txid() {
    play("v1.40.1/flush", Release::V1_40).await;
    let (expected, _) = recorded("v1.40.1/flush");
    let master = Simulator::builder().shards(3).start().await.unwrap();
    let mut replica = Replica::attach(master.addr(), None).await;
    replica.reach_stable().await;
    for (db, words) in played("v1.40.1/flush") {
        master.execute(db, &words);
    }
    let lsns = master.lsns();
    until("all records", || (0..3).all(|i| records_so_far(&replica, i) == Some(lsns[i]))).await;
    let txids = |flows: &[Vec<Record>], name: &str| -> Vec<Vec<u64>> {
        let of = |f: &Vec<Record>| f.iter().filter(|r| r.args[0] == name).map(|r| r.txid).collect();
        flows.iter().map(of).collect()
    };
    let got: Vec<Vec<Record>> = (0..3).map(|i| records(&replica.journal(i).unwrap(), 1)).collect();
    for name in ["FLUSHDB", "FLUSHALL"] {
        for side in [&expected, &got] {
            let ids = txids(side, name);
            assert_eq!(ids.len(), 3);
            assert!(ids.iter().all(|i| i.len() == 1 && i[0] != 0 && i == &ids[0]), "{name}: {ids:?}");
        }
    }
}
