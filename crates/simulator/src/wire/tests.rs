//! The bytes against vectors taken from real masters or computed by hand, so that no decoder of ours is involved.

use bytes::Bytes;

use super::{dump, journal, listpack, primitive, rdb, values};
use crate::engine::value::{Value, Zset};

fn hex(s: &str) -> Vec<u8> {
    let digits: Vec<u8> = s.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
}

fn record<A: AsRef<[u8]>>(db: u16, txid: u64, args: &[A]) -> Vec<u8> {
    let mut out = Vec::new();
    journal::command(&mut out, db, txid, args);
    out
}

#[test]
fn packed_uints() {
    for (n, want) in [
        (0, "00"),
        (10, "0a"),
        (63, "3f"),
        (64, "4040"),
        (100, "4064"),
        (16383, "7fff"),
        (16384, "8000004000"),
        (65535, "800000ffff"),
        (4294967295, "80ffffffff"),
        (4294967296, "810000000100000000"),
        (1 << 40, "810000010000000000"),
    ] {
        let mut out = Vec::new();
        primitive::len(&mut out, n);
        assert_eq!(out, hex(want), "{n}");
    }
}

#[test]
fn strings_that_are_numbers() {
    for (s, want) in [
        ("64", "c040"),
        ("-128", "c080"),
        ("128", "c18000"),
        ("-129", "c17fff"),
        ("32768", "c200800000"),
        ("2147483647", "c2ffffff7f"),
        ("-2147483648", "c200000080"),
        ("2147483648", "0a32313437343833363438"),
        ("007", "03303037"),
        ("+5", "022b35"),
        ("-0", "022d30"),
        ("", "00"),
    ] {
        let mut out = Vec::new();
        primitive::string(&mut out, s.as_bytes());
        assert_eq!(out, hex(want), "{s}");
    }
}

/// The first four were captured from v1.40.1.
#[test]
fn journal_records() {
    assert_eq!(record(0, 0, &["SET", "foo", "bar"]), hex("06000a00010309 03534554 03666f6f 03626172"));
    assert_eq!(record(0, 25, &["DEL", "foo"]), hex("06000a19010206 0344454c 03666f6f"));
    assert_eq!(record(0, 37, &["FLUSHALL"]), hex("06000a25010108 08464c555348414c4c"));
    assert_eq!(record(5, 36, &["FLUSHDB"]), hex("06050a24010107 07464c5553484442"));
    assert_eq!(record(3, 300, &["DEL", "k"]), hex("06030a412c010204 0344454c 016b"));
    assert_eq!(record(0, 7, &["SET", "k", ""]), hex("06000a07010304 03534554 016b 00"));
    let mut out = Vec::new();
    journal::expired(&mut out, 0, b"k");
    journal::ping(&mut out, false);
    journal::lsn(&mut out, 5);
    journal::lsn(&mut out, 1000);
    assert_eq!(out, hex("06000900010204 0344454c 016b 0d 0f05 0f43e8"));
}

#[test]
fn snapshot_items() {
    let mut out = Vec::new();
    rdb::journal_blob(&mut out, &record(0, 0, &["SET", "foo", "bar"]));
    assert_eq!(out, hex("d20113 06000a00010309 03534554 03666f6f 03626172"));
    out.clear();
    rdb::fullsync_end(&mut out);
    rdb::journal_offset(&mut out, 1001);
    rdb::eof(&mut out, "t");
    assert_eq!(out, hex("c80000000000000000 d3e903000000000000 ff0000000000000000 74"));
    out.clear();
    rdb::select(&mut out, 0);
    rdb::entry_head(&mut out, 0, b"foo", Some(1_900_000_000_000), false);
    assert_eq!(out, hex("fe00 fc0038d360ba010000 00 03666f6f"));
    out.clear();
    rdb::entry_head(&mut out, 0, b"k", None, true);
    rdb::chunk(&mut out, 7, b"abc");
    assert_eq!(out, hex("dc01000000 00 016b e0 07000000 03000000 616263"));
    let header = rdb::header(crate::Release::V1_40.profile(), 0, 2, 0, 0);
    assert!(header.starts_with(
        b"REDIS0009\xfa\x09redis-ver\x066.2.11\xfa\x06df-ver\x0adf-v1.40.1\xfa\x0aredis-bits\xc0\x40"
    ));
}

