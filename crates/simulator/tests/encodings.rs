//! The seed of the recorded masters, played into the simulator: its snapshot must decode to the same entries on the same flows,
//! in the same encodings.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::{Client, Replica, Resp, capture_file, until};
use rdb::{Item, KeyMeta, Kind, Limits, Piece};
use simulator::{Release, Simulator};

/// Keys of the capture that need commands the simulator does not have, or the clock of the recorded master.
const MISSING: &[&str] =
    &["bloom", "cms", "cuckoo", "geo", "hash:fieldttl", "hll:dense", "hll:sparse", "set:memberttl", "topk"];

#[derive(Default)]
struct Elements {
    list: Vec<String>,
    unordered: bool,
}

impl Elements {
    fn add(&mut self, piece: Piece) {
        match piece {
            Piece::String(s) => self.list.push(format!("{s:?}")),
            Piece::List(items) => self.list.extend(items.iter().map(|i| format!("{i:?}"))),
            Piece::Set(items) => {
                self.unordered = true;
                self.list.extend(items.iter().map(|i| format!("{i:?}")));
            }
            Piece::Hash(pairs) => {
                self.unordered = true;
                self.list.extend(pairs.iter().map(|p| format!("{p:?}")));
            }
            Piece::Zset(pairs) => self.list.extend(pairs.iter().map(|p| format!("{p:?}"))),
            Piece::StreamEntries(entries) => self.list.extend(entries.iter().map(|e| format!("{e:?}"))),
            Piece::StreamTail(mut tail) => {
                for consumer in tail.groups.iter_mut().flat_map(|g| &mut g.consumers) {
                    (consumer.seen_time_ms, consumer.active_time_ms) = (0, None);
                    consumer.pending.iter_mut().for_each(|p| p.delivery_time_ms = 0);
                }
                tail.groups.sort_by(|a, b| a.name.cmp(&b.name));
                self.list.push(format!("{tail:?}"));
            }
            other => self.list.push(format!("{other:?}")),
        }
    }

    fn finish(mut self) -> String {
        if self.unordered {
            self.list.sort();
        }
        self.list.join(" ")
    }
}

fn head(flow: usize, kind: Kind, m: &KeyMeta) -> (String, String) {
    let key = format!("db {} {:?}", m.db, m.key);
    // Far expiries are cut to the longest one counted from the moment they are set.
    (key, format!("flow {flow} {kind:?} expires {} sticky {}", m.expire_at_ms.is_some(), m.sticky))
}

/// Every key of a snapshot: where it was, how, and what.
fn snapshot(flows: Vec<Bytes>) -> BTreeMap<String, String> {
    let limits = Limits::default();
    let mut keys = BTreeMap::new();
    for (flow, bytes) in flows.into_iter().enumerate() {
        let mut decoder = rdb::Decoder::new(limits.clone());
        decoder.feed(bytes);
        let mut open: BTreeMap<u64, ((String, String), Elements)> = BTreeMap::new();
        let mut put = |(key, head): (String, String), elements: Elements| {
            let old = keys.insert(key.clone(), format!("{head} {}", elements.finish()));
            assert!(old.is_none(), "{key} twice");
        };
        while let Some(item) = decoder.next().unwrap() {
            match item {
                Item::Value(v) => {
                    let mut elements = Elements::default();
                    v.pieces(&limits).for_each(|p| elements.add(p.unwrap()));
                    put(head(flow, v.kind, &v.meta), elements);
                }
                Item::Begin(b) => {
                    open.insert(b.id, (head(flow, b.kind, &b.meta), Elements::default()));
                }
                Item::Piece { id, piece } => open.get_mut(&id).unwrap().1.add(piece),
                Item::End { id } => {
                    let (head, elements) = open.remove(&id).unwrap();
                    put(head, elements);
                }
                Item::Eof { .. } => break,
                _ => {}
            }
        }
        assert!(open.is_empty());
    }
    keys
}

type Command = Vec<Vec<u8>>;

fn command(parts: &[&str]) -> Command {
    parts.iter().map(|p| p.as_bytes().to_vec()).collect()
}

