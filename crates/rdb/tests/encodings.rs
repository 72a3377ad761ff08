//! Listpacks, ziplists, intsets and streams: every form of an element, and damage.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::{Bytes, BytesMut};
use rdb::{Error, Kind, Limits, Pending, Piece, Pieces, StreamConsumer, StreamGroup, StreamId, dump};
use support::{Random, hex, snapshots};

fn all(kind: Kind, raw: Vec<u8>) -> Result<Vec<Piece>, Error> {
    Pieces::new(kind, raw.into(), &Limits::default()).collect()
}

/// A string of up to 16383 bytes.
fn string(bytes: &[u8]) -> Vec<u8> {
    [&[0x40 | (bytes.len() >> 8) as u8, bytes.len() as u8], bytes].concat()
}

fn listpack(entries: &[u8]) -> Vec<u8> {
    let total = entries.len() as u32 + 7;
    [&total.to_le_bytes()[..], &[0xff, 0xff], entries, &[0xff]].concat()
}

fn ziplist(entries: &[u8]) -> Vec<u8> {
    let total = entries.len() as u32 + 11;
    [&total.to_le_bytes()[..], &[0; 4], &[0xff, 0xff], entries, &[0xff]].concat()
}

/// The elements of a list with one packed node.
fn packed(entries: &[u8]) -> Result<Vec<Bytes>, Error> {
    list(Kind::ListQuicklist2, [&[1, 2][..], &string(&listpack(entries))].concat())
}

fn zipped(entries: &[u8]) -> Result<Vec<Bytes>, Error> {
    list(Kind::ListQuicklist, [&[1][..], &string(&ziplist(entries))].concat())
}

fn list(kind: Kind, raw: Vec<u8>) -> Result<Vec<Bytes>, Error> {
    let mut elements = Vec::new();
    for piece in all(kind, raw)? {
        let Piece::List(more) = piece else { panic!("{piece:?}") };
        elements.extend(more);
    }
    Ok(elements)
}

#[test]
fn listpack_elements() {
    let long = [&[0xe1, 0x00][..], &[b'x'; 256], &[0, 0]].concat();
    let longer = [&[0xf0, 0, 1, 0, 0][..], &[b'y'; 256], &[0, 0]].concat();
    let entries = hex(
        "00 01 7f 01 81 61 02 dfff 02 d000 02 c001 02 f10080 04 f2000080 05 f300000080 06 f40000000000000080 0a 80 01",
    );
    let got = packed(&[&entries[..], &long, &longer].concat()).unwrap();
    let numbers = [
        "0",
        "127",
        "a",
        "-1",
        "-4096",
        "1",
        "-32768",
        "-8388608",
        "-2147483648",
        "-9223372036854775808",
        "",
    ];
    assert_eq!(got[..11], numbers.map(Bytes::from));
    assert_eq!(got[11..], [Bytes::from(vec![b'x'; 256]), Bytes::from(vec![b'y'; 256])]);
    for damaged in ["f5 01", "82 61 01", "bf 61", "f0ffffffff 61", "f4 00", "ff", "e1", "ff 00 01"] {
        let error = packed(&hex(damaged)).unwrap_err();
        assert!(matches!(error, Error::Malformed { what: "listpack", .. }), "{damaged}: {error}");
    }
    let unequal = [&[1, 2][..], &string(&hex("0900000000000001ff"))].concat();
    assert!(list(Kind::ListQuicklist2, unequal).is_ok(), "the number of elements is not needed");
    for blob in ["", "07", "07000000 0000", "08000000 0000 ff", "06000000 0000"] {
        let error = list(Kind::ListQuicklist2, [&[1, 2][..], &string(&hex(blob))].concat()).unwrap_err();
        assert!(matches!(error, Error::Malformed { what: "listpack", .. }), "{blob}: {error}");
    }
}

#[test]
fn ziplist_elements() {
    let mut entries = hex(
        "00 0161 03 c00080 05 d000000080 07 e00000000000000080 0b f0000080 06 fe80 04 f1 03 fd 03 4001 62",
    );
    entries.extend(hex("fe04000000 8000000001 63"));
    let got = zipped(&entries).unwrap();
    let expected =
        ["a", "-32768", "-2147483648", "-9223372036854775808", "-8388608", "-128", "0", "12", "b", "c"];
    assert_eq!(got, expected.map(Bytes::from));
    for damaged in ["00 0261", "00", "fe00", "00 80ffffffff 61", "00 e000", "00 ff", "00 c1 00 00", "ff 00"] {
        let error = zipped(&hex(damaged)).unwrap_err();
        assert!(matches!(error, Error::Malformed { what: "ziplist", .. }), "{damaged}: {error}");
    }
}