fn encoded(v: &Value) -> (u8, Vec<u8>) {
    let e = values::value(v, &Default::default(), crate::Release::V1_40.profile());
    (e.kind, e.pieces.concat())
}

#[test]
fn values() {
    let list = Value::List([Bytes::from("a"), Bytes::from("1")].into());
    assert_eq!(encoded(&list), (18, hex("01 02 0c 0c000000 0200 816102 0101 ff")));
    let mut zset = Zset::default();
    for i in 0..129 {
        zset.insert(Bytes::from(format!("m{i:03}")), 1.5);
    }
    let (kind, bytes) = encoded(&Value::Zset(zset));
    assert_eq!((kind, &bytes[..15]), (5, &hex("4081 046d303030 000000000000f83f")[..]));
    let set = Value::Set(["-5", "7", "300"].map(Bytes::from).into());
    assert_eq!(encoded(&set), (11, hex("0e 02000000 03000000 fbff 0700 2c01")));
    let mixed = Value::Set(["a", "12"].map(Bytes::from).into());
    assert_eq!(encoded(&mixed), (2, hex("02 c00c 0161")));
}

/// The payload that v1.40.1 journaled for a RENAME of "bar" across shards.
#[test]
fn dump_payloads() {
    let payload = hex("00 03626172 0900 364c18acbae09ea6");
    assert_eq!(
        dump::write(&Value::String(Bytes::from("bar")), &Default::default(), crate::Release::V1_40.profile()),
        payload
    );
    assert!(matches!(dump::read(&payload), Some((Value::String(s), _)) if s == "bar"));
    let mut broken = payload.clone();
    broken[1] ^= 1;
    assert!(dump::read(&broken).is_none());
    assert!(dump::read(&payload[..5]).is_none());
}

#[test]
fn listpacks_read_back() {
    let long = "x".repeat(5000);
    let texts = [
        "",
        "a",
        "0",
        "127",
        "128",
        "-1",
        "4095",
        "-4096",
        "4096",
        "32767",
        "-32769",
        "8388607",
        "-8388608",
        "8388608",
        "2147483648",
        "-9223372036854775808",
        "9223372036854775807",
        "9223372036854775808",
        "01",
        &long[..63],
        &long[..64],
        &long[..4095],
        &long[..4096],
        &long,
    ];
    let mut lp = listpack::Listpack::new();
    texts.iter().for_each(|t| lp.push(t.as_bytes()));
    let bytes = lp.finish();
    let read = listpack::elements(&bytes).unwrap();
    assert_eq!(read, texts.map(|t| t.as_bytes().to_vec()));
    assert!(listpack::elements(&bytes[..bytes.len() - 1]).is_none());
}

#[test]
fn blobs_are_made_only_where_they_pay() {
    assert_eq!(rdb::flush(vec![b'a'; 255], false), vec![b'a'; 255]);
    let small = rdb::flush(vec![b'a'; 5000], false);
    assert_eq!(small[0], 0xCA);
    let frame = small.windows(4).position(|w| w == hex("04224d18")).unwrap();
    assert_eq!(small[frame + 4], 0x68, "independent, with the content's size");
    assert_eq!(small[frame + 6..frame + 14], 5000u64.to_le_bytes());
    let linked = rdb::lz4(&vec![b'a'; 100_000]).unwrap();
    assert_eq!(linked[4], 0x48);
    let mut random = crate::engine::Random::new(3);
    let noise: Vec<u8> = (0..1000).flat_map(|_| random.next().to_le_bytes()).collect();
    assert_eq!(rdb::flush(noise.clone(), false), noise);
}

#[test]
fn scores_as_text() {
    for (d, want) in [
        (1.0, "1"),
        (-2.5, "-2.5"),
        (0.1, "0.1"),
        (1e-300, "1e-300"),
        (1e300, "1e+300"),
        (f64::INFINITY, "inf"),
        (9007199254740992.0, "9007199254740992"),
    ] {
        assert_eq!(crate::reply::score(d), want);
    }
    for (d, want) in [
        (1234567.891, "1.23457e+06"),
        (1.123456789012, "1.12346"),
        (3.370370367036, "3.37037"),
        (15.0, "15"),
        (123456.0, "123456"),
        (999999.5, "1e+06"),
        (0.0001234567, "0.000123457"),
        (0.00001234567, "1.23457e-05"),
        (-0.5, "-0.5"),
    ] {
        assert_eq!(crate::reply::six_digits(d), want);
    }
}
