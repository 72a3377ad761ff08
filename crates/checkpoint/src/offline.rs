//! What can be done with a directory that no daemon uses.

use std::fs::File;
use std::path::Path;

use crate::disk::{self, Disk};
use crate::lock::Lock;
use crate::store::Failures;
use crate::{Durable, Error, NotInSync, State, Store, existing, guard};

/// What a directory says, for `status` and `checkpoint show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Name of the checkpoint; empty before the first start of a version that gives one.
    pub name: String,
    /// What was written last.
    pub state: Option<State>,
    /// Number of durable writes so far.
    pub generation: u64,
    /// How many keys are not in sync.
    pub not_in_sync_count: u64,
    /// The first of them.
    pub not_in_sync: Vec<NotInSync>,
    /// How many keys have members that expire through us.
    pub scheduled: u64,
    /// When the first of those is due, in milliseconds since the Unix epoch by the source's clock.
    pub next_due_ms: Option<u64>,
}

/// Reads a directory that no daemon uses, with at most `limit` keys that are not in sync. `Ok(None)`: there is no
/// checkpoint; nothing is created. A directory of an older format is read and not upgraded.
///
/// # Errors
/// As [`Store::open`].
pub fn inspect(dir: &Path, limit: usize) -> Result<Option<Inspection>, Error> {
    if !has_checkpoint(dir)? {
        return Ok(None);
    }
    let store = Store::open_as_it_is(dir, Lock::take(dir)?)?;
    Ok(Some(Inspection {
        name: store.name(),
        state: store.state(),
        generation: store.generation(),
        not_in_sync_count: store.not_in_sync_count(),
        not_in_sync: store.not_in_sync(limit)?,
        scheduled: store.scheduled_count(),
        next_due_ms: store.next_due(),
    }))
}

/// Removes store and guard (`checkpoint reset`). Other files in the directory stay. `Ok(false)`: there was nothing.
///
/// # Errors
/// [`Error::InUse`], [`Error::NotWritable`], [`Error::Io`].
pub fn reset(dir: &Path) -> Result<bool, Error> {
    if !has_checkpoint(dir)? {
        return Ok(false);
    }
    let _lock = Lock::take(dir)?;
    let fail = Failures { dir };
    // The store goes first: a crash in between leaves a guard without a store, which is refused, not a store without a guard
    // that would have to be believed.
    Disk::remove(dir).map_err(|e| fail.io("removing the store", e))?;
    guard::remove(dir).map_err(|e| fail.io("removing the guard file", e))?;
    existing::remove(dir).map_err(|e| fail.io("removing the list of keys that the target had", e))?;
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| fail.io("removing the store", e))?;
    Ok(true)
}

/// A directory that may not be looked into is an error, not an absent checkpoint.
fn has_checkpoint(dir: &Path) -> Result<bool, Error> {
    let there = |path: &Path| path.try_exists().map_err(|e| Failures { dir }.io("looking for it", e));
    Ok(there(&dir.join(disk::NAME))? || there(&guard::file(dir))?)
}
