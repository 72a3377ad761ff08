//! Ziplist: total bytes u32 LE, offset of the last entry u32 LE, elements u16 LE, entries, `FF`.
//!
//! An entry is the length of the one before it (1 byte, or `FE` and u32 LE), an encoding, and its data.

use bytes::Bytes;

use super::Element;
use crate::Error;

const HEADER: usize = 10;
const END: u8 = 0xff;

/// A ziplist that is being read.
#[derive(Debug)]
pub(crate) struct Ziplist {
    blob: Bytes,
    pos: usize,
}

impl Ziplist {
    pub(crate) fn new(blob: Bytes) -> Result<Self, Error> {
        let total = blob.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        if blob.len() <= HEADER || total.map(|total| total as usize) != Some(blob.len()) {
            return Err(bad("its length is not what it says"));
        }
        Ok(Self { blob, pos: HEADER })
    }

    pub(crate) fn next(&mut self) -> Result<Option<Element>, Error> {
        let rest = &self.blob[self.pos..];
        let back = match *rest.first().ok_or(bad("it has no end mark"))? {
            END if rest.len() == 1 => return Ok(None),
            END => return Err(bad("it has bytes after its end mark")),
            0xfe => 5,
            _ => 1,
        };
        let rest = rest.get(back..).ok_or(bad("an entry exceeds it"))?;
        let first = *rest.first().ok_or(bad("an entry exceeds it"))?;
        let (head, len) = match first {
            0x00..=0x3f => (1, usize::from(first)),
            0x40..=0x7f => {
                let [high, low] = array(rest, 0)?;
                (2, usize::from(high & 0x3f) << 8 | usize::from(low))
            }
            0x80 => (5, u32::from_be_bytes(array(rest, 1)?) as usize),
            0xc0 => return self.int(back + 3, i64::from(i16::from_le_bytes(array(rest, 1)?))),
            0xd0 => return self.int(back + 5, i64::from(i32::from_le_bytes(array(rest, 1)?))),
            0xe0 => return self.int(back + 9, i64::from_le_bytes(array(rest, 1)?)),
            0xf0 => {
                let [a, b, c] = array(rest, 1)?;
                return self.int(back + 4, i64::from(i32::from_le_bytes([0, a, b, c]) >> 8));
            }
            0xfe => return self.int(back + 2, i64::from(i8::from_le_bytes(array(rest, 1)?))),
            0xf1..=0xfd => return self.int(back + 1, i64::from(first & 0x0f) - 1),
            _ => return Err(bad("an entry has an unknown encoding")),
        };
        let start = self.pos + back + head;
        let end = start + len;
        self.advance(back + head + len)?;
        Ok(Some(Element::Bytes(self.blob.slice(start..end))))
    }

    fn int(&mut self, entry: usize, value: i64) -> Result<Option<Element>, Error> {
        self.advance(entry)?;
        Ok(Some(Element::Int(value)))
    }

    /// Steps over an entry, and leaves at least the end mark.
    fn advance(&mut self, entry: usize) -> Result<(), Error> {
        let next = self.pos + entry;
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
    Error::malformed("ziplist", detail)
}
