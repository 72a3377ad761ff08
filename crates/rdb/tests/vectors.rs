//! Items byte by byte: the vectors of the protocol notes, and encodings that no capture holds.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use rdb::{Begin, Class, Decoder, Error, Item, KeyMeta, Kind, Limits, Piece, Value};
use support::{drain, hex};

/// Decodes items that stand behind a header, without it.
fn decode_with(bytes: &[u8], limits: Limits) -> Result<Vec<Item>, Error> {
    let mut decoder = Decoder::new(limits);
    decoder.feed(Bytes::from_static(b"REDIS0009"));
    decoder.feed(Bytes::copy_from_slice(bytes));
    let mut items = Vec::new();
    drain(&mut decoder, &mut items)?;
    assert_eq!(items.remove(0), Item::Header { version: 9 });
    Ok(items)
}

fn decode(text: &str) -> Result<Vec<Item>, Error> {
    let whole = decode_with(&hex(text), Limits::default());
    // Every vector also comes byte by byte.
    let mut decoder = Decoder::new(Limits::default());
    let mut items = Vec::new();
    let mut outcome = Ok(());
    for byte in b"REDIS0009".iter().chain(&hex(text)) {
        decoder.feed(Bytes::copy_from_slice(&[*byte]));
        outcome = drain(&mut decoder, &mut items);
        if outcome.is_err() {
            break;
        }
    }
    items.remove(0);
    assert_eq!(outcome.map(|()| items), whole, "{text}");
    whole
}

/// The only value of a vector, besides SELECTDB.
fn value(text: &str) -> Value {
    let mut items = decode(text).unwrap();
    items.retain(|item| !matches!(item, Item::SelectDb(_)));
    match items.pop() {
        Some(Item::Value(value)) if items.is_empty() => value,
        other => panic!("{text}: {items:?} {other:?}"),
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    value(text).pieces(&Limits::default()).collect::<Result<_, _>>().unwrap()
}

fn b(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[test]
fn header() {
    for version in 5..=12 {
        let mut decoder = Decoder::new(Limits::default());
        decoder.feed(format!("REDIS{version:04}").into());
        assert_eq!(decoder.next(), Ok(Some(Item::Header { version })));
    }
    let refused = |text: &'static str| {
        let mut decoder = Decoder::new(Limits::default());
        decoder.feed(b(text));
        decoder.next().unwrap_err()
    };
    assert_eq!(refused("REDIS0004"), Error::Version(4));
    assert_eq!(refused("REDIS0013"), Error::Version(13));
    assert_eq!(refused("REDIS+009"), Error::Magic);
    assert_eq!(refused("-ERR"), Error::Magic);
}

#[test]
fn opcodes() {
    let aux = |key, value| vec![Item::Aux { key: b(key), value: b(value) }];
    assert_eq!(decode("fa 0a 72656469732d62697473 c040").unwrap(), aux("redis-bits", "64"));
    assert_eq!(decode("fa 0b 73686172642d636f756e74 c002").unwrap(), aux("shard-count", "2"));
    let set = "0600 0a0001 0309 03534554 03666f6f 03626172";
    assert_eq!(decode(&format!("d20113 {set}")).unwrap(), [Item::JournalBlob(hex(set).into())]);
    assert_eq!(decode("d201010d").unwrap(), [Item::JournalBlob(hex("0d").into())]);
    assert_eq!(decode("c8 0000000000000000").unwrap(), [Item::FullSyncEnd]);
    assert_eq!(decode("d3 e903000000000000").unwrap(), [Item::JournalOffset(1001)]);
    assert_eq!(decode("fe 4064").unwrap(), [Item::SelectDb(100)]);
    // Accepted, never written: RESIZEDB, SLOT_INFO, FREQ, IDLE.
    assert_eq!(decode("fb 0a 4064 f4 01 02 03 f9 05 f8 4064").unwrap(), []);
    assert_eq!(decode("f7"), Err(Error::Opcode(247)));
    assert_eq!(decode("cb"), Err(Error::Opcode(203)));
    assert_eq!(Error::Opcode(203).class(), Class::Unsupported);
    assert!(matches!(decode("d202010d"), Err(Error::Malformed { what: "journal blob", .. })));
}

#[test]
fn search_indexes_are_passed_over() {
    // DF: shard 1, index "i", two documents. DE: "i:f", entry point 0, two nodes of one and two levels.
    let text = "df 01 0169 02 016b 05 c07b 06  de 03693a66 00 02 \
                01000000 0200000000000000 00000000  02000000 07000000 08000000 \
                02000000 0300000000000000 01000000  00000000 01000000 09000000 \
                fe02";
    assert_eq!(decode(text).unwrap(), [Item::SelectDb(2)]);
}

#[test]
fn end_and_what_follows() {
    let token = "66323031346630653137366137386334303237323761663563383637336431366661393832373837";
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(b("REDIS0009"));
    decoder.feed(hex(&format!("ff0000000000000000 {token} 0600")).into());
    decoder.feed(hex("0a00").into());
    let mut items = Vec::new();
    drain(&mut decoder, &mut items).unwrap();
    assert_eq!(items[1], Item::Eof { token: *b"f2014f0e176a78c402727af5c8673d16fa982787" });
    assert!(decoder.finished());
    assert_eq!(decoder.position(), 9 + 9 + 40);
    assert_eq!(decoder.buffered(), 4);
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.into_rest(), hex("06000a00"));
}

