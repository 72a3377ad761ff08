//! Entries: type, key, value.

use super::{Attributes, Decoder, OpenValue, State, Step};
use crate::cursor::{Cursor, Stop};
use crate::reader::{Next, Reader};
use crate::scan::{Scanner, layout};
use crate::source::{Avail, Parsed};
use crate::{Begin, Error, Item, KeyMeta, Kind, Value};

impl Decoder {
    /// Reads type and key, and the value too where it is one string that is there.
    #[inline]
    pub(super) fn entry(&mut self, kind: Kind, in_chunk: bool) -> Result<Step, Error> {
        let (max, whole) = (self.limits.max_string, self.limits.whole_value);
        let mut input = self.source.input();
        if kind.is_one_string() {
            let (head, len) = input.head();
            let mut cursor = Cursor::at(&head[..len], 1);
            if let Ok(key) = cursor.string(head, max) {
                let start = cursor.pos();
                if cursor.skip_string(max).is_ok() && cursor.pos() - start <= whole {
                    let end = cursor.pos();
                    let mut payload = input.take(end);
                    bytes::Buf::advance(&mut payload, start);
                    let meta = self.meta(key);
                    self.state = if in_chunk { State::ChunkEnd } else { State::Top };
                    return Ok(Step::Item(Item::Value(Value { meta, kind, payload })));
                }
            }
        }
        let key = |cursor: &mut Cursor<'_>, head: &bytes::Bytes| {
            cursor.u8()?;
            cursor.string(head, max)
        };
        match input.parse(key)? {
            Parsed::Done(key) => {
                let meta = self.meta(key);
                self.state = State::Value(meta, kind, Scanner::new(layout(kind), max), 0);
                Ok(Step::Again)
            }
            Parsed::Wait => Ok(Step::Wait),
            Parsed::Beyond => Err(Error::Truncated("tagged chunk")),
        }
    }

    /// The key with the attributes that stand before it.
    #[inline]
    fn meta(&mut self, key: bytes::Bytes) -> KeyMeta {
        let Attributes { expire_at_ms, sticky, mc_flags } = std::mem::take(&mut self.attributes);
        KeyMeta { db: self.db, key, expire_at_ms, sticky, mc_flags }
    }

    /// Looks for the end of a value; hands it out whole where that is not too far.
    pub(super) fn value(&mut self) -> Result<Step, Error> {
        let State::Value(_, _, scanner, pos) = &mut self.state else { return Ok(Step::Again) };
        let whole = self.limits.whole_value;
        let mut input = self.source.input();
        let payload = loop {
            let (head, len) = input.head();
            match scanner.run(&head[..len.min(whole)], pos) {
                Ok(()) => break Some(input.take(*pos)),
                Err(Stop::Bad(error)) => return Err(error),
                Err(Stop::More(n)) if n > whole => break None,
                Err(Stop::More(n)) => match input.ensure(n) {
                    Avail::Yes => {}
                    Avail::Wait => return Ok(Step::Wait),
                    // The rest comes in another chunk.
                    Avail::Beyond => break None,
                },
            }
        };
        let in_chunk = self.source.chunk().is_some();
        let after = if in_chunk { State::ChunkEnd } else { State::Top };
        let State::Value(meta, kind, ..) = std::mem::replace(&mut self.state, after) else {
            return Ok(Step::Again);
        };
        if let Some(payload) = payload {
            return Ok(Step::Item(Item::Value(Value { meta, kind, payload })));
        }
        let id = self.next_id;
        self.next_id += 1;
        self.state = State::Pieces(OpenValue { id, reader: Reader::new(kind, &self.limits) });
        Ok(Step::Item(Item::Begin(Begin { id, meta, kind })))
    }

    pub(super) fn pieces(&mut self) -> Result<Step, Error> {
        let State::Pieces(open) = &mut self.state else { return Ok(Step::Again) };
        let id = open.id;
        let mut input = self.source.input();
        match open.reader.next(&mut input)? {
            Next::Piece(piece) => Ok(Step::Item(Item::Piece { id, piece })),
            Next::Wait => Ok(Step::Wait),
            Next::Done => {
                self.state = if self.source.chunk().is_some() { State::ChunkEnd } else { State::Top };
                Ok(Step::Item(Item::End { id }))
            }
            Next::Beyond => {
                // Chunks end between two elements: nothing of the payload may be left over.
                if input.ensure(1) != Avail::Beyond {
                    return Err(Error::malformed("tagged chunk", "it ends inside an element"));
                }
                match open.reader.flush() {
                    Some(piece) => Ok(Step::Item(Item::Piece { id, piece })),
                    None => self.park(),
                }
            }
        }
    }
}
