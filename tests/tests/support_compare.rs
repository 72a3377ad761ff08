//! The compare itself: it finds a difference of each kind, and reads what it reads quickly.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Instant;

use scenarios::captures;
use scenarios::known_differences::{self, Known, On};
use scenarios::logical::{Contents, Logical, Value, What, diff, mapped, prefixed, prefixed_with};
use scenarios::logical::{read_cluster, read_server, report, write};
use scenarios::servers::{Cluster, ClusterOptions, RedisOptions, RedisServer};
use scenarios::workload::{fill, seed};

/// One key of each type, in two databases, with an expiry and a stream with everything.
const SEED: &[&str] = &[
    "SET string value",
    "SET expiring value PXAT 4102444800123",
    "RPUSH list a b c",
    "SADD set a b",
    "HSET hash f v g w",
    "ZADD zset 1 a 0.1 b inf c",
    "XADD stream 1-1 f v g w",
    "XADD stream 2-1 f v",
    "XADD stream 3-1 f v",
    "XDEL stream 2-1",
    "XGROUP CREATE stream group 0",
    "XREADGROUP GROUP group alice COUNT 1 STREAMS stream >",
    "XGROUP CREATECONSUMER stream group bob",
    "SELECT 5",
    "SET string other",
    "SELECT 0",
];

fn play(server: &RedisServer, commands: &[&str]) {
    let mut client = server.client();
    for command in commands {
        client.call(&command.split(' ').collect::<Vec<_>>());
    }
}

fn seeded() -> RedisServer {
    let server = RedisServer::start(RedisOptions::default());
    play(&server, SEED);
    server
}

#[test]
fn every_injected_difference_is_found() {
    let cases: &[(&[&str], &str, What)] = &[
        (&["SET string valuf"], "string", What::Value),
        (&["SET string value PXAT 4102444800123"], "string", What::Expiry),
        (&["PEXPIREAT expiring 4102444800124"], "expiring", What::Expiry),
        (&["PERSIST expiring"], "expiring", What::Expiry),
        (&["DEL string"], "string", What::Missing),
        (&["SET extra x"], "extra", What::Unexpected),
        (&["DEL list", "RPUSH list a c b"], "list", What::Value),
        (&["RPUSH list d"], "list", What::Value),
        (&["SADD set c"], "set", What::Value),
        (&["DEL set", "RPUSH set a b"], "set", What::Type),
        (&["HSET hash f V"], "hash", What::Value),
        (&["HSET hash h x"], "hash", What::Value),
        (&["ZADD zset 0.10000000000000002 b"], "zset", What::Value),
        (&["ZREM zset c"], "zset", What::Value),
        (&["XADD stream 4-1 f v"], "stream", What::Value),
        (&["XDEL stream 3-1"], "stream", What::Value),
        (&["XSETID stream 9-9"], "stream", What::Value),
        (&["XSETID stream 3-1 ENTRIESADDED 7"], "stream", What::Value),
        (&["XSETID stream 3-1 ENTRIESADDED 3 MAXDELETEDID 2-2"], "stream", What::Value),
        (&["XGROUP CREATE stream more 0"], "stream", What::Value),
        (&["XGROUP SETID stream group 0 ENTRIESREAD 1"], "stream", What::Value),
        (&["XGROUP SETID stream group 1-1 ENTRIESREAD 2"], "stream", What::Value),
        (&["XGROUP DELCONSUMER stream group bob"], "stream", What::Value),
        (&["XACK stream group 1-1"], "stream", What::Value),
        (&["XCLAIM stream group bob 0 1-1 JUSTID"], "stream", What::Value),
        (&["XCLAIM stream group alice 0 1-1 RETRYCOUNT 7"], "stream", What::Value),
        (&["SELECT 5", "SET string value"], "string", What::Value),
        (&["SELECT 6", "SET string other"], "string", What::Unexpected),
    ];
    let expected = read_server(&seeded().endpoint());
    assert_eq!(expected.len(), 8);
    let changed = RedisServer::start(RedisOptions::default());
    for (commands, key, what) in cases {
        changed.client().call(&["FLUSHALL"]);
        play(&changed, SEED);
        assert_eq!(diff(&expected, &read_server(&changed.endpoint())), [], "before {commands:?}");
        play(&changed, commands);
        let found = diff(&expected, &read_server(&changed.endpoint()));
        println!("{}", report(&found));
        assert_eq!(found.len(), 1, "{commands:?}: {}", report(&found));
        assert_eq!((found[0].key.as_slice(), found[0].what), (key.as_bytes(), *what), "{commands:?}");
    }
}

#[test]
fn what_was_read_can_be_written() {
    let source = seeded();
    let contents = read_server(&source.endpoint());
    let target = RedisServer::start(RedisOptions::default());
    write(&[target.endpoint()], &contents);
    assert_eq!(diff(&contents, &read_server(&target.endpoint())), []);
}

