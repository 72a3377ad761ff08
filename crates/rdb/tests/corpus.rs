//! Payloads of `DUMP`, made by servers old and new from the same commands: every one decodes to what those commands say, and
//! is encoded again without loss.
//!
//! `tests/target_dialects.rs` of the workspace makes the files under `corpus/`, and makes them anew where `TARGET_BINS` names
//! servers: one line for each key, its name and its payload in hex.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use bytes::Bytes;
use rdb::{Family, Kind, Limits, Piece, Pieces, StreamEntry, StreamTail, dump};

/// What a value is, however it is encoded.
#[derive(Debug, Clone, PartialEq)]
enum Meaning {
    Text(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    /// Scores by their bits.
    Zset(BTreeMap<Vec<u8>, u64>),
    Stream(Vec<StreamEntry>, Box<StreamTail>),
}

fn meaning(kind: Kind, raw: &Bytes) -> Meaning {
    let mut text = Vec::new();
    let (mut list, mut set, mut hash, mut zset) =
        (Vec::new(), BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    let (mut entries, mut end) = (Vec::new(), None);
    for piece in Pieces::new(kind, raw.clone(), &Limits::default()) {
        match piece.unwrap() {
            Piece::String(bytes) => text.extend_from_slice(&bytes),
            Piece::List(items) => list.extend(items.iter().map(|item| item.to_vec())),
            Piece::Set(items) => set.extend(items.iter().map(|item| item.to_vec())),
            Piece::Hash(pairs) => hash.extend(pairs.iter().map(|(f, v)| (f.to_vec(), v.to_vec()))),
            Piece::Zset(pairs) => zset.extend(pairs.iter().map(|(m, s)| (m.to_vec(), s.to_bits()))),
            Piece::StreamEntries(more) => entries.extend(more),
            Piece::StreamTail(tail) => end = Some(tail),
            // The expiry itself is shown elsewhere: the captures.
            Piece::HashTtl(fields) => hash.extend(fields.iter().map(|(f, v, _)| (f.to_vec(), v.to_vec()))),
            Piece::SetTtl(members) => set.extend(members.iter().map(|(m, _)| m.to_vec())),
            Piece::Opaque(_) => panic!("{kind:?} has no meaning here"),
        }
    }
    match kind.family() {
        Family::List => Meaning::List(list),
        Family::Set => Meaning::Set(set),
        Family::Hash => Meaning::Hash(hash),
        Family::Zset => Meaning::Zset(zset),
        Family::Stream => Meaning::Stream(entries, Box::new(end.unwrap())),
        _ => Meaning::Text(text),
    }
}

/// What the commands say, for those that can be told without a server.
fn expected() -> BTreeMap<String, Meaning> {
    let mut all = BTreeMap::new();
    for line in fs::read_to_string(directory().join("commands.txt")).unwrap().lines() {
        let words: Vec<String> = line.split(' ').map(expand).collect();
        let bytes = |word: &String| word.clone().into_bytes();
        let (name, rest) = (words[1].clone(), &words[2..]);
        let pairs = || rest.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone()));
        match words[0].as_str() {
            "SET" => drop(all.insert(name, Meaning::Text(bytes(&rest[0])))),
            "RPUSH" => match all.entry(name).or_insert_with(|| Meaning::List(Vec::new())) {
                Meaning::List(list) => list.extend(rest.iter().map(bytes)),
                other => panic!("{other:?}"),
            },
            "SADD" => match all.entry(name).or_insert_with(|| Meaning::Set(BTreeSet::new())) {
                Meaning::Set(set) => set.extend(rest.iter().map(bytes)),
                other => panic!("{other:?}"),
            },
            "HSET" => match all.entry(name).or_insert_with(|| Meaning::Hash(BTreeMap::new())) {
                Meaning::Hash(hash) => hash.extend(pairs().map(|(f, v)| (bytes(&f), bytes(&v)))),
                other => panic!("{other:?}"),
            },
            "ZADD" => match all.entry(name).or_insert_with(|| Meaning::Zset(BTreeMap::new())) {
                Meaning::Zset(zset) => {
                    zset.extend(pairs().map(|(s, m)| (bytes(&m), s.parse::<f64>().unwrap().to_bits())));
                }
                other => panic!("{other:?}"),
            },
            // Streams are compared from server to server.
            _ => {}
        }
    }
    all
}

