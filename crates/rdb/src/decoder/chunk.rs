//! Tagged chunks: values that are split, with other things between their parts.
//!
//! `serializer_base.cc`, `rdb_load.cc` `StreamState` (v1.39 opt-in, the default from v1.40).

use super::top::{LZ4_BLOB, ZSTD_BLOB, read_attribute};
use super::{Decoder, State, Step};
use crate::cursor::bound;
use crate::source::Parsed;
use crate::{Error, Kind};

impl Decoder {
    /// A chunk's payload begins: with a blob that holds it, with the rest of an open value, or with an entry.
    pub(super) fn chunk_start(&mut self) -> Result<Step, Error> {
        let Some(chunk) = self.source.chunk() else { return Ok(Step::Again) };
        let mut input = self.source.input();
        let (head, len) = input.head();
        let Some(first) = head[..len].first().copied() else { return Ok(Step::Wait) };
        // Neither an entry nor an element begins with these.
        if matches!(first, ZSTD_BLOB | LZ4_BLOB) {
            let size = input.parse(|cursor, _| {
                cursor.u8()?;
                cursor.len()
            })?;
            match size {
                Parsed::Done(size) => self.open_blob(first, size)?,
                Parsed::Wait => return Ok(Step::Wait),
                Parsed::Beyond => return Err(Error::Truncated("tagged chunk")),
            }
            return Ok(Step::Again);
        }
        self.state = match self.open.remove(&chunk.id) {
            Some(open) => State::Pieces(open),
            None => State::ChunkEntry,
        };
        Ok(Step::Again)
    }

    /// Attributes, type and key of a value whose first chunk this is.
    pub(super) fn chunk_entry(&mut self) -> Result<Step, Error> {
        let before = self.attributes;
        let mut input = self.source.input();
        let (head, len) = input.head();
        let Some(opcode) = head[..len].first().copied() else { return Ok(Step::Wait) };
        if let Some(kind) = Kind::from_code(opcode) {
            return self.entry(kind, true);
        }
        let attributes = input.parse(|cursor, _| {
            let opcode = cursor.u8()?;
            let misplaced = Error::Misplaced { opcode, place: "a tagged chunk" };
            Ok(read_attribute(opcode, cursor, before)?.ok_or(misplaced)?)
        })?;
        match attributes {
            Parsed::Done(attributes) => {
                self.attributes = attributes;
                Ok(Step::Again)
            }
            Parsed::Wait => Ok(Step::Wait),
            Parsed::Beyond => Err(Error::Truncated("tagged chunk")),
        }
    }

    /// The chunk is used up, its value is not complete: keeps the value for the next chunk of its id.
    pub(super) fn park(&mut self) -> Result<Step, Error> {
        let Some(chunk) = self.source.chunk() else { return Err(Error::Truncated("value")) };
        if !self.source.close_chunk()? {
            return Ok(Step::Wait);
        }
        if let State::Pieces(open) = std::mem::replace(&mut self.state, State::Top) {
            bound("number of open values", self.open.len() as u64 + 1, self.limits.max_open_values)?;
            self.open.insert(chunk.id, open);
        }
        Ok(Step::Again)
    }

    /// The value is complete: nothing else may be in the chunk.
    pub(super) fn chunk_end(&mut self) -> Result<Step, Error> {
        if !self.source.close_chunk()? {
            return Ok(Step::Wait);
        }
        self.state = State::Top;
        Ok(Step::Again)
    }
}
