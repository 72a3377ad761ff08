//! Records byte by byte: the vectors of the protocol notes, and what must be refused.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use journal::{
    Class, Decoder, Entry, Error, Limits, LsnCounter, LsnMismatch, Record, RecordKind, decode_blob,
};

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn decode_with(bytes: &Bytes, limits: Limits) -> Result<Vec<Entry>, Error> {
    let mut decoder = Decoder::new(limits);
    decoder.feed(bytes.clone());
    let mut entries = Vec::new();
    while let Some(entry) = decoder.next()? {
        entries.push(entry);
    }
    Ok(entries)
}

fn decode(text: &str) -> Result<Vec<Entry>, Error> {
    decode_with(&hex(text), Limits::default())
}

fn record(db: u32, txid: u64, kind: RecordKind, args: &[&[u8]]) -> Entry {
    let args = args.iter().map(|arg| Bytes::copy_from_slice(arg)).collect();
    Entry::Record(Record { db, txid, kind, args })
}

#[test]
fn every_vector_decodes() {
    use RecordKind::{Command, Expired, Multi};
    let vectors: &[(&str, Entry)] = &[
        ("06000a0001030903534554 03666f6f 03626172", record(0, 0, Command, &[b"SET", b"foo", b"bar"])),
        ("0603 0a412c01 0204 0344454c 016b", record(3, 300, Command, &[b"DEL", b"k"])),
        ("0600 0a80000111700101 08 08464c555348414c4c", record(0, 70_000, Command, &[b"FLUSHALL"])),
        ("0600 0a0701 0304 03534554 016b 00", record(0, 7, Command, &[b"SET", b"k", b""])),
        ("0600 090001 0204 0344454c 016b", record(0, 0, Expired, &[b"DEL", b"k"])),
        ("0600 0b0901 0204 0344454c 016b", record(0, 9, Multi, &[b"DEL", b"k"])),
        ("0d", Entry::Ping),
        ("0600 0d", Entry::Ping),
        ("0e", Entry::Fin),
        ("0f05", Entry::Lsn(5)),
        ("0f43e8", Entry::Lsn(1000)),
        ("0600 0c0902", Entry::Exec { txid: 9, shards: 2 }),
        ("0600 0a1901 0206 0344454c 03666f6f", record(0, 25, Command, &[b"DEL", b"foo"])),
        ("0605 0a2401 0107 07464c5553484442", record(5, 36, Command, &[b"FLUSHDB"])),
        (
            "0600 0a0001 041f 0b44464c59434c5553544552 0a464c555348534c4f5453 053130303031 053136333833",
            record(0, 0, Command, &[b"DFLYCLUSTER", b"FLUSHSLOTS", b"10001", b"16383"]),
        ),
        (
            "0600 0a0001 050e 044d534554 047b747d61 0131 047b747d62 0132",
            record(0, 0, Command, &[b"MSET", b"{t}a", b"1", b"{t}b", b"2"]),
        ),
    ];
    for (text, entry) in vectors {
        assert_eq!(decode(text).unwrap(), std::slice::from_ref(entry), "{text}");
        assert_eq!(decode_blob(hex(text)).unwrap(), *entry, "{text}");
        for cut in 0..hex(text).len() {
            assert_eq!(
                decode_with(&hex(text).slice(..cut), Limits::default()),
                Ok(vec![]),
                "{text} cut at {cut}"
            );
            assert_eq!(decode_blob(hex(text).slice(..cut)), Err(Error::Truncated), "{text} cut at {cut}");
        }
    }
}

#[test]
fn packed_integers_have_four_lengths() {
    let vectors = [
        ("00", 0),
        ("0a", 10),
        ("3f", 63),
        ("4040", 64),
        ("4064", 100),
        ("7fff", 16_383),
        ("8000004000", 16_384),
        ("800000ffff", 65_535),
        ("80ffffffff", 4_294_967_295),
        ("810000000100000000", 4_294_967_296),
        ("810000010000000000", 1 << 40),
    ];
    for (text, value) in vectors {
        assert_eq!(decode(&format!("0f{text}")).unwrap(), [Entry::Lsn(value)]);
    }
    for first in (0x82..=0xbf).chain(0xc0..=0xff) {
        assert_eq!(decode(&format!("0f{first:02x}")), Err(Error::Packed(first)));
    }
}