/// `seed_types` of `record.py`, without what [`MISSING`] needs.
fn seed() -> Vec<(usize, Command)> {
    let mut out: Vec<Command> = Vec::new();
    let every_byte: Vec<u8> = (0..=255).collect();
    let strings: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"a".to_vec(),
        b"hello".to_vec(),
        b"0".to_vec(),
        b"-1".to_vec(),
        b"127".to_vec(),
        b"128".to_vec(),
        b"-129".to_vec(),
        b"32768".to_vec(),
        b"2147483647".to_vec(),
        b"-2147483648".to_vec(),
        b"2147483648".to_vec(),
        b"9223372036854775807".to_vec(),
        b"3.14".to_vec(),
        b"007".to_vec(),
        b"+5".to_vec(),
        every_byte,
        b"x".repeat(63),
        b"x".repeat(64),
        b"y".repeat(16383),
        b"y".repeat(16384),
        b"ab".repeat(40000),
    ];
    for (i, v) in strings.into_iter().enumerate() {
        out.push(vec![b"SET".to_vec(), format!("str:{i}").into_bytes(), v]);
    }
    out.push(command(&["SET", "12345", "numeric key"]));
    out.push(command(&["SET", "", "empty key"]));
    out.push(vec![b"SET".to_vec(), b"k\r\n\x00\xff".to_vec(), b"binary key".to_vec()]);
    out.push(command(&["SET", &"K".repeat(5000), "long key"]));
    out.push(command(&["SET", "ttl:far", "v", "PXAT", "4102444800000"]));
    out.push(command(&["SET", "sticky", "v"]));
    out.push(command(&["STICK", "sticky"]));
    out.push(command(&["SET", "sticky:ttl", "v", "PXAT", "4102444800123"]));
    out.push(command(&["STICK", "sticky:ttl"]));
    out.push(command(&["HSET", "hash:small", "f1", "v1", "f2", "2", "", "empty field", "f4", ""]));
    let many = |name: &str, key: &str, parts: Vec<String>| {
        let mut c = command(&[name, key]);
        c.extend(parts.into_iter().map(String::into_bytes));
        c
    };
    let ints = (0..100i64).flat_map(|i| [i.to_string(), (i * i - 5000).to_string()]).collect();
    out.push(many("HSET", "hash:ints", ints));
    let big =
        (0..3000).flat_map(|i| [format!("field-{i}"), format!("value-{i}").repeat(1 + i % 5)]).collect();
    out.push(many("HSET", "hash:big", big));
    out.push(command(&["HSET", "hash:longval", "f", &"z".repeat(5000), "g", "1"]));
    let mut small = command(&["RPUSH", "list:small", "a", "", "1", "-70000", "9223372036854775807"]);
    small.push(b"\x00\xff".to_vec());
    out.push(small);
    out.push(many("RPUSH", "list:mid", (0..2000).map(|i| format!("item-{i}")).collect()));
    out.push(command(&["RPUSH", "list:bigelem", "head", &"B".repeat(20000), "tail"]));
    out.push(command(&["RPUSH", "list:one", "only"]));
    for c in 0..10 {
        let items = (0..2000).map(|i| format!("{c}-{i}-{}", "p".repeat(40))).collect();
        out.push(many("RPUSH", "list:huge", items));
    }
    out.push(many("SADD", "set:int16", (-5..100).map(|i| i.to_string()).collect()));
    out.push(command(&["SADD", "set:int32", "1", "70000", "-70000"]));
    out.push(command(&["SADD", "set:int64", "1", "5000000000", "-5000000000"]));
    let mut set = command(&["SADD", "set:str", "a", "b", "", "12"]);
    set.push(b"\xff\xfe".to_vec());
    out.push(set);
    out.push(many("SADD", "set:big", (0..3000).map(|i| format!("member-{i}")).collect()));
    out.push(command(&[
        "ZADD",
        "zset:small",
        "1",
        "one",
        "2.5",
        "two",
        "-3",
        "neg",
        "inf",
        "pinf",
        "-inf",
        "ninf",
        "0",
        "zero",
        "1e-300",
        "tiny",
        "0.1",
        "tenth",
        "9007199254740993",
        "big",
    ]));
    let scores = (0..3000).flat_map(|i| [format!("{:?}", f64::from(i) * 0.37), format!("m{i}")]).collect();
    out.push(many("ZADD", "zset:big", scores));
    out.push(many("ZADD", "zset:ints", (0..60).flat_map(|i| [i.to_string(), i.to_string()]).collect()));
    out.push(command(&["SETBIT", "bitmap", "100003", "1"]));
    for i in 0..250u64 {
        let id = format!("{}-{}", 1_700_000_000_000 + i, i % 3);
        out.push(command(&["XADD", "stream:plain", &id, "f", &format!("v{i}"), "n", &i.to_string()]));
    }
    for i in 0..20u64 {
        let id = format!("{}-0", 1_700_000_000_000 + i);
        let mut c = command(&["XADD", "stream:fields", &id]);
        (0..1 + i % 4).for_each(|j| c.extend(command(&[&format!("k{j}"), &format!("{i}.{j}")])));
        out.push(c);
    }
    for line in [
        "XDEL stream:plain 1700000000003-0 1700000000100-1",
        "XGROUP CREATE stream:plain g1 0",
        "XGROUP CREATE stream:plain g2 $",
        "XGROUP CREATECONSUMER stream:plain g1 idle",
        "XREADGROUP GROUP g1 alice COUNT 7 STREAMS stream:plain >",
        "XREADGROUP GROUP g1 bob COUNT 3 STREAMS stream:plain >",
        "XACK stream:plain g1 1700000000000-0",
        "XADD stream:emptied 5-5 a b",
        "XDEL stream:emptied 5-5",
        "XADD stream:trimmed 1-1 a b",
        "XADD stream:trimmed 2-1 a b",
        "XTRIM stream:trimmed MAXLEN 1",
        "XGROUP CREATE stream:trimmed g 0",
    ] {
        out.push(command(&line.split(' ').collect::<Vec<_>>()));
    }
    out.push(command(&[
        "JSON.SET",
        "json:doc",
        "$",
        r#"{"a":1,"b":[1,2.5,"x",null,true],"c":{"d":"\u00e9"}}"#,
    ]));
    let numbers: Vec<i32> = (0..500).collect();
    out.push(command(&["JSON.SET", "json:arr", "$", &serde_json::to_string(&numbers).unwrap()]));
    let mut all: Vec<(usize, Command)> = out.into_iter().map(|c| (0, c)).collect();
    for db in [1usize, 2, 15] {
        all.push((db, command(&["SET", "str:1", &format!("in db {db}")])));
        let items: Vec<String> = (0..50).map(|i| i.to_string()).collect();
        let mut list = command(&["RPUSH", "list"]);
        list.extend(items.into_iter().map(String::into_bytes));
        all.push((db, list));
        all.push((db, command(&["HSET", "h", "f", &db.to_string()])));
        all.push((0, command(&["SET", &format!("db{db}:str:1"), "looks prefixed"])));
    }
    all
}

