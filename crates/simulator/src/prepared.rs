//! A master with a prepared snapshot and journal, for benchmarks: both are built before the first replica
//! attaches, so that a measurement contains no time of the source.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use crate::Clock;
use crate::engine::Random;
use crate::engine::shard::Place;
use crate::replay::{FlowScript, Held, Plan, Script, Style};
use crate::wire::{journal, primitive, rdb};
use crate::{Error, Release, ReplayHandle};

/// A flush of the snapshot, as a real master makes them (`kMinBlobSize`).
const FLUSH: usize = 8 << 10;
/// Letters of a value that does not compress: 64, so that each takes six random bits.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Words of a value that compresses, eight letters each.
const WORDS: [&[u8; 8]; 16] = [
    b"account ",
    b"balance ",
    b"created ",
    b"deleted ",
    b"display ",
    b"enabled ",
    b"example ",
    b"feature ",
    b"history ",
    b"invoice ",
    b"message ",
    b"network ",
    b"product ",
    b"receipt ",
    b"session ",
    b"updated ",
];

/// A prepared master; see [`PreparedBuilder`].
#[derive(Debug)]
pub struct Prepared;

impl Prepared {
    /// 1 000 000 strings of 100 bytes over two flows, no journal.
    pub fn builder() -> PreparedBuilder {
        PreparedBuilder {
            flows: 2,
            keys: 1_000_000,
            value_len: 100,
            journal: 0,
            compressible: false,
            seed: 1,
            bind: "127.0.0.1:0".to_owned(),
        }
    }
}

/// Settings of a prepared master. Both streams lie in memory before it listens; sending costs no encoding.
#[derive(Debug, Clone)]
pub struct PreparedBuilder {
    flows: usize,
    keys: usize,
    value_len: usize,
    journal: usize,
    compressible: bool,
    seed: u64,
    bind: String,
}

impl PreparedBuilder {
    /// Number of flows; keys are split over them by Dragonfly's shard function.
    pub fn flows(mut self, flows: usize) -> Self {
        self.flows = flows;
        self
    }

    /// Number of strings in the snapshot; see [`PreparedBuilder::pairs`].
    pub fn keys(mut self, keys: usize) -> Self {
        self.keys = keys;
        self
    }

    /// Length of every value in bytes.
    pub fn value_len(mut self, len: usize) -> Self {
        self.value_len = len;
        self
    }

    /// Number of SET records in the journal, over all flows; see [`PreparedBuilder::records`]. They are held back
    /// until [`ReplayHandle::release_journal`].
    pub fn journal(mut self, records: usize) -> Self {
        self.journal = records;
        self
    }

    /// Whether values are made of a few words, which LZ4 packs into less than half, instead of random letters, which
    /// it packs so badly that the master sends many blobs as they are.
    pub fn compressible(mut self, compressible: bool) -> Self {
        self.compressible = compressible;
        self
    }

    /// Seed of the values.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Address to listen on, `host:port`; port 0 takes a free one.
    pub fn bind(mut self, addr: impl Into<String>) -> Self {
        self.bind = addr.into();
        self
    }

    /// Keys and values of the snapshot in order, for loading the same data by other means: `key:000000000000` and so
    /// on.
    pub fn pairs(&self) -> impl Iterator<Item = (Bytes, Bytes)> {
        self.draw(self.seed).take(self.keys)
    }

    /// Keys and values of the journal in order: the snapshot's keys, over and over, with other values.
    pub fn records(&self) -> impl Iterator<Item = (Bytes, Bytes)> {
        self.draw(!self.seed).take(self.journal)
    }

    fn draw(&self, seed: u64) -> Pairs {
        Pairs {
            random: Random::new(seed),
            at: 0,
            keys: self.keys.max(1),
            len: self.value_len,
            compressible: self.compressible,
        }
    }

    /// Builds the streams in memory and starts listening.
    ///
    /// # Errors
    /// [`Error::Setting`] for an impossible number of flows, [`Error::Bind`].
    pub async fn start(self) -> Result<ReplayHandle, Error> {
        if self.flows == 0 || self.flows > 1024 {
            return Err(Error::Setting("flows must be between 1 and 1024"));
        }
        ReplayHandle::start(self.script(), Plan::default(), &self.bind).await
    }

