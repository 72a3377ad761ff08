//! "A value the target cannot hold", and records with which the source itself truncates, rounds or leaves out.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use scenarios::client::Client;
use scenarios::logical::{Value, What, diff, report};
use scenarios::observe::wait_all_in_sync;
use scenarios::program::{Df2redis, number};
use scenarios::servers::{RedisOptions, RedisServer};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;

const READY: Duration = Duration::from_secs(60);

/// JSON on plain Redis, in the snapshot and as records: never a crash, counted, listed, and the rest arrives.
#[test]
fn json_on_plain_redis_is_counted_and_listed() {
    for source in Source::each("json_on_plain_redis_is_counted_and_listed", 2) {
        for target in Target::both() {
            let mut client = source.client();
            client.call(&["FLUSHALL"]);
            client.call(&["JSON.SET", "document:1", "$", r#"{"a":1}"#]);
            client.call(&["JSON.SET", "document:2", "$", r#"{"b":[1,2,3]}"#]);
            client.call(&["SET", "plain", "value"]);
            let mut program = Df2redis::replicate(target.settings(&source));
            program.wait_ready(READY);
            client.call(&["JSON.SET", "document:3", "$", r#"{"c":null}"#]);
            client.call(&["JSON.SET", "document:1", "$", r#"{"a":42}"#]);
            client.call(&["INCR", "counter"]);
            let json = |status: &serde_json::Value| -> (u64, Vec<String>) {
                let kinds = status["not_on_target"].as_array().unwrap().iter();
                let (mut count, mut keys) = (0, Vec::new());
                for kind in kinds.filter(|kind| kind["kind"].as_str().unwrap().contains("JSON")) {
                    count += number(kind, "count");
                    keys.extend(kind["keys"].as_array().unwrap().iter().map(ToString::to_string));
                }
                (count, keys)
            };
            let status = program.wait_until(READY, "the documents to be counted", |s| json(s).0 >= 4);
            let (_, keys) = json(&status);
            for document in ["document:1", "document:2", "document:3"] {
                assert!(keys.iter().any(|key| key.contains(document)), "{document} is not among {keys:?}");
            }
            assert!(program.output().contains("document:"), "nothing was said:\n{}", program.output());
            // Everything else is there, and of the documents nothing.
            let endpoint = source.endpoint();
            wait::until_ok(READY, "equal but for the documents", || {
                let mut expected = target.expected(&endpoint);
                expected.retain(|(_, key), _| !key.starts_with(b"document:"));
                let found = diff(&expected, &target.read());
                if found.is_empty() { Ok(()) } else { Err(report(&found)) }
            });
        }
    }
}

#[test]
fn json_as_text_follows_its_document() {
    for source in Source::each("json_as_text_follows_its_document", 2) {
        let target = Target::both().next().unwrap();
        let mut client = source.client();
        client.call(&["FLUSHALL"]);
        client.call(&["JSON.SET", "document:1", "$", r#"{"a":1}"#]);
        let mut program = Df2redis::replicate(target.settings(&source).set("types.json", "text"));
        program.wait_ready(READY);
        client.call(&["JSON.SET", "document:2", "$", r#"{"b":[1,2]}"#]);
        client.call(&["JSON.SET", "document:1", "$", r#"{"a":42}"#]);
        let text =
            |key: &str| target.read().get(&(0, key.as_bytes().to_vec())).map(|found| found.value.clone());
        let is = |key: &str, json: serde_json::Value| match text(key) {
            Some(Value::String(text)) => serde_json::from_slice::<serde_json::Value>(&text).unwrap() == json,
            _ => false,
        };
        wait::until(READY, "the documents as text", || {
            is("document:1", serde_json::json!({"a": 42}))
                && is("document:2", serde_json::json!({"b": [1, 2]}))
        });
        client.call(&["DEL", "document:2"]);
        wait::until(READY, "a document to go", || text("document:2").is_none());
        assert_eq!(program.terminate().code(), 0);
    }
}

#[test]
fn a_type_that_shall_end_the_run_does() {
    let source = Source::simulated(simulator::Release::V1_40, 2);
    let target = Target::both().next().unwrap();
    source.client().call(&["JSON.SET", "document:1", "$", r#"{"a":1}"#]);
    let mut program = Df2redis::replicate(target.settings(&source).set("types.json", "fail"));
    let output = program.wait_exit(READY);
    assert_eq!(output.code(), 1);
    assert!(output.stderr.contains("db0:document:1: the target cannot hold this JSON"), "{}", output.stderr);
}

/// Not here, because no record tells them from others: `BLMPOP … COUNT` that finds its elements at once, and `SET` with an
/// expiry in the past. docs/guarantees.md names them.
///
/// Each line: what is there before, and the command whose record says less than what happened. Several keys of each, so
/// that some of them are on other shards than their sources.
const ROUNDED: &[(&str, &[&str], &str)] = &[
    ("sort_store", &["RPUSH {n}src 30 7 111 9 1 25 4 18 12 6"], "SORT {n}src STORE {n}dst"),
    (
        "zunionstore",
        &["ZADD {n}a 1.23456789012345 x 3 y", "ZADD {n}b 0.1 x"],
        "ZUNIONSTORE {n}dst 2 {n}a {n}b",
    ),
    (
        "zunionstore_weights",
        &["ZADD {n}a 1234567.25 x 1e17 y", "ZADD {n}b 7 z"],
        "ZUNIONSTORE {n}dst 2 {n}a {n}b WEIGHTS 1.1 3",
    ),
    (
        "zinterstore",
        &["ZADD {n}a 1.23456789012345 x", "ZADD {n}b 0.7654321987 x"],
        "ZINTERSTORE {n}dst 2 {n}a {n}b",
    ),
    ("zrangestore", &["ZADD {n}a 1.23456789012345 x 2.5 y 16777217 z"], "ZRANGESTORE {n}dst {n}a 0 -1"),
    ("geosearchstore", &["GEOADD {n}g 13.361389 38.115556 p 15.087269 37.502669 c"], GEO),
    ("lmpop_count", &["RPUSH {n}l 1 2 3 4 5 6"], "LMPOP 1 {n}l LEFT COUNT 3"),
    ("lmpop_right", &["RPUSH {n}l 1 2 3 4 5 6"], "LMPOP 1 {n}l RIGHT COUNT 5"),
    ("lmpop_two", &["RPUSH {n}m 1 2 3 4"], "LMPOP 2 {n}none {n}m LEFT COUNT 3"),
    // and what is made of them before they are read again
    ("lmpop_renamed", &["RPUSH {n}l 1 2 3 4 5 6", "LMPOP 1 {n}l LEFT COUNT 3"], "RENAME {n}l {n}dst"),
    (
        "lmpop_renamed_twice",
        &["RPUSH {n}l 1 2 3 4 5 6", "LMPOP 1 {n}l LEFT COUNT 3", "RENAME {n}l {n}m"],
        "RENAME {n}m {n}dst",
    ),
    (
        "lmpop_emptied",
        &["RPUSH {n}l 1 2", "RPUSH {n}dst 1 2 3", "LMPOP 1 {n}dst LEFT COUNT 3"],
        "RENAMENX {n}l {n}dst",
    ),
    ("incrbyfloat", &["SET {n}f 10.1"], "INCRBYFLOAT {n}f 1.1"),
    ("incrbyfloat_small", &["SET {n}f 3.0e3"], "INCRBYFLOAT {n}f 0.000000123456789"),
    ("hincrbyfloat", &["HSET {n}h f 10.50"], "HINCRBYFLOAT {n}h f 0.1"),
    ("zincrby", &["ZADD {n}z 0.1 m"], "ZINCRBY {n}z 0.2 m"),
    ("bitop_keeps_expiry", &["SET {n}x abc", "SET {n}dst old PXAT FAR"], "BITOP NOT {n}dst {n}x"),
    ("pfmerge", &["PFADD {n}p a b c", "PFADD {n}q c d e"], "PFMERGE {n}dst {n}p {n}q"),
    ("pfmerge_over", &["PFADD {n}p a b c", "PFADD {n}dst x y"], "PFMERGE {n}dst {n}p"),
    ("sunionstore", &["SADD {n}s a b", "SADD {n}t c"], "SUNIONSTORE {n}dst {n}s {n}t"),
    ("zadd_gt", &["ZADD {n}z 5 m 7 o"], "ZADD {n}z GT 6 m 6 o"),
    ("zadd_lt", &["ZADD {n}z 5 m 7 o"], "ZADD {n}z LT 6 m 6 o"),
    ("zdiffstore", &["ZADD {n}a 1.23456789012345 x 2 y", "ZADD {n}b 1 y"], "ZDIFFSTORE {n}dst 2 {n}a {n}b"),
    ("rename", &["RPUSH {n}l 1 2 3"], "RENAME {n}l {n}dst"),
    ("expire_in_the_past", &["SET {n}k old"], "PEXPIREAT {n}k 1000"),
    (
        "xadd_trim",
        &["XADD {n}x 1-1 f v", "XADD {n}x 2-1 f v", "XADD {n}x 3-1 f v"],
        "XADD {n}x MAXLEN 2 4-1 f v",
    ),
];

const GEO: &str = "GEORADIUS {n}g 15 37 200 km STORE {n}dst";

/// How many keys of each kind.
const COPIES: usize = 12;

/// Commands that a release or the simulator does not have are passed over, and said.
fn sent(client: &mut Client, command: &str) -> bool {
    let Err(error) = client.try_call(&command.split(' ').collect::<Vec<_>>()) else { return true };
    assert!(error.to_string().to_lowercase().contains("unknown"), "{command}: {error}");
    false
}

#[test]
fn records_that_the_source_truncates_or_rounds_are_repaired() {
    let far = (std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()
        + 100_000_000)
        .to_string();
    for source in Source::each("records_that_the_source_truncates_or_rounds_are_repaired", 4) {
        // One server: on a cluster what lies on several nodes is repaired for that reason alone.
        let target = Target::Standalone(RedisServer::start(RedisOptions::default()));
        let mut client = source.client();
        let mut program = Df2redis::replicate(target.settings(&source));
        program.wait_ready(READY);
        let mut passed_over = Vec::new();
        for (case, before, doubtful) in ROUNDED {
            for copy in 0..COPIES {
                let named = |text: &str| text.replace("{n}", &format!("{case}:{copy}:")).replace("FAR", &far);
                let mut commands = before.iter().chain([doubtful]);
                if !commands.all(|command| sent(&mut client, &named(command))) {
                    passed_over.push(*case);
                    break;
                }
            }
        }
        // And the same in transactions, whose records look otherwise.
        for (case, before, doubtful) in ROUNDED.iter().filter(|(case, ..)| !passed_over.contains(case)) {
            let named = |text: &str| text.replace("{n}", &format!("tx:{case}:")).replace("FAR", &far);
            for command in *before {
                client.queue(&named(command).split(' ').collect::<Vec<_>>());
            }
            client.queue(&["MULTI"]);
            client.queue(&named(doubtful).split(' ').collect::<Vec<_>>());
            client.queue(&["EXEC"]);
            client.flush().unwrap();
        }
        println!("{}: not there: {passed_over:?}", source.name());
        let endpoint = source.endpoint();
        wait::until_ok(READY, "source and target to be equal", || {
            let found = diff(&target.expected(&endpoint), &target.read());
            let cases: std::collections::BTreeSet<String> = found
                .iter()
                .map(|difference| {
                    let key = String::from_utf8_lossy(&difference.key).into_owned();
                    let mut words = key.split(':');
                    let first = words.next().unwrap_or_default().to_owned();
                    if first == "tx" { format!("tx:{}", words.next().unwrap_or_default()) } else { first }
                })
                .collect();
            let expiries = found.iter().filter(|difference| difference.what == What::Expiry).count();
            if found.is_empty() {
                Ok(())
            } else {
                Err(format!("{cases:?}, {expiries} of them in their expiry: {}", report(&found)))
            }
        });
        wait_all_in_sync(&mut program, READY);
    }
}

/// `LMPOP COUNT` is logged as one pop, and the list read again a second later. A program that ends within that second must
/// not forget it.
#[test]
fn a_doubt_outlives_the_program() {
    for source in Source::each("a_doubt_outlives_the_program", 2) {
        for killed in [false, true] {
            let target = Target::Standalone(RedisServer::start(RedisOptions::default()));
            let mut client = source.client();
            client.call(&["FLUSHALL"]);
            client.call(&["RPUSH", "list", "1", "2", "3", "4", "5", "6"]);
            client.call(&["RPUSH", "other", "1", "2", "3"]);
            let mut program = Df2redis::replicate(target.settings(&source));
            program.wait_ready(READY);
            let stored = |status: &serde_json::Value| -> Vec<u64> {
                let flows = status["flows"].as_array().unwrap().iter();
                flows.map(|flow| number(flow, "checkpointed_lsn")).collect()
            };
            let before = stored(&program.status().unwrap());
            client.call(&["LMPOP", "1", "list", "LEFT", "COUNT", "3"]);
            client.call(&["RENAME", "list", "moved"]);
            client.call(&["LMPOP", "1", "other", "RIGHT", "COUNT", "2"]);
            // So many records of each flow that a checkpoint is due.
            (0..4_000).for_each(|n| client.queue(&["SET", &format!("key:{n}"), "value"]));
            client.flush().unwrap();
            program.wait_until(READY, "the pops to lie below the checkpoint", |status| {
                stored(status).iter().zip(&before).all(|(now, before)| *now > before + 100)
            });
            match killed {
                true => drop(program.kill()),
                false => drop(program.terminate()),
            }
            program.again();
            program.wait_ready(READY);
            target.assert_equal(&source);
            let status = wait_all_in_sync(&mut program, READY);
            println!("{}: killed {killed}: {}", source.name(), status["repair"]);
        }
    }
}
