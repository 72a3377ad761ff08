//! A prepared master sends what it says it does.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::{Client, Replica, Resp, after_token, records, until};
use rdb::Item;
use simulator::{Prepared, PreparedBuilder};
use twox_hash::XxHash64;

/// Strings of a snapshot, as the decoder reads them; the flow's number goes with each key.
fn strings(flow: u64, flows: u64, bytes: &[u8]) -> BTreeMap<Bytes, Bytes> {
    let mut decoder = rdb::Decoder::new(rdb::Limits::default());
    decoder.feed(Bytes::copy_from_slice(bytes));
    let mut found = BTreeMap::new();
    while let Some(item) = decoder.next().unwrap() {
        if let Item::Value(value) = item {
            let key = value.meta.key.clone();
            assert_eq!(XxHash64::oneshot(120_577_240_643, &key) % flows, flow);
            assert!(found.insert(key, value.as_string().unwrap()).is_none());
        }
    }
    assert!(decoder.finished());
    found
}

async fn check(builder: PreparedBuilder, flows: u64) -> usize {
    let (pairs, expected): (BTreeMap<_, _>, Vec<_>) =
        (builder.pairs().collect(), builder.records().collect());
    let master = builder.start().await.unwrap();
    let mut replica = Replica::attach(master.addr(), None).await;
    replica.reach_stable().await;
    let mut snapshot = 0;
    let mut found = BTreeMap::new();
    for flow in 0..flows {
        let bytes = replica.bytes(flow as usize);
        assert_eq!(
            after_token(&bytes, &replica.tokens[flow as usize]).unwrap(),
            b"",
            "the journal is held back"
        );
        snapshot += bytes.len();
        found.extend(strings(flow, flows, &bytes));
    }
    assert!(found == pairs);
    assert_eq!(master.next_lsns(), vec![1; flows as usize]);

    master.release_journal();
    until("the whole journal", || {
        (0..flows as usize).all(|i| replica.bytes(i).len() as u64 == master.size(i))
    })
    .await;
    let mut written = Vec::new();
    for (flow, next) in master.next_lsns().into_iter().enumerate() {
        let journal = records(&replica.journal(flow).unwrap(), 1);
        assert_eq!(journal.len() as u64 + 1, next);
        written.extend(journal);
    }
    assert_eq!(written.len(), expected.len());
    // Per key the order is the one that was promised.
    let mut last = BTreeMap::new();
    for record in &written {
        assert_eq!((record.db, &record.args[0][..]), (0, b"SET".as_slice()));
        last.insert(record.args[1].clone(), record.args[2].clone());
    }
    assert!(last == expected.into_iter().collect());
    snapshot
}

#[tokio::test]
async fn the_stream_holds_the_promised_strings_and_records() {
    let builder = Prepared::builder().keys(20_000).journal(30_000);
    let random = check(builder.clone().flows(3), 3).await;
    let words = check(builder.compressible(true).flows(1).seed(7), 1).await;
    assert!(random > 20_000 * 100, "random letters do not compress: {random}");
    assert!(words < random / 2, "words do: {words} of {random}");
    check(Prepared::builder().keys(0).flows(2), 2).await;
    check(Prepared::builder().keys(3).value_len(0).journal(10).flows(4), 4).await;
}

#[tokio::test]
async fn keys_exist_by_their_number() {
    let master = Prepared::builder().keys(10).start().await.unwrap();
    let mut client = Client::open(master.addr()).await;
    let keys = ["EXISTS", "key:000000000000", "key:000000000009", "key:000000000010", "key:9", "other"];
    assert_eq!(client.call(&keys).await, Resp::Int(2));
    assert!(client.call(&["INFO", "keyspace"]).await.text().contains("db0:keys=10,"));
    assert!(Prepared::builder().flows(0).start().await.is_err());
}
