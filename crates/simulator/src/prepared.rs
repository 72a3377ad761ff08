//! A master with a prepared snapshot and journal, for benchmarks.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::engine::Random;
use crate::engine::now_s;
use crate::engine::shard::Place;
use crate::replay::Pacing;
use crate::script::{ReplayHandle, Script, ScriptFlow, hex_id};
use crate::wire::{journal, primitive, rdb};
use crate::{Error, Release};

/// A flush of the snapshot, as a real master makes them.
const FLUSH: usize = 8 << 10;
/// Bytes handed to the socket in one piece.
const PIECE: usize = 1 << 20;

/// A prepared master; see [`PreparedBuilder`].
#[derive(Debug)]
pub struct Prepared;

impl Prepared {
    /// 1 000 000 strings of 100 bytes in LZ4 blobs over two flows, no journal.
    pub fn builder() -> PreparedBuilder {
        PreparedBuilder {
            flows: 2,
            keys: 1_000_000,
            value_len: 100,
            journal: 0,
            seed: 1,
            bind: "127.0.0.1:0".to_owned(),
        }
    }
}

/// Settings of a prepared master. Streams are built before it listens; sending costs no encoding.
#[derive(Debug, Clone)]
pub struct PreparedBuilder {
    flows: usize,
    keys: usize,
    value_len: usize,
    journal: usize,
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

    /// Number of SET records sent after STARTSTABLE, over all flows. They set the same keys, in the same order, to other
    /// values.
    pub fn journal(mut self, records: usize) -> Self {
        self.journal = records;
        self
    }

    /// Seed of the values.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Address to listen on.
    pub fn bind(mut self, addr: impl Into<String>) -> Self {
        self.bind = addr.into();
        self
    }

    /// The keys and values of the snapshot in order, for loading the same data by other means: `key:000000000000` and so on,
    /// values of hex digits (which LZ4 halves).
    pub fn pairs(&self) -> impl Iterator<Item = (Bytes, Bytes)> {
        Pairs { random: Random::new(self.seed), at: 0, len: self.value_len }.take(self.keys)
    }

    /// Builds the streams in memory and starts listening.
    ///
    /// # Errors
    /// [`Error::Setting`] for an impossible number of flows, [`Error::Bind`].
    pub async fn start(self) -> Result<ReplayHandle, Error> {
        if self.flows == 0 || self.flows > 1024 {
            return Err(Error::Setting("flows must be between 1 and 1024"));
        }
        let script = self.script();
        ReplayHandle::start(script, &self.bind).await
    }

    fn script(&self) -> Script {
        let release = Release::V1_40;
        let mut flows: Vec<Flow> = (0..self.flows)
            .map(|i| {
                let mut f = Flow { token: hex_id(self.seed + 1 + i as u64), ..Flow::default() };
                f.snapshot.push(&rdb::header(release.version(), i, self.flows, now_s(), 1 << 20));
                f.next_lsn = 1;
                f
            })
            .collect();
        for (key, value) in self.pairs() {
            flows[Place::of(&key, self.flows).shard].entry(&key, &value);
        }
        for flow in &mut flows {
            flow.end_snapshot();
        }
        let changed = Pairs { random: Random::new(!self.seed), at: 0, len: self.value_len };
        let keys = self.keys.max(1) as u64;
        for (i, (_, value)) in changed.take(self.journal).enumerate() {
            let key = key(i as u64 % keys);
            flows[Place::of(&key, self.flows).shard].record(&key, &value);
        }
        Script {
            replid: hex_id(self.seed),
            version: release.version().to_owned(),
            ordinal: release.ordinal(),
            lineage: true,
            first_sync_id: 1,
            partial: false,
            wants_sync: true,
            next_lsns: flows.iter().map(|f| f.next_lsn).collect(),
            flows: flows.into_iter().map(Flow::finish).collect(),
            keyspace: BTreeMap::from([(0, (self.keys, 0))]),
            pacing: Pacing::default(),
            cuts: Vec::new(),
            stalls: Vec::new(),
        }
    }
}

fn key(i: u64) -> Bytes {
    Bytes::from(format!("key:{i:012}"))
}

struct Pairs {
    random: Random,
    at: u64,
    len: usize,
}

impl Iterator for Pairs {
    type Item = (Bytes, Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let key = key(self.at);
        self.at += 1;
        let mut value = BytesMut::with_capacity(self.len + 16);
        while value.len() < self.len {
            let mut bits = self.random.next();
            for _ in 0..16 {
                value.extend_from_slice(&[DIGITS[(bits & 15) as usize]]);
                bits >>= 4;
            }
        }
        value.truncate(self.len);
        Some((key, value.freeze()))
    }
}

/// Bytes in pieces of a good size for the socket.
#[derive(Default)]
struct Pieces {
    done: Vec<Bytes>,
    at: BytesMut,
}

impl Pieces {
    fn push(&mut self, bytes: &[u8]) {
        self.at.extend_from_slice(bytes);
        if self.at.len() >= PIECE {
            self.done.push(self.at.split().freeze());
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.done.push(self.at.freeze());
        self.done
    }
}

#[derive(Default)]
struct Flow {
    token: String,
    snapshot: Pieces,
    stable: Pieces,
    buf: Vec<u8>,
    next_lsn: u64,
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
        self.snapshot.push(&rdb::flush(raw));
    }

    fn end_snapshot(&mut self) {
        self.flush();
        let mut end = Vec::new();
        rdb::fullsync_end(&mut end);
        self.snapshot.push(&end);
        end.clear();
        rdb::journal_offset(&mut end, self.next_lsn);
        rdb::eof(&mut end, &self.token);
        self.stable.push(&end);
    }

    fn record(&mut self, key: &[u8], value: &[u8]) {
        let mut out = Vec::with_capacity(key.len() + value.len() + 16);
        journal::command(&mut out, 0, 0, &[b"SET".as_slice(), key, value]);
        if self.next_lsn == 1 {
            journal::lsn(&mut out, 1);
        }
        self.next_lsn += 1;
        self.stable.push(&out);
    }

    fn finish(self) -> ScriptFlow {
        ScriptFlow { token: self.token, snapshot: self.snapshot.finish(), stable: self.stable.finish() }
    }
}
