//! Payloads of `DUMP` made from the commands of `commands.txt`: what they have to say, and that they are encoded again without
//! loss. Used here for those that are kept, and where servers are at hand (`router/tests/corpus.rs`) for those they make.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rdb::{Family, Kind, Limits, Piece, Pieces, StreamEntry, StreamTail, dump};

/// The commands, a line each.
const COMMANDS: &str = include_str!("../corpus/commands.txt");

/// Name of the server, its keys and payloads.
pub(crate) type Corpus = (String, Vec<(String, Bytes)>);

/// The words of every command.
pub(crate) fn commands() -> impl Iterator<Item = Vec<String>> {
    COMMANDS.lines().map(|line| line.split(' ').map(expand).collect())
}

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
    for words in commands() {
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

/// Encodings of newer servers that no Dragonfly emits, and that a snapshot of one therefore never has: a set in a listpack,
/// and hashes whose fields expire as Redis writes them.
fn is_foreign(payload: &Bytes) -> bool {
    matches!(payload[0], 20 | 22..=25)
}

/// Checks what every payload says, streams by those of the first server. Returns the types there are.
pub(crate) fn check_meaning(corpora: &[Corpus]) -> BTreeSet<u8> {
    let expected = expected();
    let mut kinds = BTreeSet::new();
    let mut streams: BTreeMap<&str, (&str, Vec<StreamEntry>, StreamTail)> = BTreeMap::new();
    for (server, payloads) in corpora {
        let mut found = BTreeSet::new();
        for (key, payload) in payloads {
            found.insert(key);
            if is_foreign(payload) {
                continue;
            }
            let (kind, raw) = dump::parse(payload).unwrap_or_else(|e| panic!("{server} {key}: {e}"));
            kinds.insert(kind.code());
            let value = meaning(kind, &raw);
            if let Meaning::Stream(entries, tail) = value {
                let of =
                    |(_, e, t): &(&str, Vec<StreamEntry>, StreamTail)| (e.clone(), t.last_id, t.groups.len());
                let this = (server.as_str(), entries, *tail);
                let first = streams.entry(key).or_insert_with(|| this.clone());
                assert_eq!(of(first), of(&this), "{key} of {server} and {}", first.0);
                continue;
            }
            assert_eq!(value, expected[key], "{server} {key}");
        }
        assert!(expected.keys().all(|key| found.contains(key)), "{server} lacks keys");
    }
    kinds
}

/// Checks that every payload, encoded again as it is and for servers that know less, says the same.
pub(crate) fn check_encoded_again(corpora: &[Corpus]) {
    for (server, payloads) in corpora {
        for (key, payload) in payloads.iter().filter(|(_, payload)| !is_foreign(payload)) {
            let (kind, raw) = dump::parse(payload).unwrap();
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
