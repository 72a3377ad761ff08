//! Finds where a value ends without decoding it.
//!
//! Each layout is a short program over the primitives of the format; a scanner runs it and can stop at any byte.

use crate::cursor::{Cursor, Stop, Token};
use crate::{Error, Kind};

/// One step of a layout.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    /// A number.
    Len,
    /// A number that `Cells` multiplies.
    Dim(usize),
    /// A string.
    Str,
    /// That many bytes.
    Raw(u64),
    /// A number n, then n times the steps.
    Loop(&'static [Op]),
    /// The steps, once.
    Then(&'static [Op]),
    /// A number n, then n bytes.
    Counted,
    /// Width x depth counters of 8 bytes.
    Cells,
    /// A number n, then strings of n bytes together.
    Chunks,
    /// u32 LE level, then level + 1 times `Links`.
    Levels,
    /// u32 LE n, then n x u32 LE.
    Links,
}

use Op::{Cells, Chunks, Counted, Dim, Len, Levels, Links, Loop, Raw, Str, Then};

const PENDING: &[Op] = &[Raw(24), Len];
const CONSUMER: &[Op] = &[Str, Raw(8), Loop(&[Raw(16)])];
const CONSUMER3: &[Op] = &[Str, Raw(16), Loop(&[Raw(16)])];
/// The nodes of a stream.
pub(crate) const NODES: &[Op] = &[Loop(&[Str, Str])];

/// What follows the nodes of a stream, by type.
const TAIL: &[Op] = &[Len, Len, Len, Loop(&[Str, Len, Len, Loop(PENDING), Loop(CONSUMER)])];
const TAIL2: &[Op] =
    &[Len, Len, Len, Len, Len, Len, Len, Len, Loop(&[Str, Len, Len, Len, Loop(PENDING), Loop(CONSUMER)])];
const TAIL3: &[Op] =
    &[Len, Len, Len, Len, Len, Len, Len, Len, Loop(&[Str, Len, Len, Len, Loop(PENDING), Loop(CONSUMER3)])];

/// SHARD_DOC_INDEX (opcode 223).
pub(crate) const DOC_INDEX: &[Op] = &[Len, Str, Loop(&[Str, Len])];
/// VECTOR_INDEX (opcode 222).
pub(crate) const VECTOR_INDEX: &[Op] = &[Str, Len, Loop(&[Raw(12), Levels])];

/// What follows the nodes of a stream.
pub(crate) fn stream_tail(kind: Kind) -> &'static [Op] {
    match kind {
        Kind::Stream => TAIL,
        Kind::Stream2 => TAIL2,
        _ => TAIL3,
    }
}

/// The layout of a value.
pub(crate) fn layout(kind: Kind) -> &'static [Op] {
    match kind {
        Kind::Set | Kind::ListQuicklist => &[Loop(&[Str])],
        Kind::Hash | Kind::SetTtl => &[Loop(&[Str, Str])],
        Kind::Zset => &[Loop(&[Str, Raw(8)])],
        Kind::ListQuicklist2 => &[Loop(&[Len, Str])],
        Kind::HashTtl => &[Loop(&[Str, Str, Str])],
        Kind::Stream => &[Then(NODES), Then(TAIL)],
        Kind::Stream2 => &[Then(NODES), Then(TAIL2)],
        Kind::Stream3 => &[Then(NODES), Then(TAIL3)],
        Kind::Bloom => &[Len, Raw(16), Len, Len, Len, Loop(&[Len, Str])],
        Kind::BloomChunked => &[Len, Raw(16), Len, Len, Len, Loop(&[Len, Chunks])],
        Kind::Cms => &[Dim(0), Dim(1), Len, Cells],
        Kind::TopK => &[Len, Len, Len, Len, Raw(8), Loop(&[Str, Len]), Counted],
        Kind::Cuckoo => &[Len, Len, Len, Len, Len, Len, Loop(&[Chunks])],
        _ => &[Str],
    }
}

