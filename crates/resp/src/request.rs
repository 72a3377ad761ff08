//! Commands: how a client writes them and how a server reads them.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::line::end_of_line;
use crate::reply::{DecodeError, Limits, bounded, length};

#[cfg(test)]
mod tests;

/// Appends one command as an array of bulk strings.
pub fn write_command<A: AsRef<[u8]>>(out: &mut BytesMut, args: &[A]) {
    let mut digits = itoa::Buffer::new();
    // 16 bytes cover an argument's frame up to a length of ten digits.
    out.reserve(16 + args.iter().map(|a| a.as_ref().len() + 16).sum::<usize>());
    out.put_u8(b'*');
    out.put_slice(digits.format(args.len()).as_bytes());
    out.put_slice(b"\r\n");
    for arg in args {
        let arg = arg.as_ref();
        out.put_u8(b'$');
        out.put_slice(digits.format(arg.len()).as_bytes());
        out.put_slice(b"\r\n");
        out.put_slice(arg);
        out.put_slice(b"\r\n");
    }
}

/// Decodes commands as a server reads them, from bytes that arrive in any pieces: arrays of bulk strings and inline
/// commands (words separated by blanks, without quoting).
///
/// A native Dragonfly replica sends its commands inline (v1.40.1, `protocol_client.cc` SendCommand), most other
/// clients send arrays.
#[derive(Debug, Default)]
pub struct RequestDecoder {
    limits: Limits,
    buf: BytesMut,
    scanned: usize,
    args: Vec<Bytes>,
    missing: usize,
    failed: Option<DecodeError>,
}

/// Arguments that memory is set aside for before they arrive.
const TRUSTED_ARGS: usize = 256;

impl RequestDecoder {
    /// A decoder with an empty buffer. [`Limits::depth`] does not matter here.
    pub fn new(limits: Limits) -> Self {
        RequestDecoder { limits, ..Self::default() }
    }

    /// Appends bytes that arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// The input buffer, to read a socket into without a copy. Only append to it.
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buf
    }

    /// The bytes behind the last complete command. Arguments of an incomplete one are lost.
    pub fn into_rest(self) -> BytesMut {
        self.buf
    }

    /// The next complete command, never empty, or `None` when more bytes are needed.
    // Not an Iterator: `None` is no end, and the decoder is fed between calls.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Vec<Bytes>>, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.decode().inspect_err(|e| self.failed = Some(e.clone()))
    }

    fn decode(&mut self) -> Result<Option<Vec<Bytes>>, DecodeError> {
        while self.missing == 0 {
            let Some(&first) = self.buf.first() else { return Ok(None) };
            if first != b'*' {
                match self.inline()? {
                    Some(words) if words.is_empty() => continue,
                    other => return Ok(other),
                }
            }
            let Some(cr) = end_of_line(&self.buf, &mut self.scanned)? else { return Ok(None) };
            // Servers pass over empty and nil arrays without an answer.
            let count = length(&self.buf[1..cr])?.unwrap_or(0);
            let count = bounded(count, self.limits.elements, DecodeError::ArrayTooLong)?;
            self.buf.advance(cr + 2);
            self.args = Vec::with_capacity(count.min(TRUSTED_ARGS));
            self.missing = count;
        }
        while self.missing > 0 {
            let Some(arg) = self.argument()? else { return Ok(None) };
            self.args.push(arg);
            self.missing -= 1;
        }
        Ok(Some(std::mem::take(&mut self.args)))
    }

    fn argument(&mut self) -> Result<Option<Bytes>, DecodeError> {
        match self.buf.first() {
            None => return Ok(None),
            Some(b'$') => {}
            Some(&other) => return Err(DecodeError::UnknownType(other)),
        }
        let Some(cr) = end_of_line(&self.buf, &mut self.scanned)? else { return Ok(None) };
        let len = length(&self.buf[1..cr])?.ok_or(DecodeError::NegativeLength)?;
        let len = bounded(len, self.limits.bulk, DecodeError::BulkTooLong)?;
        let start = cr + 2;
        if self.buf.len() < start + len + 2 {
            return Ok(None);
        }
        if &self.buf[start + len..start + len + 2] != b"\r\n" {
            return Err(DecodeError::MissingLineEnd);
        }
        self.buf.advance(start);
        let arg = self.buf.split_to(len).freeze();
        self.buf.advance(2);
        Ok(Some(arg))
    }

    /// An inline command ends at LF, with or without CR.
    fn inline(&mut self) -> Result<Option<Vec<Bytes>>, DecodeError> {
        let Some(lf) = memchr::memchr(b'\n', &self.buf) else {
            let long = self.buf.len() > crate::line::MAX_LINE;
            return if long { Err(DecodeError::LineTooLong) } else { Ok(None) };
        };
        let line = self.buf.split_to(lf + 1).freeze();
        let words = line.split(|b| b.is_ascii_whitespace()).filter(|w| !w.is_empty());
        Ok(Some(words.map(|w| line.slice_ref(w)).collect()))
    }
}
