//! One directory, one owner, durable writes.

use std::path::Path;

use crate::{Error, NotInSync, State};

/// An open checkpoint directory. Everything blocks; share it behind an `Arc`.
#[derive(Debug)]
pub struct Store {
    state: Option<State>,
}

impl Store {
    /// Opens the directory and creates it if it is missing.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::NotWritable`], [`Error::Corrupted`], [`Error::NewerFormat`], [`Error::Io`].
    pub fn open(_dir: &Path) -> Result<Store, Error> {
        Ok(Store { state: None })
    }

    /// What was written last; `None` in a fresh directory.
    pub fn state(&self) -> Option<State> {
        self.state.clone()
    }

    /// Number of durable writes so far; also counts changes of the not-in-sync list.
    pub fn generation(&self) -> u64 {
        0
    }

    /// Writes `state` durably and as a whole.
    ///
    /// # Errors
    /// [`Error::Io`]: it is unknown whether the state was written; open the store again.
    pub fn write(&self, _state: &State) -> Result<(), Error> {
        Ok(())
    }

    /// Writes `state` and empties the not-in-sync list in the same durable write (a full sync has just replaced every
    /// key).
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_full_sync_done(&self, state: &State) -> Result<(), Error> {
        self.write(state)
    }

    /// Adds keys to the not-in-sync list, durably before it returns. A key already listed keeps its place and takes the
    /// newer reason.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn add_not_in_sync(&self, _keys: &[NotInSync]) -> Result<(), Error> {
        Ok(())
    }

    /// Removes `(db, key)` pairs from the list, durably.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn remove_not_in_sync(&self, _keys: &[(u32, &[u8])]) -> Result<(), Error> {
        Ok(())
    }

    /// The first `limit` entries of the list, by database and name.
    ///
    /// # Errors
    /// [`Error::Corrupted`], [`Error::Io`].
    pub fn not_in_sync(&self, _limit: usize) -> Result<Vec<NotInSync>, Error> {
        Ok(Vec::new())
    }

    /// How many keys the list holds.
    pub fn not_in_sync_count(&self) -> u64 {
        0
    }
}

/// What a directory says, for `status` and `checkpoint show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// What was written last.
    pub state: Option<State>,
    /// Number of durable writes so far.
    pub generation: u64,
    /// How many keys are not in sync.
    pub not_in_sync_count: u64,
    /// The first of them.
    pub not_in_sync: Vec<NotInSync>,
}

/// Reads a directory that no daemon uses. `Ok(None)`: there is no checkpoint; nothing is created.
///
/// # Errors
/// As [`Store::open`].
pub fn inspect(_dir: &Path, _limit: usize) -> Result<Option<Inspection>, Error> {
    Ok(None)
}

/// Removes store and guard (`checkpoint reset`). Other files in the directory stay. `Ok(false)`: there was nothing.
///
/// # Errors
/// [`Error::InUse`], [`Error::NotWritable`], [`Error::Io`].
pub fn reset(_dir: &Path) -> Result<bool, Error> {
    Ok(false)
}