#[test]
fn pairs_in_one_blob() {
    let pairs = hex("00 0161 03 0131");
    let score = [(Bytes::from("a"), 1.0)];
    assert_eq!(all(Kind::ZsetZiplist, string(&ziplist(&pairs))).unwrap(), [Piece::Zset(score.to_vec())]);
    let hash = [Piece::Hash(vec![("a".into(), "1".into())])];
    assert_eq!(all(Kind::HashZiplist, string(&ziplist(&pairs))).unwrap(), hash);
    let scores = listpack(&hex("8161 02 83312e35 04 8162 02 84 2d696e66 05 8163 02 03 01"));
    let expected = vec![("a".into(), 1.5), ("b".into(), f64::NEG_INFINITY), ("c".into(), 3.0)];
    assert_eq!(all(Kind::ZsetListpack, string(&scores)).unwrap(), [Piece::Zset(expected)]);
    let odd = all(Kind::HashListpack, string(&listpack(&hex("8161 02"))));
    assert!(matches!(odd, Err(Error::Malformed { what: "collection", .. })));
    for text in ["8178 02", "836e616e 04"] {
        let bad = listpack(&[hex("8161 02"), hex(text)].concat());
        assert!(matches!(all(Kind::ZsetListpack, string(&bad)), Err(Error::Malformed { what: "score", .. })));
    }
}

