//! What each mode sees of values of every type and size, and what counts as the same.

use std::collections::BTreeSet;

use scenarios::client::Client;
use scenarios::injuries::Injury;
use scenarios::source::Source;
use tempfile::TempDir;

use crate::checked::Checked;
use crate::{between, redis};

/// A difference in the middle of something large: only mode full goes there.
const DEEP: [&str; 7] = [
    "string:deep",
    "string:pieces",
    "list:pieces",
    "set:pieces",
    "hash:pieces",
    "zset:pieces",
    "stream:long",
];
/// A difference in something small, in an end, or beside the elements: an outline shows it.
const SHALLOW: [&str; 12] = [
    "string:short",
    "string:tail",
    "list:small",
    "set:small",
    "hash:small",
    "zset:small",
    "stream:entry",
    "stream:group",
    "stream:pending",
    "stream:consumer",
    "stream:last",
    "hash:empty-value",
];
/// A difference in the number of elements or bytes.
const LENGTH: [&str; 3] = ["string:longer", "set:longer", "stream:longer"];

fn injuries(keys: &[&[&str]]) -> BTreeSet<Injury> {
    let injury = |key: &&str| Injury { db: 0, key: (*key).to_owned(), kind: "value" };
    keys.iter().flat_map(|keys| keys.iter().map(injury)).collect()
}

/// Writes one side; `other`: with the differences. Under `same:` there are the same keys without them.
fn write(client: &mut Client, other: bool) {
    for (prefix, other) in [("same:", false), ("", other)] {
        let mut put = |line: &str| {
            let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let at = if words[0].starts_with('X') && words[0] == "XGROUP" { 2 } else { 1 };
            words[at].insert_str(0, prefix);
            client.queue(&words);
        };
        let x = if other { "y" } else { "x" };
        let text = |len: usize, at: usize| {
            let mut text = "a".repeat(len);
            text.replace_range(at..=at, x);
            text
        };
        put(&format!("SET string:deep {}", text(10_000, 5_000)));
        put(&format!("SET string:pieces {}", text(700_000, 400_000)));
        put(&format!("SET string:tail {}", text(700_000, 699_999)));
        put(&format!("SET string:short {x}"));
        put(&format!("SET string:longer a{}", if other { "a" } else { "" }));
        // Written in another order, where there is none.
        for n in (0..10_000).map(|n| if other { 9_999 - n } else { n }) {
            let e = if n == 5_000 { x } else { "e" };
            put(&format!("SADD set:pieces {e}{n}"));
            put(&format!("HSET hash:pieces f{n} {e}"));
            put(&format!("ZADD zset:pieces {n}{} m{n}", if n == 5_000 && other { ".5" } else { "" }));
        }
        for n in 0..10_000 {
            put(&format!("RPUSH list:pieces {}{n}", if n == 5_000 { x } else { "e" }));
        }
        for n in (0..20).map(|n| if other { 19 - n } else { n }) {
            let e = if n == 7 { x } else { "e" };
            put(&format!("SADD set:small {e}{n}"));
            put(&format!("SADD set:longer {n}"));
            put(&format!("HSET hash:small f{n} {e}"));
            put(&format!("ZADD zset:small 0.{} m{n}", if n == 7 && other { 999 } else { n }));
        }
        put(&format!("SADD set:longer {x}"));
        if other {
            put("SADD set:longer z");
        }
        put(&format!("RPUSH list:small a {x} c"));
        put(&format!("HSET hash:empty-value f1 {} f2 a", if other { "a" } else { "b" }));
        streams(&mut put, other);
        client.flush().unwrap();
    }
}

fn streams(put: &mut impl FnMut(&str), other: bool) {
    let x = if other { "y" } else { "x" };
    for key in ["entry", "group", "pending", "consumer", "last", "longer"] {
        for n in 1..=3 {
            let value = if key == "entry" && n == 2 { x } else { "v" };
            put(&format!("XADD stream:{key} {n}-0 f {value}"));
        }
        put(&format!("XGROUP CREATE stream:{key} g 0"));
        put(&format!("XGROUP CREATECONSUMER stream:{key} g one"));
    }
    for n in 1..=1_500 {
        put(&format!("XADD stream:long {n}-0 f {}", if n == 1_400 { x } else { "v" }));
    }
    if other {
        put("XADD stream:longer 9-0 f v");
        put("XGROUP SETID stream:group g 2-0");
        put("XCLAIM stream:pending g one 0 2-0 RETRYCOUNT 3 FORCE JUSTID");
        put("XGROUP CREATECONSUMER stream:consumer g two");
        put("XSETID stream:last 5-0");
    } else {
        put("XCLAIM stream:pending g one 0 2-0 RETRYCOUNT 2 FORCE JUSTID");
    }
}

