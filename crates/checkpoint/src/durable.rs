//! What the engine asks of a checkpoint, wherever it is kept, and the rules every write must obey.

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use crate::{Error, NotInSync, Phase, Planned, Scheduled, State};

/// One durable change: all of it or nothing survives a crash (repair rule 1).
///
/// The list changes in this order: emptied if asked to, then `remove`, then `add`. A key in both stays listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// Replaces the state; `None` leaves it.
    pub state: Option<State>,
    /// Keys the list gains; a key already listed takes the newer entry.
    pub add: Vec<NotInSync>,
    /// Database and name of the keys the list loses; one that is not listed is passed over.
    pub remove: Vec<(u32, Vec<u8>)>,
    /// Empties the list first: what follows writes every key anew.
    pub clear_list: bool,
    /// Changes of the schedule, carried out in order.
    pub schedule: Vec<Planned>,
    /// Everything sent is settled and nothing more will be sent: `reserved` may come down to `applied`.
    pub clean_stop: bool,
}

/// A checkpoint: one owner, one change at a time. All calls may block.
pub trait Durable: Send + Sync + Debug {
    /// Carries out the change; it is durable when this returns.
    ///
    /// # Errors
    /// [`Error::Regression`]: nothing was written, the checkpoint can be used on. Any other: it is unknown whether it was
    /// written, and nothing more will be; open the checkpoint again.
    fn commit(&self, commit: &Commit) -> Result<(), Error>;

    /// How long a commit takes where it does not block; `None`: it blocks its thread.
    fn delay(&self) -> Option<Duration> {
        None
    }

    /// What was written last; `None` if nothing ever was.
    fn state(&self) -> Option<State>;

    /// The first `limit` keys of the list, by database and name.
    ///
    /// # Errors
    /// [`Error::Corrupted`], [`Error::Io`].
    fn listed(&self, limit: usize) -> Result<Vec<NotInSync>, Error>;

    /// How many keys the list holds.
    fn listed_count(&self) -> u64;

    /// The first `limit` keys of the schedule that are due at `at_ms`, earliest first.
    ///
    /// # Errors
    /// [`Error::Corrupted`], [`Error::Io`].
    fn due(&self, at_ms: u64, limit: usize) -> Result<Vec<Scheduled>, Error>;

    /// When the first key of the schedule is due (ms); `None` while it is empty.
    fn next_due(&self) -> Option<u64>;

    /// How many keys the schedule holds.
    fn scheduled_count(&self) -> u64;

    /// Takes all keys off the schedule, or those of one database. In portions: a crash leaves some of them, which is no
    /// harm, since a key that is looked at in vain is not changed by it.
    ///
    /// # Errors
    /// As [`Durable::commit`].
    fn forget_schedule(&self, db: Option<u32>) -> Result<(), Error>;

    /// 16 hex digits that tell this checkpoint from every other; target connections are named after it (repair rule 8).
    fn name(&self) -> String;
}

/// Whether `new` may follow `old`: within one LSN space nothing that was promised is taken back (repair rule 1 and the
/// invariants of section I).
pub(crate) fn check_order(
    dir: &Path,
    old: Option<&State>,
    new: &State,
    clean_stop: bool,
) -> Result<(), Error> {
    let refused = |what: String| Err(Error::Regression { dir: dir.to_owned(), what });
    if new.applied.len() != new.reserved.len() {
        return refused(format!("{} applied and {} reserved LSNs", new.applied.len(), new.reserved.len()));
    }
    if new.phase != Phase::Stable {
        return Ok(());
    }
    for (flow, (applied, reserved)) in new.applied.iter().zip(&new.reserved).enumerate() {
        if reserved < applied {
            return refused(format!("flow {flow} has applied LSN {applied} above reserved LSN {reserved}"));
        }
    }
    let Some(old) = old.filter(|old| same_space(old, new)) else { return Ok(()) };
    for flow in 0..new.applied.len() {
        let (before, after) = (old.applied[flow], new.applied[flow]);
        if after < before {
            return refused(format!("flow {flow} would go back from applied LSN {before} to {after}"));
        }
        let (before, after) = (old.reserved[flow], new.reserved[flow]);
        if after < before && !(clean_stop && after == new.applied[flow]) {
            return refused(format!("flow {flow} would go back from reserved LSN {before} to {after}"));
        }
    }
    Ok(())
}

fn same_space(old: &State, new: &State) -> bool {
    old.phase == Phase::Stable
        && old.replication_id == new.replication_id
        && old.applied.len() == new.applied.len()
        && old.reserved.len() == new.reserved.len()
}