#[test]
fn intsets() {
    let set = |text: &str| all(Kind::SetIntset, string(&hex(text)));
    let members = |all: [&'static str; 2]| Ok(vec![Piece::Set(all.map(Bytes::from).to_vec())]);
    assert_eq!(set("02000000 02000000 feff 0100"), members(["-2", "1"]));
    assert_eq!(set("04000000 02000000 feffffff 01000000"), members(["-2", "1"]));
    assert_eq!(set("08000000 02000000 feffffffffffffff 0100000000000000"), members(["-2", "1"]));
    for bad in ["", "02000000", "03000000 01000000 000000", "02000000 02000000 0000", "08000000 ffffffff 00"]
    {
        assert!(matches!(set(bad), Err(Error::Malformed { what: "intset", .. })), "{bad}");
    }
}

/// Streams of the captures, raw.
fn streams() -> Vec<(String, Bytes)> {
    let mut streams = Vec::new();
    for flow in snapshots().iter().filter(|flow| flow.scenario.ends_with("types")) {
        for item in support::decode(&flow.bytes, Limits::default()).unwrap().0 {
            if let rdb::Item::Value(value) = item
                && value.kind == Kind::Stream3
            {
                let name = String::from_utf8(value.meta.key.to_vec()).unwrap();
                streams.push((format!("{} {name}", flow.name), value.payload));
            }
        }
    }
    assert!(streams.len() >= 8, "{}", streams.len());
    streams
}

#[test]
fn streams_lose_only_what_the_older_type_has_no_room_for() {
    for (name, raw) in streams() {
        let newest = all(Kind::Stream3, raw.to_vec()).unwrap();
        let older = dump::stream_as(Kind::Stream3, &raw, Kind::Stream2).unwrap();
        let oldest = dump::stream_as(Kind::Stream3, &raw, Kind::Stream).unwrap();
        assert_eq!(dump::stream_as(Kind::Stream2, &older, Kind::Stream).unwrap(), oldest, "{name}");
        let mut expected = newest.clone();
        let Some(Piece::StreamTail(tail)) = expected.last_mut() else { panic!("{name}: no tail") };
        tail.groups.iter_mut().flat_map(|group| &mut group.consumers).for_each(|c| c.active_time_ms = None);
        assert_eq!(all(Kind::Stream2, older.to_vec()).unwrap(), expected, "{name}");
        let Some(Piece::StreamTail(tail)) = expected.last_mut() else { panic!("{name}: no tail") };
        (tail.first_id, tail.max_deleted_id, tail.entries_added) = (None, None, None);
        tail.groups.iter_mut().for_each(|group| group.entries_read = None);
        assert_eq!(all(Kind::Stream, oldest.to_vec()).unwrap(), expected, "{name}");
        for cut in 0..raw.len() {
            assert!(
                dump::stream_as(Kind::Stream3, &raw[..cut], Kind::Stream).is_err(),
                "{name} cut at {cut}"
            );
            assert!(all(Kind::Stream3, raw[..cut].to_vec()).is_err(), "{name} cut at {cut}");
        }
        let longer = [&raw[..], &[0]].concat();
        assert_eq!(dump::stream_as(Kind::Stream3, &longer, Kind::Stream2), Err(Error::Trailing("stream")));
    }
    let refused = dump::stream_as(Kind::Stream, &[0], Kind::Stream3);
    assert_eq!(refused, Err(Error::Reencode { from: 15, to: 21 }));
}

#[test]
fn pending_entries_find_their_consumers() {
    let id = |ms| StreamId { ms, seq: 0 };
    let raw = |n: u64| [n.to_be_bytes(), 0u64.to_be_bytes()].concat();
    let time = |t: u64| t.to_le_bytes().to_vec();
    let tail = |owned: u64| {
        [
            hex("00 00 05 00 00 00 00 00 05 01"), // no nodes; ids; entries added; one group
            hex("0167 05 00 81ffffffffffffffff 02"),
            [raw(3), time(1000), vec![7]].concat(),
            [raw(4), time(2000), vec![1]].concat(),
            [hex("01 0163"), time(3000), time(u64::MAX), vec![1], raw(owned)].concat(),
        ]
        .concat()
    };
    let pieces = all(Kind::Stream3, tail(4)).unwrap();
    let [Piece::StreamTail(got)] = &pieces[..] else { panic!("{pieces:?}") };
    let pending =
        |ms, delivery_time_ms, delivery_count| Pending { id: id(ms), delivery_time_ms, delivery_count };
    let consumer = StreamConsumer {
        name: "c".into(),
        seen_time_ms: 3000,
        active_time_ms: None,
        pending: vec![pending(4, 2000, 1)],
    };
    let group = StreamGroup {
        name: "g".into(),
        last_delivered: id(5),
        entries_read: None,
        consumers: vec![consumer],
        unowned: vec![pending(3, 1000, 7)],
    };
    assert_eq!((got.last_id, &got.groups[..]), (id(5), &[group][..]));
    let unknown = all(Kind::Stream3, tail(9)).unwrap_err();
    assert!(matches!(unknown, Error::Malformed { what: "stream", .. }), "{unknown}");
}

#[test]
fn damaged_streams_never_panic() {
    const SEED: u64 = 0x7374_7265_616d_7331;
    println!("seed {SEED:#x}");
    let mut random = Random(SEED);
    for (_, raw) in streams() {
        for _ in 0..2_000 {
            let mut damaged = raw.to_vec();
            for _ in 0..2 {
                let at = random.below(damaged.len());
                damaged[at] ^= 1 << random.below(8);
            }
            let _ = dump::stream_as(Kind::Stream3, &damaged, Kind::Stream);
            let _ = all(Kind::Stream3, damaged);
        }
    }
}

#[test]
fn payloads() {
    // As the master journaled it for a RENAME across shards.
    let journaled = Bytes::from(hex("00 03626172 0900 364c18acbae09ea6"));
    assert_eq!(dump::payload(Kind::String, b"\x03bar"), journaled);
    assert_eq!(dump::parse(&journaled).unwrap(), (Kind::String, Bytes::from_static(b"\x03bar")));
    let mut out = BytesMut::from(&b"before"[..]);
    dump::append_payload(&mut out, Kind::String, b"\x03bar");
    assert_eq!(out, [b"before", &journaled[..]].concat());
    assert_eq!(dump::payload_len(4), journaled.len());
    for at in 0..journaled.len() {
        let mut damaged = journaled.to_vec();
        damaged[at] ^= 0x10;
        assert!(dump::parse(&damaged.into()).is_err(), "{at}");
        assert!(dump::parse(&journaled.slice(..at)).is_err(), "{at}");
    }
    assert_eq!(dump::parse(&journaled.slice(..10)), Err(Error::Truncated("payload")));
}
