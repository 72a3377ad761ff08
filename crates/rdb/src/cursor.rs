//! Primitives of the format, read from a slice that may end too early.
//!
//! Layouts: `rdb_load.cc` `RdbLoaderBase::LoadLen`, `FetchGenericString`, `FetchLzfStringObject` (v1.40.1).

use bytes::Bytes;

use crate::{Error, lzf};

/// Why a read stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The buffer must hold at least this many bytes, counted from its beginning.
    More(usize),
    /// The bytes are wrong.
    Bad(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Bad(error)
    }
}

impl Stop {
    /// The error where nothing can follow the buffer.
    pub(crate) fn at_end_of(self, what: &'static str) -> Error {
        match self {
            Self::More(_) => Error::Truncated(what),
            Self::Bad(error) => error,
        }
    }
}

/// How a string is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Token {
    /// That many bytes follow as they are.
    Raw(usize),
    /// Decimal text of a number.
    Int(i32),
    /// LZF, compressed and plain length; the compressed bytes follow.
    Lzf(usize, usize),
}

/// A position in a buffer.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    buf: &'a [u8],
    pos: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(buf: &'a [u8]) -> Self {
        Self { buf, pos: 0 }
    }

    pub(crate) fn at(buf: &'a [u8], pos: usize) -> Self {
        Self { buf, pos }
    }

    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    pub(crate) fn buf(&self) -> &'a [u8] {
        self.buf
    }

    /// The next `n` bytes.
    #[inline]
    pub(crate) fn bytes(&mut self, n: usize) -> Result<&'a [u8], Stop> {
        let end = self.pos.checked_add(n).ok_or(Stop::More(usize::MAX))?;
        let slice = self.buf.get(self.pos..end).ok_or(Stop::More(end))?;
        self.pos = end;
        Ok(slice)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Stop> {
        let byte = *self.buf.get(self.pos).ok_or(Stop::More(self.pos + 1))?;
        self.pos += 1;
        Ok(byte)
    }

    pub(crate) fn u32_le(&mut self) -> Result<u32, Stop> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64_le(&mut self) -> Result<u64, Stop> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u64_be(&mut self) -> Result<u64, Stop> {
        self.array().map(u64::from_be_bytes)
    }

    /// A binary score: never NaN (`SaveBinaryDouble`).
    pub(crate) fn double(&mut self) -> Result<f64, Stop> {
        let value = self.array().map(f64::from_le_bytes)?;
        if value.is_nan() { Err(Error::malformed("score", "it is not a number").into()) } else { Ok(value) }
    }

    /// A length or number: 1, 2, 5 or 9 bytes, big-endian.
    #[inline]
    pub(crate) fn len(&mut self) -> Result<u64, Stop> {
        let first = self.u8()?;
        self.len_after(first)
    }

    #[inline]
    fn len_after(&mut self, first: u8) -> Result<u64, Stop> {
        match first {
            0..=0x3f => Ok(u64::from(first)),
            0x40..=0x7f => Ok(u64::from(first & 0x3f) << 8 | u64::from(self.u8()?)),
            0x80 => self.array().map(|b| u64::from(u32::from_be_bytes(b))),
            0x81 => self.u64_be(),
            _ => Err(Error::Length(first).into()),
        }
    }

    /// A length that is bounded.
    #[inline]
    pub(crate) fn bounded(&mut self, what: &'static str, max: usize) -> Result<usize, Stop> {
        let len = self.len()?;
        bound(what, len, max).map_err(Stop::Bad)
    }

    /// The head of a string: its payload is not read.
    #[inline]
    pub(crate) fn token(&mut self, max: usize) -> Result<Token, Stop> {
        let first = self.u8()?;
        if first < 0xc0 {
            let len = self.len_after(first)?;
            return Ok(Token::Raw(bound("string", len, max)?));
        }
        Ok(match first {
            0xc0 => Token::Int(i32::from(i8::from_le_bytes(self.array()?))),
            0xc1 => Token::Int(i32::from(i16::from_le_bytes(self.array()?))),
            0xc2 => Token::Int(i32::from_le_bytes(self.array()?)),
            0xc3 => {
                let compressed = self.bounded("compressed string", max)?;
                let plain = self.bounded("string", max)?;
                Token::Lzf(compressed, plain)
            }
            _ => return Err(Error::StringEncoding(first).into()),
        })
    }

    /// A string; `source` is the buffer that this cursor reads.
    #[inline]
    pub(crate) fn string(&mut self, source: &Bytes, max: usize) -> Result<Bytes, Stop> {
        match self.token(max)? {
            Token::Raw(len) => {
                let start = self.pos;
                self.bytes(len)?;
                Ok(source.slice(start..start + len))
            }
            Token::Int(number) => Ok(decimal(i64::from(number))),
            Token::Lzf(compressed, plain) => Ok(lzf::decompress(self.bytes(compressed)?, plain)?),
        }
    }

    /// Passes over a string.
    #[inline]
    pub(crate) fn skip_string(&mut self, max: usize) -> Result<(), Stop> {
        let len = match self.token(max)? {
            Token::Raw(len) | Token::Lzf(len, _) => len,
            Token::Int(_) => return Ok(()),
        };
        self.bytes(len)?;
        Ok(())
    }
}

/// Decimal text of a number.
pub(crate) fn decimal(number: i64) -> Bytes {
    Bytes::copy_from_slice(itoa::Buffer::new().format(number).as_bytes())
}

/// `len` as a size, if it does not exceed `max`.
#[inline]
pub(crate) fn bound(what: &'static str, len: u64, max: usize) -> Result<usize, Error> {
    match usize::try_from(len) {
        Ok(size) if size <= max => Ok(size),
        _ => Err(Error::TooLarge { what, len, max: max as u64 }),
    }
}