#[test]
fn every_mode_sees_what_it_promises() {
    let (source, target, dir) = (redis(), redis(), TempDir::new().unwrap());
    write(&mut source.client(), false);
    write(&mut target.client(), true);
    let settings = between(&source.addr(), &target.addr(), &dir);
    let all = (DEEP.len() + SHALLOW.len() + LENGTH.len()) as u64;
    let check = |arguments: &[&str], expected: BTreeSet<Injury>| {
        let arguments = [arguments, &["--rounds", "2", "--interval", "0"]].concat();
        let checked = Checked::run(&settings, &arguments);
        println!("{arguments:?}: {}", checked.output.stdout.lines().last().unwrap_or_default());
        checked.assert_found(&expected);
        assert_eq!(checked.number("ok"), 2 * all - expected.len() as u64, "{:?}", checked.output);
    };
    check(&["--mode", "full"], injuries(&[&DEEP, &SHALLOW, &LENGTH]));
    check(&["--mode", "smart"], {
        // More than half a MiB: an outline of these.
        let mut expected = injuries(&[&DEEP, &SHALLOW, &LENGTH]);
        ["string:pieces", "zset:pieces", "hash:pieces"].iter().for_each(|key| {
            expected.retain(|injury| injury.key != *key);
        });
        expected
    });
    check(&["--mode", "smart", "--big-key-threshold", "100000000"], injuries(&[&DEEP, &SHALLOW, &LENGTH]));
    check(&[], injuries(&[&SHALLOW, &LENGTH]));
    check(&["--mode", "length"], injuries(&[&LENGTH]));
    // As slowly as it is asked to: 44 keys by 4 commands at least.
    let begin = std::time::Instant::now();
    check(&["--mode", "length", "--qps", "100"], injuries(&[&LENGTH]));
    assert!(begin.elapsed().as_millis() > 1_000, "{:?}", begin.elapsed());
}

#[test]
fn names_filters_and_limits() {
    let (source, target, dir) = (redis(), redis(), TempDir::new().unwrap());
    let (mut a, mut b) = (source.client(), target.client());
    for n in 0..100 {
        for (db, kind, name) in [("0", "user", ""), ("1", "order", "shop:"), ("2", "gone", "")] {
            a.call(&["SELECT", db]);
            a.call(&["SET", &format!("{kind}:{n}"), "v"]);
            if db != "2" {
                b.call(&["SET", &format!("{name}{kind}:{n}"), "v"]);
            }
        }
    }
    a.call(&["SELECT", "1"]);
    a.call(&[b"SET".as_slice(), b"bin\xff\0", b"v"]);
    // What the source lacks, under a prefix of ours and as a name of database 0.
    b.call(&["SET", "shop:extra", "v"]);
    b.call(&["SET", "user:extra", "v"]);
    b.call(&["DEL", "user:7"]);
    // In a database of the target that nothing is mapped to.
    b.call(&["SELECT", "5"]);
    b.call(&["SET", "somebody's", "v"]);
    let settings = between(&source.addr(), &target.addr(), &dir)
        .set("mapping.databases", serde_json::json!({ "1": "shop:", "2": "drop", "5": "drop" }));
    let quick = ["--rounds", "2", "--interval", "0"];
    let checked = Checked::run(&settings, &quick);
    let injury = |db, key: &str, kind| Injury { db, key: key.into(), kind };
    let user = [injury(0, "user:7", "missing"), injury(0, "user:extra", "extra")];
    let order = [injury(1, "extra", "extra"), injury(1, "bin\\xff\\x00", "missing")];
    checked.assert_found(&user.iter().chain(&order).cloned().collect());
    assert_eq!((checked.number("ok"), checked.number("foreign")), (199, 1), "{:?}", checked.output);
    let listed = checked.result["differences"].as_array().unwrap();
    let binary = listed.iter().find(|found| found["key_hex"] == "62696eff00").unwrap();
    assert_eq!(binary["target_key"], "shop:bin\\xff\\x00", "{binary}");
    let checked = Checked::run(&settings, &[&["--filter", "user:*|nothing"], &quick[..]].concat());
    checked.assert_found(&user.iter().cloned().collect());
    let checked = Checked::run(&settings, &[&["--filter", "ord?r:[0-9]"], &quick[..]].concat());
    checked.assert_found(&BTreeSet::new());
    assert_eq!(checked.number("ok"), 10);
    let checked = Checked::run(&settings, &[&["--filter", "[nobody"], &quick[..]].concat());
    checked.assert_found(&BTreeSet::new());
    assert!(checked.output.stderr.contains("nothing was compared"), "{:?}", checked.output);
    let checked = Checked::run(&settings, &[&["--max-keys", "5"], &quick[..]].concat());
    assert!(checked.number("ok") <= 5, "{:?}", checked.output);
}

