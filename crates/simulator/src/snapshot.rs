//! One shard's full-sync stream: traversal, pre-images, journal blobs, tagged chunks.
//!
//! Buckets go out in order; a write to a bucket that is still ahead forces it out first, so that the baseline of
//! a key always precedes the records that change it (v1.40.1 `serializer_base.cc`, "ordering invariant").

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;

use crate::engine::shard::{BUCKETS, Bucket, DBS, Db, Entry};
use crate::outbox::Outbox;
use crate::wire::{rdb, values};
use crate::{Large, Profile};

/// A flush happens once this much has gathered (`kMinBlobSize`).
const FLUSH: usize = 8 << 10;

/// Most buckets in one step, which runs under the engine's lock.
const STEP: usize = 512;

/// A value whose remaining chunks wait for their turn. While it waits its bucket counts as locked: a write to
/// it sends the chunks first.
#[derive(Debug)]
struct Split {
    db: u16,
    bucket: usize,
    id: u32,
    chunks: VecDeque<Vec<u8>>,
}

/// The state of one flow in full sync.
#[derive(Debug)]
pub(crate) struct Snapshot {
    profile: &'static Profile,
    /// Everything before this (database, bucket) has been traversed.
    cursor: (u16, usize),
    /// Buckets ahead of the cursor that were forced out.
    forced: HashSet<(u16, usize)>,
    splits: VecDeque<Split>,
    buf: Vec<u8>,
    /// The database that SELECTDB named since the last flush.
    selected: Option<u16>,
    next_id: u32,
    cut: bool,
}

impl Snapshot {
    pub(crate) fn new(profile: &'static Profile) -> Self {
        Snapshot {
            profile,
            cursor: (0, 0),
            forced: HashSet::new(),
            splits: VecDeque::new(),
            buf: Vec::new(),
            selected: None,
            next_id: 0,
            cut: false,
        }
    }

    /// A stream without entries: what an RDB-style partial sync sends.
    pub(crate) fn journal_only(profile: &'static Profile) -> Self {
        Snapshot { cursor: (DBS, 0), ..Snapshot::new(profile) }
    }

    /// Whether the bucket was sent (or was passed while empty).
    pub(crate) fn is_done(&self, db: u16, bucket: usize) -> bool {
        (db, bucket) < self.cursor || self.forced.contains(&(db, bucket))
    }

    /// Whether FULLSYNC_END has been sent.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Sends the bucket now unless it was sent already, and whatever is left of split values in it.
    pub(crate) fn force(&mut self, db: u16, bucket: usize, data: Option<&Db>, outbox: &Outbox) {
        if !self.is_done(db, bucket) {
            self.forced.insert((db, bucket));
            if let Some(data) = data {
                self.bucket(db, bucket, &data.buckets[bucket], outbox);
            }
        }
        while let Some(i) = self.splits.iter().position(|s| s.db == db && s.bucket == bucket) {
            if let Some(split) = self.splits.remove(i) {
                for chunk in &split.chunks {
                    rdb::chunk(&mut self.buf, split.id, chunk);
                    self.flush_if_large(outbox);
                }
            }
        }
    }

    /// Sends one flush's worth of buckets and one chunk of every split value; true once FULLSYNC_END is out.
    pub(crate) fn step(&mut self, dbs: &[Option<Box<Db>>], outbox: &Outbox) -> bool {
        let before = outbox.pending();
        for _ in 0..STEP {
            if self.cut || outbox.pending() >= before + FLUSH {
                break;
            }
            let (db, bucket) = self.cursor;
            if db < DBS {
                self.cursor = if bucket + 1 == BUCKETS { (db + 1, 0) } else { (db, bucket + 1) };
                match &dbs[usize::from(db)] {
                    Some(data) if !self.forced.remove(&(db, bucket)) => {
                        self.bucket(db, bucket, &data.buckets[bucket], outbox);
                    }
                    Some(_) => {}
                    None => self.cursor = (db + 1, 0),
                }
                if self.cursor.1 == 0 {
                    self.flush(outbox);
                }
            } else if self.splits.is_empty() {
                self.flush(outbox);
                rdb::fullsync_end(&mut self.buf);
                self.flush(outbox);
                self.cut = true;
            }
            self.one_chunk(outbox);
        }
        self.cut
    }

