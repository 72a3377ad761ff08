//! Which flow carries a key: computed as real masters do it.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use replica::sharding::flow_by_key as flow_of;

fn flows(scenario: &str, count: usize) -> Vec<Vec<u8>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures").join(scenario);
    (0..count)
        .map(|flow| {
            let file = std::fs::File::open(dir.join(format!("flow-{flow}.bin.zst"))).unwrap();
            zstd::decode_all(file).unwrap()
        })
        .collect()
}

#[test]
fn every_key_of_a_snapshot_came_on_the_flow_that_is_computed() {
    for (scenario, count) in [("v1.40.1/types", 3), ("v1.40.1/busy", 2), ("v1.34.0/busy", 2)] {
        let mut keys = 0;
        for (flow, bytes) in flows(scenario, count).into_iter().enumerate() {
            let mut decoder = rdb::Decoder::new(rdb::Limits::default());
            decoder.feed(bytes.into());
            while let Some(item) = decoder.next().unwrap() {
                let key = match item {
                    rdb::Item::Value(value) => value.meta.key,
                    rdb::Item::Begin(begin) => begin.meta.key,
                    _ => continue,
                };
                assert_eq!(flow_of(&key, count), flow, "{scenario}: {}", key.escape_ascii());
                keys += 1;
            }
        }
        assert!(keys > 70, "{scenario}: only {keys} keys");
    }
}
