//! Cuts a stream where its records end, without handing out what is in them.
//!
//! Whoever keeps a stream longer than the link it came over may keep whole records only: a link that is cut in the
//! middle of one sends that record again from its beginning.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use crate::{Decoder, Error, Limits, LsnCounter};

/// Complete records at the front of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whole {
    /// Their bytes in order, slices of what was fed. Empty where no record was completed.
    pub chunks: Vec<Bytes>,
    /// How many LSNs they take, counted as [`LsnCounter`] counts.
    pub lsns: u64,
}

/// Cuts the stable stream of one flow into whole entries.
///
/// Bytes of an entry that is not complete stay inside, at most one record of [`Limits`] and the chunk that brought its
/// end.
#[derive(Debug)]
pub struct Boundaries {
    limits: Limits,
    decoder: Decoder,
    /// What was fed and not handed out.
    held: VecDeque<Bytes>,
    held_bytes: usize,
}

impl Boundaries {
    /// Begins at the boundary of a record.
    pub fn new(limits: Limits) -> Self {
        Self { decoder: Decoder::new(limits.clone()), limits, held: VecDeque::new(), held_bytes: 0 }
    }

    /// Takes the next bytes of the stream and hands out every entry that they complete.
    ///
    /// # Errors
    /// Bytes that are no journal. Nothing of this chunk is handed out, and every later call fails alike until
    /// [`Self::drop_tail`].
    pub fn feed(&mut self, chunk: Bytes) -> Result<Whole, Error> {
        self.held_bytes += chunk.len();
        self.decoder.feed(chunk.clone());
        self.held.push_back(chunk);
        let mut counter = LsnCounter::new(0);
        while let Some(entry) = self.decoder.next_without_arguments()? {
            // What the source counts is compared where records are applied; here an LSN op is only another entry.
            let _ = counter.observe(&entry);
        }
        let complete = self.held_bytes - self.decoder.pending_bytes();
        Ok(Whole { chunks: self.take(complete), lsns: counter.next() })
    }

    /// Bytes of the record that is not complete.
    pub fn tail(&self) -> usize {
        self.held_bytes
    }

    /// Forgets the record that is not complete: the next bytes begin a record.
    pub fn drop_tail(&mut self) {
        *self = Self::new(self.limits.clone());
    }

    /// Hands out the first `count` bytes.
    fn take(&mut self, count: usize) -> Vec<Bytes> {
        let mut chunks = Vec::new();
        let mut left = count;
        while left > 0 {
            let front = self.held.front_mut().expect("what is complete was fed before");
            if front.len() > left {
                chunks.push(front.slice(..left));
                front.advance(left);
                break;
            }
            left -= front.len();
            chunks.extend(self.held.pop_front());
        }
        self.held_bytes -= count;
        chunks
    }
}

/// Length of the token that ends a snapshot stream (Dragonfly v1.40.1 `replica.cc`, `DflyShardReplica`).
const TOKEN: usize = 40;

/// Finds the end of a snapshot stream: the EOF token that the flow's greeting announced.
#[derive(Debug)]
pub struct TokenFinder {
    token: [u8; TOKEN],
    /// The last bytes seen, fewer than a token.
    seen: Vec<u8>,
}

impl TokenFinder {
    /// A finder at the beginning of a snapshot.
    pub fn new(token: [u8; TOKEN]) -> Self {
        Self { token, seen: Vec::with_capacity(2 * TOKEN) }
    }

    /// Looks at the next bytes. Where the token ends in them: the offset in `chunk` of what follows it.
    pub fn feed(&mut self, chunk: &Bytes) -> Option<usize> {
        // A token that began in an earlier chunk ends within the first bytes of this one.
        let before = self.seen.len();
        if before > 0 {
            self.seen.extend_from_slice(&chunk[..chunk.len().min(TOKEN - 1)]);
            if let Some(at) = memchr::memmem::find(&self.seen, &self.token) {
                return Some(at + TOKEN - before);
            }
        }
        if let Some(at) = memchr::memmem::find(chunk, &self.token) {
            return Some(at + TOKEN);
        }
        if chunk.len() >= TOKEN {
            self.seen.clear();
            self.seen.extend_from_slice(&chunk[chunk.len() - (TOKEN - 1)..]);
        } else {
            if before == 0 {
                self.seen.extend_from_slice(chunk);
            }
            let surplus = self.seen.len().saturating_sub(TOKEN - 1);
            self.seen.drain(..surplus);
        }
        None
    }
}
