//! Every recorded journal: what follows a snapshot, the journal blobs inside it, and partial syncs.
#![allow(clippy::unwrap_used)]

#[path = "../../rdb/tests/support/mod.rs"]
mod support;

use bytes::Bytes;
use journal::{Decoder, Entry, Limits, LsnCounter, RecordKind, decode_blob};
use rdb::Item;
use support::{Flow, decode, flows};

/// What a flow brings besides snapshot entries.
struct Journal {
    name: String,
    scenario: String,
    blobs: Vec<Bytes>,
    /// LSN of the first entry of `stable`.
    offset: u64,
    stable: Bytes,
    next_lsn: u64,
}

fn journals() -> Vec<Journal> {
    flows().into_iter().map(journal_of).collect()
}

fn journal_of(flow: Flow) -> Journal {
    let Flow { name, scenario, bytes, next_lsn, directory, snapshot, .. } = flow;
    if !snapshot {
        let asked: serde_json::Value =
            serde_json::from_slice(&std::fs::read(directory.join("first.json")).unwrap()).unwrap();
        let i: usize = name.rsplit('-').next().unwrap().parse().unwrap();
        let offset = asked["next_lsns"][i].as_u64().unwrap();
        return Journal { name, scenario, blobs: Vec::new(), offset, stable: bytes, next_lsn };
    }
    let (items, stable) = decode(&bytes, rdb::Limits::default()).unwrap();
    let mut offset = None;
    let mut blobs = Vec::new();
    for item in items {
        match item {
            Item::JournalBlob(blob) => blobs.push(blob),
            Item::JournalOffset(lsn) => assert_eq!(offset.replace(lsn), None, "{name}: two offsets"),
            _ => {}
        }
    }
    Journal {
        offset: offset.unwrap_or_else(|| panic!("{name}: no offset")),
        name,
        scenario,
        blobs,
        stable,
        next_lsn,
    }
}

fn decode_all(stable: &Bytes, step: usize) -> Vec<Entry> {
    let mut decoder = Decoder::new(Limits::default());
    let mut entries = Vec::new();
    for piece in stable.chunks(step) {
        decoder.feed(Bytes::copy_from_slice(piece));
        while let Some(entry) = decoder.next().unwrap() {
            entries.push(entry);
        }
    }
    assert_eq!(decoder.pending_bytes(), 0);
    entries
}

#[test]
fn every_journal_decodes_to_the_lsn_that_was_reached() {
    for flow in journals() {
        let mut counter = LsnCounter::new(flow.offset);
        let mut asserted = 0;
        for entry in decode_all(&flow.stable, usize::MAX) {
            asserted += usize::from(matches!(entry, Entry::Lsn(_)));
            counter.observe(&entry).unwrap_or_else(|e| panic!("{}: {e}", flow.name));
        }
        assert_eq!(counter.next(), flow.next_lsn, "{}", flow.name);
        assert!(asserted > 0 || flow.stable.is_empty(), "{}: no LSN op", flow.name);
    }
}

#[test]
fn a_counter_that_is_off_by_one_is_caught_by_the_first_lsn_op() {
    for flow in journals().iter().filter(|flow| !flow.stable.is_empty()) {
        for wrong in [flow.offset - 1, flow.offset + 1] {
            let mut counter = LsnCounter::new(wrong);
            let mismatch = decode_all(&flow.stable, usize::MAX)
                .iter()
                .find_map(|entry| counter.observe(entry).err())
                .unwrap_or_else(|| panic!("{}: not caught", flow.name));
            assert_eq!(mismatch.counted.abs_diff(mismatch.said), 1, "{}", flow.name);
        }
    }
}

#[test]
fn every_blob_is_one_command() {
    let mut count = 0;
    for flow in journals() {
        for blob in flow.blobs {
            let entry = decode_blob(blob.clone()).unwrap_or_else(|e| panic!("{}: {e}", flow.name));
            assert!(matches!(entry, Entry::Record(_)), "{}: {entry:?}", flow.name);
            assert_eq!(decode_blob(blob.slice(..blob.len() - 1)), Err(journal::Error::Truncated));
            count += 1;
        }
    }
    assert!(count > 10_000, "{count} blobs");
}

#[test]
fn pieces_of_any_size_give_the_same_entries() {
    for flow in journals() {
        let whole = decode_all(&flow.stable, usize::MAX);
        for step in [1, 7, 4096] {
            assert_eq!(decode_all(&flow.stable, step), whole, "{} in pieces of {step}", flow.name);
        }
    }
}

