//! The LZ4 frame format, block by block.
//!
//! Seen on the wire: content size present, no checksums, 64 KiB blocks, independent or linked. The format's other
//! options are understood too, except dictionaries; checksums are passed over.

use bytes::Bytes;
use lz4_flex::block::{decompress_into, decompress_into_with_dict};

use super::Pump;
use crate::Error;
use crate::window::Window;

const MAGIC: u32 = 0x184d_2204;
/// Highest bit of a block's size: the block is not compressed.
const PLAIN: u32 = 1 << 31;
/// How far back a linked block may refer.
const HISTORY: usize = 64 << 10;

/// A frame that is being decompressed.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Compressed bytes of the blob not consumed yet.
    left: u64,
    header: Option<Header>,
    /// Plain bytes before the next block that it may refer to.
    history: Bytes,
    produced: u64,
    ended: bool,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    linked: bool,
    block_checksums: bool,
    content_checksum: bool,
    content_size: Option<u64>,
    block_max: usize,
}

impl Frame {
    pub(crate) fn new(left: u64) -> Self {
        Self { left, header: None, history: Bytes::new(), produced: 0, ended: false }
    }

    pub(crate) fn pump(&mut self, raw: &mut Window) -> Result<Pump, Error> {
        loop {
            if self.ended {
                return if self.left == 0 { Ok(Pump::End) } else { Err(Error::Trailing("lz4 blob")) };
            }
            let Some(header) = self.header else {
                if !self.read_header(raw)? {
                    return Ok(Pump::Starved);
                }
                continue;
            };
            let Some(word) = self.peek(raw, 4)?.map(little_endian) else { return Ok(Pump::Starved) };
            if word == 0 {
                let checksum = if header.content_checksum { 4 } else { 0 };
                if self.peek(raw, 4 + checksum)?.is_none() {
                    return Ok(Pump::Starved);
                }
                self.consume(raw, 4 + checksum);
                self.ended = true;
                if header.content_size.is_some_and(|size| size != self.produced) {
                    return Err(bad("its content is not as long as it says"));
                }
                continue;
            }
            let size = (word & !PLAIN) as usize;
            if size > header.block_max {
                return Err(bad("a block is larger than it may be"));
            }
            let checksum = if header.block_checksums { 4 } else { 0 };
            if self.peek(raw, 4 + size + checksum)?.is_none() {
                return Ok(Pump::Starved);
            }
            self.consume(raw, 4);
            let input = raw.take(size);
            self.left -= size as u64;
            self.consume(raw, checksum);
            let block = if word & PLAIN == 0 { self.decompress(header, &input)? } else { input };
            self.produced += block.len() as u64;
            if header.content_size.is_some_and(|size| size < self.produced) {
                return Err(bad("its content is longer than it says"));
            }
            if header.linked {
                self.remember(&block);
            }
            if !block.is_empty() {
                return Ok(Pump::Block(block));
            }
        }
    }

    fn decompress(&self, header: Header, input: &[u8]) -> Result<Bytes, Error> {
        // The size that the frame announces never makes a block larger, only smaller.
        let announced = header.content_size.map_or(u64::MAX, |size| size.saturating_sub(self.produced));
        let room = usize::try_from(announced).unwrap_or(usize::MAX).min(header.block_max);
        let mut plain = vec![0; room];
        let len = if self.history.is_empty() {
            decompress_into(input, &mut plain)
        } else {
            decompress_into_with_dict(input, &mut plain, &self.history)
        };
        plain.truncate(len.map_err(|_| bad("a block does not decompress"))?);
        Ok(plain.into())
    }

    fn remember(&mut self, block: &Bytes) {
        if block.len() >= HISTORY {
            self.history = block.slice(block.len() - HISTORY..);
        } else {
            let keep = self.history.len().min(HISTORY - block.len());
            let mut history = Vec::with_capacity(keep + block.len());
            history.extend_from_slice(&self.history[self.history.len() - keep..]);
            history.extend_from_slice(block);
            self.history = history.into();
        }
    }

    /// Reads the frame's head; `false` where more bytes are needed.
    fn read_header(&mut self, raw: &mut Window) -> Result<bool, Error> {
        let Some(head) = self.peek(raw, 6)? else { return Ok(false) };
        if little_endian(head) != MAGIC {
            return Err(bad("it is not an LZ4 frame"));
        }
        let (flags, descriptor) = (head[4], head[5]);
        if flags >> 6 != 1 {
            return Err(bad("its frame has an unknown version"));
        }
        if flags & 1 != 0 {
            return Err(bad("it needs a dictionary"));
        }
        let block_max = match descriptor >> 4 & 7 {
            4 => 64 << 10,
            5 => 256 << 10,
            6 => 1 << 20,
            7 => 4 << 20,
            _ => return Err(bad("its blocks have an unknown size")),
        };
        let sized = flags >> 3 & 1 == 1;
        let len = if sized { 15 } else { 7 };
        let Some(head) = self.peek(raw, len)? else { return Ok(false) };
        let content_size = if sized { head[6..14].try_into().ok().map(u64::from_le_bytes) } else { None };
        self.consume(raw, len);
        self.header = Some(Header {
            linked: flags >> 5 & 1 == 0,
            block_checksums: flags >> 4 & 1 == 1,
            content_checksum: flags >> 2 & 1 == 1,
            content_size,
            block_max,
        });
        Ok(true)
    }

    /// The next `n` compressed bytes, if they have come.
    fn peek<'a>(&self, raw: &'a mut Window, n: usize) -> Result<Option<&'a [u8]>, Error> {
        if n as u64 > self.left {
            return Err(Error::Truncated("lz4 blob"));
        }
        Ok(if raw.ensure(n) { Some(&raw.head()[..n]) } else { None })
    }

    fn consume(&mut self, raw: &mut Window, n: usize) {
        raw.skip(n);
        self.left -= n as u64;
    }
}

fn little_endian(head: &[u8]) -> u32 {
    head[..4].iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn bad(detail: &'static str) -> Error {
    Error::malformed("lz4 blob", detail)
}
