//! The two ends: one producer, one consumer.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::state::{Admission, State};
use crate::{Error, Gauge, Options, PushError, WhenFull, worker};

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) readable: Notify,
    pub(crate) writable: Notify,
    /// Wakes the worker.
    pub(crate) work: Condvar,
    pub(crate) dir: Option<PathBuf>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held cannot leave the queue half-changed: every critical section
        // only moves whole chunks.
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

/// A spool without a disk part that holds at most `limit` bytes, and always at least one chunk, whatever its size.
/// A push waits for room.
pub fn channel(limit: usize) -> (Sender, Receiver) {
    open(Options { memory: limit, disk: None, when_full: WhenFull::Stall })
}

/// An empty spool. Touches no disk.
pub fn open(options: Options) -> (Sender, Receiver) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State::new(&options)),
        readable: Notify::new(),
        writable: Notify::new(),
        work: Condvar::new(),
        dir: options.disk.map(|disk| disk.dir),
    });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

/// Says that a push waits, for as long as it does.
struct Stalled<'s>(&'s Shared);

impl Drop for Stalled<'_> {
    fn drop(&mut self) {
        self.0.lock().stalled = false;
    }
}

impl Sender {
    /// Appends a chunk, after waiting until there is room for it. An empty spool takes any chunk. One push at a time.
    ///
    /// Cancel-safe: the chunk is in the spool when this returns `Ok`, and else nothing of it is.
    ///
    /// # Errors
    /// [`PushError::Full`] only with [`WhenFull::Drop`].
    pub async fn push(&self, chunk: Bytes) -> Result<(), PushError> {
        self.push_all(vec![chunk]).await
    }

    /// [`Self::push`] of chunks that belong together: all of them are taken, or none is. An empty spool takes any number.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub async fn push_all(&self, mut chunks: Vec<Bytes>) -> Result<(), PushError> {
        chunks.retain(|chunk| !chunk.is_empty());
        if chunks.is_empty() {
            return Ok(());
        }
        let mut stalled = None;
        loop {
            {
                let mut state = self.shared.lock();
                if state.abandoned {
                    return Err(PushError::Closed);
                }
                if state.error.is_some() {
                    return Err(PushError::Broken);
                }
                match state.admit(&chunks) {
                    Admission::Memory => {
                        drop(state);
                        self.shared.readable.notify_one();
                        return Ok(());
                    }
                    Admission::Handover => {
                        // A worker that cannot be started is tried again with the next chunk; until then this one
                        // waits in memory.
                        let start = !std::mem::replace(&mut state.worker, true);
                        drop(state);
                        if start {
                            worker::start(&self.shared);
                        }
                        self.shared.work.notify_one();
                        return Ok(());
                    }
                    Admission::Full => return Err(PushError::Full),
                    Admission::Later => state.stalled = true,
                }
            }
            stalled.get_or_insert_with(|| Stalled(&self.shared));
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
    /// Cancel-safe: a chunk is either returned or still in the spool.
    ///
    /// # Errors
    /// What was written to disk cannot be read back. The error stays.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(chunk) = self.try_next()? {
                return Ok(Some(chunk));
            }
            {
                let state = self.shared.lock();
                if state.ended && state.error.is_none() && state.is_empty() {
                    return Ok(None);
                }
            }
            self.shared.readable.notified().await;
        }
    }

    /// The next chunk if one is in memory already.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn try_next(&mut self) -> Result<Option<Bytes>, Error> {
        let mut state = self.shared.lock();
        let Some(chunk) = state.take() else {
            return state.error.clone().map_or(Ok(None), Err);
        };
        let work = state.wakes_worker();
        drop(state);
        if work {
            self.shared.work.notify_one();
        }
        self.shared.writable.notify_one();
        Ok(Some(chunk))
    }

    /// [`Self::next`] of a spool without a disk part, which cannot fail.
    pub async fn pop(&mut self) -> Option<Bytes> {
        self.next().await.unwrap_or_default()
    }

    /// [`Self::try_next`] of a spool without a disk part, which cannot fail.
    pub fn try_pop(&mut self) -> Option<Bytes> {
        self.try_next().unwrap_or_default()
    }

    /// Bytes that wait, in memory and on disk.
    pub fn bytes(&self) -> usize {
        self.gauge().bytes()
    }

    /// A handle that tells how full the spool is, and how full it may become.
    pub fn gauge(&self) -> Gauge {
        Gauge { shared: self.shared.clone() }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.lock().abandon();
        self.shared.writable.notify_one();
        self.shared.work.notify_one();
    }
}