/// `x*300` is 300 times `x`, any other word itself.
fn expand(word: &str) -> String {
    match word.split_once('*').map(|(text, times)| (text, times.parse())) {
        Some((text, Ok(times))) => text.repeat(times),
        _ => word.to_owned(),
    }
}

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn unhex(text: &str) -> Bytes {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect::<Vec<_>>()
        .into()
}

/// Name of the server, its keys and payloads.
fn corpora() -> Vec<(String, Vec<(String, Bytes)>)> {
    let mut files: Vec<_> = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "zst"));
    files.sort();
    let read = |path: &Path| {
        let text = zstd::decode_all(fs::File::open(path).unwrap()).unwrap();
        let lines = String::from_utf8(text).unwrap();
        lines
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(k, p)| (k.to_owned(), unhex(p)))
            .collect()
    };
    files.iter().map(|path| (path.file_stem().unwrap().display().to_string(), read(path))).collect()
}

/// Encodings of newer servers that no Dragonfly emits, and that a snapshot of one therefore never has: a set in a listpack,
/// and hashes whose fields expire as Redis writes them.
fn is_foreign(payload: &Bytes) -> bool {
    matches!(payload[0], 20 | 22..=25)
}

#[test]
fn every_payload_says_what_the_commands_said() {
    let expected = expected();
    let mut kinds = BTreeSet::new();
    let mut streams: BTreeMap<String, (String, Vec<StreamEntry>, StreamTail)> = BTreeMap::new();
    for (server, payloads) in corpora() {
        let mut found = BTreeSet::new();
        for (key, payload) in payloads {
            found.insert(key.clone());
            if is_foreign(&payload) {
                continue;
            }
            let (kind, raw) = dump::parse(&payload).unwrap_or_else(|e| panic!("{server} {key}: {e}"));
            kinds.insert(kind.code());
            let value = meaning(kind, &raw);
            if let Meaning::Stream(entries, tail) = value {
                let of = |(_, e, t): &(String, Vec<StreamEntry>, StreamTail)| {
                    (e.clone(), t.last_id, t.groups.len())
                };
                let this = (server.clone(), entries, *tail);
                let first = streams.entry(key.clone()).or_insert_with(|| this.clone());
                assert_eq!(of(first), of(&this), "{key} of {server} and {}", first.0);
                continue;
            }
            assert_eq!(value, expected[&key], "{server} {key}");
        }
        assert!(expected.keys().all(|key| found.contains(key)), "{server} lacks keys");
    }
    // From the ziplists of 6.2 to the newest.
    for code in [0, 2, 4, 5, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21] {
        assert!(kinds.contains(&code), "no payload of type {code}: {kinds:?}");
    }
}

#[test]
fn every_payload_is_encoded_again_without_loss() {
    for (server, payloads) in corpora() {
        for (key, payload) in payloads.into_iter().filter(|(_, payload)| !is_foreign(payload)) {
            let (kind, raw) = dump::parse(&payload).unwrap();
            let value = meaning(kind, &raw);
            // With a footer of ours.
            let (same, again) = dump::parse(&dump::payload(kind, &raw)).unwrap();
            assert_eq!((same, &again), (kind, &raw), "{server} {key}");
            // For a server that does not know the encoding.
            if let Some(plain) = dump::plain_payload(kind, &raw).unwrap() {
                if kind.family() == Family::List {
                    continue; // type 1 is for servers to read: shown there
                }
                let (plain_kind, plain_raw) = dump::parse(&plain).unwrap();
                assert_eq!(meaning(plain_kind, &plain_raw), value, "{server} {key}");
            }
            for older in [Kind::Stream2, Kind::Stream] {
                let Ok(raw) = dump::stream_as(kind, &raw, older) else { continue };
                let (Meaning::Stream(entries, tail), Meaning::Stream(before, tail_before)) =
                    (meaning(older, &raw), &value)
                else {
                    panic!("{server} {key} is no stream any more");
                };
                assert_eq!(&entries, before, "{server} {key}");
                assert_eq!((tail.last_id, tail.length), (tail_before.last_id, tail_before.length));
            }
        }
    }
}
