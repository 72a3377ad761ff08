//! The stream decoder.

use bytes::Bytes;

use crate::{Error, Item, Limits};

/// Incremental decoder of one flow's snapshot stream, from `REDIS0009` to the 40-byte token.
#[derive(Debug)]
pub struct Decoder {
    _limits: Limits,
    rest: Bytes,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new(limits: Limits) -> Self {
        Self { _limits: limits, rest: Bytes::new() }
    }

    /// Appends bytes as they came from the flow. Does not copy; items are slices of them.
    pub fn feed(&mut self, bytes: Bytes) {
        self.rest = bytes;
    }

    /// The next item, or `None` when more bytes are needed or the token was read.
    ///
    /// # Errors
    /// Bytes that contradict the format or exceed the limits. The decoder then stays in error.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Item>, Error> {
        Ok(None)
    }

    /// Whether [`Item::Eof`] was handed out.
    pub fn finished(&self) -> bool {
        false
    }

    /// Bytes of the stream consumed so far, compressed ones counted as they came.
    pub fn position(&self) -> u64 {
        0
    }

    /// Bytes fed and not consumed yet.
    pub fn buffered(&self) -> usize {
        self.rest.len()
    }

    /// What follows the token: the raw journal.
    pub fn into_rest(self) -> Bytes {
        self.rest
    }
}
