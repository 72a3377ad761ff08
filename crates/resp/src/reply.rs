//! What a server answers, and the decoder for it.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::line::{end_of_line, integer, take_line};

#[cfg(test)]
mod tests;

/// One reply of a server, RESP2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+text`: a status such as `OK`.
    Simple(Bytes),
    /// `-text`: an error line, its code word first (`ERR`, `MOVED`, `LOADING`, ...).
    Error(Bytes),
    /// `:n`
    Integer(i64),
    /// `$n` and n bytes.
    Bulk(Bytes),
    /// `$-1` or `*-1`: there is no value.
    Nil,
    /// `*n` and n replies.
    Array(Vec<Reply>),
}

impl Reply {
    /// The bytes of a simple or bulk string.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Reply::Simple(b) | Reply::Bulk(b) => Some(b),
            _ => None,
        }
    }

    /// A simple or bulk string that is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|b| std::str::from_utf8(b).ok())
    }

    /// An integer, also where the server wrote it as a string.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Reply::Integer(n) => Some(*n),
            _ => self.as_bytes().and_then(|b| integer(b).ok()),
        }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Reply]> {
        match self {
            Reply::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The text of an error line.
    pub fn as_error(&self) -> Option<&Bytes> {
        match self {
            Reply::Error(text) => Some(text),
            _ => None,
        }
    }

    /// Whether this is `+OK`.
    pub fn is_ok(&self) -> bool {
        matches!(self, Reply::Simple(text) if &text[..] == b"OK")
    }
}

/// Appends a reply as a server writes it. A simple string or error line must have no line end in it, or the other side
/// loses its place.
pub fn write_reply(out: &mut BytesMut, reply: &Reply) {
    match reply {
        Reply::Simple(text) => frame(out, b'+', text),
        Reply::Error(text) => frame(out, b'-', text),
        Reply::Integer(n) => frame(out, b':', itoa::Buffer::new().format(*n).as_bytes()),
        Reply::Bulk(bytes) => {
            frame(out, b'$', itoa::Buffer::new().format(bytes.len()).as_bytes());
            out.put_slice(bytes);
            out.put_slice(b"\r\n");
        }
        Reply::Nil => out.put_slice(b"$-1\r\n"),
        Reply::Array(items) => {
            frame(out, b'*', itoa::Buffer::new().format(items.len()).as_bytes());
            items.iter().for_each(|item| write_reply(out, item));
        }
    }
}

fn frame(out: &mut BytesMut, kind: u8, line: &[u8]) {
    out.put_u8(kind);
    out.put_slice(line);
    out.put_slice(b"\r\n");
}

/// What a decoder accepts. Everything beyond is an error, found before memory is set aside for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest bulk string, in bytes.
    pub bulk: usize,
    /// Most elements in one array.
    pub elements: usize,
    /// Most arrays inside each other.
    pub depth: usize,
}

impl Default for Limits {
    /// The largest string a Redis server sends (512 MiB), a million elements, eight levels.
    fn default() -> Self {
        Limits { bulk: 512 << 20, elements: 1 << 20, depth: 8 }
    }
}

/// Bytes that are not RESP, or more than the [`Limits`] allow. The stream cannot be read any further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A reply begins with a byte that names no type.
    #[error("unexpected byte {0:#04x} where a type byte belongs")]
    UnknownType(u8),
    /// A number is empty, has other characters in it, or does not fit 64 bits.
    #[error("malformed number")]
    BadInteger,
    /// A length is negative where only -1 has a meaning.
    #[error("negative length")]
    NegativeLength,
    /// A bulk string is not followed by CR LF.
    #[error("string without its line end")]
    MissingLineEnd,
    /// No CR LF within 64 KiB.
    #[error("line longer than 64 KiB")]
    LineTooLong,
    /// A string above [`Limits::bulk`].
    #[error("string of {0} bytes exceeds the limit")]
    BulkTooLong(u64),
    /// An array above [`Limits::elements`].
    #[error("array of {0} elements exceeds the limit")]
    ArrayTooLong(u64),
    /// Arrays nested above [`Limits::depth`].
    #[error("arrays nested too deeply")]
    TooDeep,
}

/// Decodes replies from bytes that arrive in any pieces.
///
/// Strings are slices of the input buffer, not copies. After an error the decoder only repeats it: where the next
/// reply would begin is not known any more.
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    limits: Limits,
    buf: BytesMut,
    scanned: usize,
    open: Vec<OpenArray>,
    failed: Option<DecodeError>,
}

/// An array whose elements have not all arrived.
#[derive(Debug)]
struct OpenArray {
    items: Vec<Reply>,
    missing: usize,
}

/// Elements that memory is set aside for before they arrive; beyond it an array grows as they do.
const TRUSTED_ELEMENTS: usize = 256;

impl ReplyDecoder {
    /// A decoder with an empty buffer.
    pub fn new(limits: Limits) -> Self {
        ReplyDecoder { limits, ..Self::default() }
    }

