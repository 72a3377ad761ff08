//! Bytes in, entries out.

use bytes::Bytes;

use crate::{Entry, Error, Limits};

/// Incremental decoder of one flow's stable stream.
#[derive(Debug)]
pub struct Decoder {
    _limits: Limits,
    rest: Bytes,
}

impl Decoder {
    /// A decoder at the beginning of a journal, in database 0.
    pub fn new(limits: Limits) -> Self {
        Self { _limits: limits, rest: Bytes::new() }
    }

    /// Appends bytes as they came from the flow. Arguments are slices of them where a record lies in one buffer.
    pub fn feed(&mut self, bytes: Bytes) {
        self.rest = bytes;
    }

    /// The next entry, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// Bytes that contradict the format or exceed the limits. The decoder then stays in error.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Entry>, Error> {
        Ok(None)
    }

    /// Bytes fed and not decoded yet: what would be lost if the flow ended now.
    pub fn pending_bytes(&self) -> usize {
        self.rest.len()
    }
}

/// Decodes a journal blob of a snapshot: exactly one record, ping or exec, with its own SELECT.
///
/// # Errors
/// [`Error::Truncated`] and [`Error::Trailing`] where it is not exactly one, and whatever a journal may have wrong.
pub fn decode_blob(_blob: Bytes) -> Result<Entry, Error> {
    Err(Error::Truncated)
}
