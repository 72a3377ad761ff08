//! One shard: its databases in buckets, its journal, the flows that listen to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use twox_hash::XxHash64;

use super::journal::Journal;
use super::value::Value;
use crate::attach::Flow;

/// Databases of a master (`dbnum`).
pub(crate) const DBS: u16 = 16;
/// Buckets of a database in one shard: the unit in which snapshots go forward.
pub(crate) const BUCKETS: usize = 4096;
const SEED: u64 = 120_577_240_643;

/// Where a key lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) shard: usize,
    pub(crate) bucket: usize,
}

impl Place {
    /// The shard is `XXH64(hashed, 120577240643) mod shards` (every release, `sharding.cc Shard`), where `hashed` is the key,
    /// or its tag in cluster mode; the bucket is ours.
    pub(crate) fn of(key: &[u8], hashed: &[u8], shards: usize) -> Place {
        let hash = XxHash64::oneshot(SEED, hashed);
        let bucket = if hashed.len() == key.len() { hash } else { XxHash64::oneshot(SEED, key) };
        Place { shard: (hash % shards as u64) as usize, bucket: (bucket >> 40) as usize % BUCKETS }
    }
}

/// A key's value and attributes.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    /// Absolute unix milliseconds.
    pub(crate) expire_at: Option<u64>,
    pub(crate) sticky: bool,
    /// Members or fields that expire, and when (unix seconds). One that is there no more counts as not there.
    pub(crate) members: Members,
}

/// Expiry of members or fields, in unix seconds.
pub(crate) type Members = BTreeMap<Bytes, u64>;

pub(crate) type Bucket = BTreeMap<Bytes, Entry>;

/// One shard's part of one database.
#[derive(Debug, Clone)]
pub(crate) struct Db {
    pub(crate) buckets: Vec<Bucket>,
    pub(crate) keys: usize,
    pub(crate) expires: usize,
}

impl Default for Db {
    fn default() -> Self {
        Db { buckets: vec![Bucket::new(); BUCKETS], keys: 0, expires: 0 }
    }
}

/// The data of one shard without its journal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Data {
    dbs: Vec<Option<Box<Db>>>,
    expiries: BTreeSet<(u64, u16, Bytes)>,
}

impl Data {
    /// Every key: database, key, entry.
    pub(crate) fn into_entries(self) -> impl Iterator<Item = (u16, Bytes, Entry)> {
        let dbs = self.dbs.into_iter().zip(0u16..).filter_map(|(d, i)| Some((i, d?)));
        dbs.flat_map(|(i, d)| d.buckets.into_iter().flatten().map(move |(k, e)| (i, k, e)))
    }
}

/// One shard.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) dbs: Vec<Option<Box<Db>>>,
    pub(crate) journal: Journal,
    pub(crate) flows: Vec<Flow>,
    pub(crate) expiries: BTreeSet<(u64, u16, Bytes)>,
    lsn_interval: Duration,
    /// Told when a key will expire sooner than all others.
    sooner: Arc<Notify>,
}

impl Shard {
    pub(crate) fn new(journal: Journal, lsn_interval: Duration, sooner: Arc<Notify>) -> Self {
        Shard {
            dbs: (0..DBS).map(|_| None).collect(),
            journal,
            flows: Vec::new(),
            expiries: BTreeSet::new(),
            lsn_interval,
            sooner,
        }
    }

    /// A copy of the data.
    pub(crate) fn data(&self) -> Data {
        Data { dbs: self.dbs.clone(), expiries: self.expiries.clone() }
    }

    /// Takes the data out.
    pub(crate) fn take_data(&mut self) -> Data {
        let dbs = std::mem::replace(&mut self.dbs, (0..DBS).map(|_| None).collect());
        Data { dbs, expiries: std::mem::take(&mut self.expiries) }
    }

    /// Puts data in, in the place of what is there.
    pub(crate) fn set_data(&mut self, data: Data) {
        (self.dbs, self.expiries) = (data.dbs, data.expiries);
        self.sooner.notify_one();
    }

    pub(crate) fn entry(&self, db: u16, bucket: usize, key: &[u8]) -> Option<&Entry> {
        self.dbs[usize::from(db)].as_ref()?.buckets[bucket].get(key)
    }