#[test]
fn attributes_belong_to_the_next_entry() {
    let string = value("fe00 fc0038d360ba010000 00 03666f6f 03626172");
    assert_eq!(string.meta.expire_at_ms, Some(1_900_000_000_000));
    assert_eq!(string.as_string().unwrap(), "bar");
    let sticky = value("fe00 dc01000000 00 016b c1e803");
    assert!(sticky.meta.sticky && sticky.meta.mc_flags.is_none());
    assert_eq!(sticky.as_string().unwrap(), "1000");
    assert_eq!(sticky.payload, hex("c1e803"));
    let flags = value("fe00 dc03000000 efbeadde 00 016b 0176");
    assert!(flags.meta.sticky);
    assert_eq!(flags.meta.mc_flags, Some(0xdead_beef));
    let items = decode("fe03 fc0038d360ba010000 dc01000000 00 0161 0176 00 0162 0176").unwrap();
    let Item::Value(second) = &items[2] else { panic!("{items:?}") };
    assert_eq!(
        second.meta,
        KeyMeta { db: 3, key: b("b"), expire_at_ms: None, sticky: false, mc_flags: None }
    );
    assert_eq!(value("fd0100000000 016b 0176").meta.expire_at_ms, Some(1_000));
    assert!(matches!(decode("dc04000000"), Err(Error::Malformed { what: "entry mask", .. })));
    assert!(matches!(decode("fcffffffffffffffff"), Err(Error::Malformed { what: "expiry", .. })));
}

#[test]
fn strings_have_six_encodings() {
    for (text, plain) in [
        ("03626172", "bar"),
        ("4003626172", "bar"),
        ("8000000003626172", "bar"),
        ("c080", "-128"),
        ("c10080", "-32768"),
        ("c200000080", "-2147483648"),
        ("c3 08 10 0061 e00400 016263", "aaaaaaaaaaaaaabc"),
    ] {
        assert_eq!(value(&format!("00 016b {text}")).as_string().unwrap(), plain, "{text}");
    }
    assert_eq!(value("00 c07b 0176").meta.key, "123", "a key that is a number");
    assert_eq!(decode("00 c4"), Err(Error::StringEncoding(0xc4)));
    assert_eq!(decode("00 82"), Err(Error::Length(0x82)));
    for damaged in ["c302400a 0061", "c304 05 0061 2005", "c302 01 0261", "c303 7fff 0061 e0"] {
        let damaged = value(&format!("00 016b {damaged}"));
        assert!(
            matches!(damaged.as_string(), Err(Error::Malformed { what: "lzf string", .. })),
            "{damaged:?}"
        );
    }
}

