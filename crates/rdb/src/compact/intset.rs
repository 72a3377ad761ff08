//! Intset: bytes per element u32 LE (2, 4 or 8), elements u32 LE, signed numbers LE in ascending order.

use bytes::Bytes;

use super::Element;
use crate::Error;

const HEADER: usize = 8;

/// An intset that is being read.
#[derive(Debug)]
pub(crate) struct Intset {
    blob: Bytes,
    width: usize,
    pos: usize,
}

impl Intset {
    pub(crate) fn new(blob: Bytes) -> Result<Self, Error> {
        let (Some(width), Some(count)) = (word(&blob, 0), word(&blob, 4)) else {
            return Err(bad("it is shorter than its header"));
        };
        if !matches!(width, 2 | 4 | 8) {
            return Err(bad("its elements have an unknown width"));
        }
        if count.checked_mul(width) != Some(blob.len() - HEADER) {
            return Err(bad("its length is not what it says"));
        }
        Ok(Self { blob, width, pos: HEADER })
    }

    pub(crate) fn next(&mut self) -> Result<Option<Element>, Error> {
        let Some(bytes) = self.blob.get(self.pos..self.pos + self.width) else { return Ok(None) };
        self.pos += self.width;
        let mut wide = [if bytes[self.width - 1] & 0x80 == 0 { 0 } else { 0xff }; 8];
        wide[..self.width].copy_from_slice(bytes);
        Ok(Some(Element::Int(i64::from_le_bytes(wide))))
    }
}

fn word(blob: &[u8], at: usize) -> Option<usize> {
    blob.get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map(|bytes| u32::from_le_bytes(bytes) as usize)
}

fn bad(detail: &'static str) -> Error {
    Error::malformed("intset", detail)
}
