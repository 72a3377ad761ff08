use bytes::Bytes;
use journal::{Record, RecordKind};
use rdb::Kind;

use super::*;
use crate::{Existing, Mapping, SourceKey};

fn record(db: u32, text: &str) -> Record {
    let args = text.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    Record { db, txid: 0, kind: RecordKind::Command, args }
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(text.as_bytes())).collect()
}

fn sieve(rules: FilterRules) -> Sieve {
    Sieve::new(Mapping::keep().with_filter(Filter::new(rules)))
}

fn keys(db: u32, names: &[&str]) -> Vec<SourceKey> {
    names.iter().map(|name| SourceKey { db, key: Bytes::copy_from_slice(name.as_bytes()) }).collect()
}

/// What is left of a record, as text.
fn left(sieve: &mut Sieve, db: u32, text: &str) -> String {
    let words = |record: Record| {
        record.args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect::<Vec<_>>().join(" ")
    };
    match sieve.record(record(db, text)) {
        Sieved::Whole(record) => {
            assert_eq!(words(record.clone()), text);
            "whole".into()
        }
        Sieved::Part(record, why) => format!("{} | {}", words(record), why.word()),
        Sieved::Nothing(why) => format!("nothing | {}", why.word()),
        Sieved::Read(keys, why) => {
            let names = keys.iter().map(|key| format!("{}:{}", key.db, key.key.escape_ascii()));
            format!("read {} | {}", names.collect::<Vec<_>>().join(" "), why.word())
        }
        Sieved::Conflict(key) => format!("conflict {}", key.key.escape_ascii()),
    }
}

#[test]
fn nothing_named_is_everything() {
    let filter = Filter::new(FilterRules::default());
    assert!(filter.is_everything() && filter.in_scope(9, b"x", ValueType::Json));
    assert!(sieve(FilterRules::default()).is_open());
}

#[test]
fn what_is_denied_is_denied_although_it_is_allowed() {
    let filter = Filter::new(FilterRules {
        allow_keys: patterns(&["user:*", "order:*"]),
        deny_keys: patterns(&["*:tmp"]),
        allow_databases: [0, 1].into(),
        deny_databases: [1].into(),
        deny_types: [ValueType::Stream].into(),
        ..FilterRules::default()
    });
    assert!(filter.in_scope(0, b"user:1", ValueType::Hash));
    assert!(!filter.in_scope(0, b"user:tmp", ValueType::Hash));
    assert!(!filter.in_scope(0, b"other", ValueType::Hash));
    assert!(!filter.in_scope(1, b"user:1", ValueType::Hash));
    assert!(!filter.in_scope(2, b"user:1", ValueType::Hash));
    assert!(!filter.in_scope(0, b"user:1", ValueType::Stream));
}

#[test]
fn records_lose_the_keys_that_are_excluded() {
    let mut sieve = sieve(FilterRules {
        allow_keys: patterns(&["a*"]),
        deny_databases: [3].into(),
        ..FilterRules::default()
    });
    for (db, text, expected) in [
        (0, "SET a 1", "whole"),
        (0, "SET b 1", "nothing | key"),
        (3, "SET a 1", "nothing | database"),
        (0, "MSET a 1 b 2 a2 3", "MSET a 1 a2 3 | key"),
        (0, "DEL b a c", "DEL a | key"),
        (0, "DEL b c", "nothing | key"),
        (0, "RENAME a b", "UNLINK a | key"),
        (0, "RENAME b a", "read 0:a | key"),
        (0, "RENAME a a2", "whole"),
        (0, "RENAME b c", "nothing | key"),
        (0, "RENAMENX a b", "read 0:a | key"),
        (0, "COPY b a REPLACE", "read 0:a | key"),
        (0, "LMOVE a b LEFT RIGHT", "read 0:a | key"),
        (0, "SUNIONSTORE a b c", "read 0:a | key"),
        (0, "MOVE a 3", "read 0:a | database"),
        (3, "MOVE a 0", "read 0:a | database"),
        (0, "FLUSHALL", "whole"),
        (0, "FLUSHDB", "whole"),
        (3, "FLUSHDB", "nothing | database"),
        (3, "SCRIPT LOAD x", "whole"),
        (0, "NEWCMD b", "whole"),
        (0, "XGROUP CREATE b g $", "nothing | key"),
    ] {
        assert_eq!(left(&mut sieve, db, text), expected, "{db} {text}");
    }
}

