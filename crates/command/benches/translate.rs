//! What translating costs for each record or value.

use std::{hint::black_box, sync::Arc};

use bytes::Bytes;
use command::{Dialect, Flavour, Mapping, Translator};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use journal::{Record, RecordKind};
use rdb::{KeyMeta, Kind, Value};

const NOW_MS: u64 = 1_700_000_000_000;

fn translator(cluster: bool) -> Translator {
    let mapping = if cluster { Mapping::prefixed() } else { Mapping::keep() };
    Translator::new(mapping, Arc::new(Dialect::assumed(Flavour::Redis, (7, 0, 15), cluster)))
}

fn set(db: u32) -> Record {
    let args = vec!["SET".into(), "user:000001:name".into(), Bytes::from(vec![b'x'; 100])];
    Record { db, txid: 0, kind: RecordKind::Command, args }
}

fn string() -> Value {
    let meta =
        KeyMeta { db: 0, key: "user:000001:name".into(), expire_at_ms: None, sticky: false, mc_flags: None };
    let mut payload = vec![0x40, 100];
    payload.extend([b'x'; 100]);
    Value { meta, kind: Kind::String, payload: payload.into() }
}

fn benches(c: &mut Criterion) {
    for (name, cluster, db) in [("standalone", false, 0), ("cluster", true, 0), ("cluster, prefix", true, 3)]
    {
        let mut translator = translator(cluster);
        c.bench_function(&format!("record SET, {name}"), |b| {
            b.iter_batched(
                || set(db),
                |record| black_box(translator.record(record, NOW_MS)),
                BatchSize::SmallInput,
            );
        });
    }
    let mut cluster = translator(true);
    let value = string();
    c.bench_function("string, cluster", |b| b.iter(|| black_box(cluster.string(black_box(&value), NOW_MS))));
    c.bench_function("value of a string, cluster", |b| {
        b.iter_batched(
            || value.clone(),
            |value| black_box(cluster.value(value, NOW_MS)),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(all, benches);
criterion_main!(all);
