//! What the snapshots of the captures say, against what the masters answered to ordinary commands.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use rdb::{Item, KeyMeta, Kind, Limits, MEMBER_TTL_BASE, Piece, Value, dump};
use serde_json::{Value as Json, json};
use support::{Flow, decode, load, snapshots};

/// A decoded value, with everything its pieces said.
#[derive(Debug, Default)]
struct Decoded {
    kind: Option<Kind>,
    expire_at_ms: Option<u64>,
    sticky: bool,
    string: Vec<u8>,
    pieces: Vec<Piece>,
}

/// Keys in all listings together.
const KEYS: usize = 660;

type Contents = BTreeMap<(u32, Vec<u8>), Decoded>;

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// All keys of a flow; `ctime` is when the master began to write it.
fn contents(flow: &Flow, limits: &Limits) -> (Contents, u64) {
    let (items, _) = decode(&flow.bytes, limits.clone()).unwrap_or_else(|e| panic!("{}: {e}", flow.name));
    let mut all = Contents::new();
    let mut open = BTreeMap::new();
    let mut ctime = 0;
    let start = |all: &mut Contents, meta: KeyMeta, kind| {
        let name = (meta.db, meta.key.to_vec());
        let value = Decoded {
            kind: Some(kind),
            expire_at_ms: meta.expire_at_ms,
            sticky: meta.sticky,
            ..Decoded::default()
        };
        assert!(all.insert(name.clone(), value).is_none(), "{}: {name:?} twice", flow.name);
        name
    };
    let add = |value: &mut Decoded, piece| match piece {
        Piece::String(bytes) => value.string.extend(bytes),
        piece => value.pieces.push(piece),
    };
    for item in items {
        match item {
            Item::Aux { key, value } if key == "ctime" => {
                ctime = std::str::from_utf8(&value).unwrap().parse().unwrap();
            }
            Item::Value(Value { meta, kind, payload }) => {
                let name = start(&mut all, meta.clone(), kind);
                // The DUMP form says the same.
                let (again, raw) = dump::parse(&dump::payload(kind, &payload)).unwrap();
                assert_eq!((again, &raw), (kind, &payload));
                let value = Value { meta, kind, payload };
                for piece in value.pieces(limits) {
                    add(all.get_mut(&name).unwrap(), piece.unwrap());
                }
                if kind == Kind::String {
                    assert_eq!(value.as_string().unwrap(), all[&name].string);
                }
                assert!(!value.is_empty_collection().unwrap());
            }
            Item::Begin(begin) => {
                let name = start(&mut all, begin.meta, begin.kind);
                assert!(open.insert(begin.id, name).is_none());
            }
            Item::Piece { id, piece } => add(all.get_mut(&open[&id]).unwrap(), piece),
            Item::End { id } => {
                open.remove(&id).unwrap();
            }
            _ => {}
        }
    }
    assert!(open.is_empty());
    (all, ctime)
}

