//! What can go wrong with a checkpoint directory.

use std::io;
use std::path::PathBuf;

/// What to do about a corrupted checkpoint.
pub(crate) const WAY_OUT: &str =
    "run `df2redis checkpoint reset --config FILE`, then the next start does a full resync";

/// One variant per thing an operator can do about it. Every message names the directory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process owns the directory.
    #[error("checkpoint {dir} is in use by another process", dir = dir.display())]
    InUse {
        /// The checkpoint directory.
        dir: PathBuf,
    },
    /// The directory cannot be created or written.
    #[error("checkpoint {dir} is not writable: {source}; {advice}", dir = dir.display(), advice = advice(source))]
    NotWritable {
        /// The checkpoint directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are not what was written.
    #[error("checkpoint {dir} is corrupted: {what}; {way_out}", dir = dir.display())]
    Corrupted {
        /// The checkpoint directory.
        dir: PathBuf,
        /// What was found.
        what: String,
        /// What the operator can do.
        way_out: &'static str,
    },
    /// Written by a later version of this program.
    #[error("checkpoint {dir} has format {found}, this version reads up to {known}: use the version that wrote it", dir = dir.display())]
    NewerFormat {
        /// The checkpoint directory.
        dir: PathBuf,
        /// Format version found.
        found: u8,
        /// Newest format version this program reads.
        known: u8,
    },
    /// What was to be written takes something back that the stored state promises. Nothing was written.
    #[error("checkpoint {dir} refuses a state: {what}; this is a defect of the program", dir = dir.display())]
    Regression {
        /// The checkpoint directory.
        dir: PathBuf,
        /// Which flow would take back what.
        what: String,
    },
    /// Reading or writing failed in the middle.
    #[error("checkpoint {dir}: {what}: {source}; {advice}", dir = dir.display(), advice = advice(source))]
    Io {
        /// The checkpoint directory.
        dir: PathBuf,
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// What the operator does about a system's error.
fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space on that disk, then start again: it goes on where it was"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "give it to the user that runs the program, and start again"
        }
        _ => "see what is wrong with that disk, then start again: it goes on where it was",
    }
}