#[test]
fn commands_are_left_out_by_name() {
    let deny = ["FLUSHALL", "DEL"].map(|name| Bytes::from_static(name.as_bytes()));
    let mut denying = sieve(FilterRules { deny_commands: deny.into(), ..FilterRules::default() });
    for (text, expected) in [
        ("FLUSHALL", "nothing | command"),
        ("FLUSHDB", "whole"),
        ("DEL a", "nothing | command"),
        ("UNLINK a", "whole"),
        ("PING", "whole"),
    ] {
        assert_eq!(left(&mut denying, 0, text), expected, "{text}");
    }
    let allow = [Bytes::from_static(b"SET")];
    let mut allowing = sieve(FilterRules { allow_commands: allow.into(), ..FilterRules::default() });
    assert_eq!(left(&mut allowing, 0, "SET a 1"), "whole");
    assert_eq!(left(&mut allowing, 0, "APPEND a 1"), "nothing | command");
    assert_eq!(left(&mut allowing, 0, "SCRIPT LOAD x"), "whole");
    let wrong = FilterRules { deny_commands: [Bytes::from_static(b"DELL")].into(), ..FilterRules::default() };
    assert_eq!(Filter::new(wrong).unknown_commands(), [Bytes::from_static(b"DELL")]);
}

#[test]
fn a_key_of_an_excluded_type_counts_as_absent() {
    let rules = FilterRules { deny_types: [ValueType::String].into(), ..FilterRules::default() };
    let mut sieve = sieve(rules);
    for (text, expected) in [
        ("HSET k f v", "whole"),
        // It may have been a hash; the second time it is known that it is none.
        ("SET k v", "UNLINK k | type"),
        ("SET k v", "nothing | type"),
        ("APPEND k v", "nothing | type"),
        ("PEXPIREAT k 99999999999999", "nothing | type"),
        ("PEXPIREAT other 99999999999999", "whole"),
        ("DEL k other", "DEL other | type"),
        ("DEL k", "whole"),
        ("SADD k m", "whole"),
        ("MSET k 1 l 2", "UNLINK k l | type"),
        ("DEL k l", "nothing | type"),
        ("SET k v", "UNLINK k | type"),
        // What it was does not matter any more.
        ("RENAME h k", "read 0:h 0:k | type"),
        ("DEL k", "whole"),
        ("LPUSH l 1", "whole"),
        ("SORT l STORE k", "read 0:l 0:k | type"),
        ("ZUNIONSTORE z 2 a b", "read 0:z 0:a 0:b | type"),
        ("BITOP AND d a b", "UNLINK d | type"),
        ("LMOVE a b LEFT RIGHT", "whole"),
        ("SUNIONSTORE d a b", "whole"),
    ] {
        assert_eq!(left(&mut sieve, 0, text), expected, "{text}");
    }
    assert_eq!(sieve.value(0, &"s".into(), Kind::String), Err(Excluded::Type));
    assert_eq!(left(&mut sieve, 0, "PERSIST s"), "nothing | type");
    assert_eq!(sieve.value(0, &"s".into(), Kind::HashListpack), Ok(()));
    assert_eq!(left(&mut sieve, 0, "PERSIST s"), "whole");
    assert_eq!(left(&mut sieve, 0, "SET s v"), "UNLINK s | type");
    assert_eq!(left(&mut sieve, 0, "FLUSHALL"), "whole");
    assert_eq!(left(&mut sieve, 0, "PERSIST s"), "whole");
}