    /// The entry for writing. The caller has called [`Shard::before_write`].
    pub(crate) fn entry_mut(&mut self, db: u16, bucket: usize, key: &[u8]) -> Option<&mut Entry> {
        self.dbs[usize::from(db)].as_mut()?.buckets[bucket].get_mut(key)
    }

    pub(crate) fn insert(&mut self, db: u16, bucket: usize, key: Bytes, entry: Entry) -> &mut Entry {
        self.remove(db, bucket, &key);
        let d = self.dbs[usize::from(db)].get_or_insert_default();
        d.keys += 1;
        if let Some(at) = entry.expire_at {
            d.expires += 1;
            if self.expiries.first().is_none_or(|(first, ..)| at < *first) {
                self.sooner.notify_one();
            }
            self.expiries.insert((at, db, key.clone()));
        }
        d.buckets[bucket].entry(key).or_insert(entry)
    }

    pub(crate) fn remove(&mut self, db: u16, bucket: usize, key: &[u8]) -> Option<Entry> {
        let d = self.dbs[usize::from(db)].as_mut()?;
        let (key, entry) = d.buckets[bucket].remove_entry(key)?;
        d.keys -= 1;
        if let Some(at) = entry.expire_at {
            d.expires -= 1;
            self.expiries.remove(&(at, db, key));
        }
        Some(entry)
    }

    pub(crate) fn set_expiry(&mut self, db: u16, bucket: usize, key: &[u8], at: Option<u64>) {
        let Some(d) = self.dbs[usize::from(db)].as_mut() else { return };
        let Some(entry) = d.buckets[bucket].get_mut(key) else { return };
        let key = Bytes::copy_from_slice(key);
        if let Some(old) = std::mem::replace(&mut entry.expire_at, at) {
            d.expires -= 1;
            self.expiries.remove(&(old, db, key.clone()));
        }
        if let Some(at) = at {
            d.expires += 1;
            if self.expiries.first().is_none_or(|(first, ..)| at < *first) {
                self.sooner.notify_one();
            }
            self.expiries.insert((at, db, key));
        }
    }

    /// Forces the key's bucket out to every running snapshot that has not sent it: the pre-image. Called before
    /// anything in the bucket changes.
    pub(crate) fn before_write(&mut self, db: u16, bucket: usize) {
        if self.flows.is_empty() {
            return;
        }
        for flow in &mut self.flows {
            if let Some((snapshot, outbox)) = flow.snapshot_mut() {
                snapshot.force(db, bucket, self.dbs[usize::from(db)].as_deref(), outbox);
            }
        }
    }

    /// Whether a SET or DEL in this bucket needs no record because the one running snapshot, the journal's only
    /// consumer, will carry the result (v1.39 and later, `db_slice.cc IsOmittableWrite`).
    pub(crate) fn omittable(&self, db: u16, bucket: usize) -> bool {
        match self.flows.as_slice() {
            [flow] => flow.snapshot().is_some_and(|s| !s.is_done(db, bucket)),
            _ => false,
        }
    }

    /// Journals one serialized record and hands it to every flow. Nothing happens before the first attach.
    pub(crate) fn append(&mut self, record: Vec<u8>) {
        if !self.journal.is_on() {
            return;
        }
        let record = Bytes::from(record);
        let lsn = self.journal.push(record.clone());
        for flow in &mut self.flows {
            flow.deliver(&record, lsn, self.lsn_interval);
        }
    }

    /// [`Shard::append`] of the end of a transaction, which flows in full sync do not see (v1.11 to v1.20, `snapshot.cc`
    /// OnJournalEntry).
    pub(crate) fn append_exec(&mut self, record: Vec<u8>) {
        if !self.journal.is_on() {
            return;
        }
        let record = Bytes::from(record);
        let lsn = self.journal.push(record.clone());
        for flow in self.flows.iter_mut().filter(|flow| flow.snapshot().is_none()) {
            flow.deliver(&record, lsn, self.lsn_interval);
        }
    }

    /// Empties database `db`. Running snapshots keep what they had: their old keys follow the record of the
    /// flush, as a real master's do.
    pub(crate) fn flush(&mut self, db: u16) {
        let Some(old) = self.dbs[usize::from(db)].take() else { return };
        self.expiries.retain(|(_, d, _)| *d != db);
        for flow in &mut self.flows {
            if let Some((snapshot, outbox)) = flow.snapshot_mut() {
                snapshot.abandon_db(db, &old, outbox);
            }
        }
    }
}
