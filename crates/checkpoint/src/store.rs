//! One directory, one owner, durable writes.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use sled::Batch;

use crate::disk::{Disk, DiskError};
use crate::durable::check_order;
use crate::guard::{self, Guard};
use crate::head::Head;
use crate::lock::Lock;
use crate::schedule::{self, Sum, Times};
use crate::steps::Steps;
use crate::{Commit, Durable, Error, NotInSync, Scheduled, State, listed, upgrade};

const HEAD: &[u8] = b"head";

/// An open checkpoint directory. Everything that touches the disk blocks; share it behind an `Arc`.
///
/// Order of a write: one sled batch with everything, flush, fsync of sled's log, then the guard file, which is itself
/// fsynced once for many writes. A crash leaves the store that many generations ahead of the guard at most, which
/// [`Store::open`] accepts, and never behind it.
pub struct Store {
    inner: Mutex<Inner>,
    /// What was written last, for those who must not wait for a write under way.
    written: Mutex<Arc<Head>>,
    dir: PathBuf,
}

struct Inner {
    // Dropped in this order: sled's files are closed before another process may own the directory.
    disk: Disk,
    failed: bool,
    guard: Guard,
    _lock: Lock,
}

impl Store {
    /// Opens the directory and creates it if it is missing; one of an older format is upgraded, durably.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::NotWritable`], [`Error::Corrupted`], [`Error::NewerFormat`], [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Store, Error> {
        Store::open_with(dir, Steps::default())
    }

    pub(crate) fn open_with(dir: &Path, steps: Steps) -> Result<Store, Error> {
        let store = Store::open_locked(dir, Lock::take(dir)?, steps)?;
        if store.head().name.is_empty() {
            let mut inner = store.inner();
            let head = Head { name: random_name(), ..(*store.head()).clone() };
            store.write_head(&mut inner, Batch::default(), head, false)?;
        }
        Ok(store)
    }

    /// Opens the directory and upgrades nothing: its name may be empty, and nothing should be written.
    pub(crate) fn open_as_it_is(dir: &Path, lock: Lock) -> Result<Store, Error> {
        Store::open_locked(dir, lock, Steps::default())
    }

    fn open_locked(dir: &Path, lock: Lock, steps: Steps) -> Result<Store, Error> {
        let fail = Failures { dir };
        let guard = match guard::read(dir).map_err(|e| fail.io("reading the guard file", e))? {
            Some(generation) => Some(generation.map_err(|e| fail.decode(e))?),
            None => None,
        };
        let disk = match (guard, Disk::exists(dir)) {
            (None, true) => return Err(fail.corrupted("the guard file is missing")),
            (Some(1..), false) => return Err(fail.corrupted("the store's file is missing")),
            (None, false) => {
                // Leftovers of a store whose data file is gone would be a store without its guard.
                if dir.join(crate::disk::NAME).exists() {
                    return Err(fail.corrupted("the guard file and the store's file are missing"));
                }
                Guard::create(dir, &steps)
                    .map_err(|source| Error::NotWritable { dir: dir.to_owned(), source })?;
                Disk::open(dir, &steps)
            }
            // No write was ever acknowledged: whatever a crash left of the store may go.
            (Some(0), _) => Disk::open(dir, &steps).or_else(|error| match error {
                DiskError::Damaged(_) => {
                    Disk::remove(dir).map_err(DiskError::Io)?;
                    Disk::open(dir, &steps)
                }
                DiskError::Io(_) => Err(error),
            }),
            (Some(_), true) => Disk::open(dir, &steps),
        };
        let disk = disk.map_err(|e| fail.disk("opening the store", e))?;
        let head = match disk.get(HEAD).map_err(|e| fail.disk("reading the store", e))? {
            Some(bytes) => upgrade::head(&bytes).map_err(|e| fail.decode(e))?,
            None => Head::default(),
        };
        let guard = guard.unwrap_or(0);
        if head.generation < guard || head.generation > guard.saturating_add(guard::LAG) {
            return Err(fail.corrupted(&format!(
                "the store holds write {} and the guard file says {guard}",
                head.generation
            )));
        }
        verify_list(&disk, &head, &fail)?;
        verify_schedule(&disk, &head, &fail)?;
        // What opening changed, and the store itself if it is new: the guard must not promise, and the caller not see, what a
        // power loss could still take away.
        disk.sync().map_err(|e| fail.io("syncing the store", e))?;
        let guard =
            Guard::open(dir, head.generation, &steps).map_err(|e| fail.io("writing the guard file", e))?;
        let inner = Inner { disk, failed: false, guard, _lock: lock };
        let written = Mutex::new(Arc::new(head));
        Ok(Store { inner: Mutex::new(inner), written, dir: dir.to_owned() })
    }

    /// What was written last; `None` in a fresh directory.
    pub fn state(&self) -> Option<State> {
        self.head().state.clone()
    }

    /// Number of durable writes so far, the one that names a fresh or upgraded directory included.
    pub fn generation(&self) -> u64 {
        self.head().generation
    }

    /// Writes `state` durably and as a whole.
    ///
    /// # Errors
    /// As [`Durable::commit`].
    pub fn write(&self, state: &State) -> Result<(), Error> {
        self.commit(&Commit { state: Some(state.clone()), ..Commit::default() })
    }

    /// Writes `state` and empties the not-in-sync list in the same durable write (a full sync has just replaced every
    /// key).
    ///
    /// # Errors
    /// As [`Durable::commit`].
    pub fn write_full_sync_done(&self, state: &State) -> Result<(), Error> {
        self.commit(&Commit { state: Some(state.clone()), clear_list: true, ..Commit::default() })
    }

    /// Adds keys to the not-in-sync list, durably before it returns. A key already listed takes the newer reason.
    ///
    /// # Errors
    /// As [`Durable::commit`].
    pub fn add_not_in_sync(&self, keys: &[NotInSync]) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        self.commit(&Commit { add: keys.to_vec(), ..Commit::default() })
    }

    /// Removes `(db, key)` pairs from the list, durably.
    ///
    /// # Errors
    /// As [`Durable::commit`].
    pub fn remove_not_in_sync(&self, keys: &[(u32, &[u8])]) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let remove = keys.iter().map(|(db, name)| (*db, name.to_vec())).collect();
        self.commit(&Commit { remove, ..Commit::default() })
    }

    /// The first `limit` entries of the list, by database and name.
    ///
    /// # Errors
    /// [`Error::Corrupted`], [`Error::Io`].
    pub fn not_in_sync(&self, limit: usize) -> Result<Vec<NotInSync>, Error> {
        let mut entries = Vec::new();
        let mut wrong = None;
        if limit == 0 {
            return Ok(entries);
        }
        self.inner()
            .disk
            .scan(listed::PREFIX, |key, value| match listed::decode(key, value) {
                Ok(entry) => {
                    entries.push(entry);
                    entries.len() < limit
                }
                Err(error) => {
                    wrong = Some(error);
                    false
                }
            })
            .map_err(|e| self.fail().disk(READING_LIST, e))?;
        wrong.map_or(Ok(entries), |error| Err(self.fail().decode(error)))
    }

    /// How many keys the list holds.
    pub fn not_in_sync_count(&self) -> u64 {
        self.head().listed
    }

    /// What the change makes of the list, and of count and digest in `head`. Costs by the change, not by the list, unless
    /// the list is emptied.
    fn change_list(&self, disk: &Disk, commit: &Commit, head: &mut Head) -> Result<Batch, Error> {
        let mut batch = Batch::default();
        if commit.clear_list {
            disk.scan(listed::PREFIX, |key, _| {
                batch.remove(key);
                true
            })
            .map_err(|e| self.fail().disk(READING_LIST, e))?;
            (head.listed, head.list_digest) = (0, 0);
        }
        let mut changes: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        for (db, name) in &commit.remove {
            changes.insert(listed::key(*db, name), None);
        }
        for entry in &commit.add {
            let key = listed::key(entry.db, &entry.key);
            let value = listed::encode(&key, entry);
            changes.insert(key, Some(value));
        }
        for (key, value) in changes {
            let before = match commit.clear_list {
                true => None,
                false => disk.get(&key).map_err(|e| self.fail().disk(READING_LIST, e))?,
            };
            if let Some(before) = &before {
                head.listed -= 1;
                head.list_digest = head.list_digest.wrapping_sub(listed::digest(&key, before));
            }
            match value {
                Some(value) => {
                    head.listed += 1;
                    head.list_digest = head.list_digest.wrapping_add(listed::digest(&key, &value));
                    batch.insert(key, value);
                }
                None if before.is_some() => batch.remove(key),
                None => {}
            }
        }
        Ok(batch)
    }

    /// What the changes make of the schedule, and of its count and digest in `head`.
    fn change_schedule(
        &self,
        disk: &Disk,
        commit: &Commit,
        batch: &mut Batch,
        head: &mut Head,
    ) -> Result<(), Error> {
        let changes = schedule::changes(&commit.schedule, |key| self.times(disk, key))?;
        for (key, (before, after)) in changes {
            if let Some(before) = before {
                head.scheduled.loses(&key, before);
                batch.remove(schedule::time(before.at_ms(), &key));
            }
            match after {
                Some(after) => {
                    head.scheduled.gains(&key, after);
                    batch.insert(schedule::time(after.at_ms(), &key), Vec::<u8>::new());
                    let value = schedule::encode(&key, after);
                    batch.insert(key, value);
                }
                None => batch.remove(key),
            }
        }
        Ok(())
    }

    fn times(&self, disk: &Disk, key: &[u8]) -> Result<Option<Times>, Error> {
        let found = disk.get(key).map_err(|e| self.fail().disk(READING_SCHEDULE, e))?;
        found.map(|value| schedule::decode(key, &value)).transpose().map_err(|e| self.fail().decode(e))
    }

    /// The first keys of the schedule that are due at `at_ms`.
    fn first_due(&self, disk: &Disk, at_ms: u64, limit: usize) -> Result<Vec<Scheduled>, Error> {
        let mut due = Vec::new();
        let mut wrong = None;
        if limit == 0 {
            return Ok(due);
        }
        disk.scan(schedule::TIMES, |record, _| match schedule::decode_time(record) {
            Ok(scheduled) if scheduled.at_ms > at_ms => false,
            Ok(scheduled) => {
                due.push(scheduled);
                due.len() < limit
            }
            Err(error) => {
                wrong = Some(error);
                false
            }
        })
        .map_err(|e| self.fail().disk(READING_SCHEDULE, e))?;
        wrong.map_or(Ok(due), |error| Err(self.fail().decode(error)))
    }

    fn write_head(
        &self,
        inner: &mut Inner,
        mut batch: Batch,
        mut head: Head,
        clean_stop: bool,
    ) -> Result<(), Error> {
        let fail = self.fail();
        head.generation += 1;
        batch.insert(HEAD, head.encode());
        // Set before and cleared after: a failure in between leaves it unknown what the disk holds.
        inner.failed = true;
        inner.disk.write(batch).map_err(|e| fail.disk("writing the store", e))?;
        inner.guard.set(head.generation, clean_stop).map_err(|e| fail.io("writing the guard file", e))?;
        inner.failed = false;
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(head);
        Ok(())
    }

    fn fail(&self) -> Failures<'_> {
        Failures { dir: &self.dir }
    }

    fn head(&self) -> Arc<Head> {
        Arc::clone(&self.written.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held leaves `failed` set if a write was under way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Durable for Store {
    fn commit(&self, commit: &Commit) -> Result<(), Error> {
        let mut inner = self.inner();
        if inner.failed {
            return Err(self.fail().io("writing", std::io::Error::other("an earlier write failed")));
        }
        let mut head = (*self.head()).clone();
        if let Some(state) = &commit.state {
            check_order(&self.dir, head.state.as_ref(), state, commit.clean_stop)?;
            head.state = Some(state.clone());
        }
        let mut batch = self.change_list(&inner.disk, commit, &mut head)?;
        self.change_schedule(&inner.disk, commit, &mut batch, &mut head)?;
        self.write_head(&mut inner, batch, head, commit.clean_stop)
    }

    fn state(&self) -> Option<State> {
        Store::state(self)
    }

    fn listed(&self, limit: usize) -> Result<Vec<NotInSync>, Error> {
        self.not_in_sync(limit)
    }

    fn listed_count(&self) -> u64 {
        self.not_in_sync_count()
    }

    fn due(&self, at_ms: u64, limit: usize) -> Result<Vec<Scheduled>, Error> {
        self.first_due(&self.inner().disk, at_ms, limit)
    }

    fn next_due(&self) -> Option<u64> {
        if self.head().scheduled.keys == 0 {
            return None;
        }
        let first = self.first_due(&self.inner().disk, u64::MAX, 1).ok()?;
        first.first().map(|scheduled| scheduled.at_ms)
    }

    fn scheduled_count(&self) -> u64 {
        self.head().scheduled.keys
    }

    fn forget_schedule(&self, db: Option<u32>) -> Result<(), Error> {
        let prefix = db.map_or_else(|| schedule::KEYS.to_vec(), |db| schedule::key(db, b""));
        loop {
            let mut inner = self.inner();
            if inner.failed {
                return Err(self.fail().io("writing", std::io::Error::other("an earlier write failed")));
            }
            let mut head = (*self.head()).clone();
            let mut batch = Batch::default();
            let mut found = 0;
            let mut wrong = None;
            inner
                .disk
                .scan(&prefix, |key, value| {
                    match schedule::decode(key, value) {
                        Ok(times) => {
                            head.scheduled.loses(key, times);
                            batch.remove(schedule::time(times.at_ms(), key));
                            batch.remove(key);
                        }
                        Err(error) => wrong = Some(error),
                    }
                    found += 1;
                    found < PORTION && wrong.is_none()
                })
                .map_err(|e| self.fail().disk(READING_SCHEDULE, e))?;
            if let Some(error) = wrong {
                return Err(self.fail().decode(error));
            }
            if found == 0 {
                return Ok(());
            }
            self.write_head(&mut inner, batch, head, false)?;
        }
    }

    fn name(&self) -> String {
        self.head().name.clone()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("dir", &self.dir).finish_non_exhaustive()
    }
}

const READING_LIST: &str = "reading the not-in-sync list";
const READING_SCHEDULE: &str = "reading the schedule";
/// Keys of the schedule that one write forgets.
const PORTION: usize = 10_000;

/// As [`verify_list`], for the schedule.
fn verify_schedule(disk: &Disk, head: &Head, fail: &Failures<'_>) -> Result<(), Error> {
    let mut sum = Sum::default();
    let mut wrong = None;
    for prefix in [schedule::KEYS, schedule::TIMES] {
        disk.scan(prefix, |record, value| {
            sum.found(record, value);
            let sound = match prefix {
                schedule::KEYS => schedule::decode(record, value).map(|_| ()),
                _ => schedule::decode_time(record).map(|_| ()),
            };
            wrong = sound.err();
            wrong.is_none()
        })
        .map_err(|e| fail.disk(READING_SCHEDULE, e))?;
        if let Some(error) = wrong.take() {
            return Err(fail.decode(error));
        }
    }
    match sum == head.scheduled {
        true => Ok(()),
        false => Err(fail.corrupted("the schedule of members that expire is not complete")),
    }
}

/// 16 hex digits that no other checkpoint has: the keys of a `RandomState` come from the system's source of randomness.
fn random_name() -> String {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    hasher.write_u128(clock.map_or(0, |since| since.as_nanos()));
    format!("{:016x}", hasher.finish())
}

/// The head record may survive while older pages with list entries are lost; count and digest tell.
fn verify_list(disk: &Disk, head: &Head, fail: &Failures<'_>) -> Result<(), Error> {
    let (mut count, mut digest) = (0u64, 0u64);
    let mut wrong = None;
    disk.scan(listed::PREFIX, |key, value| {
        count += 1;
        digest = digest.wrapping_add(listed::digest(key, value));
        wrong = listed::decode(key, value).err();
        wrong.is_none()
    })
    .map_err(|e| fail.disk(READING_LIST, e))?;
    match wrong {
        Some(error) => Err(fail.decode(error)),
        None if (count, digest) != (head.listed, head.list_digest) => {
            Err(fail.corrupted("the list of keys that are not in sync is not complete"))
        }
        None => Ok(()),
    }
}

/// Names the directory in every error.
pub(crate) struct Failures<'d> {
    pub(crate) dir: &'d Path,
}

impl Failures<'_> {
    pub(crate) fn io(&self, what: &'static str, source: std::io::Error) -> Error {
        Error::Io { dir: self.dir.to_owned(), what, source }
    }

    fn corrupted(&self, what: &str) -> Error {
        Error::Corrupted { dir: self.dir.to_owned(), what: what.to_owned(), way_out: crate::error::WAY_OUT }
    }

    fn decode(&self, error: crate::codec::DecodeError) -> Error {
        match error {
            crate::codec::DecodeError::Damaged(what) => self.corrupted(what),
            crate::codec::DecodeError::Newer(found) => {
                Error::NewerFormat { dir: self.dir.to_owned(), found, known: upgrade::CURRENT }
            }
        }
    }

    fn disk(&self, what: &'static str, error: DiskError) -> Error {
        match error {
            DiskError::Damaged(found) => self.corrupted(&found),
            DiskError::Io(source) => self.io(what, source),
        }
    }
}