/// The value in the form of the listing; sets and hashes sorted, scores as numbers.
fn listing(value: &Decoded, ctime: u64, ttls: &mut BTreeMap<String, u64>) -> (&'static str, Json) {
    let mut list = Vec::new();
    let mut hash = serde_json::Map::new();
    let mut zset = Vec::new();
    let mut entries = Vec::new();
    let mut stream = Json::Null;
    let mut ttl = |name: &Bytes, at: &Option<u64>| {
        if let Some(at) = at {
            ttls.insert(
                latin1(name),
                at.checked_sub(ctime).expect("no member expired while it was recorded"),
            );
        }
    };
    for piece in &value.pieces {
        match piece {
            Piece::List(all) | Piece::Set(all) => list.extend(all.iter().map(|one| latin1(one))),
            Piece::SetTtl(all) => {
                list.extend(all.iter().map(|(one, _)| latin1(one)));
                all.iter().for_each(|(one, at)| ttl(one, at));
            }
            Piece::Hash(all) => hash.extend(all.iter().map(|(f, v)| (latin1(f), latin1(v).into()))),
            Piece::HashTtl(all) => {
                hash.extend(all.iter().map(|(f, v, _)| (latin1(f), latin1(v).into())));
                all.iter().for_each(|(f, _, at)| ttl(f, at));
            }
            Piece::Zset(all) => zset.extend(all.iter().map(|(m, s)| json!([latin1(m), format!("{s:?}")]))),
            Piece::StreamEntries(all) => {
                for entry in all {
                    let fields: Vec<_> =
                        entry.fields.iter().map(|(f, v)| json!([latin1(f), latin1(v)])).collect();
                    entries.push(json!([entry.id.to_string(), fields]));
                }
            }
            Piece::StreamTail(tail) => {
                assert_eq!(tail.length, entries.len() as u64);
                let groups = tail.groups.iter().map(|group| {
                    let mut pel: Vec<_> = group
                        .consumers
                        .iter()
                        .flat_map(|c| {
                            c.pending.iter().map(move |p| (p.id, latin1(&c.name), p.delivery_count))
                        })
                        .collect();
                    pel.sort();
                    assert!(group.unowned.is_empty());
                    let pel: Vec<_> = pel.iter().map(|(id, c, n)| json!([id.to_string(), c, n])).collect();
                    let mut consumers: Vec<_> = group.consumers.iter().map(|c| latin1(&c.name)).collect();
                    consumers.sort();
                    json!({"name": latin1(&group.name), "last-delivered-id": group.last_delivered.to_string(),
                           "entries-read": group.entries_read, "pel": pel, "consumer_names": consumers})
                });
                stream = json!({"entries": entries, "last_id": tail.last_id.to_string(),
                    "entries_added": tail.entries_added, "max_deleted_id": tail.max_deleted_id.unwrap().to_string(),
                    "groups": groups.collect::<Vec<_>>()});
            }
            Piece::String(_) | Piece::Opaque(_) => {}
        }
    }
    use rdb::Family::{Hash, Json as Document, List, Probabilistic, Set, Stream, String, Zset};
    match value.kind.unwrap().family() {
        String => ("string", latin1(&value.string).into()),
        Document => ("ReJSON-RL", serde_json::from_slice(&value.string).unwrap()),
        List => ("list", list.into()),
        Set => {
            list.sort();
            ("set", list.into())
        }
        Hash => ("hash", hash.into()),
        Zset => ("zset", zset.into()),
        Stream => ("stream", stream),
        Probabilistic => {
            let passed: usize =
                value.pieces.iter().map(|piece| if let Piece::Opaque(n) = piece { *n } else { 0 }).sum();
            assert!(passed > 0);
            ("", Json::Null)
        }
    }
}

/// The listing's value in the form of [`listing`].
fn expected(line: &Json) -> Json {
    let mut value = line["value"].clone();
    match line["type"].as_str().unwrap() {
        "ReJSON-RL" => {
            let text: Vec<u8> = value.as_str().unwrap().chars().map(|c| c as u8).collect();
            serde_json::from_slice(&text).unwrap()
        }
        "zset" => {
            for pair in value.as_array_mut().unwrap() {
                let score: f64 = pair[1].as_str().unwrap().parse().unwrap();
                pair[1] = format!("{score:?}").into();
            }
            value
        }
        "stream" => {
            for group in value["groups"].as_array_mut().unwrap() {
                let keep = ["name", "last-delivered-id", "entries-read", "pel", "consumer_names"];
                group.as_object_mut().unwrap().retain(|name, _| keep.contains(&name.as_str()));
            }
            value
        }
        _ => value,
    }
}