    fn script(&self) -> Script {
        let release = Release::V1_40;
        let mut random = Random::new(self.seed);
        let mut flows: Vec<Flow> = (0..self.flows)
            .map(|id| {
                let header = rdb::header(release.profile(), id, self.flows, Clock::system().now_s(), 1 << 20);
                Flow { token: random.hex40(), bytes: header.as_slice().into(), ..Flow::default() }
            })
            .collect();
        for (key, value) in self.pairs() {
            flows[Place::of(&key, &key, self.flows).shard].entry(&key, &value);
        }
        flows.iter_mut().for_each(Flow::end_snapshot);
        for (key, value) in self.records() {
            flows[Place::of(&key, &key, self.flows).shard].record(&key, &value);
        }
        Script {
            replid: random.hex40(),
            first_sync: 1,
            ordinal: release.profile().ordinal as i64,
            lineage: true,
            release: release.version().to_owned(),
            style: Style::Full,
            flows: flows.into_iter().map(Flow::finish).collect(),
            keyspace: BTreeMap::from([(0, (self.keys, 0))]),
            held: Held::Numbered(self.keys),
        }
    }
}

fn key(number: usize) -> Bytes {
    Bytes::from(format!("key:{number:012}"))
}

/// What a key's number is, if it is one of these keys.
pub(crate) fn number(key: &[u8]) -> Option<usize> {
    let digits = key.strip_prefix(b"key:").filter(|digits| digits.len() == 12)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

struct Pairs {
    random: Random,
    at: usize,
    keys: usize,
    len: usize,
    compressible: bool,
}

impl Iterator for Pairs {
    type Item = (Bytes, Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        let key = key(self.at % self.keys);
        self.at += 1;
        let mut value = BytesMut::with_capacity(self.len + 128);
        while value.len() < self.len {
            let bits = self.random.next();
            if self.compressible {
                (0..16).for_each(|i| value.put_slice(WORDS[(bits >> (4 * i) & 15) as usize]));
            } else {
                (0..10).for_each(|i| value.put_u8(LETTERS[(bits >> (6 * i) & 63) as usize]));
            }
        }
        value.truncate(self.len);
        Some((key, value.freeze()))
    }
}

#[derive(Default)]
struct Flow {
    token: String,
    bytes: BytesMut,
    /// The flush that gathers.
    buf: Vec<u8>,
    sync_end: usize,
    gate: usize,
    records: u64,
}

impl Flow {
    fn entry(&mut self, key: &[u8], value: &[u8]) {
        if self.buf.is_empty() {
            rdb::select(&mut self.buf, 0);
        }
        rdb::entry_head(&mut self.buf, rdb::code::STRING, key, None, false);
        primitive::string(&mut self.buf, value);
        if self.buf.len() >= FLUSH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let raw = std::mem::take(&mut self.buf);
        self.bytes.extend_from_slice(&rdb::flush(raw, false));
    }

    fn end_snapshot(&mut self) {
        self.flush();
        let mut end = Vec::new();
        rdb::fullsync_end(&mut end);
        self.sync_end = self.bytes.len() + end.len();
        rdb::journal_offset(&mut end, 1);
        rdb::eof(&mut end, &self.token);
        self.bytes.extend_from_slice(&end);
        self.gate = self.bytes.len();
    }

    fn record(&mut self, key: &[u8], value: &[u8]) {
        self.buf.clear();
        journal::command(&mut self.buf, 0, 0, &[b"SET".as_slice(), key, value]);
        self.records += 1;
        if self.records == 1 {
            journal::lsn(&mut self.buf, 1);
        }
        self.bytes.extend_from_slice(&self.buf);
    }

    fn finish(self) -> FlowScript {
        FlowScript {
            token: self.token,
            bytes: self.bytes.freeze(),
            sync_end: self.sync_end,
            gate: self.gate,
            journal_at: self.gate,
            asked: None,
            next_lsn: [1, 1 + self.records],
        }
    }
}
