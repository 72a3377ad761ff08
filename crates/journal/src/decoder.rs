//! Bytes in, entries out.

use bytes::Bytes;

use crate::buffer::Buffer;
use crate::parse::{Arguments, Stop, read};
use crate::{Entry, Error, Limits};

/// Incremental decoder of one flow's stable stream.
///
/// ```text
/// [SELECT db] COMMAND txid shard_cnt argc total (len arg)*      PING      LSN n
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    buffer: Buffer,
    /// Database of the last SELECT. Masters up to v1.10 send one only when it changes.
    db: u32,
    /// The entry at the front needs at least that many bytes.
    need: usize,
    failed: Option<Error>,
}

impl Decoder {
    /// A decoder at the beginning of a journal, in database 0.
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: Buffer::default(), db: 0, need: 1, failed: None }
    }

    /// Appends bytes as they came from the flow. Does not copy; arguments are slices of them where a record lies in
    /// one buffer.
    pub fn feed(&mut self, bytes: Bytes) {
        self.buffer.push(bytes);
    }

    /// The next entry, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// Bytes that contradict the format or exceed the limits. The decoder then stays in error.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Entry>, Error> {
        self.read(Arguments::Keep)
    }

    /// [`Self::next`], but the arguments of a record are left out: what only finds the end of it costs no allocation.
    pub(crate) fn next_without_arguments(&mut self) -> Result<Option<Entry>, Error> {
        self.read(Arguments::Skip)
    }

    fn read(&mut self, arguments: Arguments) -> Result<Option<Entry>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        // What the front says about its length is not read again before that many bytes have come.
        while self.buffer.ensure(self.need) {
            let mut db = self.db;
            match read(self.buffer.front(), &mut db, &self.limits, arguments) {
                Ok((entry, len)) => {
                    self.buffer.skip(len);
                    self.db = db;
                    self.need = 1;
                    return Ok(Some(entry));
                }
                Err(Stop::More(need)) => self.need = need,
                Err(Stop::Bad(error)) => {
                    self.failed = Some(error.clone());
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    /// Bytes fed and not decoded yet: what would be lost if the flow ended now.
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len()
    }
}

/// Decodes a journal blob of a snapshot: exactly one entry with its own SELECT. The blob itself bounds its lengths.
///
/// # Errors
/// [`Error::Truncated`] and [`Error::Trailing`] where it is not exactly one, and whatever a journal may have wrong.
pub fn decode_blob(blob: Bytes) -> Result<Entry, Error> {
    let limits = Limits { max_args: blob.len(), max_arg: blob.len(), max_total: blob.len() };
    match read(&blob, &mut 0, &limits, Arguments::Keep) {
        Ok((entry, len)) if len == blob.len() => Ok(entry),
        Ok(_) => Err(Error::Trailing),
        // The blob is its own bound.
        Err(Stop::More(_) | Stop::Bad(Error::TooLarge { .. })) => Err(Error::Truncated),
        Err(Stop::Bad(error)) => Err(error),
    }
}