#[test]
fn a_journal_cut_anywhere_waits_for_more() {
    for flow in journals().iter().filter(|flow| !flow.stable.is_empty()) {
        let whole = decode_all(&flow.stable, usize::MAX);
        // The entries before a cut are those of the whole; one decoder sees every cut, because nothing of a partial
        // record may be taken.
        let mut decoder = Decoder::new(Limits::default());
        let mut seen = 0;
        for i in 0..flow.stable.len() {
            decoder.feed(flow.stable.slice(i..=i));
            while let Some(entry) = decoder.next().unwrap() {
                assert_eq!(entry, whole[seen], "{} cut at {i}", flow.name);
                seen += 1;
            }
        }
        assert_eq!(seen, whole.len(), "{}", flow.name);
        // And one decoder per cut, near the front, that never had more.
        for cut in 0..flow.stable.len().min(2_000) {
            let mut decoder = Decoder::new(Limits::default());
            decoder.feed(flow.stable.slice(..cut));
            let mut n = 0;
            while let Some(entry) = decoder.next().unwrap() {
                assert_eq!(entry, whole[n]);
                n += 1;
            }
        }
    }
}

#[test]
fn records_carry_the_database_of_their_select() {
    let mut databases = std::collections::BTreeMap::<u32, usize>::new();
    for flow in journals().iter().filter(|flow| flow.scenario == "v1.40.1/commands") {
        for entry in decode_all(&flow.stable, usize::MAX) {
            if let Entry::Record(record) = entry {
                *databases.entry(record.db).or_default() += 1;
            }
        }
    }
    // A swallowed SELECT would leave everything in database 0.
    assert_eq!(databases, [(0, 176), (1, 1), (2, 1), (15, 1)].into());
}

#[test]
fn a_flush_is_one_record_per_flow_with_one_txid() {
    let mut flushes: Vec<Vec<(u32, u64, Bytes)>> = Vec::new();
    for flow in journals().iter().filter(|flow| flow.scenario == "v1.40.1/flush") {
        let entries = decode_all(&flow.stable, usize::MAX).into_iter();
        flushes.push(
            entries
                .filter_map(|entry| match entry {
                    Entry::Record(r) if r.args[0].starts_with(b"FLUSH") => {
                        Some((r.db, r.txid, r.args[0].clone()))
                    }
                    _ => None,
                })
                .collect(),
        );
    }
    assert_eq!(flushes.len(), 3);
    assert_eq!(
        flushes[0].iter().map(|flush| &flush.2[..]).collect::<Vec<_>>(),
        [b"FLUSHDB".as_slice(), b"FLUSHALL"]
    );
    assert!(flushes.iter().all(|flow| *flow == flushes[0]), "{flushes:?}");
}

#[test]
fn masters_up_to_1_37_mark_what_expired() {
    let kinds = |scenario: &str| {
        let mut expired = 0;
        for flow in journals().iter().filter(|flow| flow.scenario.starts_with(scenario)) {
            let blobs = flow.blobs.iter().map(|blob| decode_blob(blob.clone()).unwrap());
            for entry in blobs.chain(decode_all(&flow.stable, usize::MAX)) {
                if let Entry::Record(record) = entry {
                    expired += usize::from(record.kind == RecordKind::Expired);
                }
            }
        }
        expired
    };
    assert_eq!(kinds("v1.34.0"), 2);
    assert_eq!(kinds("v1.40.1"), 0);
}

#[test]
fn flipped_bytes_never_panic() {
    const SEED: u64 = 0x6a6f_7572_6e61_6c31;
    println!("seed {SEED:#x}");
    let mut random = support::Random(SEED);
    for flow in journals().iter().filter(|flow| !flow.stable.is_empty()) {
        let bytes = flow.stable.slice(..flow.stable.len().min(20_000));
        for _ in 0..300 {
            let mut damaged = bytes.to_vec();
            let at = random.below(damaged.len());
            damaged[at] ^= 1 << random.below(8);
            let mut decoder = Decoder::new(Limits::default());
            decoder.feed(damaged.into());
            let outcome = loop {
                match decoder.next() {
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
            if let Err(error) = outcome {
                assert_eq!(decoder.next(), Err(error), "an error stays");
            }
        }
    }
}
