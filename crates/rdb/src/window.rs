//! Bytes that were fed and not consumed, seen as one contiguous head and a queue.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// A chunk is copied whole behind a shorter head while it is at most this many times the head's length: what is
/// copied then stays in proportion to the item that needs it.
const COPY_FACTOR: usize = 4;

/// Buffers in order. The head is never empty while the queue holds anything.
#[derive(Debug, Default)]
pub(crate) struct Window {
    head: Bytes,
    queue: VecDeque<Bytes>,
    queued: usize,
    consumed: u64,
}

impl Window {
    /// Appends a buffer without copying it.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if self.head.is_empty() {
            self.head = bytes;
        } else if !bytes.is_empty() {
            self.queued += bytes.len();
            self.queue.push_back(bytes);
        }
    }

    /// Bytes in all buffers.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.queued
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// Bytes consumed since the beginning.
    pub(crate) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// The contiguous front.
    pub(crate) fn head(&self) -> &Bytes {
        &self.head
    }

    /// Makes the head at least `n` bytes long, if there are that many.
    pub(crate) fn ensure(&mut self, n: usize) -> bool {
        if self.head.len() >= n {
            return true;
        }
        if self.len() < n {
            return false;
        }
        self.gather(n);
        true
    }

    #[cold]
    fn gather(&mut self, n: usize) {
        // A head that nobody else holds grows in place, so that an item that arrives in many small buffers is copied
        // a bounded number of times.
        let mut buf = std::mem::take(&mut self.head).try_into_mut().unwrap_or_else(|shared| {
            let mut copy = BytesMut::with_capacity(n.max(shared.len() * 2));
            copy.extend_from_slice(&shared);
            copy
        });
        while buf.len() < n {
            let next = self.queue.front_mut().expect("the caller checked that n bytes are queued");
            let missing = n - buf.len();
            if next.len() <= missing || next.len() <= buf.len().saturating_mul(COPY_FACTOR) {
                self.queued -= next.len();
                buf.extend_from_slice(next);
                self.queue.pop_front();
            } else {
                self.queued -= missing;
                buf.extend_from_slice(&next.split_to(missing));
            }
        }
        self.head = buf.freeze();
    }

    /// Consumes `n` bytes of the head, which must be that long.
    pub(crate) fn take(&mut self, n: usize) -> Bytes {
        self.consumed += n as u64;
        if n < self.head.len() {
            return self.head.split_to(n);
        }
        let taken = std::mem::take(&mut self.head);
        self.refill();
        taken
    }

    /// Consumes and drops `n` bytes of the head, which must be that long.
    pub(crate) fn skip(&mut self, n: usize) {
        self.consumed += n as u64;
        self.head.advance(n);
        if self.head.is_empty() {
            self.refill();
        }
    }

    fn refill(&mut self) {
        if let Some(next) = self.queue.pop_front() {
            self.queued -= next.len();
            self.head = next;
        }
    }

    /// Everything that was not consumed, as one buffer.
    pub(crate) fn into_rest(mut self) -> Bytes {
        let n = self.len();
        self.ensure(n);
        self.head
    }
}
