//! Listpack: total bytes u32 LE, elements u16 LE, entries, `FF`.
//!
//! An entry is an encoding byte, its data, and its length written backwards for walking in reverse.

use bytes::Bytes;

use super::Element;
use crate::Error;

const HEADER: usize = 6;
const END: u8 = 0xff;

/// A listpack that is being read.
#[derive(Debug)]
pub(crate) struct Listpack {
    blob: Bytes,
    pos: usize,
}

impl Listpack {
    pub(crate) fn new(blob: Bytes) -> Result<Self, Error> {
        let total = blob.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        if blob.len() <= HEADER || total.map(|total| total as usize) != Some(blob.len()) {
            return Err(bad("its length is not what it says"));
        }
        Ok(Self { blob, pos: HEADER })
    }

    /// Bytes not read yet, the end mark included: no more elements than that can follow.
    pub(crate) fn remaining(&self) -> usize {
        self.blob.len() - self.pos
    }

    pub(crate) fn next(&mut self) -> Result<Option<Element>, Error> {
        let rest = &self.blob[self.pos..];
        let first = *rest.first().ok_or(bad("it has no end mark"))?;
        let (head, len) = match first {
            0x00..=0x7f => return self.int(1, i64::from(first)),
            0x80..=0xbf => (1, usize::from(first & 0x3f)),
            0xc0..=0xdf => {
                let [high, low] = array(rest, 0)?;
                let value = i64::from(high & 0x1f) << 8 | i64::from(low);
                return self.int(2, if value >= 1 << 12 { value - (1 << 13) } else { value });
            }
            0xe0..=0xef => {
                let [high, low] = array(rest, 0)?;
                (2, usize::from(high & 0x0f) << 8 | usize::from(low))
            }
            0xf0 => (5, u32::from_le_bytes(array(rest, 1)?) as usize),
            0xf1 => return self.int(3, i64::from(i16::from_le_bytes(array(rest, 1)?))),
            0xf2 => {
                let [a, b, c] = array(rest, 1)?;
                return self.int(4, i64::from(i32::from_le_bytes([0, a, b, c]) >> 8));
            }
            0xf3 => return self.int(5, i64::from(i32::from_le_bytes(array(rest, 1)?))),
            0xf4 => return self.int(9, i64::from_le_bytes(array(rest, 1)?)),
            END if rest.len() == 1 => return Ok(None),
            END => return Err(bad("it has bytes after its end mark")),
            _ => return Err(bad("an entry has an unknown encoding")),
        };
        let start = self.pos + head;
        let end = start + len;
        self.advance(head + len)?;
        Ok(Some(Element::Bytes(self.blob.slice(start..end))))
    }

    fn int(&mut self, entry: usize, value: i64) -> Result<Option<Element>, Error> {
        self.advance(entry)?;
        Ok(Some(Element::Int(value)))
    }

    /// Steps over an entry and its backwards length, and leaves at least the end mark.
    fn advance(&mut self, entry: usize) -> Result<(), Error> {
        let back = match entry {
            0..=127 => 1,
            128..=16_383 => 2,
            16_384..=2_097_151 => 3,
            2_097_152..=268_435_455 => 4,
            _ => 5,
        };
        let next = self.pos + entry + back;
        if next >= self.blob.len() {
            return Err(bad("an entry exceeds it"));
        }
        self.pos = next;
        Ok(())
    }
}

fn array<const N: usize>(rest: &[u8], from: usize) -> Result<[u8; N], Error> {
    rest.get(from..from + N).and_then(|bytes| bytes.try_into().ok()).ok_or(bad("an entry exceeds it"))
}

fn bad(detail: &'static str) -> Error {
    Error::malformed("listpack", detail)
}
