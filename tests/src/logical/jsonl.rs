//! Contents as a capture records them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::{Contents, Entry, Group, Logical, Stream, Value};

/// The contents in a capture's `.jsonl`, one key a line. Strings are latin-1: one character is one byte.
pub fn parse_jsonl(text: &[u8]) -> Contents {
    let text = std::str::from_utf8(text).expect("json lines are UTF-8");
    text.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> ((u32, Vec<u8>), Logical) {
    let row: Json = serde_json::from_str(line).expect("a line of a capture is JSON");
    let db = u32::try_from(number(&row["db"])).expect("a database number");
    let value = &row["value"];
    let value = match row["type"].as_str().expect("a type") {
        "string" => Value::String(bytes(value)),
        "list" => Value::List(items(value).iter().map(bytes).collect()),
        "set" => Value::Set(items(value).iter().map(bytes).collect()),
        "hash" => Value::Hash(fields(value).map(|(name, value)| (name, bytes(value))).collect()),
        "zset" => Value::Zset(items(value).iter().map(|pair| (bytes(&pair[0]), score(&pair[1]))).collect()),
        "stream" => Value::Stream(stream(value)),
        "ReJSON-RL" => Value::Json(bytes(value)),
        other => Value::Opaque(other.to_owned()),
    };
    let member_ttls: BTreeSet<_> = match row.get("member_ttl_s") {
        Some(ttls) => fields(ttls).map(|(name, _)| name).collect(),
        None => BTreeSet::new(),
    };
    let expire_at_ms = (!row["expire_at_ms"].is_null())
        .then(|| u64::try_from(number(&row["expire_at_ms"])).expect("an expiry after 1970"));
    ((db, bytes(&row["key"])), Logical { expire_at_ms, value, member_ttls })
}

fn stream(value: &Json) -> Stream {
    let entry = |row: &Json| Entry {
        id: string(&row[0]),
        fields: items(&row[1]).iter().map(|pair| (bytes(&pair[0]), bytes(&pair[1]))).collect(),
    };
    Stream {
        entries: items(&value["entries"]).iter().map(entry).collect(),
        last_id: string(&value["last_id"]),
        entries_added: u64::try_from(number(&value["entries_added"])).expect("a count"),
        max_deleted_id: string(&value["max_deleted_id"]),
        groups: items(&value["groups"]).iter().map(|row| (bytes(&row["name"]), group(row))).collect(),
    }
}

fn group(row: &Json) -> Group {
    let pending: BTreeMap<_, _> = items(&row["pel"])
        .iter()
        .map(|entry| (string(&entry[0]), (bytes(&entry[1]), number(&entry[2]))))
        .collect();
    assert_eq!(pending.len() as i64, number(&row["pending"]), "the recording lists every pending entry");
    Group {
        last_delivered_id: string(&row["last-delivered-id"]),
        entries_read: row["entries-read"].as_i64(),
        consumers: items(&row["consumer_names"]).iter().map(bytes).collect(),
        pending,
    }
}

/// The bytes behind a latin-1 string.
pub(crate) fn latin1(text: &str) -> Vec<u8> {
    let byte = |c: char| u8::try_from(u32::from(c)).expect("every character of a capture is one byte");
    text.chars().map(byte).collect()
}

fn bytes(value: &Json) -> Vec<u8> {
    latin1(value.as_str().unwrap_or_else(|| panic!("not a string: {value}")))
}

fn string(value: &Json) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}

fn number(value: &Json) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("not a number: {value}"))
}

fn score(value: &Json) -> u64 {
    string(value).parse::<f64>().expect("a score").to_bits()
}

fn items(value: &Json) -> &[Json] {
    value.as_array().unwrap_or_else(|| panic!("not an array: {value}"))
}

fn fields(value: &Json) -> impl Iterator<Item = (Vec<u8>, &Json)> {
    let map = value.as_object().unwrap_or_else(|| panic!("not an object: {value}"));
    map.iter().map(|(name, value)| (latin1(name), value))
}