/// Compares all flows of every capture whose snapshot has a listing; returns how many keys were compared.
fn compare(limits: &Limits) -> usize {
    let mut scenarios = BTreeMap::<String, Vec<Flow>>::new();
    for flow in snapshots() {
        scenarios.entry(flow.scenario.clone()).or_default().push(flow);
    }
    let mut compared = 0;
    for (scenario, flows) in scenarios {
        let listed = flows[0].directory.join("before.jsonl.zst");
        if !listed.exists() || scenario.ends_with("resume") {
            continue;
        }
        let mut all = Contents::new();
        let mut ctime = 0;
        for flow in &flows {
            let (more, at) = contents(flow, limits);
            all.extend(more);
            ctime = at;
        }
        for line in load(&listed).split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Json = serde_json::from_slice(line).unwrap();
            let key: Vec<u8> = line["key"].as_str().unwrap().chars().map(|c| c as u8).collect();
            let name = (line["db"].as_u64().unwrap() as u32, key);
            let value = all.remove(&name).unwrap_or_else(|| panic!("{scenario}: {name:?} is missing"));
            let mut ttls = BTreeMap::new();
            let (family, got) = listing(&value, ctime, &mut ttls);
            if !family.is_empty() {
                assert_eq!(line["type"], family, "{scenario}: {name:?}");
            }
            assert_eq!(got, expected(&line), "{scenario}: {name:?}");
            assert_eq!(value.expire_at_ms, line["expire_at_ms"].as_u64(), "{scenario}: {name:?}");
            assert_eq!(value.sticky, name.1.starts_with(b"sticky"), "{scenario}: {name:?}");
            // The listing has seconds left at the time of asking: a few less than when the member was written.
            let listed = line["member_ttl_s"].as_object().cloned().unwrap_or_default();
            assert_eq!(ttls.len(), listed.len(), "{scenario}: {name:?}");
            for (member, left) in &ttls {
                let difference = left.abs_diff(listed[member].as_u64().unwrap());
                assert!(
                    difference <= 60,
                    "{scenario}: {name:?} {member}: {difference} s away from the listing"
                );
            }
            compared += 1;
        }
        assert!(all.is_empty(), "{scenario}: {:?} are not listed", all.keys());
    }
    compared
}

#[test]
fn every_value_is_what_the_master_answers() {
    assert_eq!(compare(&Limits::default()), KEYS);
}

#[test]
fn every_value_in_pieces_is_what_the_master_answers() {
    let limits = Limits { whole_value: 0, piece: 100, ..Limits::default() };
    assert_eq!(compare(&limits), KEYS);
}

#[test]
fn entries_belong_to_the_database_selected_before_them() {
    // The captures hold the key `list` in databases 1, 2 and 15 and not in 0: a swallowed SELECTDB would put one of
    // them elsewhere.
    for scenario in ["v1.40.1/types", "v1.40.1/types-raw", "v1.34.0/types"] {
        let mut databases: Vec<u32> = Vec::new();
        for flow in snapshots().iter().filter(|flow| flow.scenario == scenario) {
            let (all, _) = contents(flow, &Limits::default());
            databases.extend(all.keys().filter(|(_, key)| key == b"list").map(|(db, _)| *db));
        }
        databases.sort_unstable();
        assert_eq!(databases, [1, 2, 15], "{scenario}");
    }
}

#[test]
fn member_ttls_count_from_february_2023() {
    let flows = snapshots();
    let mut seen = 0;
    for flow in flows.iter().filter(|flow| flow.scenario.contains("types")) {
        let (all, ctime) = contents(flow, &Limits::default());
        for piece in all.values().flat_map(|value| &value.pieces) {
            let times: Vec<u64> = match piece {
                Piece::HashTtl(all) => all.iter().filter_map(|(_, _, at)| *at).collect(),
                Piece::SetTtl(all) => all.iter().filter_map(|(_, at)| *at).collect(),
                _ => continue,
            };
            for at in times {
                // With a base of 0 every one of them would lie before the snapshot was taken.
                assert!(at > ctime && ctime > MEMBER_TTL_BASE, "{}: {at}", flow.name);
                seen += 1;
            }
        }
    }
    assert!(seen >= 4 * 6, "{seen}");
}
