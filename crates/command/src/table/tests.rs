use std::collections::HashSet;

use super::*;

fn args(line: &str) -> Vec<Bytes> {
    line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

#[test]
fn names_are_unique_and_upper_case() {
    let mut seen = HashSet::new();
    for spec in all() {
        assert_eq!(spec.name, spec.name.to_ascii_uppercase());
        assert!(seen.insert(spec.name), "{} stands twice", spec.name);
    }
}

#[test]
fn split_commands_only_list_keys() {
    for spec in all().iter().filter(|spec| matches!(spec.handling, Handling::Split)) {
        assert!(matches!(spec.keys, Keys::Every { first: 1, .. }), "{} cannot be split", spec.name);
    }
}

#[test]
fn keys_by_specification() {
    let cases = [
        ("SET a 1", "a"),
        ("get a", ""),
        ("del a b c", "a b c"),
        ("MSET a 1 b 2", "a b"),
        ("JSON.MSET a $ 1 b $ 2", "a b"),
        ("RENAME a b", "a b"),
        ("LMOVE a b LEFT RIGHT", "a b"),
        ("XGROUP CREATE s g $", "s"),
        ("XGROUP", ""),
        ("BITOP AND d a b", "d a b"),
        ("SORT a DESC STORE d", "a d"),
        ("SORT a", "a"),
        ("SORT a STORE", "a"),
        ("GEORADIUS g 1 2 3 km STOREDIST d", "g d"),
        ("GEORADIUSBYMEMBER g m 3 km STORE d", "g d"),
        ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", "d a b"),
        ("ZUNIONSTORE d 9 a b", "d a b"),
        ("ZUNIONSTORE d x", "d"),
        ("CMS.MERGE d 2 a b", "d a b"),
        ("EVAL script 1 k v", "k"),
        ("EVAL script 18446744073709551615 k", "k"),
        ("PING", ""),
        ("NOSUCH a", ""),
    ];
    for (line, expected) in cases {
        let found: Vec<String> =
            keys(&args(line)).iter().map(|k| String::from_utf8_lossy(k).into_owned()).collect();
        assert_eq!(found.join(" "), expected, "{line}");
    }
}