async fn same_entries(capture: &str, release: Release) {
    let flows: Vec<Bytes> =
        (0..).map_while(|i| capture_file(capture, &format!("flow-{i}.bin"))).map(Bytes::from).collect();
    let shards = flows.len();
    assert!(shards > 0, "no capture {capture}");
    let mut expected = snapshot(flows);
    let got = seeded(release, shards).await;

    for key in MISSING {
        assert!(
            expected.remove(&format!("db 0 {:?}", Bytes::from(*key))).is_some() || release == Release::V1_34,
            "{key}"
        );
    }
    let (want, have): (Vec<_>, Vec<_>) = (expected.keys().collect(), got.keys().collect());
    assert_eq!(have, want);
    for (key, want) in &expected {
        let short = |s: &str| s.chars().take(500).collect::<String>();
        assert!(&got[key] == want, "{key}\n{}\n{}", short(&got[key]), short(want));
    }
}

/// The snapshot of a simulated master that was seeded.
async fn seeded(release: Release, shards: usize) -> BTreeMap<String, String> {
    let master = Simulator::builder().shards(shards).release(release).start().await.unwrap();
    let mut client = Client::open(master.addr()).await;
    for (db, args) in seed() {
        assert_eq!(client.call(&["SELECT", &db.to_string()]).await, Resp::ok());
        let reply = client.call(&args).await;
        assert!(!reply.is_error(), "{:?}: {reply:?}", &args[..2]);
    }
    let mut replica = Replica::attach(master.addr(), None).await;
    assert_eq!(replica.sync().await, Resp::ok());
    assert_eq!(replica.start_stable().await, Resp::ok());
    until("the tokens", || (0..shards).all(|i| replica.journal(i).is_some())).await;
    snapshot((0..shards).map(|i| Bytes::from(replica.bytes(i))).collect())
}

/// The same values in every release's own encodings.
#[tokio::test]
async fn every_release_sends_the_same_values() {
    let kind = |code: u8| format!("{:?}", Kind::from_code(code).unwrap());
    // `flow n`, the encoding, and the rest; the older form of a stream's tail has less in it.
    let parts = |text: &str| {
        let words: Vec<&str> = text.splitn(4, ' ').collect();
        let rest = words[3].split(" StreamTail {").next().unwrap().to_owned();
        (words[1].to_owned(), words[2].to_owned(), rest)
    };
    let newest = seeded(Release::V1_40, 2).await;
    for &release in Release::ALL.iter().filter(|release| **release >= Release::V1_11) {
        let profile = release.profile();
        let got = seeded(release, 2).await;
        assert!(got.keys().eq(newest.keys()), "{release:?}");
        for (key, text) in &got {
            let (flow, encoding, value) = parts(text);
            let (newest_flow, newest_encoding, newest_value) = parts(&newest[key]);
            assert!(flow == newest_flow && value == newest_value, "{release:?} {key}");
            let expected = match newest_encoding.as_str() {
                "ListQuicklist2" => kind(profile.list),
                "HashListpack" => kind(profile.small.0),
                "ZsetListpack" => kind(profile.small.1),
                "Stream3" => kind(profile.stream),
                "Json" => kind(profile.json),
                other => other.to_owned(),
            };
            assert_eq!(encoding, expected, "{release:?} {key}");
        }
        assert!(got.values().any(|text| text.contains(&kind(profile.list))), "{release:?}");
    }
}

#[tokio::test]
async fn snapshot_has_the_entries_of_1_40() {
    same_entries("v1.40.1/types", Release::V1_40).await;
}

#[tokio::test]
async fn snapshot_has_the_entries_of_1_34() {
    same_entries("v1.34.0/types", Release::V1_34).await;
}
