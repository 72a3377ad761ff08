//! The stream decoder.
//!
//! ```text
//!              +------- blobs, AUX, SELECTDB, attributes, journal blobs, ... -------+
//!              v                                                                    |
//! Header --> Top --type, key--> Value --small--> Top                                |
//!             |                   |                                                 |
//!             |                   +--large, or cut by its chunk--> Pieces --end--> Top
//!             +--E0--> ChunkStart --known id--> Pieces --chunk over--> Top (the value waits in `open`)
//!             |             +---new id---> ChunkEntry --type, key--> Value
//!             +--FF--> Token --> Finished
//! ```
//! A value that lies in a chunk leaves by way of ChunkEnd, which checks that nothing else is in the chunk.

mod chunk;
mod entry;
mod top;

use std::collections::HashMap;

use bytes::Bytes;

use crate::reader::Reader;
use crate::scan::Scanner;
use crate::source::Source;
use crate::{Error, Item, KeyMeta, Kind, Limits};

/// Incremental decoder of one flow's snapshot stream, from `REDIS0009` to the 40-byte token.
///
/// It takes the RDB-style partial sync of masters up to v1.34 as well: that is the same stream with nothing but
/// journal blobs in it.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    source: Source,
    state: State,
    /// Database of the next entry.
    db: u32,
    /// Attributes of the next entry.
    attributes: Attributes,
    /// Values whose next tagged chunk has not come yet, by chunk id.
    open: HashMap<u32, OpenValue>,
    next_id: u64,
    failed: Option<Error>,
}

/// What stands before an entry and holds for that entry only.
#[derive(Debug, Default, Clone, Copy)]
struct Attributes {
    expire_at_ms: Option<u64>,
    sticky: bool,
    mc_flags: Option<u32>,
}

/// A value that comes in pieces.
#[derive(Debug)]
struct OpenValue {
    id: u64,
    reader: Reader,
}

#[derive(Debug)]
enum State {
    Header,
    Top,
    /// An index of the search module is being passed over.
    Skip(Scanner),
    /// A key was read; its value may be handed out whole. The scanner has been over the first bytes.
    Value(KeyMeta, Kind, Scanner, usize),
    Pieces(OpenValue),
    ChunkStart,
    ChunkEntry,
    ChunkEnd,
    Token,
    Finished,
}

/// What one step came to.
enum Step {
    Item(Item),
    /// The state has changed; go on.
    Again,
    /// More bytes are needed.
    Wait,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            source: Source::default(),
            state: State::Header,
            db: 0,
            attributes: Attributes::default(),
            open: HashMap::new(),
            next_id: 1,
            failed: None,
        }
    }

    /// Appends bytes as they came from the flow. Does not copy; items are slices of them where they can be.
    pub fn feed(&mut self, bytes: Bytes) {
        self.source.raw.push(bytes);
    }

    /// The next item, or `None` when more bytes are needed or the token was read.
    ///
    /// # Errors
    /// Bytes that contradict the format or exceed the limits. The decoder then stays in error.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Item>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let outcome = self.advance();
        if let Err(error) = &outcome {
            self.failed = Some(error.clone());
        }
        outcome
    }

    fn advance(&mut self) -> Result<Option<Item>, Error> {
        loop {
            match self.step()? {
                Step::Item(item) => return Ok(Some(item)),
                Step::Again => {}
                Step::Wait => {
                    let between = matches!(self.state, State::Top | State::Token);
                    if !self.source.fill(between)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    #[inline]
    fn step(&mut self) -> Result<Step, Error> {
        match self.state {
            State::Top => self.top(),
            State::Value(..) => self.value(),
            State::Pieces(_) => self.pieces(),
            State::ChunkStart => self.chunk_start(),
            State::ChunkEntry => self.chunk_entry(),
            State::ChunkEnd => self.chunk_end(),
            State::Header => self.header(),
            State::Skip(_) => self.skip_index(),
            State::Token => self.token(),
            State::Finished => Ok(Step::Wait),
        }
    }

    /// Whether [`Item::Eof`] was handed out.
    pub fn finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    /// Bytes of the flow consumed so far, compressed ones counted as they came.
    pub fn position(&self) -> u64 {
        self.source.raw.consumed()
    }

    /// Bytes fed and not consumed yet.
    pub fn buffered(&self) -> usize {
        self.source.raw.len()
    }

    /// What follows the token: the raw journal.
    pub fn into_rest(self) -> Bytes {
        self.source.raw.into_rest()
    }
}
