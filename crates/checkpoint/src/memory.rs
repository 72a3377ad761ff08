//! A checkpoint in memory, for tests that are deterministic: it outlives the "process" that writes to it, and fails when told.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::durable::check_order;
use crate::schedule::{self, Times};
use crate::{Commit, Durable, Error, NotInSync, Scheduled, State};

/// A checkpoint in memory. Clones are handles of the same owner; [`Memory::reopen`] is the next process.
#[derive(Debug, Clone)]
pub struct Memory {
    kept: Arc<Mutex<Kept>>,
    owner: u64,
}

/// When a commit that was told to fail does so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// Nothing of it is kept.
    Before,
    /// All of it is kept, only nobody learns.
    After,
}

#[derive(Debug, Default)]
struct Kept {
    name: String,
    state: Option<State>,
    list: BTreeMap<(u32, Vec<u8>), NotInSync>,
    /// By the key of the store's record.
    schedule: BTreeMap<Vec<u8>, Times>,
    commits: u64,
    fails: BTreeMap<u64, Failing>,
    owner: u64,
    failed: bool,
}

impl Memory {
    /// An empty checkpoint of that name.
    pub fn new(name: &str) -> Memory {
        let kept = Kept { name: name.to_owned(), ..Kept::default() };
        Memory { kept: Arc::new(Mutex::new(kept)), owner: 0 }
    }

    /// What a new process finds. Handles of the ones before write nothing any more ([`Error::InUse`]); a failure is over.
    #[must_use]
    pub fn reopen(&self) -> Memory {
        let mut kept = self.kept();
        kept.owner += 1;
        kept.failed = false;
        Memory { kept: Arc::clone(&self.kept), owner: kept.owner }
    }

    /// Lets the `nth` commit from now on fail, the next one being 1. Every later one fails as well, until
    /// [`Memory::reopen`].
    pub fn fail_commit(&self, nth: u64, failing: Failing) {
        let mut kept = self.kept();
        let at = kept.commits + nth;
        kept.fails.insert(at, failing);
    }

    /// Commits that were tried so far, by all owners.
    pub fn commits(&self) -> u64 {
        self.kept().commits
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Durable for Memory {
    fn commit(&self, commit: &Commit) -> Result<(), Error> {
        let mut kept = self.kept();
        let dir = || PathBuf::from(MEMORY);
        let failed = |what| Error::Io { dir: dir(), what: "writing", source: io::Error::other(what) };
        if kept.owner != self.owner {
            return Err(Error::InUse { dir: dir() });
        }
        if kept.failed {
            return Err(failed("an earlier write failed"));
        }
        if let Some(state) = &commit.state {
            check_order(Path::new(MEMORY), kept.state.as_ref(), state, commit.clean_stop)?;
        }
        kept.commits += 1;
        let now = kept.commits;
        let failing = kept.fails.remove(&now);
        if failing == Some(Failing::Before) {
            kept.failed = true;
            return Err(failed("told to fail before"));
        }
        kept.take(commit);
        if failing == Some(Failing::After) {
            kept.failed = true;
            return Err(failed("told to fail after"));
        }
        Ok(())
    }

    fn state(&self) -> Option<State> {
        self.kept().state.clone()
    }

    fn listed(&self, limit: usize) -> Result<Vec<NotInSync>, Error> {
        Ok(self.kept().list.values().take(limit).cloned().collect())
    }

    fn listed_count(&self) -> u64 {
        self.kept().list.len() as u64
    }

    fn due(&self, at_ms: u64, limit: usize) -> Result<Vec<Scheduled>, Error> {
        let mut due = self.kept().scheduled();
        due.retain(|scheduled| scheduled.at_ms <= at_ms);
        due.truncate(limit);
        Ok(due)
    }

    fn next_due(&self) -> Option<u64> {
        self.kept().schedule.values().map(|times| times.at_ms()).min()
    }

    fn scheduled_count(&self) -> u64 {
        self.kept().schedule.len() as u64
    }

    fn forget_schedule(&self, db: Option<u32>) -> Result<(), Error> {
        let prefix = db.map_or_else(|| schedule::KEYS.to_vec(), |db| schedule::key(db, b""));
        let mut kept = self.kept();
        if kept.owner != self.owner {
            return Err(Error::InUse { dir: PathBuf::from(MEMORY) });
        }
        kept.schedule.retain(|key, _| !key.starts_with(&prefix));
        Ok(())
    }

    fn name(&self) -> String {
        self.kept().name.clone()
    }
}

impl Kept {
    /// The schedule, earliest first.
    fn scheduled(&self) -> Vec<Scheduled> {
        let times = self.schedule.iter().map(|(key, times)| schedule::time(times.at_ms(), key));
        let mut records: Vec<Vec<u8>> = times.collect();
        records.sort_unstable();
        records.iter().filter_map(|record| schedule::decode_time(record).ok()).collect()
    }

    fn take(&mut self, commit: &Commit) {
        if commit.clear_list {
            self.list.clear();
        }
        for key in &commit.remove {
            self.list.remove(key);
        }
        for entry in &commit.add {
            self.list.insert((entry.db, entry.key.clone()), entry.clone());
        }
        let stored = |key: &[u8]| Ok::<_, std::convert::Infallible>(self.schedule.get(key).copied());
        let Ok(changes) = schedule::changes(&commit.schedule, stored);
        for (key, (_, after)) in changes {
            match after {
                Some(times) => self.schedule.insert(key, times),
                None => self.schedule.remove(&key),
            };
        }
        if let Some(state) = &commit.state {
            self.state = Some(state.clone());
        }
    }
}

/// Stands where a directory is named.
const MEMORY: &str = "(in memory)";
