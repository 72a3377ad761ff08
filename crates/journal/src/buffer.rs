//! Bytes that were fed and not decoded yet.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// A buffer is copied whole behind a shorter front while it is at most this many times the front's length: what is
/// copied then stays in proportion to the record that needs it.
const COPY_FACTOR: usize = 4;

/// Buffers in order. The front is never empty while the queue holds anything.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    front: Bytes,
    queue: VecDeque<Bytes>,
    queued: usize,
}

impl Buffer {
    /// Appends a buffer without copying it.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if self.front.is_empty() {
            self.front = bytes;
        } else if !bytes.is_empty() {
            self.queued += bytes.len();
            self.queue.push_back(bytes);
        }
    }

    /// Bytes in all buffers.
    pub(crate) fn len(&self) -> usize {
        self.front.len() + self.queued
    }

    /// The contiguous front.
    pub(crate) fn front(&self) -> &Bytes {
        &self.front
    }

    /// Makes the front at least `n` bytes long, if there are that many.
    pub(crate) fn ensure(&mut self, n: usize) -> bool {
        if self.front.len() >= n {
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
        // A front that nobody else holds grows in place.
        let mut buf = std::mem::take(&mut self.front).try_into_mut().unwrap_or_else(|shared| {
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
        self.front = buf.freeze();
    }

    /// Drops `n` bytes of the front, which must be that long.
    pub(crate) fn skip(&mut self, n: usize) {
        self.front.advance(n);
        if self.front.is_empty()
            && let Some(next) = self.queue.pop_front()
        {
            self.queued -= next.len();
            self.front = next;
        }
    }
}
