//! Reads keys from the source behind a fence.

mod big;
mod encode;
mod look;
mod permission;
mod script;
mod small;

use std::collections::BTreeSet;
use std::path::PathBuf;

use command::{KeyPositions, SourceKey};
use resp::{Connection, Reply};
use tracing::debug;

use crate::spill;
use crate::{Batch, Rules, Value};

/// How to read.
#[derive(Debug, Clone)]
pub struct ReaderOptions {
    /// The source.
    pub connect: resp::ConnectOptions,
    /// Where values larger than memory go, in unnamed files; created if it is missing.
    pub directory: PathBuf,
    /// Keys of more bytes than this (`MEMORY USAGE`), or of more elements than `big_elements`, are read by themselves,
    /// in pages.
    pub big_bytes: u64,
    /// See `big_bytes`.
    pub big_elements: u64,
    /// A fence takes no further keys when those it has are this large together.
    pub batch_bytes: u64,
    /// Pause writes at the source for at most this long around a fence of which a key was read
    /// [`Reader::PAUSE_AFTER`] times in vain; 0: never.
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

impl Fence {
    fn new(r0: Vec<u64>, r1: Vec<u64>) -> Result<Fence, Void> {
        if r0.len() == r1.len() && r0.iter().zip(&r1).all(|(r0, r1)| r0 <= r1) {
            Ok(Fence { r0, r1, values: Vec::new() })
        } else {
            Err(Void::Backwards)
        }
    }
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

/// What makes a fence void.
#[derive(Debug, thiserror::Error)]
enum Void {
    #[error(transparent)]
    Connection(#[from] resp::Error),
    #[error("the source is {found}, the flows read {expected}")]
    OtherIncarnation { found: String, expected: String },
    #[error("the second LSN vector is not behind the first")]
    Backwards,
    #[error("{request} answered {reply}")]
    Unexpected { request: &'static str, reply: String },
    #[error("large value: {0}")]
    File(#[from] std::io::Error),
}

impl Void {
    fn unexpected(request: &'static str, reply: &Reply) -> Void {
        let reply = match reply.as_error() {
            Some(line) => resp::printable(line),
            None => resp::printable(format!("{reply:?}").as_bytes()),
        };
        Void::Unexpected { request, reply }
    }
}

/// Owns one connection to the source, opened when it is needed.
///
/// A key is looked at first, without a fence: its type and size. Then it is read by the command of its type, everything
/// of a batch in one pipeline between the two readings of the LSN vector, so that the window is as short as a round
/// trip. `DUMP` would serve for every type, but costs the source 220-470 µs a key with its default compression, where
/// `GET` and the like cost 1 µs (v1.40.1, measured); it is for streams, filters, and collections whose members may
/// have a TTL of their own.
#[derive(Debug)]
pub struct Reader {
    options: ReaderOptions,
    rules: Rules,
    link: Option<Link>,
    abilities: Abilities,
    /// Collections with members that expire.
    member_ttls: BTreeSet<SourceKey>,
    next_id: u64,
}

/// The connection, with the database it has selected.
#[derive(Debug)]
struct Link {
    connection: Connection,
    db: Option<u32>,
}

/// What this source does not have, found out on the way.
#[derive(Debug, Clone, Copy)]
struct Abilities {
    pexpiretime: bool,
    memory_usage: bool,
    field_ttl: bool,
    json_get: bool,
}

/// Ids of values in pieces: far from those that a snapshot's decoder gives, which one translator may see as well.
const FIRST_ID: u64 = 1 << 63;

impl Reader {
    /// Vain reads of a key before writes may be paused for it.
    pub const PAUSE_AFTER: u32 = 8;
    /// Largest value that is read by `DUMP`, in bytes of `MEMORY USAGE`: streams, documents, filters. A larger one is
    /// [`Value::Unreadable`].
    pub const LARGEST_DUMP: u64 = 32 << 20;

    /// Makes the directory ready. No connection is opened yet.
    ///
    /// # Errors
    /// [`ReaderError::Directory`].
    pub fn new(options: ReaderOptions, rules: Rules) -> Result<Reader, ReaderError> {
        let path = options.directory.clone();
        spill::prepare(&path).map_err(|source| ReaderError::Directory { path, source })?;
        let abilities = Abilities { pexpiretime: true, memory_usage: true, field_ttl: true, json_get: true };
        let member_ttls = BTreeSet::new();
        Ok(Reader { options, rules, link: None, abilities, member_ttls, next_id: FIRST_ID })
    }

    /// Whether the source permits the reads that a repair needs: the inner `Err` names the first that it does not, in
    /// the server's words.
    ///
    /// # Errors
    /// No connection; a source that answers nothing for the moment.
    pub async fn may_read(&mut self) -> Result<Result<(), String>, ReaderError> {
        let mut link = self.link().await?;
        let permission = permission::ask(&mut link.connection, self.options.pause_writes_ms > 0).await?;
        // Among the probes is a SELECT.
        link.db = None;
        self.link = Some(link);
        Ok(permission)
    }

    /// Where the keys of a command are, as the source's `COMMAND INFO` says; `None`: it does not know the command, or does
    /// not tell us.
    ///
    /// # Errors
    /// No connection, or it broke.
    pub async fn key_positions(&mut self, command: &[u8]) -> Result<Option<KeyPositions>, ReaderError> {
        let mut link = self.link().await?;
        let reply = link.connection.call(&[b"COMMAND".as_slice(), b"INFO", command]).await?;
        self.link = Some(link);
        let number = |parts: &[Reply], at: usize| parts.get(at).and_then(Reply::as_integer);
        let parts = reply.as_array().and_then(|replies| replies.first()).and_then(Reply::as_array);
        // name, arity, flags, first key, last key, step
        Ok(parts.and_then(|parts| {
            let (first, last, step) = (number(parts, 3)?, number(parts, 4)?, number(parts, 5)?);
            Some(KeyPositions { first, last, step })
        }))
    }

    /// Reads the keys of a batch behind one fence. `replid`: the replication id of the incarnation that the flows read.
    ///
    /// Dropped before it is done, it leaves the fence void: the next one takes another connection.
    pub async fn read(&mut self, batch: &Batch, replid: &str) -> Outcome {
        match self.fence(batch, replid).await {
            Ok(fence) => Outcome::Fence(fence),
            Err(void) => {
                debug!(keys = batch.keys.len(), reason = %void, "fence void");
                Outcome::Void(void.to_string())
            }
        }
    }

    async fn fence(&mut self, batch: &Batch, replid: &str) -> Result<Fence, Void> {
        // whoever fails, or is dropped, leaves no connection behind (rule 13: unbroken)
        let mut link = self.link().await?;
        let fence = match batch.keys.first() {
            Some(key) if batch.big => self.read_big(&mut link, key, batch, replid).await?,
            _ => self.read_small(&mut link, batch, replid).await?,
        };
        self.link = Some(link);
        Ok(fence)
    }

    async fn link(&mut self) -> Result<Link, resp::Error> {
        if let Some(link) = self.link.take().filter(|link| link.connection.is_usable()) {
            return Ok(link);
        }
        Ok(Link { connection: Connection::open(&self.options.connect).await?, db: None })
    }

    /// Milliseconds for which writes are paused around this fence, if at all.
    fn pause(&self, batch: &Batch) -> Option<u64> {
        let pause = self.options.pause_writes_ms;
        (pause > 0 && batch.tries >= Self::PAUSE_AFTER).then_some(pause)
    }

    fn id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}
