//! What can go wrong at either end.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

/// A chunk that was not taken. Nothing of it is in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PushError {
    /// The receiver is gone.
    #[error("the spool's receiver is gone")]
    Closed,
    /// Memory and disk are used up, and [`crate::WhenFull::Drop`] was chosen. Room may come again.
    #[error("the spool is full")]
    Full,
    /// The receiver was told that a part is lost ([`enum@Error`]): nothing behind it may be applied.
    #[error("a part of the spool is lost")]
    Broken,
}

/// What was spooled cannot be read back. Everything before it was handed out, nothing behind it ever is.
///
/// The way out is that of a lost link: drop it and attach again from what is applied.
#[derive(Debug, Clone, Error)]
pub enum Error {
    /// The file is gone, or the disk does not give its bytes.
    #[error("cannot read spool segment {}: {source}", file.display())]
    Read {
        /// The segment.
        file: PathBuf,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The file is shorter than what was written into it.
    #[error("spool segment {} ends too early, at byte {at}", file.display())]
    Truncated {
        /// The segment.
        file: PathBuf,
        /// Offset of what does not fit into it any more.
        at: u64,
    },
    /// The bytes are not those that were written.
    #[error("spool segment {} is corrupted at byte {at}", file.display())]
    Corrupt {
        /// The segment.
        file: PathBuf,
        /// Offset of the header or frame that is wrong.
        at: u64,
    },
}
