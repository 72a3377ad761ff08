//! One directory, one owner, durable writes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sled::Batch;

use crate::disk::{Disk, DiskError};
use crate::head::Head;
use crate::lock::Lock;
use crate::{Error, NotInSync, State, guard, listed, upgrade};

const HEAD: &[u8] = b"head";

/// An open checkpoint directory. Everything blocks; share it behind an `Arc`.
///
/// Order of a write: one sled batch with everything, flush, fsync of sled's files and directories, then the guard file.
/// A crash in between leaves the store one generation ahead of the guard, which [`Store::open`] accepts.
pub struct Store {
    inner: Mutex<Inner>,
    dir: PathBuf,
}

struct Inner {
    // Dropped in this order: sled's files are closed before another process may own the directory.
    disk: Disk,
    head: Head,
    failed: bool,
    _lock: Lock,
}

impl Store {
    /// Opens the directory and creates it if it is missing.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::NotWritable`], [`Error::Corrupted`], [`Error::NewerFormat`], [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Store, Error> {
        let lock = Lock::take(dir)?;
        Store::open_locked(dir, lock)
    }

    pub(crate) fn open_locked(dir: &Path, lock: Lock) -> Result<Store, Error> {
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
                guard::write(dir, 0).map_err(|source| Error::NotWritable { dir: dir.to_owned(), source })?;
                Disk::open(dir)
            }
            // No write was ever acknowledged: whatever a crash left of the store may go.
            (Some(0), _) => Disk::open(dir).or_else(|error| match error {
                DiskError::Damaged(_) => {
                    Disk::remove(dir).map_err(DiskError::Io)?;
                    Disk::open(dir)
                }
                DiskError::Io(_) => Err(error),
            }),
            (Some(_), true) => Disk::open(dir),
        };
        let disk = disk.map_err(|e| fail.disk("opening the store", e))?;
        if guard.is_none() {
            disk.sync().map_err(|e| fail.io("creating the store", e))?;
        }
        let head = match disk.get(HEAD).map_err(|e| fail.disk("reading the store", e))? {
            Some(bytes) => upgrade::head(&bytes).map_err(|e| fail.decode(e))?,
            None => Head::default(),
        };
        let guard = guard.unwrap_or(0);
        if head.generation < guard || head.generation > guard.saturating_add(1) {
            return Err(fail.corrupted(&format!(
                "the store holds write {} and the guard file says {guard}",
                head.generation
            )));
        }
        verify_list(&disk, &head, &fail)?;
        if head.generation > guard {
            guard::write(dir, head.generation).map_err(|e| fail.io("writing the guard file", e))?;
        }
        let inner = Inner { disk, head, failed: false, _lock: lock };
        Ok(Store { inner: Mutex::new(inner), dir: dir.to_owned() })
    }

    /// What was written last; `None` in a fresh directory.
    pub fn state(&self) -> Option<State> {
        self.inner().head.state.clone()
    }

    /// Number of durable writes so far; also counts changes of the not-in-sync list.
    pub fn generation(&self) -> u64 {
        self.inner().head.generation
    }

    /// Writes `state` durably and as a whole.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupted`]: it is unknown whether the state was written, and this store writes nothing
    /// any more; open it again.
    pub fn write(&self, state: &State) -> Result<(), Error> {
        let mut inner = self.inner();
        let head = Head { state: Some(state.clone()), ..inner.head.clone() };
        self.commit(&mut inner, Batch::default(), head)
    }

    /// Writes `state` and empties the not-in-sync list in the same durable write (a full sync has just replaced every
    /// key).
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_full_sync_done(&self, state: &State) -> Result<(), Error> {
        let mut inner = self.inner();
        let mut batch = Batch::default();
        inner
            .disk
            .scan(listed::PREFIX, |key, _| {
                batch.remove(key);
                true
            })
            .map_err(|e| self.fail().disk("reading the not-in-sync list", e))?;
        let head = Head { state: Some(state.clone()), listed: 0, list_digest: 0, ..inner.head.clone() };
        self.commit(&mut inner, batch, head)
    }

    /// Adds keys to the not-in-sync list, durably before it returns. A key already listed takes the newer reason.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn add_not_in_sync(&self, keys: &[NotInSync]) -> Result<(), Error> {
        let changes = keys.iter().map(|entry| {
            let key = listed::key(entry.db, &entry.key);
            let value = listed::encode(&key, entry);
            (key, Some(value))
        });
        self.change_list(changes.collect())
    }

    /// Removes `(db, key)` pairs from the list, durably.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn remove_not_in_sync(&self, keys: &[(u32, &[u8])]) -> Result<(), Error> {
        self.change_list(keys.iter().map(|(db, name)| (listed::key(*db, name), None)).collect())
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
            .map_err(|e| self.fail().disk("reading the not-in-sync list", e))?;
        wrong.map_or(Ok(entries), |error| Err(self.fail().decode(error)))
    }

    /// How many keys the list holds.
    pub fn not_in_sync_count(&self) -> u64 {
        self.inner().head.listed
    }

    fn change_list(&self, changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut inner = self.inner();
        let mut head = inner.head.clone();
        let mut batch = Batch::default();
        for (key, value) in changes {
            let before =
                inner.disk.get(&key).map_err(|e| self.fail().disk("reading the not-in-sync list", e))?;
            if let Some(before) = before {
                head.listed -= 1;
                head.list_digest = head.list_digest.wrapping_sub(listed::digest(&key, &before));
            }
            match value {
                Some(value) => {
                    head.listed += 1;
                    head.list_digest = head.list_digest.wrapping_add(listed::digest(&key, &value));
                    batch.insert(key, value);
                }
                None => batch.remove(key),
            }
        }
        self.commit(&mut inner, batch, head)
    }

    fn commit(&self, inner: &mut Inner, mut batch: Batch, mut head: Head) -> Result<(), Error> {
        let fail = self.fail();
        if inner.failed {
            return Err(fail.io("writing", std::io::Error::other("an earlier write failed")));
        }
        head.generation += 1;
        batch.insert(HEAD, head.encode());
        // Set before and cleared after: a failure in between leaves it unknown what the disk holds.
        inner.failed = true;
        inner.disk.write(batch).map_err(|e| fail.disk("writing the store", e))?;
        guard::write(&self.dir, head.generation).map_err(|e| fail.io("writing the guard file", e))?;
        inner.failed = false;
        inner.head = head;
        Ok(())
    }

    fn fail(&self) -> Failures<'_> {
        Failures { dir: &self.dir }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held leaves `failed` set if a write was under way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("dir", &self.dir).finish_non_exhaustive()
    }
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
    .map_err(|e| fail.disk("reading the not-in-sync list", e))?;
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