#[test]
fn collections() {
    let at = Some(1_700_000_000);
    let (f1, v1, f2, v2) = (b("f1"), b("v1"), b("f2"), b("v2"));
    assert_eq!(
        pieces("1f 0168 02 026631 027631 c280457a01 026632 027632 c0ff"),
        [Piece::HashTtl(vec![(f1, v1, at), (f2, v2, None)])]
    );
    assert_eq!(pieces("20 0173 01 016d c280457a01"), [Piece::SetTtl(vec![(b("m"), at)])]);
    assert_eq!(pieces("05 017a 01 016d 000000000000f83f"), [Piece::Zset(vec![(b("m"), 1.5)])]);
    assert_eq!(pieces("02 0173 02 0161 c005"), [Piece::Set(vec![b("a"), b("5")])]);
    assert_eq!(pieces("04 0168 01 0161 0162"), [Piece::Hash(vec![(b("a"), b("b"))])]);
    assert_eq!(pieces("1e 016a 07 7b2261223a317d"), [Piece::String(b("{\"a\":1}"))]);
    assert_eq!(pieces("14 016a 07 7b2261223a317d"), [Piece::String(b("{\"a\":1}"))], "20 is JSON, not a set");
    assert_eq!(
        pieces("12 016c 02 02 0c 0c00000002008161020101ff 01 03626967"),
        [Piece::List(vec![b("a"), b("1"), b("big")])]
    );
    for empty in ["02 0173 00", "04 0168 00", "05 017a 00", "12 016c 00", "12 016c 01 02 07 07000000 0000 ff"]
    {
        assert!(value(empty).is_empty_collection().unwrap(), "{empty}");
    }
    let error = |text: &str| value(text).pieces(&Limits::default()).find_map(Result::err).unwrap();
    assert!(matches!(error("05 017a 01 016d 000000000000f87f"), Error::Malformed { what: "score", .. }));
    assert!(matches!(error("20 0173 01 016d c0fe"), Error::Malformed { what: "member TTL", .. }));
    assert!(matches!(error("20 0173 01 016d 0178"), Error::Malformed { what: "member TTL", .. }));
    assert!(matches!(error("12 016c 01 03 0161"), Error::Malformed { what: "list", .. }));
}

#[test]
fn probabilistic_types_end_where_they_should() {
    // Each is followed by a string, which shows whether its end was found.
    for text in [
        // Bloom filter: one blob; in two chunks; in chunks that v1.35 encoded as strings.
        "21 016b 00 0000000000000040 7b14ae47e17a743f 00 01 45cd 01 08 04 ffffffff",
        "22 016b 00 0000000000000040 7b14ae47e17a743f 00 01 45cd 01 08 04 03ffffff 01ff",
        "22 016b 00 0000000000000040 7b14ae47e17a743f 00 01 45cd 01 08 1b c308100061e00400016263 c200000080",
        // Sketch 2 x 1, Top-K with one item, cuckoo filter with one chunk.
        "23 016b 02 01 05 0000000000000000 0100000000000000",
        "24 016b 00 03 02 01 cdccccccccccec3f 01 0161 05 08 0000000000000000",
        "25 016b 02 14 01 4040 01 00 01 04 04 00000000",
    ] {
        let whole = decode(&format!("{text} 00 016e 0176"));
        let items = whole.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(items.len(), 2, "{text}: {items:?}");
        let Item::Value(first) = &items[0] else { panic!() };
        let passed = first.pieces(&Limits::default()).map(|piece| match piece.unwrap() {
            Piece::Opaque(n) => n,
            other => panic!("{other:?}"),
        });
        assert_eq!(passed.sum::<usize>(), first.payload.len(), "{text}");
    }
    let huge = "23 016b 81ffffffffffffffff 81ffffffffffffffff 00";
    assert!(matches!(decode(huge), Err(Error::Malformed { what: "sketch", .. })));
    let excess = "25 016b 02 14 01 4040 01 00 01 04 05 00000000";
    assert!(matches!(decode(excess), Err(Error::Malformed { what: "filter", .. })));
}

const TAGGED: &str = "fe00 e007000000 08000000 02 03626967 03 0161 \
                      fe05 00 03666f6f 03626172 \
                      e007000000 04000000 0162 0163";

