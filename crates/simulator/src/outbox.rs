//! Bytes on their way to one flow's socket.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

/// Filled under the engine's lock, drained by the flow's writer task.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    filled: Notify,
    drained: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Bytes>,
    /// Small pieces gather here, so that a record does not cost a queue entry.
    tail: BytesMut,
    /// Queued and handed out but not yet written.
    pending: usize,
    closed: bool,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, bytes: &[u8]) {
        let mut inner = self.lock();
        if inner.closed {
            return;
        }
        inner.pending += bytes.len();
        inner.tail.extend_from_slice(bytes);
        if inner.tail.len() >= 64 << 10 {
            let tail = inner.tail.split().freeze();
            inner.queue.push_back(tail);
        }
        self.filled.notify_one();
    }

    /// The next piece to write; `None` once closed.
    pub(crate) async fn take(&self) -> Option<Bytes> {
        loop {
            {
                let mut inner = self.lock();
                if inner.closed {
                    return None;
                }
                if let Some(piece) = inner.queue.pop_front() {
                    return Some(piece);
                }
                if !inner.tail.is_empty() {
                    return Some(inner.tail.split().freeze());
                }
            }
            self.filled.notified().await;
        }
    }

    /// Says that `n` bytes went out.
    pub(crate) fn written(&self, n: usize) {
        let mut inner = self.lock();
        inner.pending = inner.pending.saturating_sub(n);
        self.drained.notify_waiters();
    }

    /// Bytes not yet written.
    pub(crate) fn pending(&self) -> usize {
        self.lock().pending
    }

    /// Waits until fewer than `limit` bytes are pending, or it is closed.
    pub(crate) async fn below(&self, limit: usize) {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            {
                let inner = self.lock();
                if inner.closed || inner.pending < limit {
                    return;
                }
            }
            drained.await;
        }
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
        self.drained.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits until closed.
    pub(crate) async fn closed(&self) {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if self.is_closed() {
                return;
            }
            drained.await;
        }
    }
}
