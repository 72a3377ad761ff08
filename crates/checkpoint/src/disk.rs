//! The sled store inside a checkpoint directory: opening it, one durable batch at a time.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sled::{Batch, Db, IVec};

use crate::steps::{Step, Steps};

/// Directory of sled's files below the checkpoint directory.
pub(crate) const NAME: &str = "store";
/// Sled's log below it: what every write changes.
const LOG: &str = "db";
const CACHE_BYTES: u64 = 8 << 20;
const RELEASE_WAIT: Duration = Duration::from_secs(5);

/// Why the store could not do something.
#[derive(Debug)]
pub(crate) enum DiskError {
    /// The bytes are not sled's.
    Damaged(String),
    /// The system refused.
    Io(io::Error),
}

/// An open sled store.
#[derive(Debug)]
pub(crate) struct Disk {
    db: Db,
    dir: PathBuf,
    /// Files and directories below `dir` that are durable with all they hold, the log's bytes excepted.
    durable: Mutex<BTreeSet<PathBuf>>,
    steps: Steps,
}

impl Disk {
    /// Whether the file that holds the data is there.
    pub(crate) fn exists(checkpoint: &Path) -> bool {
        checkpoint.join(NAME).join(LOG).is_file()
    }

    /// Removes everything sled wrote.
    pub(crate) fn remove(checkpoint: &Path) -> io::Result<()> {
        match fs::remove_dir_all(checkpoint.join(NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Opens the store, which the caller owns by the lock file.
    pub(crate) fn open(checkpoint: &Path, steps: &Steps) -> Result<Disk, DiskError> {
        let dir = checkpoint.join(NAME);
        // A killed process may have left writes in the system's cache only. Sled builds on what it reads there, so it must be
        // durable first.
        if dir.is_dir() {
            sync_all(&dir, steps).map_err(DiskError::Io)?;
        }
        let config = sled::Config::new().path(&dir).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let give_up = Instant::now() + RELEASE_WAIT;
        loop {
            match contained(|| steps.run(Step::Open(&dir), || config.open())) {
                // A store dropped a moment ago in this process gives its own lock back from a background thread.
                Err(DiskError::Io(error)) if is_locked(&error) && Instant::now() < give_up => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(db) => {
                    return Ok(Disk { db, dir, durable: Mutex::default(), steps: steps.clone() });
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<IVec>, DiskError> {
        contained(|| self.db.get(key))
    }

    /// Calls `each` with every entry whose key begins with `prefix`, in order, while it returns `true`.
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        mut each: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), DiskError> {
        contained(|| {
            for entry in self.db.scan_prefix(prefix) {
                let (key, value) = entry?;
                if !each(&key, &value) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Applies the batch as a whole and returns when it is on the disk.
    ///
    /// Sled's flush on Linux is `sync_file_range`, which reaches neither the disk's cache nor the file's size; hence an fsync
    /// of the log, and of whatever else has appeared beside it: sled changes none of its other files once they are written.
    pub(crate) fn write(&self, batch: Batch) -> Result<(), DiskError> {
        contained(|| {
            self.steps.run(Step::Apply(&self.dir), || self.db.apply_batch(batch))?;
            self.steps.run(Step::Flush(&self.dir), || self.db.flush().map(|_| ()))
        })?;
        self.sync_changed().map_err(DiskError::Io)
    }

    /// Makes the store's files and its own name durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let names = sync_all(&self.dir, &self.steps)?;
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner) = names;
        self.dir.parent().map_or(Ok(()), |parent| sync_dir(parent, &self.steps))
    }

    fn sync_changed(&self) -> io::Result<()> {
        let names = names_below(&self.dir)?;
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        let log = self.dir.join(LOG);
        let mut dirs = BTreeSet::new();
        for path in names.symmetric_difference(&durable) {
            if names.contains(path) && *path != log {
                if path.is_dir() {
                    dirs.insert(path.as_path());
                } else {
                    sync_file(path, &self.steps)?;
                }
            }
            dirs.extend(path.parent());
        }
        for dir in dirs {
            match sync_dir(dir, &self.steps) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        // It refers to the others.
        sync_file(&log, &self.steps)?;
        *durable = names;
        Ok(())
    }
}

/// fsync of every file below `dir`, then of the directories; returns their names.
fn sync_all(dir: &Path, steps: &Steps) -> io::Result<BTreeSet<PathBuf>> {
    let names = names_below(dir)?;
    let (dirs, files): (Vec<&PathBuf>, Vec<&PathBuf>) = names.iter().partition(|path| path.is_dir());
    for file in files {
        sync_file(file, steps)?;
    }
    for dir in dirs {
        sync_dir(dir, steps)?;
    }
    sync_dir(dir, steps)?;
    Ok(names)
}

/// Every file and directory below `dir`.
fn names_below(dir: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.append(&mut names_below(&entry.path())?);
        }
        names.insert(entry.path());
    }
    Ok(names)
}

/// fsync of a file, its size included; not of the times at which it was used.
fn sync_file(path: &Path, steps: &Steps) -> io::Result<()> {
    match File::open(path) {
        Ok(file) => steps.run(Step::SyncFile(path), || file.sync_data()),
        // Sled removes old snapshots and blobs in the background.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// fsync of a directory: makes the names in it durable.
pub(crate) fn sync_dir(dir: &Path, steps: &Steps) -> io::Result<()> {
    let opened = File::open(dir)?;
    steps.run(Step::SyncDir(dir), || opened.sync_all())
}

/// Sled 0.34.7 asserts where it meets bytes it did not expect; that must not end the process.
fn contained<T>(action: impl FnOnce() -> sled::Result<T>) -> Result<T, DiskError> {
    match catch_unwind(AssertUnwindSafe(action)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(DiskError::Io(error)),
        Ok(Err(sled::Error::Corruption { .. })) => {
            Err(DiskError::Damaged("the store's bytes are damaged".into()))
        }
        Ok(Err(sled::Error::Unsupported(why))) => Err(DiskError::Damaged(why)),
        Ok(Err(sled::Error::ReportableBug(why))) => Err(DiskError::Damaged(why)),
        Ok(Err(sled::Error::CollectionNotFound(_))) => {
            Err(DiskError::Damaged("the store lacks its tree".into()))
        }
        Err(_) => Err(DiskError::Damaged("the store's bytes make no sense".into())),
    }
}

fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Other && error.to_string().contains("could not acquire lock")
}
