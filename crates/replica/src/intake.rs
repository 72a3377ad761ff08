//! From a flow's socket into its spool: whole records only, counted.
//!
//! The spool of a flow outlives its socket. So that the next socket can go on where this one ended, what lies in the spool
//! always ends with a whole record, and how many there were is known exactly (repair rule 20).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::{Bytes, BytesMut};
use flow::{EofToken, FlowReader};
use journal::{Boundaries, TokenFinder};

use crate::flow_task::stopped;
use crate::status::FlowStatus;

/// Bytes asked for in one read.
const READ: usize = 256 << 10;

/// How far a flow's records have been received: below this LSN everything is in the spool, or was.
#[derive(Debug, Default)]
pub struct Received {
    /// LSN of the first record that was counted.
    base: AtomicU64,
    /// Records since.
    count: AtomicU64,
}

impl Received {
    /// Begins to count at an LSN; what was counted before came behind it.
    pub fn begin_at(&self, next: u64) {
        self.base.store(next, Relaxed);
    }

    /// Whether it is known where that is.
    pub fn has_begun(&self) -> bool {
        self.base.load(Relaxed) > 0
    }

    /// The LSN that the source would send next.
    pub fn next(&self) -> u64 {
        self.base.load(Relaxed) + self.count.load(Relaxed)
    }
}

/// Where a flow's socket begins.
#[derive(Debug)]
pub enum Stage {
    /// In front of a snapshot stream that ends with this token.
    Snapshot(EofToken),
    /// At a record.
    Journal,
}

/// Why a socket is read no further.
#[derive(Debug)]
pub enum Closed {
    /// The source closed it, or it was read as long as it was wanted.
    Link,
    /// The connection broke: the system's reason.
    Cut(std::io::Error),
    /// The spool takes no more, and the configuration says to drop the link then.
    SpoolFull,
    /// Nobody empties the spool any more.
    Abandoned,
    /// What came is no journal: the reason.
    Broken(String),
}

/// Reads a flow's socket into its spool until either ends.
pub async fn pump(
    mut reader: FlowReader,
    spool: Arc<spool::Sender>,
    received: Arc<Received>,
    status: Arc<FlowStatus>,
    stage: Stage,
    mut stop: watch::Receiver<bool>,
) -> Closed {
    let mut buffer = BytesMut::with_capacity(READ);
    let mut finder = match stage {
        Stage::Snapshot(token) => Some(TokenFinder::new(token.0)),
        Stage::Journal => None,
    };
    let mut records = Boundaries::new(journal::Limits::default());
    loop {
        let read = tokio::select! {
            biased;
            () = stopped(&mut stop) => return Closed::Link,
            read = reader.read_chunk(&mut buffer) => read,
        };
        match read {
            Ok(0) => return Closed::Link,
            Ok(count) => {
                status.bytes.fetch_add(count as u64, Relaxed);
                let mut chunk = buffer.split().freeze();
                if buffer.capacity() < READ / 16 {
                    buffer.reserve(READ);
                }
                if let Some(search) = &mut finder {
                    let end = search.feed(&chunk);
                    let snapshot = chunk.split_to(end.unwrap_or(chunk.len()));
                    if let Err(closed) = push(&mut stop, &spool, vec![snapshot]).await {
                        return closed;
                    }
                    match end {
                        Some(_) => finder = None,
                        None => continue,
                    }
                }
                let whole = match records.feed(chunk) {
                    Ok(whole) => whole,
                    Err(error) => return Closed::Broken(format!("journal: {error}")),
                };
                // All or nothing: a record in the spool is a record counted, and counted before it can be taken out.
                received.count.fetch_add(whole.lsns, Relaxed);
                if let Err(closed) = push(&mut stop, &spool, whole.chunks).await {
                    received.count.fetch_sub(whole.lsns, Relaxed);
                    return closed;
                }
                status.received.store(received.next(), Relaxed);
            }
            Err(error) => return Closed::Cut(error),
        }
    }
}

/// Until it is in the spool it may be given up as a whole.
async fn push(
    stop: &mut watch::Receiver<bool>,
    spool: &spool::Sender,
    chunks: Vec<Bytes>,
) -> Result<(), Closed> {
    tokio::select! {
        biased;
        () = stopped(stop) => Err(Closed::Link),
        pushed = spool.push_all(chunks) => pushed.map_err(|error| match error {
            spool::PushError::Full => Closed::SpoolFull,
            _ => Closed::Abandoned,
        }),
    }
}