#[test]
fn a_value_in_tagged_chunks() {
    let meta = |db, key| KeyMeta { db, key: b(key), expire_at_ms: None, sticky: false, mc_flags: None };
    let foo = Value { meta: meta(5, "foo"), kind: Kind::String, payload: hex("03626172").into() };
    assert_eq!(
        decode(TAGGED).unwrap(),
        [
            Item::SelectDb(0),
            Item::Begin(Begin { id: 1, meta: meta(0, "big"), kind: Kind::Set }),
            Item::Piece { id: 1, piece: Piece::Set(vec![b("a")]) },
            Item::SelectDb(5),
            Item::Value(foo),
            Item::Piece { id: 1, piece: Piece::Set(vec![b("b"), b("c")]) },
            Item::End { id: 1 },
        ]
    );
    // Attributes inside the chunk, and a value that one chunk holds.
    let whole = value("e007000000 11000000 fc0038d360ba010000 02 03626967 01 0161 ");
    assert_eq!((whole.meta.expire_at_ms, whole.kind), (Some(1_900_000_000_000), Kind::Set));
    let string = value("e009000000 0a000000 00 03666f6f 04 62617221");
    assert_eq!(string.as_string().unwrap(), "bar!");
}

#[test]
fn tagged_chunks_and_blobs_hold_each_other() {
    let plain = decode(TAGGED).unwrap();
    let bytes = hex(TAGGED);
    for compress in [lz4_blob, zstd_blob] {
        assert_eq!(decode(&text(&compress(&bytes))).unwrap(), plain, "chunks in a blob");
        // The payload of each chunk is a blob.
        let (first, second) = (compress(&bytes[11..19]), compress(&bytes[39..43]));
        let chunk = |blob: &[u8]| [&hex("e007000000"), &(blob.len() as u32).to_le_bytes()[..], blob].concat();
        let nested = [&bytes[..2], &chunk(&first), &bytes[19..30], &chunk(&second)].concat();
        assert_eq!(decode(&text(&nested)).unwrap(), plain, "blobs in chunks");
        let twice = compress(&compress(&bytes));
        assert!(matches!(decode(&text(&twice)), Err(Error::Misplaced { .. })), "blobs do not nest");
        let cut = compress(&bytes[..bytes.len() - 1]);
        assert_eq!(decode(&text(&cut)), Err(Error::Truncated("compressed blob")));
    }
}

#[test]
fn bad_chunks() {
    assert!(matches!(decode("e000000000 04000000"), Err(Error::Malformed { what: "tagged chunk", .. })));
    assert!(matches!(decode("e001000000 00000000"), Err(Error::Malformed { what: "tagged chunk", .. })));
    let inside = "e007000000 08000000 02 03626967 03 0261 e007000000 01000000 62";
    assert!(
        matches!(decode(inside), Err(Error::Malformed { what: "tagged chunk", .. })),
        "cut inside an element"
    );
    assert_eq!(decode("e007000000 09000000 02 03626967 01 0161 00"), Err(Error::Trailing("tagged chunk")));
    assert_eq!(decode("e007000000 03000000 02 0362"), Err(Error::Truncated("tagged chunk")));
    let misplaced = Error::Misplaced { opcode: 0xfe, place: "a tagged chunk" };
    assert_eq!(decode("e007000000 03000000 fe00 00"), Err(misplaced));
    let open = "e007000000 08000000 02 03626967 03 0161 ff0000000000000000";
    assert_eq!(decode(open), Err(Error::Truncated("value in tagged chunks")));
    let one = |id: u8| format!("e0{id:02x}000000 08000000 02 03626967 03 0161");
    let limits = Limits { max_open_values: 2, ..Limits::default() };
    let three = hex(&format!("{} {} {}", one(1), one(2), one(3)));
    assert!(matches!(
        decode_with(&three, limits),
        Err(Error::TooLarge { what: "number of open values", .. })
    ));
}

