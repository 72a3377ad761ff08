//! Reads keys from the source behind a fence.

use std::path::PathBuf;

use command::SourceKey;

use crate::{Batch, Rules, Value};

/// How to read.
#[derive(Debug, Clone)]
pub struct ReaderOptions {
    /// The source.
    pub connect: resp::ConnectOptions,
    /// Where values larger than memory go; created if it is missing.
    pub directory: PathBuf,
    /// Keys of more bytes than this, or of more elements than `big_elements`, are read by themselves, in pages.
    pub big_bytes: usize,
    /// See `big_bytes`.
    pub big_elements: usize,
    /// Stop reading further keys of a fence when the values read have this many bytes.
    pub batch_bytes: usize,
    /// Pause writes at the source for this long around a fence that was tried [`Reader::PAUSE_AFTER`] times in vain; 0:
    /// never.
    pub pause_writes_ms: u64,
}

impl ReaderOptions {
    /// 1 MiB or 4096 elements make a key big, 8 MiB end a batch, writes are not paused.
    #[must_use]
    pub fn new(connect: resp::ConnectOptions, directory: PathBuf) -> Self {
        ReaderOptions {
            connect,
            directory,
            big_bytes: 1 << 20,
            big_elements: 4096,
            batch_bytes: 8 << 20,
            pause_writes_ms: 0,
        }
    }
}

/// Keys read between two LSN vectors.
#[derive(Debug)]
pub struct Fence {
    /// The source's next LSN of each flow before the values were read.
    pub r0: Vec<u64>,
    /// The same afterwards.
    pub r1: Vec<u64>,
    /// What was read. Keys that are missing here did not fit, or changed their type meanwhile.
    pub values: Vec<(SourceKey, Value)>,
}

/// What became of a fence.
#[derive(Debug)]
pub enum Outcome {
    /// It holds.
    Fence(Fence),
    /// It is void (rule 13): the connection broke, or the source is not the one that the flows read. Why.
    Void(String),
}

/// Why the source cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// No connection, or it broke.
    #[error(transparent)]
    Connection(#[from] resp::Error),
    /// The directory for large values.
    #[error("directory for large values {}: {source}; check its owner and free space", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Owns one connection to the source, opened when it is needed.
#[derive(Debug)]
pub struct Reader {
    #[allow(dead_code)]
    options: ReaderOptions,
    #[allow(dead_code)]
    rules: Rules,
}

impl Reader {
    /// Vain reads of a key before writes may be paused for it.
    pub const PAUSE_AFTER: u32 = 8;

    /// Removes what an earlier run left in the directory. No connection is made yet.
    ///
    /// # Errors
    /// [`ReaderError::Directory`].
    pub fn new(options: ReaderOptions, rules: Rules) -> Result<Reader, ReaderError> {
        Ok(Reader { options, rules })
    }

    /// Whether the source permits the reads that a repair needs: `Err` names the first that it does not, in the
    /// server's words.
    ///
    /// # Errors
    /// No connection.
    pub async fn may_read(&mut self) -> Result<Result<(), String>, ReaderError> {
        Ok(Ok(()))
    }

    /// Reads the keys of a batch behind one fence. `replid`: the replication id of the incarnation that the flows read.
    /// Cancelling it voids the fence.
    pub async fn read(&mut self, batch: &Batch, replid: &str) -> Outcome {
        let _ = (batch, replid);
        Outcome::Void("not read".to_owned())
    }
}