#[test]
fn every_command_of_the_table_has_a_type_or_is_known_to_have_none() {
    // Keys of any type, several types, or none: decided by name in the sieve, or read from the source.
    const NONE: [&str; 26] = [
        "DEL",
        "UNLINK",
        "RENAME",
        "RENAMENX",
        "COPY",
        "MOVE",
        "STICK",
        "SHRINK",
        "TOUCH",
        "SORT",
        "EXPIRE",
        "PEXPIRE",
        "EXPIREAT",
        "PEXPIREAT",
        "PERSIST",
        "ZUNIONSTORE",
        "ZINTERSTORE",
        "ZDIFFSTORE",
        "RESTORE",
        "EVAL",
        "PING",
        "FLUSHALL",
        "FLUSHDB",
        "DFLYCLUSTER",
        "SCRIPT",
        "FIELDEXPIRE",
    ];
    for spec in crate::table::all() {
        let args = [Bytes::from_static(spec.name.as_bytes())];
        if NONE.contains(&spec.name) || spec.name.starts_with("FT.") {
            assert_eq!(ValueType::written_by(&args), None, "{}", spec.name);
        } else if ValueType::written_by(&args).is_none() {
            // Not wrong, but every such record costs a read of its keys where types are chosen.
            println!("{} has no type", spec.name);
        }
    }
    assert_eq!(ValueType::written_by(&["HSET".into()]), Some(ValueType::Hash));
}

#[test]
fn the_memory_of_other_types_is_bounded() {
    let mut sieve = sieve(FilterRules { deny_types: [ValueType::Hash].into(), ..FilterRules::default() });
    for i in 0..150_000 {
        sieve.value(0, &format!("key:{i}").into(), Kind::Hash).unwrap_err();
    }
    let (count, bytes) = sieve.remembered();
    assert!(count > 0 && count <= 100_000 && bytes <= count * "key:149999".len());
    assert_eq!(left(&mut sieve, 0, "PERSIST key:1"), "whole", "forgotten: sent, and repaired if need be");
}

#[test]
fn names_that_the_target_had_before_are_nobodys() {
    let names = [(0, Bytes::from_static(b"db1:x"))].into_iter().collect();
    let skipping = Mapping::prefixed().without(Existing { names, stop: false }.into());
    assert_eq!(skipping.target_name(1, &"x".into()), None);
    assert_eq!(skipping.excludes(1, &"x".into()), Some(Excluded::Existing));
    assert_eq!(skipping.source_name(0, &"db1:x".into()), None);
    assert!(skipping.target_name(1, &"y".into()).is_some());
    let mut skip = Sieve::new(skipping);
    assert_eq!(left(&mut skip, 1, "APPEND x 1"), "nothing | existing");
    assert_eq!(left(&mut skip, 1, "MSET x 1 y 2"), "MSET y 2 | existing");
    assert_eq!(left(&mut skip, 1, "RENAME x y"), "read 1:y | existing");
    let names = [(0, Bytes::from_static(b"db1:x"))].into_iter().collect();
    let mut stop = Sieve::new(Mapping::prefixed().without(Existing { names, stop: true }.into()));
    assert_eq!(left(&mut stop, 1, "MSET y 1 x 2"), "conflict x");
    assert_eq!(left(&mut stop, 0, "SET x 2"), "whole");
    assert_eq!(keys(1, &["x"])[0].key, "x");
}

#[test]
fn a_key_that_is_left_out_collides_with_nothing() {
    let deny = FilterRules { deny_keys: patterns(&["x"]), ..FilterRules::default() };
    let mapping = Mapping::prefixed().with_filter(Filter::new(deny));
    mapping.note_database(1).unwrap();
    let name = |text: &'static str| Bytes::from_static(text.as_bytes());
    assert!(mapping.check(0, 0, &name("db1:x")).is_ok());
    assert!(mapping.check(0, 0, &name("db1:y")).is_err());
    assert_eq!(mapping.source_name(0, &name("db1:x")), Some(keys(0, &["db1:x"])[0].clone()));
    assert_eq!(mapping.source_name(0, &name("db1:y")), Some(keys(1, &["y"])[0].clone()));
    assert_eq!(mapping.source_name(0, &name("x")), None);
}