    /// The next chunk of the split value that has waited longest.
    fn one_chunk(&mut self, outbox: &Outbox) {
        let Some(mut split) = self.splits.pop_front() else { return };
        if let Some(chunk) = split.chunks.pop_front() {
            rdb::chunk(&mut self.buf, split.id, &chunk);
            self.flush_if_large(outbox);
        }
        if !split.chunks.is_empty() {
            self.splits.push_back(split);
        }
    }

    fn bucket(&mut self, db: u16, index: usize, bucket: &Bucket, outbox: &Outbox) {
        for (key, entry) in bucket {
            self.entry(db, index, key, entry, outbox);
        }
        self.flush_if_large(outbox);
    }

    fn entry(&mut self, db: u16, bucket: usize, key: &Bytes, entry: &Entry, outbox: &Outbox) {
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        let encoded = values::value(&entry.value, &entry.members, self.profile);
        let split = encoded.pieces.len() > 1 && self.profile.large != Large::Whole;
        if split && self.profile.large == Large::Contiguous {
            // Contiguous and never inside a compressed blob.
            self.flush(outbox);
            rdb::select(&mut self.buf, db);
            rdb::entry_head(&mut self.buf, encoded.kind, key, entry.expire_at, entry.sticky);
            encoded.pieces.iter().for_each(|p| self.buf.extend_from_slice(p));
            outbox.push(&std::mem::take(&mut self.buf));
            self.selected = None;
            return;
        }
        if self.selected != Some(db) {
            rdb::select(&mut self.buf, db);
            self.selected = Some(db);
        }
        if !split {
            rdb::entry_head(&mut self.buf, encoded.kind, key, entry.expire_at, entry.sticky);
            encoded.pieces.iter().for_each(|p| self.buf.extend_from_slice(p));
            return;
        }
        let mut chunks = VecDeque::from(encoded.pieces);
        let mut first = Vec::new();
        rdb::entry_head(&mut first, encoded.kind, key, entry.expire_at, entry.sticky);
        first.extend(chunks.pop_front().unwrap_or_default());
        rdb::chunk(&mut self.buf, self.next_id, &first);
        self.flush(outbox);
        self.splits.push_back(Split { db, bucket, id: self.next_id, chunks });
    }

    /// A record made while the snapshot runs.
    pub(crate) fn record(&mut self, record: &[u8], outbox: &Outbox) {
        rdb::journal_blob(&mut self.buf, record);
        self.flush_if_large(outbox);
    }

    /// Sends what is left of a database that was flushed, after the record of the flush.
    pub(crate) fn abandon_db(&mut self, db: u16, old: &Db, outbox: &Outbox) {
        for bucket in 0..BUCKETS {
            self.force(db, bucket, Some(old), outbox);
        }
    }

    /// The closing sequence: JOURNAL_OFFSET, EOF, token.
    pub(crate) fn finish(&mut self, next_lsn: u64, token: &str, outbox: &Outbox) {
        rdb::journal_offset(&mut self.buf, next_lsn);
        self.flush(outbox);
        let mut end = Vec::new();
        rdb::eof(&mut end, token);
        outbox.push(&end);
    }

    fn flush_if_large(&mut self, outbox: &Outbox) {
        if self.buf.len() >= FLUSH {
            self.flush(outbox);
        }
    }

    fn flush(&mut self, outbox: &Outbox) {
        if !self.buf.is_empty() {
            outbox.push(&rdb::flush(std::mem::take(&mut self.buf), self.profile.large_blobs));
        }
        self.selected = None;
    }
}