#[test]
fn blobs() {
    let lz4 = "ca406c04224d18684046010000000000006f55000000f703fe0000076b65793a3030301176616c75652d0600041b001f \
        311b00071f321b00071f331b00071f341b00071f351b00071f361b00071f371b00071f381b00071f391b00061f310e01 \
        071a310e015076616c756500000000";
    let zstd = "c9404628b52ffd604600e50100f0fe0000076b65793a3030301176616c75652d3132333435363738393130310d00c013 \
        c046b030600bb00fd80cd802ec033603b6007b3e5f90b88401";
    for text in [lz4, zstd] {
        let items = decode(text).unwrap();
        assert_eq!(items.len(), 13, "{items:?}");
        for (i, item) in items[1..].iter().enumerate() {
            let Item::Value(value) = item else { panic!("{item:?}") };
            assert_eq!(value.meta.key, format!("key:{i:03}"));
            assert_eq!(value.as_string().unwrap(), "value-value-value");
        }
    }
    let good = lz4_blob(&hex(TAGGED));
    let bad = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        decode(&text(&bytes)).unwrap_err().class()
    };
    assert_eq!(bad(&|bytes| bytes[3] ^= 1), Class::Corrupt, "magic");
    assert_eq!(bad(&|bytes| bytes[9] ^= 1), Class::Corrupt, "content size");
    assert_eq!(bad(&|bytes| bytes[7] |= 1), Class::Corrupt, "dictionary");
    assert_eq!(bad(&|bytes| bytes[2] -= 4), Class::Corrupt, "the blob ends before its frame");
    assert_eq!(decode("ca 00"), Err(Error::Truncated("lz4 blob")));
    assert_eq!(decode("c9 00"), Err(Error::Truncated("zstd blob")));
}

#[test]
fn what_exceeds_a_limit_is_refused_before_it_comes() {
    let limits = Limits { max_string: 100, max_stream_tail: 10, whole_value: 50, ..Limits::default() };
    for text in ["00 4065", "00 016b 4065", "00 016b c3 0a 4065", "fa 81ffffffffffffffff", "02 016b 01 4065"]
    {
        let error = decode_with(&hex(text), limits.clone()).unwrap_err();
        assert_eq!(error.class(), Class::Limit, "{text}: {error}");
    }
    // A count that nothing follows allocates nothing.
    assert_eq!(decode_with(&hex("02 016b 81ffffffffffffffff"), limits), Ok(vec![]));
}

#[test]
fn large_values_come_in_pieces() {
    let limits = Limits { whole_value: 99, piece: 40, ..Limits::default() };
    let string = [&hex("00 016b 4064")[..], &[b'x'; 100]].concat();
    let items = decode_with(&string, limits.clone()).unwrap();
    assert!(matches!(&items[0], Item::Begin(Begin { id: 1, kind: Kind::String, .. })));
    assert_eq!(items[1], Item::Piece { id: 1, piece: Piece::String(vec![b'x'; 100].into()) });
    assert_eq!(items[2], Item::End { id: 1 });
    let set: Vec<u8> = (0..34u8).flat_map(|i| [2, b'a', i]).collect();
    let items = decode_with(&[&hex("02 016b 22")[..], &set].concat(), limits).unwrap();
    let sizes: Vec<usize> = items
        .iter()
        .filter_map(|item| match item {
            Item::Piece { piece: Piece::Set(all), .. } => Some(all.len()),
            _ => None,
        })
        .collect();
    assert!(
        sizes.len() > 10 && sizes.iter().all(|n| *n <= 3) && sizes.iter().sum::<usize>() == 34,
        "{sizes:?}"
    );
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lz4_blob(plain: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let info = lz4_flex::frame::FrameInfo::new().content_size(Some(plain.len() as u64));
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(plain).unwrap();
    blob(0xca, encoder.finish().unwrap())
}

fn zstd_blob(plain: &[u8]) -> Vec<u8> {
    blob(0xc9, zstd::encode_all(plain, 2).unwrap())
}

fn blob(opcode: u8, frame: Vec<u8>) -> Vec<u8> {
    [&[opcode, 0x40, frame.len() as u8][..], &frame].concat()
}
