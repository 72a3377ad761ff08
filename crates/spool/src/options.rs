//! How much a spool may hold, and what follows then.

use std::path::PathBuf;

/// Bounds of one flow's spool. Whoever opens several divides the budgets among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Bytes in memory, those included that are on their way to the disk and back from it. A single chunk is taken
    /// whatever its size where nothing else waits.
    pub memory: usize,
    /// Where more is kept; `None`: nowhere.
    pub disk: Option<Disk>,
    /// What follows when neither has room.
    pub when_full: WhenFull,
}

/// The part of a spool that is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Directory of this flow's segments and of nothing else's. It is created when it is first needed.
    pub dir: PathBuf,
    /// Bytes of all segment files. 0: no file is written.
    pub limit: u64,
}

/// What a full spool does with more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// [`crate::Sender::push`] waits: the source's socket is not read, and the source stalls its writers.
    Stall,
    /// [`crate::Sender::push`] fails with [`crate::PushError::Full`]: the link is to be dropped, and what the source
    /// cannot send again later is to be reconciled.
    Drop,
}