    /// Appends bytes that arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// The input buffer, to read a socket into without a copy. Only append to it.
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buf
    }

    /// Whether bytes or parts of a reply are waiting.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty() && self.open.is_empty()
    }

    /// The bytes behind the last complete reply. Parts of an incomplete array are lost.
    pub fn into_rest(self) -> BytesMut {
        self.buf
    }

    /// The next complete reply, or `None` when more bytes are needed.
    // Not an Iterator: `None` is no end, and the decoder is fed between calls.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Reply>, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.decode().inspect_err(|e| self.failed = Some(e.clone()))
    }

    fn decode(&mut self) -> Result<Option<Reply>, DecodeError> {
        'element: loop {
            let Some(mut reply) = self.element()? else { return Ok(None) };
            while let Some(top) = self.open.last_mut() {
                top.items.push(reply);
                top.missing -= 1;
                if top.missing > 0 {
                    continue 'element;
                }
                reply = Reply::Array(self.open.pop().map(|top| top.items).unwrap_or_default());
            }
            return Ok(Some(reply));
        }
    }

    /// One reply that is no array, or an empty array; opens the arrays in front of it.
    fn element(&mut self) -> Result<Option<Reply>, DecodeError> {
        loop {
            // What a pipeline of writes answers with, nearly always: no search, no allocation.
            match &self.buf[..] {
                [b'+', b'O', b'K', b'\r', b'\n', ..] => {
                    self.consume_short(5);
                    return Ok(Some(Reply::Simple(Bytes::from_static(b"OK"))));
                }
                [b':', d @ b'0'..=b'9', b'\r', b'\n', ..] => {
                    let n = i64::from(d - b'0');
                    self.consume_short(4);
                    return Ok(Some(Reply::Integer(n)));
                }
                [] => return Ok(None),
                [b'+' | b'-' | b':' | b'$' | b'*', ..] => {}
                [other, ..] => return Err(DecodeError::UnknownType(*other)),
            }
            let kind = self.buf[0];
            let Some(cr) = end_of_line(&self.buf, &mut self.scanned)? else { return Ok(None) };
            match kind {
                b'+' => return Ok(Some(Reply::Simple(take_line(&mut self.buf, cr)))),
                b'-' => return Ok(Some(Reply::Error(take_line(&mut self.buf, cr)))),
                b':' => {
                    let n = integer(&self.buf[1..cr])?;
                    self.buf.advance(cr + 2);
                    return Ok(Some(Reply::Integer(n)));
                }
                b'$' => return self.bulk(cr),
                _ => {
                    if let Some(whole) = self.array(cr)? {
                        return Ok(Some(whole));
                    }
                }
            }
        }
    }

    /// Takes a reply off the buffer whose line end was not searched for.
    fn consume_short(&mut self, len: usize) {
        self.buf.advance(len);
        self.scanned = 0;
    }

    fn bulk(&mut self, cr: usize) -> Result<Option<Reply>, DecodeError> {
        let Some(len) = length(&self.buf[1..cr])? else {
            self.buf.advance(cr + 2);
            return Ok(Some(Reply::Nil));
        };
        let len = bounded(len, self.limits.bulk, DecodeError::BulkTooLong)?;
        let start = cr + 2;
        if self.buf.len() < start + len + 2 {
            return Ok(None);
        }
        if &self.buf[start + len..start + len + 2] != b"\r\n" {
            return Err(DecodeError::MissingLineEnd);
        }
        self.buf.advance(start);
        let bulk = self.buf.split_to(len).freeze();
        self.buf.advance(2);
        Ok(Some(Reply::Bulk(bulk)))
    }

    /// Opens an array; an array without elements is complete at once.
    fn array(&mut self, cr: usize) -> Result<Option<Reply>, DecodeError> {
        let len = length(&self.buf[1..cr])?;
        let Some(len) = len else {
            self.buf.advance(cr + 2);
            return Ok(Some(Reply::Nil));
        };
        let len = bounded(len, self.limits.elements, DecodeError::ArrayTooLong)?;
        if self.open.len() >= self.limits.depth {
            return Err(DecodeError::TooDeep);
        }
        self.buf.advance(cr + 2);
        if len == 0 {
            return Ok(Some(Reply::Array(Vec::new())));
        }
        let items = Vec::with_capacity(len.min(TRUSTED_ELEMENTS));
        self.open.push(OpenArray { items, missing: len });
        Ok(None)
    }
}

/// A length field; `None` stands for -1.
pub(crate) fn length(text: &[u8]) -> Result<Option<u64>, DecodeError> {
    match integer(text)? {
        -1 => Ok(None),
        n => u64::try_from(n).map(Some).map_err(|_| DecodeError::NegativeLength),
    }
}

/// A length field that is within its limit.
pub(crate) fn bounded(len: u64, limit: usize, error: fn(u64) -> DecodeError) -> Result<usize, DecodeError> {
    usize::try_from(len).ok().filter(|&n| n <= limit).ok_or_else(|| error(len))
}
