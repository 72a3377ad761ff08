//! Where the next bytes come from: the flow, a compressed blob, and the bounds of a tagged chunk.
//!
//! ```text
//! flow                    items as they are
//! flow > blob             items of a compressed blob
//! flow > chunk            payload of a tagged chunk
//! flow > blob > chunk     the same inside a blob: what v1.40 sends by default
//! flow > chunk > blob     a compressed payload: no release sends it, the native loader takes it
//! ```

use bytes::Bytes;

use crate::Error;
use crate::compressed::{Blob, Pump};
use crate::cursor::{Cursor, Stop};
use crate::window::Window;

/// The layers that are open.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// Bytes of the flow.
    pub(crate) raw: Window,
    /// Plain bytes of the open blob.
    plain: Window,
    blob: Option<OpenBlob>,
    chunk: Option<Chunk>,
}

#[derive(Debug)]
struct OpenBlob {
    blob: Blob,
    in_chunk: bool,
    /// Once the payload of a chunk is decompressed to its end: plain bytes not consumed yet.
    left: Option<u64>,
}

/// An open tagged chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk {
    /// Which value it belongs to.
    pub(crate) id: u32,
    /// Payload bytes not consumed yet; those of a compressed payload count as consumed.
    left: u64,
}

/// Whether bytes can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Avail {
    /// They are there.
    Yes,
    /// They have not come yet.
    Wait,
    /// They lie beyond the end of the tagged chunk.
    Beyond,
}

/// The innermost layer, as far as an item may read it.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    window: &'a mut Window,
    left: Option<&'a mut u64>,
}

impl<'a> Input<'a> {
    /// A complete buffer.
    pub(crate) fn whole(window: &'a mut Window) -> Self {
        Self { window, left: None }
    }

    fn limit(&self) -> usize {
        self.left.as_deref().map_or(usize::MAX, |left| usize::try_from(*left).unwrap_or(usize::MAX))
    }

    /// The contiguous front, as a buffer and the number of bytes in it that may be read.
    pub(crate) fn head(&self) -> (&Bytes, usize) {
        let head = self.window.head();
        (head, head.len().min(self.limit()))
    }

    /// Makes the head at least `n` bytes long, if that is possible now.
    pub(crate) fn ensure(&mut self, n: usize) -> Avail {
        if n > self.limit() {
            Avail::Beyond
        } else if self.window.ensure(n) {
            Avail::Yes
        } else {
            Avail::Wait
        }
    }

    /// Consumes `n` bytes of the head.
    pub(crate) fn take(&mut self, n: usize) -> Bytes {
        if let Some(left) = &mut self.left {
            **left -= n as u64;
        }
        self.window.take(n)
    }

    /// Consumes and drops `n` bytes of the head.
    pub(crate) fn skip(&mut self, n: usize) {
        if let Some(left) = &mut self.left {
            **left -= n as u64;
        }
        self.window.skip(n);
    }

    /// Reads something that lies within the head once the head is long enough, and consumes it. `None` where it has
    /// not come yet or lies beyond the chunk; [`Input::ensure`] of the second number tells which.
    pub(crate) fn parse<T>(
        &mut self,
        mut read: impl FnMut(&mut Cursor<'_>, &Bytes) -> Result<T, Stop>,
    ) -> Result<Parsed<T>, Error> {
        loop {
            let (head, len) = self.head();
            let mut cursor = Cursor::new(&head[..len]);
            match read(&mut cursor, head) {
                Ok(value) => {
                    let len = cursor.pos();
                    self.skip(len);
                    return Ok(Parsed::Done(value));
                }
                Err(Stop::Bad(error)) => return Err(error),
                Err(Stop::More(n)) => match self.ensure(n) {
                    Avail::Yes => {}
                    Avail::Wait => return Ok(Parsed::Wait),
                    Avail::Beyond => return Ok(Parsed::Beyond),
                },
            }
        }
    }
}

/// What [`Input::parse`] came to.
#[derive(Debug)]
pub(crate) enum Parsed<T> {
    /// Read and consumed.
    Done(T),
    /// More bytes are needed.
    Wait,
    /// It lies beyond the end of the tagged chunk.
    Beyond,
}

impl Source {
    /// The innermost layer.
    #[inline]
    pub(crate) fn input(&mut self) -> Input<'_> {
        let in_chunk = self.chunk.as_mut().map(|chunk| &mut chunk.left);
        match &mut self.blob {
            Some(open) if open.in_chunk => Input { window: &mut self.plain, left: open.left.as_mut() },
            Some(_) => Input { window: &mut self.plain, left: in_chunk },
            None => Input { window: &mut self.raw, left: in_chunk },
        }
    }

    /// Gets more bytes out of the open blob; `false` where the flow has to bring more first. Only `between` two items
    /// may the blob turn out to be over.
    pub(crate) fn fill(&mut self, between: bool) -> Result<bool, Error> {
        let Some(open) = &mut self.blob else { return Ok(false) };
        match open.blob.pump(&mut self.raw)? {
            Pump::Block(block) => {
                self.plain.push(block);
                Ok(true)
            }
            Pump::Starved => Ok(false),
            Pump::End if open.in_chunk && open.left.is_none() => {
                open.left = Some(self.plain.len() as u64);
                Ok(true)
            }
            Pump::End if between && self.plain.is_empty() => {
                self.blob = None;
                Ok(true)
            }
            Pump::End => Err(Error::Truncated("compressed blob")),
        }
    }

    pub(crate) fn in_blob(&self) -> bool {
        self.blob.is_some()
    }

    /// Whether everything that was decompressed so far is consumed, and the blob may be over.
    #[inline]
    pub(crate) fn drained(&self) -> bool {
        self.blob.is_some() && self.plain.is_empty()
    }

    /// Enters a blob of `size` compressed bytes.
    pub(crate) fn open_blob(&mut self, opcode: u8, size: u64, blob: Blob) -> Result<(), Error> {
        if self.blob.is_some() {
            return Err(Error::Misplaced { opcode, place: "a compressed blob" });
        }
        if let Some(chunk) = &mut self.chunk {
            chunk.left = chunk.left.checked_sub(size).ok_or(Error::Truncated("tagged chunk"))?;
        }
        self.blob = Some(OpenBlob { blob, in_chunk: self.chunk.is_some(), left: None });
        Ok(())
    }

    /// Enters a tagged chunk.
    pub(crate) fn open_chunk(&mut self, id: u32, size: u32) {
        self.chunk = Some(Chunk { id, left: u64::from(size) });
    }

    pub(crate) fn chunk(&self) -> Option<Chunk> {
        self.chunk
    }

    /// Leaves the tagged chunk, if its payload is used up. `Ok(false)` where a compressed payload has not come to its
    /// end yet.
    pub(crate) fn close_chunk(&mut self) -> Result<bool, Error> {
        while let Some(OpenBlob { in_chunk: true, left, .. }) = self.blob {
            if !self.plain.is_empty() {
                return Err(Error::Trailing("tagged chunk"));
            }
            if left.is_some() {
                self.blob = None;
            } else if !self.fill(false)? {
                return Ok(false);
            }
        }
        if self.chunk.is_some_and(|chunk| chunk.left > 0) {
            return Err(Error::Trailing("tagged chunk"));
        }
        self.chunk = None;
        Ok(true)
    }
}
