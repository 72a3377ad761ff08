//! Payloads of `DUMP` as the servers at hand make them: those that `TARGET_BINS` names, and the `redis-server` of the path.
//!
//! They are checked like those that are kept (`rdb/tests/corpus.rs`), and encoded again they are restored on the server that
//! made them, which then holds what it held before.
#![allow(clippy::unwrap_used)]

#[path = "../../rdb/tests/support/dumps.rs"]
mod dumps;

use bytes::Bytes;
use dumps::{Corpus, check_encoded_again, check_meaning, commands};
use rdb::{Kind, dump};
use redis::Value;
use scenarios::client::{Client, as_error};
use scenarios::servers::OtherServer;

/// The payloads of the commands' keys, in order.
fn make(server: &OtherServer) -> Corpus {
    let mut client = server.client();
    client.call(&["FLUSHALL"]);
    commands().for_each(|words| client.queue(&words));
    let replies = client.flush().unwrap();
    let refused: Vec<_> = replies.iter().filter_map(as_error).collect();
    assert!(refused.is_empty(), "{}: {refused:?}", server.name);
    let mut names: Vec<String> =
        commands().map(|words| words[1 + usize::from(words[0] == "XGROUP")].clone()).collect();
    names.sort();
    names.dedup();
    let payloads = names.into_iter().map(|name| {
        let payload = dumped(&mut client, &name);
        (name, payload)
    });
    (server.name.clone(), payloads.collect())
}

fn dumped(client: &mut Client, name: &str) -> Bytes {
    match client.call(&["DUMP", name]) {
        Value::BulkString(payload) => known(payload.into()),
        other => panic!("DUMP {name}: {other:?}"),
    }
}

/// Valkey 9 puts a version of its own into the footer (80), which no source takes. What is in front of it is like that of the
/// others.
fn known(payload: Bytes) -> Bytes {
    const FOOTER: usize = 10;
    let end = payload.len() - FOOTER;
    match (payload[end], Kind::from_code(payload[0])) {
        (80, Some(kind)) => dump::payload(kind, &payload[1..end]),
        _ => payload,
    }
}

#[test]
fn servers_at_hand_make_the_corpus_anew() {
    let servers: Vec<OtherServer> = OtherServer::each("servers_at_hand_make_the_corpus_anew").collect();
    let corpora: Vec<Corpus> = servers.iter().map(make).collect();
    let kinds = check_meaning(&corpora);
    check_encoded_again(&corpora);
    let again: Vec<Corpus> =
        servers.iter().zip(&corpora).map(|(server, made)| restored(server, made)).collect();
    check_meaning(&corpora.iter().chain(&again).cloned().collect::<Vec<_>>());
    println!("types: {kinds:?}");
}

/// What the server dumps of the payloads, encoded again, that it has restored.
fn restored(server: &OtherServer, (name, payloads): &Corpus) -> Corpus {
    let mut client = server.client();
    let mut count = 0;
    let mut again = |key: &String, payload: &Bytes| {
        // Of a type that no source has.
        let Ok((kind, raw)) = dump::parse(payload) else { return payload.clone() };
        count += 1;
        let encoded = dump::payload(kind, &raw);
        client.call(&[b"RESTORE".as_slice(), key.as_bytes(), b"0", &encoded, b"REPLACE"]);
        dumped(&mut client, key)
    };
    let again = payloads.iter().map(|(key, payload)| (key.clone(), again(key, payload))).collect();
    println!("{name}: {count} of {} payloads restored", payloads.len());
    assert!(count + 3 >= payloads.len(), "{name}");
    (format!("{name} again"), again)
}