/// A running program.
#[derive(Debug)]
pub(crate) struct Scanner {
    stack: Vec<Frame>,
    max_string: usize,
    /// Bytes to pass over before the next step.
    skip: u64,
    /// Plain bytes that the current `Chunks` still has to bring.
    chunks: u64,
    dims: [u64; 2],
}

#[derive(Debug)]
struct Frame {
    ops: &'static [Op],
    next: usize,
    left: u64,
}

impl Scanner {
    pub(crate) fn new(ops: &'static [Op], max_string: usize) -> Self {
        Self { stack: vec![Frame { ops, next: 0, left: 1 }], max_string, skip: 0, chunks: 0, dims: [0; 2] }
    }

    /// Whether it stands inside bytes that it only has to pass over.
    pub(crate) fn skipping(&self) -> bool {
        self.skip > 0
    }

    /// Runs from `pos`, which it advances, to the end of the value.
    ///
    /// Stops with [`Stop::More`] where the buffer ends; `pos` then stands before the step that needs more, and
    /// whoever comes back may have dropped what lies before it.
    pub(crate) fn run(&mut self, buf: &[u8], pos: &mut usize) -> Result<(), Stop> {
        loop {
            if self.skip > 0 {
                let here = (buf.len() - *pos) as u64;
                let step = here.min(self.skip);
                *pos += step as usize;
                self.skip -= step;
                if self.skip > 0 {
                    return Err(Stop::More(
                        pos.saturating_add(usize::try_from(self.skip).unwrap_or(usize::MAX)),
                    ));
                }
            }
            let mut cursor = Cursor::at(buf, *pos);
            if self.chunks > 0 {
                self.chunk(&mut cursor)?;
            } else {
                let Some(frame) = self.stack.last_mut() else { return Ok(()) };
                if frame.next == frame.ops.len() {
                    frame.left -= 1;
                    frame.next = 0;
                }
                if frame.left == 0 {
                    self.stack.pop();
                    continue;
                }
                let op = frame.ops[frame.next];
                self.op(op, &mut cursor)?;
            }
            *pos = cursor.pos();
        }
    }

    fn op(&mut self, op: Op, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        let mut inner = None;
        match op {
            Len => {
                cursor.len()?;
            }
            Dim(i) => self.dims[i] = cursor.len()?,
            Str => match cursor.token(self.max_string)? {
                Token::Raw(len) | Token::Lzf(len, _) => self.skip = len as u64,
                Token::Int(_) => {}
            },
            Raw(len) => self.skip = len,
            Loop(ops) => inner = Some(Frame { ops, next: 0, left: cursor.len()? }),
            Then(ops) => inner = Some(Frame { ops, next: 0, left: 1 }),
            Counted => self.skip = cursor.len()?,
            Cells => {
                let cells = self.dims[0].checked_mul(self.dims[1]).and_then(|cells| cells.checked_mul(8));
                self.skip = cells.ok_or(Error::malformed("sketch", "its dimensions overflow"))?;
            }
            Chunks => self.chunks = cursor.len()?,
            Levels => {
                let levels = u64::from(cursor.u32_le()?) + 1;
                inner = Some(Frame { ops: &[Links], next: 0, left: levels });
            }
            Links => self.skip = u64::from(cursor.u32_le()?) * 4,
        }
        if let Some(frame) = self.stack.last_mut() {
            frame.next += 1;
        }
        self.stack.extend(inner);
        Ok(())
    }

    /// One chunk of a filter. v1.35 to v1.38 may write it as an encoded string, later releases never do; the first
    /// byte tells them apart.
    fn chunk(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        let (raw, plain) = match cursor.token(usize::MAX)? {
            Token::Raw(len) => (len, len),
            Token::Lzf(compressed, plain) => (compressed, plain),
            Token::Int(number) => (0, itoa::Buffer::new().format(number).len()),
        };
        if plain == 0 {
            return Err(Error::malformed("filter", "it has an empty chunk").into());
        }
        self.chunks = self
            .chunks
            .checked_sub(plain as u64)
            .ok_or(Error::malformed("filter", "its chunks exceed its size"))?;
        self.skip = raw as u64;
        Ok(())
    }
}