#[test]
fn a_select_holds_until_the_next() {
    // Masters up to v1.10 select only when the database changes.
    let entries =
        decode("0603 0a0001 0105 0550494e4747  0a0001 0105 0550494e4747 0600 0a0001 0105 0550494e4747")
            .unwrap();
    let databases: Vec<u32> = entries
        .iter()
        .map(|entry| match entry {
            Entry::Record(record) => record.db,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(databases, [3, 3, 0]);
}

#[test]
fn arguments_must_add_up_to_the_total() {
    assert_eq!(decode("0a0001 0203 0344454c 016b"), Err(Error::Total { total: 3 }));
    assert_eq!(decode("0a0001 0205 0344454c 016b ff"), Err(Error::Total { total: 5 }));
    assert_eq!(decode("0a0001 0000"), Err(Error::NoArguments));
}

#[test]
fn what_exceeds_a_limit_is_refused_before_it_comes() {
    let limits = Limits { max_args: 2, max_arg: 4, max_total: 6 };
    let refused = |text: &str, what: &str| match decode_with(&hex(text), limits.clone()) {
        Err(error @ Error::TooLarge { .. }) => {
            assert_eq!(error.class(), Class::Limit);
            assert!(error.to_string().starts_with(what), "{error}");
        }
        other => panic!("{other:?}"),
    };
    refused("0a0001 0300", "number of arguments");
    refused("0a0001 0207", "record");
    refused("0a0001 0206 05ffffffffffff00", "argument");
    refused("0a0001 81ffffffffffffffff 00", "number of arguments");
    let unlimited = Limits { max_args: usize::MAX, max_arg: usize::MAX, max_total: usize::MAX };
    let huge = hex("0a0001 81ffffffffffffffff 81ffffffffffffffff 01");
    assert_eq!(decode_with(&huge, unlimited), Ok(vec![]), "nothing is allocated for what has not come");
}

#[test]
fn unknown_ops_and_databases_are_refused() {
    assert_eq!(decode("00"), Err(Error::Op(0)));
    assert_eq!(decode("10"), Err(Error::Op(16)));
    assert_eq!(Error::Op(16).class(), Class::Unsupported);
    assert_eq!(decode("06 8000010000 0d"), Err(Error::Db(65_536)));
}

#[test]
fn a_blob_holds_exactly_one_entry() {
    assert_eq!(decode_blob(hex("0d0d")), Err(Error::Trailing));
    assert_eq!(decode_blob(Bytes::new()), Err(Error::Truncated));
    assert_eq!(decode_blob(hex("0a0001 01 7fff")), Err(Error::Truncated));
}

#[test]
fn lsns_are_counted_and_asserted() {
    let mut counter = LsnCounter::new(1001);
    let entries = decode("06000a0001030903534554 03666f6f 03626172 0f43e9 0d 0c0902 0e 0f43eb").unwrap();
    let lsns: Vec<_> = entries.iter().map(|entry| counter.observe(entry).unwrap()).collect();
    assert_eq!(lsns, [Some(1001), None, Some(1002), Some(1003), None, None]);
    assert_eq!(counter.next(), 1004);
    let mismatch = LsnMismatch { counted: 1003, said: 1004 };
    assert_eq!(counter.observe(&Entry::Lsn(1004)), Err(mismatch));
}

#[test]
fn a_large_record_in_small_pieces_is_copied_once_or_twice() {
    // 200 000 arguments of 10 bytes and one of 8 MiB, in pieces of 4096: quadratic work would take minutes.
    let mut args: Vec<Vec<u8>> = (0..200_000).map(|i| format!("{i:010}").into_bytes()).collect();
    args.push(vec![b'x'; 8 << 20]);
    let packed = |n: usize| [&[0x81][..], &(n as u64).to_be_bytes()].concat();
    let mut bytes = vec![0x0a, 0, 1];
    bytes.extend(packed(args.len()));
    bytes.extend(packed(args.iter().map(Vec::len).sum()));
    for arg in &args {
        bytes.extend(packed(arg.len()));
        bytes.extend(arg);
    }
    let mut decoder = Decoder::new(Limits::default());
    let mut entries = Vec::new();
    for piece in bytes.chunks(4096) {
        decoder.feed(Bytes::copy_from_slice(piece));
        while let Some(entry) = decoder.next().unwrap() {
            entries.push(entry);
        }
    }
    let [Entry::Record(record)] = &entries[..] else { panic!("{} entries", entries.len()) };
    assert!(record.args.iter().eq(args.iter()));
}

#[test]
fn arguments_are_slices_of_what_was_fed() {
    let fed = hex("06000a0001030903534554 03666f6f 03626172");
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(fed.clone());
    let Some(Entry::Record(record)) = decoder.next().unwrap() else { panic!() };
    let range = fed.as_ptr_range();
    assert!(record.args.iter().all(|arg| range.contains(&arg.as_ptr())));
}