#[test]
fn what_is_not_replicated_is_counted_and_nobodys_difference() {
    let source = Source::simulated(simulator::Release::V1_40, 2);
    let (target, dir) = (redis(), TempDir::new().unwrap());
    let (mut a, mut b) = (source.client(), target.client());
    for n in 0..5 {
        a.call(&["SET", &format!("string:{n}"), "v"]);
        b.call(&["SET", &format!("string:{n}"), "v"]);
        a.call(&["HSET", &format!("hash:{n}"), "f", "v"]);
        a.call(&["SET", &format!("private:{n}"), "v"]);
    }
    // What is left of one that was replicated earlier.
    b.call(&["HSET", "hash:0", "f", "old"]);
    b.call(&["SET", "private:0", "old"]);
    a.call(&["JSON.SET", "json:same", "$", r#"{"a":1,"b":[1.5e3]}"#]);
    a.call(&["JSON.SET", "json:other", "$", r#"{"a":1}"#]);
    let settings = between(&source.addr(), &target.addr(), &dir)
        .set("filter.deny_types", vec!["hash"])
        .set("filter.deny_keys", vec!["private:*"]);
    let quick = ["--mode", "full", "--rounds", "2", "--interval", "0"];
    let count = |checked: &Checked, of: &str, why: &str| checked.result["summary"][of][why].as_u64();
    // Without a module there are no documents on the target.
    let checked = Checked::run(&settings, &quick);
    checked.assert_found(&BTreeSet::new());
    assert_eq!(checked.number("ok"), 5, "{:?}", checked.output);
    assert_eq!(count(&checked, "not_comparable", "ReJSON-RL"), Some(2), "{}", checked.result);
    assert_eq!(count(&checked, "skipped", "type hash: filter"), Some(5), "{}", checked.result);
    assert_eq!(count(&checked, "skipped", "name: filter"), Some(5), "{}", checked.result);
    let text = "skipped: 5 keys that are not replicated (type hash: filter)";
    assert!(checked.output.stdout.contains(text), "{:?}", checked.output);
    // Something is there under the name of a document that is not to be replicated.
    b.call(&["SET", "json:other", "old"]);
    let checked = Checked::run(&settings.clone().set("types.json", "skip"), &quick);
    checked.assert_found(&BTreeSet::new());
    assert_eq!(count(&checked, "skipped", "type ReJSON-RL: types.json"), Some(2), "{}", checked.result);
    assert_eq!(checked.result["summary"]["not_comparable"], serde_json::json!({}));
    // As text: by what it means.
    b.call(&["SET", "json:same", r#"{ "b": [1500], "a": 1.0 }"#]);
    let checked = Checked::run(&settings.clone().set("types.json", "text"), &quick);
    checked.assert_found(&BTreeSet::from([Injury { db: 0, key: "json:other".into(), kind: "value" }]));
    b.call(&["DEL", "json:other"]);
    let checked = Checked::run(&settings.set("types.json", "text"), &quick);
    checked.assert_found(&BTreeSet::from([Injury { db: 0, key: "json:other".into(), kind: "missing" }]));
}
