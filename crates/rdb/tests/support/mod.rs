//! The recorded captures, and a decoder that is fed in pieces.

#![allow(dead_code, unreachable_pub)]

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rdb::{Decoder, Error, Item, Limits, Piece};

/// One recorded flow.
pub struct Flow {
    /// `v1.40.1/types/flow-0`.
    pub name: String,
    pub scenario: String,
    pub bytes: Bytes,
    /// Hex, as in the reply to DFLY FLOW.
    pub token: String,
    pub next_lsn: u64,
    /// Whether it begins with a snapshot. The partial syncs of v1.35 and later are journals from the first byte.
    pub snapshot: bool,
    pub directory: PathBuf,
}

pub fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures")
}

/// A compressed file of a capture.
pub fn load(path: &Path) -> Vec<u8> {
    let file = fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    zstd::decode_all(file).unwrap()
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.is_dir());
    all.sort();
    all
}

/// Every recorded flow.
pub fn flows() -> Vec<Flow> {
    let mut flows = Vec::new();
    for directory in directories(&captures()).iter().flat_map(|release| directories(release)) {
        let meta: serde_json::Value =
            serde_json::from_slice(&fs::read(directory.join("meta.json")).unwrap()).unwrap();
        let scenario = directory.strip_prefix(captures()).unwrap().display().to_string();
        for i in 0..meta["flows"].as_u64().unwrap() as usize {
            let bytes = Bytes::from(load(&directory.join(format!("flow-{i}.bin.zst"))));
            flows.push(Flow {
                name: format!("{scenario}/flow-{i}"),
                scenario: scenario.clone(),
                snapshot: bytes.starts_with(b"REDIS"),
                bytes,
                token: meta["eof_tokens"][i].as_str().unwrap().to_owned(),
                next_lsn: meta["next_lsn_at_end"][i].as_u64().unwrap(),
                directory: directory.clone(),
            });
        }
    }
    assert!(flows.len() >= 28, "captures are missing");
    flows
}

/// Every recorded flow that begins with a snapshot.
pub fn snapshots() -> Vec<Flow> {
    let mut flows = flows();
    flows.retain(|flow| flow.snapshot);
    flows
}

/// Everything a decoder has to say now.
pub fn drain(decoder: &mut Decoder, items: &mut Vec<Item>) -> Result<(), Error> {
    while let Some(item) = decoder.next()? {
        push(items, item);
    }
    Ok(())
}

/// Adds an item. Where a plain string is cut into pieces, and where a value that is passed over, depends on how it is
/// fed, and nothing else does: those are put together again.
pub fn push(items: &mut Vec<Item>, item: Item) {
    match (items.last_mut(), &item) {
        (
            Some(Item::Piece { id: before, piece: Piece::String(all) }),
            Item::Piece { id, piece: Piece::String(more) },
        ) if before == id => {
            *all = [&all[..], &more[..]].concat().into();
        }
        (
            Some(Item::Piece { id: before, piece: Piece::Opaque(all) }),
            Item::Piece { id, piece: Piece::Opaque(more) },
        ) if before == id => {
            *all += more;
        }
        _ => items.push(item),
    }
}

/// Decodes a complete stream that is fed at once; returns the items and what follows the token.
pub fn decode(bytes: &Bytes, limits: Limits) -> Result<(Vec<Item>, Bytes), Error> {
    let mut decoder = Decoder::new(limits);
    let mut items = Vec::new();
    decoder.feed(bytes.clone());
    drain(&mut decoder, &mut items)?;
    assert!(decoder.finished(), "the stream is not complete");
    Ok((items, decoder.into_rest()))
}

/// A small seeded generator (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Bytes from hex digits with blanks between them.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}
