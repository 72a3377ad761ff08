//! ZSTD frames, decompressed as they come.

use bytes::Bytes;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::Pump;
use crate::Error;
use crate::window::Window;

/// Plain bytes that are handed out at once.
const BLOCK: usize = 64 << 10;

/// A frame that is being decompressed.
pub(crate) struct Frame {
    /// Compressed bytes of the blob not consumed yet.
    left: u64,
    decoder: Decoder<'static>,
    out: Vec<u8>,
    ended: bool,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame").field("left", &self.left).field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Frame {
    pub(crate) fn new(left: u64, window_log: u32) -> Result<Self, Error> {
        let mut decoder = Decoder::new().map_err(|_| bad("no decoder can be made"))?;
        decoder
            .set_parameter(DParameter::WindowLogMax(window_log))
            .map_err(|_| bad("the window limit is out of range"))?;
        Ok(Self { left, decoder, out: Vec::new(), ended: false })
    }

    pub(crate) fn pump(&mut self, raw: &mut Window) -> Result<Pump, Error> {
        while !self.ended && self.out.len() < BLOCK {
            let here = raw.head().len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            let (read, written) = self.run(&raw.head()[..here])?;
            raw.skip(read);
            self.left -= read as u64;
            if read == 0 && written == 0 && !self.ended {
                if self.left == 0 {
                    return Err(Error::Truncated("zstd blob"));
                }
                return Ok(Pump::Starved);
            }
        }
        if !self.out.is_empty() {
            return Ok(Pump::Block(Bytes::from(std::mem::take(&mut self.out))));
        }
        if self.left == 0 { Ok(Pump::End) } else { Err(Error::Trailing("zstd blob")) }
    }

    fn run(&mut self, input: &[u8]) -> Result<(usize, usize), Error> {
        if self.out.capacity() == 0 {
            self.out.reserve_exact(BLOCK);
        }
        let before = self.out.len();
        let mut input = InBuffer::around(input);
        let mut output = OutBuffer::around_pos(&mut self.out, before);
        let hint = self.decoder.run(&mut input, &mut output).map_err(|_| bad("it does not decompress"))?;
        let written = output.pos() - before;
        self.ended = hint == 0;
        Ok((input.pos(), written))
    }
}

fn bad(detail: &'static str) -> Error {
    Error::malformed("zstd blob", detail)
}