#[test]
fn keys_are_compared_under_their_mapped_names() {
    let cluster = Cluster::start(ClusterOptions::default());
    for key in ["a", "b", "c", "db5:a"] {
        cluster.client_for(key.as_bytes()).call(&["SET", key, "v"]);
    }
    let value = || Logical::lasting(Value::String(b"v".to_vec()));
    let source: Contents = [(0, "a"), (0, "b"), (0, "c"), (5, "a")]
        .into_iter()
        .map(|(db, key)| ((db, key.as_bytes().to_vec()), value()))
        .collect();
    let target = read_cluster(&cluster.master_endpoints());
    assert_eq!(diff(&mapped(&source, prefixed), &target), []);
    let other = mapped(&source, prefixed_with(&|db| format!("number-{db}-")));
    let what: Vec<_> = diff(&other, &target).into_iter().map(|difference| difference.what).collect();
    assert_eq!(what, [What::Unexpected, What::Missing]);
}

#[test]
#[should_panic(expected = "two source keys map to \"db5:a\"")]
fn names_that_collide_under_the_mapping_panic() {
    let value = || Logical::lasting(Value::String(b"v".to_vec()));
    let source: Contents = [((0, b"db5:a".to_vec()), value()), ((5, b"a".to_vec()), value())].into();
    mapped(&source, prefixed);
}

#[test]
fn binary_names_are_printed_safely() {
    let value = Logical::lasting(Value::String(b"\r\n\xff".to_vec()));
    let expected: Contents = [((0, b"k\r\n\x00\xff".to_vec()), value)].into();
    let text = report(&diff(&expected, &Contents::new()));
    assert_eq!(text, "1 differences\n  db 0 key \"k\\r\\n\\x00\\xff\": Missing: expected a string");
}

#[test]
fn every_capture_loads() {
    let all = captures::all();
    assert_eq!(all.len(), 14, "{all:?}");
    for (version, scenario) in &all {
        let capture = captures::load(version, scenario);
        assert_eq!(&capture.meta.dragonfly_version, &format!("df-{version}"));
        assert_eq!(capture.flows.len(), capture.meta.eof_tokens.len());
        let kinds: BTreeSet<_> = capture.meta.kinds.iter().map(String::as_str).collect();
        assert_eq!(
            kinds.into_iter().collect::<Vec<_>>(),
            [if scenario == "resume" { "PARTIAL" } else { "FULL" }]
        );
        for (flow, before_live_writes) in capture.flows.iter().zip(&capture.meta.bytes_before_live_writes) {
            assert!(flow.len() as u64 >= *before_live_writes);
            // Masters up to 1.34 send an (empty) snapshot after PARTIAL too.
            assert_eq!(flow.starts_with(b"REDIS"), scenario != "resume" || version == "v1.34.0");
        }
        assert_eq!(capture.first.is_some(), scenario == "resume");
        assert_eq!(capture.journal.is_empty(), !["commands", "flush"].contains(&scenario.as_str()));
        assert_eq!(capture.expected().is_empty(), scenario == "empty");
    }
    let types = captures::load("v1.40.1", "types").expected();
    assert_eq!(types[&(0, b"str:16".to_vec())].value, Value::String((0..=255).collect()));
    // PXAT 4102444800000, cut by the master to 2^28 s after the moment of the recording.
    assert_eq!(types[&(0, b"ttl:far".to_vec())].expire_at_ms, Some(2_063_605_048_345));
    assert_eq!(types[&(0, b"set:memberttl".to_vec())].member_ttls.len(), 2);
    assert!(matches!(&types[&(0, b"stream:plain".to_vec())].value, Value::Stream(s) if !s.groups.is_empty()));
}

#[test]
fn a_known_difference_must_be_there_and_no_other() {
    let value = |text: &str| Logical::lasting(Value::String(text.into()));
    let expected: Contents = [((1, b"a".to_vec()), value("1")), ((0, b"b".to_vec()), value("2"))].into();
    let actual: Contents = [((0, b"b".to_vec()), value("2"))].into();
    let found = diff(&mapped(&expected, prefixed), &actual);
    let known = |key, on| Known {
        versions: &["v1.40.1"],
        scenarios: &["types"],
        on,
        db: 1,
        key,
        what: What::Missing,
        why: "the test wants it",
    };
    let list = [known(b"a", On::Cluster), known(b"b", On::Standalone)];
    let listed = known_differences::of(&list, "v1.40.1", "types", true);
    known_differences::assert_exactly(&listed, &found, prefixed);
    assert_eq!(known_differences::of(&list, "v1.40.1", "busy", true), []);
    let fails = |known: &[Known], found: &[_]| {
        std::panic::catch_unwind(|| known_differences::assert_exactly(known, found, prefixed)).is_err()
    };
    assert!(fails(&listed, &[]), "a difference that is gone must leave the list");
    assert!(fails(&[], &found), "a new difference must fail");
}

#[test]
fn two_hundred_thousand_keys_are_compared_in_seconds() {
    let (one, other) =
        (RedisServer::start(RedisOptions::default()), RedisServer::start(RedisOptions::default()));
    let seed = seed();
    let begin = Instant::now();
    for server in [&one, &other] {
        fill(&server.endpoint(), 200_000, &[0, 1, 2], seed);
    }
    println!("filled both in {:?}", begin.elapsed());
    let begin = Instant::now();
    let contents = read_server(&one.endpoint());
    println!("read one in {:?}", begin.elapsed());
    assert_eq!(contents.len(), 200_000);
    assert_eq!(diff(&contents, &read_server(&other.endpoint())), []);
    println!("compared in {:?}", begin.elapsed());
    assert!(begin.elapsed().as_secs() < 60, "a compare must not take a minute");
}
