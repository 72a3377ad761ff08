//! Recorded attachments come out of a replaying master as they went in.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use common::{Client, Replica, Resp, capture, capture_file, records, until};
use rdb::Item;
use simulator::{Capture, Pacing, Replay, ReplayHandle};

const ALL: [&str; 14] = [
    "v1.34.0/busy",
    "v1.34.0/commands",
    "v1.34.0/resume",
    "v1.34.0/types",
    "v1.40.1/busy",
    "v1.40.1/commands",
    "v1.40.1/empty",
    "v1.40.1/flush",
    "v1.40.1/resume",
    "v1.40.1/types",
    "v1.40.1/types-lzf",
    "v1.40.1/types-raw",
    "v1.40.1/types-untagged",
    "v1.40.1/types-zstd",
];

/// What a snapshot stream holds as far as it goes.
fn items(bytes: &Bytes) -> Vec<Item> {
    let mut decoder = rdb::Decoder::new(rdb::Limits::default());
    decoder.feed(bytes.clone());
    std::iter::from_fn(|| decoder.next().unwrap()).collect()
}

fn meta(name: &str) -> serde_json::Value {
    serde_json::from_slice(&capture_file(name, "meta.json").unwrap()).unwrap()
}

fn asked(name: &str) -> Option<Vec<u64>> {
    let first: serde_json::Value = serde_json::from_slice(&capture_file(name, "first.json")?).unwrap();
    Some(first["next_lsns"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect())
}

async fn start(capture: Capture) -> ReplayHandle {
    Replay::builder(capture).start().await.unwrap()
}

async fn received(replica: &Replica, ends: &[usize]) {
    until("the bytes of this stage", || (0..ends.len()).all(|i| replica.bytes(i).len() >= ends[i])).await;
}

#[test]
fn every_capture_is_split_between_its_end_of_data_and_its_end_of_file() {
    for name in ALL {
        let capture = capture(name);
        let style = meta(name)["dragonfly_version"].as_str().unwrap().to_owned();
        for flow in 0..capture.flows() {
            let at = capture.stable_at(flow);
            if name == "v1.40.1/resume" {
                assert_eq!(at, 0, "{name} {style}");
                continue;
            }
            let first = items(&capture.flow(flow).slice(..at));
            assert!(first.contains(&Item::FullSyncEnd), "{name} flow {flow}");
            assert!(!first.iter().any(|item| matches!(item, Item::Eof { .. })), "{name} flow {flow}");
            let all = items(capture.flow(flow));
            assert!(matches!(all.last(), Some(Item::Eof { .. })), "{name} flow {flow}");
            // Only what a compressed blob ties to it comes with the first part.
            let rest = &all[first.len()..];
            let early = first.iter().any(|item| matches!(item, Item::JournalOffset(_)));
            assert_eq!(rest.len(), if early { 1 } else { 2 }, "{name} flow {flow}: {rest:?}");
        }
    }
}

#[tokio::test]
async fn every_capture_is_sent_as_it_was_recorded() {
    for name in ALL {
        let capture = capture(name);
        let meta = meta(name);
        let count = capture.flows();
        let whole: Vec<usize> = (0..count).map(|i| capture.flow(i).len()).collect();
        let first: Vec<usize> = (0..count).map(|i| capture.stable_at(i)).collect();
        let master = start(capture.clone()).await;
        let lsns = asked(name);
        let mut replica = Replica::attach(master.addr(), lsns.as_deref()).await;

        let greeting = meta["control"].as_array().unwrap();
        let greeting =
            greeting.iter().find(|e| e["sent"][2] == "dragonfly").unwrap()["reply"].as_array().unwrap();
        assert_eq!(
            (&replica.replid, replica.greeting),
            (&greeting[0].as_str().unwrap()[1..].to_owned(), greeting.len())
        );
        assert_eq!(format!("+{}", replica.sync_id), greeting[1].as_str().unwrap());
        assert_eq!(format!(":{}", replica.version), greeting[3].as_str().unwrap());
        assert_eq!(serde_json::json!(replica.kinds), meta["kinds"], "{name}");
        assert_eq!(serde_json::json!(replica.tokens), meta["eof_tokens"], "{name}");

        let journal_style = first.iter().all(|&at| at == 0);
        let answer = replica.sync().await;
        if journal_style {
            assert_eq!(answer, Resp::Error("ERR invalid state".into()));
        } else {
            assert_eq!(answer, Resp::ok());
            received(&replica, &first).await;
            until("nothing more at SYNC", || (0..count).all(|i| master.sent(i) == first[i] as u64)).await;
        }
        assert_eq!(master.syncs(), u64::from(!journal_style));
        assert_eq!(replica.start_stable().await, Resp::ok());
        received(&replica, &whole).await;
        for flow in 0..count {
            assert!(replica.bytes(flow) == capture.flow(flow)[..], "{name} flow {flow}");
            assert!(!replica.flows[flow].lock().unwrap().closed);
        }
        let ends = replica.control.call(&["DFLY", "REPLICAOFFSET"]).await;
        let ends: Vec<u64> = ends.items().iter().map(|n| n.text().parse().unwrap()).collect();
        assert_eq!(ends, capture.next_lsns());
        for (flow, lsn) in ends.into_iter().enumerate() {
            replica.ack(flow, lsn).await;
            until("the ack", || master.acked(flow) == lsn).await;
        }
    }
}

#[tokio::test]
async fn a_cut_closes_every_flow_after_exactly_so_many_bytes() {
    let capture = capture("v1.40.1/commands");
    let (inside, journal) = (capture.stable_at(1) as u64 / 2, capture.flow(1).len() as u64 - 3);
    let builder = Replay::builder(capture.clone()).cut(1, inside, 2).cut(1, journal, 1).cut(2, 0, 0);
    let master = builder.start().await.unwrap();
    for cut in [Some(inside), Some(inside), Some(journal), None] {
        let mut replica = Replica::attach(master.addr(), None).await;
        assert_eq!(replica.sync().await, Resp::ok());
        if cut != Some(inside) {
            received(&replica, &[0, 1, 2].map(|i| capture.stable_at(i))).await;
            assert_eq!(replica.start_stable().await, Resp::ok());
        }
        match cut {
            Some(cut) => {
                let closed = |i: usize| replica.flows[i].lock().unwrap().closed;
                until("the end of every flow", || (0..3).all(closed)).await;
                assert_eq!(replica.bytes(1), capture.flow(1)[..cut as usize]);
                assert_eq!(replica.start_stable().await, Resp::Error("ERR syncid not found".into()));
            }
            None => received(&replica, &[0, 1, 2].map(|i| capture.flow(i).len())).await,
        }
    }
    assert_eq!((master.syncs(), master.attachments()), (4, 4));
}

#[tokio::test]
async fn a_stalled_flow_goes_on_when_it_is_told_to_and_the_others_do_not_wait() {
    let capture = capture("v1.40.1/types");
    let pacing = Pacing { piece: 7_000, pause: Duration::from_millis(1) };
    let master = Replay::builder(capture.clone()).pacing(pacing).stall(1, 10_000).start().await.unwrap();
    let mut replica = Replica::attach(master.addr(), None).await;
    assert_eq!(replica.sync().await, Resp::ok());
    let first = [0, 1, 2].map(|i| capture.stable_at(i));
    received(&replica, &[first[0], 10_000, first[2]]).await;
    assert_eq!(replica.start_stable().await, Resp::ok());
    received(&replica, &[capture.flow(0).len(), 10_000, capture.flow(2).len()]).await;
    assert_eq!(master.sent(1), 10_000);
    master.resume();
    received(&replica, &[0, 1, 2].map(|i| capture.flow(i).len())).await;
    assert!(replica.bytes(1) == capture.flow(1)[..]);
}

#[tokio::test]
async fn a_partial_sync_is_answered_for_recorded_lsns_only() {
    for name in ["v1.34.0/resume", "v1.40.1/resume"] {
        let master = start(capture(name)).await;
        let mut lsns = asked(name).unwrap();
        lsns[1] -= 1;
        let mut control = Client::open(master.addr()).await;
        let greeting = control.call(&["REPLCONF", "capa", "dragonfly"]).await;
        let (replid, sync_id) = (greeting.items()[0].text(), greeting.items()[1].text());
        for lsn in [Some(lsns[1].to_string()), None] {
            let mut flow = Client::open(master.addr()).await;
            let mut args = vec!["DFLY", "FLOW", &replid, &sync_id, "1"];
            args.extend(lsn.as_deref());
            assert!(flow.call(&args).await.text().contains("cannot be resumed"), "{name} {lsn:?}");
        }
    }
}

#[tokio::test]
async fn a_journal_is_resumed_at_every_record() {
    let capture = capture("v1.40.1/commands");
    let master = start(capture.clone()).await;
    let mut whole = Vec::new();
    {
        let mut replica = Replica::attach(master.addr(), None).await;
        replica.reach_stable().await;
        received(&replica, &[0, 1, 2].map(|i| capture.flow(i).len())).await;
        whole.extend((0..3).map(|i| replica.journal(i).unwrap()));
    }
    let ends = capture.next_lsns();
    let all: Vec<_> = whole.iter().map(|journal| records(journal, 1)).collect();
    for lsn in 1..=ends.iter().copied().max().unwrap() {
        let lsns: Vec<u64> = ends.iter().map(|end| lsn.min(*end)).collect();
        let mut replica = Replica::attach(master.addr(), Some(&lsns)).await;
        assert_eq!(replica.kinds, ["PARTIAL"; 3]);
        assert_eq!(replica.sync().await, Resp::Error("ERR invalid state".into()));
        assert_eq!(replica.start_stable().await, Resp::ok());
        for flow in 0..3 {
            let left = (ends[flow] - lsns[flow]) as usize;
            until("its records", || records_so_far(&replica.bytes(flow)) == left).await;
            let rest = replica.bytes(flow);
            assert!(whole[flow].ends_with(&rest));
            assert_eq!(records(&rest, lsns[flow]), all[flow][all[flow].len() - left..]);
            assert_eq!(master.sent(flow), master.size(flow));
        }
    }
    // One flow is asked for beyond its end.
    let replica = Replica::attach(master.addr(), Some(&[ends[0] + 1, ends[1], ends[2]])).await;
    assert_eq!(replica.kinds, ["FULL", "PARTIAL", "PARTIAL"]);
}

/// Whole records in a journal that may end anywhere.
fn records_so_far(bytes: &[u8]) -> usize {
    let mut decoder = journal::Decoder::new(journal::Limits::default());
    decoder.feed(Bytes::copy_from_slice(bytes));
    let entries = std::iter::from_fn(|| decoder.next().unwrap());
    entries.filter(|entry| matches!(entry, journal::Entry::Record(_))).count()
}

#[tokio::test]
async fn requests_out_of_order_are_refused() {
    let master = start(capture("v1.40.1/types")).await;
    let invalid = Resp::Error("ERR invalid state".into());
    let mut control = Client::open(master.addr()).await;
    let greeting = control.call(&["REPLCONF", "capa", "dragonfly"]).await;
    let (replid, sync_id) = (greeting.items()[0].text(), greeting.items()[1].text());
    assert_eq!(control.call(&["DFLY", "SYNC", &sync_id]).await, invalid, "no flow is open");
    for (args, line) in [
        (["bad", &sync_id, "0"], "ERR bad master id"),
        ([&replid, "SYNC99", "0"], "ERR syncid not found"),
        ([&replid, "99", "0"], "ERR bad sync id"),
        ([&replid, &sync_id, "3"], "ERR value is not an integer or out of range"),
    ] {
        let reply = control.call(&["DFLY", "FLOW", args[0], args[1], args[2]]).await;
        assert_eq!(reply, Resp::Error(line.into()));
    }
    let mut replica = Replica::attach(master.addr(), None).await;
    assert_eq!(replica.start_stable().await, invalid, "no DFLY SYNC yet");
    assert_eq!(replica.sync().await, Resp::ok());
    assert_eq!(replica.sync().await, invalid, "twice");
    let mut lonely = Client::open(master.addr()).await;
    lonely.send(&["REPLCONF", "CLIENT-VERSION", "5"]).await;
    assert_eq!(lonely.reply().await, None, "this ends a real master");
}

#[tokio::test]
async fn every_connection_of_an_attachment_ends_it() {
    for closing in 0..3 {
        let master = start(capture("v1.40.1/busy")).await;
        let mut replica = Replica::attach(master.addr(), None).await;
        assert_eq!(replica.sync().await, Resp::ok());
        assert_eq!(replica.start_stable().await, Resp::ok());
        let flows = replica.flows.clone();
        match closing {
            2 => drop(replica.control),
            flow => drop(replica.writers.remove(flow)),
        }
        until("the end of every flow", || flows.iter().all(|flow| flow.lock().unwrap().closed)).await;
    }
}

#[tokio::test]
async fn questions_beside_the_stream_are_answered_from_the_recorded_contents() {
    let name = "v1.40.1/commands";
    let (before, after) =
        (capture_file(name, "before.jsonl").unwrap(), capture_file(name, "after.jsonl").unwrap());
    let master = start(capture(name).with_before(&before).unwrap().with_after(&after).unwrap()).await;
    let mut client = Client::open(master.addr()).await;
    let info = client.call(&["INFO", "KEYSPACE"]).await.text();
    let dbs: BTreeSet<&str> =
        info.lines().filter_map(|line| line.split_once(':')).map(|(db, _)| db).collect();
    assert_eq!(dbs, BTreeSet::from(["db0", "db1", "db2", "db15"]));
    assert!(client.call(&["INFO", "server"]).await.text().contains("dragonfly_version:df-v1.40.1\r\n"));
    assert_eq!(client.call(&["EXISTS", "j:s", "list:huge", "str:1"]).await, Resp::Int(2));
    assert_eq!(client.call(&[b"EXISTS".as_slice(), b"k\r\n\x00\xff"]).await, Resp::Int(1));
    assert_eq!(client.call(&["SELECT", "15"]).await, Resp::ok());
    assert_eq!(client.call(&["EXISTS", "str:1"]).await, Resp::Int(0), "deleted after the snapshot");
    assert!(client.call(&["HELLO"]).await.items().contains(&Resp::Bulk("df-v1.40.1".into())));
    assert!(client.call(&["FLUSHALL"]).await.is_error());
}

#[tokio::test]
async fn descriptions_that_do_not_fit_are_refused() {
    let meta = capture_file("v1.40.1/types", "meta.json").unwrap();
    let flows: Vec<Bytes> = (0..3).map(|i| capture("v1.40.1/types").flow(i).clone()).collect();
    assert!(Capture::from_parts(b"{}", flows.clone()).is_err());
    assert!(Capture::from_parts(&meta, flows[..2].to_vec()).is_err());
    let mut short = flows.clone();
    short[1] = short[1].slice(..short[1].len() - 1);
    assert!(Capture::from_parts(&meta, short).is_err(), "a flow whose token is cut off");
    let mut half = flows.clone();
    half[1] = [&half[1][..], &[10, 0, 1]].concat().into();
    assert!(Capture::from_parts(&meta, half).is_err(), "half a record");
    let capture = Capture::from_parts(&meta, flows).unwrap();
    assert!(capture.clone().with_before(b"{\"key\": 1}").is_err());
    assert!(Replay::builder(capture).cut(3, 0, 1).start().await.is_err());
}
