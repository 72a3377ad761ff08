//! Opcodes between entries.
//!
//! Codes and layouts: `rdb_extensions.h`, `rdb_load.cc` `RdbLoader::Load`, `rdb_save.cc` `SaveHeader`, `SaveEpilog`
//! (v1.40.1).

use bytes::{Buf, Bytes};

use super::{Attributes, Decoder, State, Step};
use crate::compressed::Blob;
use crate::cursor::{Cursor, Stop};
use crate::scan::{DOC_INDEX, Scanner, VECTOR_INDEX};
use crate::source::Parsed;
use crate::{Error, Item, Kind};

pub(super) const FULLSYNC_END: u8 = 200;
pub(super) const ZSTD_BLOB: u8 = 201;
pub(super) const LZ4_BLOB: u8 = 202;
const JOURNAL_BLOB: u8 = 210;
const JOURNAL_OFFSET: u8 = 211;
const DF_MASK: u8 = 220;
const VECTOR_INDEX_OP: u8 = 222;
const DOC_INDEX_OP: u8 = 223;
const TAGGED_CHUNK: u8 = 224;
const SLOT_INFO: u8 = 244;
const IDLE: u8 = 248;
const FREQ: u8 = 249;
const AUX: u8 = 250;
const RESIZEDB: u8 = 251;
const EXPIRETIME_MS: u8 = 252;
const EXPIRETIME: u8 = 253;
const SELECTDB: u8 = 254;
const EOF: u8 = 255;

const TOKEN: usize = 40;
const STICKY: u32 = 1;
const MC_FLAGS: u32 = 2;

/// What an opcode and its payload say.
enum Op {
    Item(Item),
    Attributes(Attributes),
    Select(u32),
    /// Nothing of interest.
    Nothing,
    Blob(u8, u64),
    Chunk(u32, u32),
    Skip(Scanner),
    Eof,
}

impl Decoder {
    pub(super) fn header(&mut self) -> Result<Step, Error> {
        let mut input = self.source.input();
        let magic = |cursor: &mut Cursor<'_>, _: &Bytes| {
            // Wrong bytes are refused as soon as they come.
            let head = &cursor.buf()[..cursor.buf().len().min(5)];
            if !b"REDIS".starts_with(head) {
                return Err(Stop::Bad(Error::Magic));
            }
            cursor.bytes(9).map(|head| head[5..].try_into().unwrap_or([0; 4]))
        };
        let Parsed::Done::<[u8; 4]>(digits) = input.parse(magic)? else { return Ok(Step::Wait) };
        let version: Option<u32> = std::str::from_utf8(&digits)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok());
        let version = version.ok_or(Error::Magic)?;
        if !(5..=12).contains(&version) {
            return Err(Error::Version(version));
        }
        self.state = State::Top;
        Ok(Step::Item(Item::Header { version }))
    }

    #[inline]
    pub(super) fn top(&mut self) -> Result<Step, Error> {
        let input = self.source.input();
        let (head, len) = input.head();
        let Some(opcode) = head[..len].first().copied() else { return Ok(Step::Wait) };
        match Kind::from_code(opcode) {
            Some(kind) => self.entry(kind, false),
            None => self.opcode(),
        }
    }

    fn opcode(&mut self) -> Result<Step, Error> {
        let (limits, before) = (&self.limits, self.attributes);
        let mut input = self.source.input();
        let op = match input.parse(|cursor, head| read(cursor, head, limits.max_string, before))? {
            Parsed::Done(op) => op,
            Parsed::Wait | Parsed::Beyond => return Ok(Step::Wait),
        };
        match op {
            Op::Item(item) => return Ok(Step::Item(item)),
            Op::Attributes(attributes) => self.attributes = attributes,
            Op::Select(db) => {
                self.db = db;
                return Ok(Step::Item(Item::SelectDb(db)));
            }
            Op::Nothing => {}
            Op::Blob(opcode, size) => self.open_blob(opcode, size)?,
            Op::Chunk(id, size) => {
                self.source.open_chunk(id, size);
                self.state = State::ChunkStart;
            }
            Op::Skip(scanner) => self.state = State::Skip(scanner),
            Op::Eof if self.open.is_empty() => self.state = State::Token,
            Op::Eof => return Err(Error::Truncated("value in tagged chunks")),
        }
        Ok(Step::Again)
    }

    /// Enters a compressed blob.
    pub(super) fn open_blob(&mut self, opcode: u8, size: u64) -> Result<(), Error> {
        let blob = if opcode == LZ4_BLOB { Blob::lz4(size) } else { Blob::zstd(size, &self.limits)? };
        self.source.open_blob(opcode, size, blob)
    }

    pub(super) fn skip_index(&mut self) -> Result<Step, Error> {
        let State::Skip(scanner) = &mut self.state else { return Ok(Step::Again) };
        let mut input = self.source.input();
        loop {
            let (head, len) = input.head();
            let mut pos = 0;
            let outcome = scanner.run(&head[..len], &mut pos);
            input.skip(pos);
            match outcome {
                Ok(()) => break,
                Err(Stop::Bad(error)) => return Err(error),
                Err(Stop::More(n)) => {
                    let n = if scanner.skipping() { 1 } else { n - pos };
                    if input.ensure(n) != crate::source::Avail::Yes {
                        return Ok(Step::Wait);
                    }
                }
            }
        }
        self.state = State::Top;
        Ok(Step::Again)
    }

    pub(super) fn token(&mut self) -> Result<Step, Error> {
        if self.source.in_blob() {
            // The token is written by other hands than the stream, never into a blob.
            return if self.source.drained() { Ok(Step::Wait) } else { Err(Error::Trailing("snapshot")) };
        }
        if !self.source.raw.ensure(TOKEN) {
            return Ok(Step::Wait);
        }
        let mut token = [0; TOKEN];
        self.source.raw.take(TOKEN).copy_to_slice(&mut token);
        self.state = State::Finished;
        Ok(Step::Item(Item::Eof { token }))
    }
}

fn read(cursor: &mut Cursor<'_>, head: &Bytes, max: usize, before: Attributes) -> Result<Op, Stop> {
    let opcode = cursor.u8()?;
    if let Some(attributes) = read_attribute(opcode, cursor, before)? {
        return Ok(Op::Attributes(attributes));
    }
    Ok(match opcode {
        AUX => Op::Item(Item::Aux { key: cursor.string(head, max)?, value: cursor.string(head, max)? }),
        SELECTDB => {
            let db = cursor.len()?;
            Op::Select(u32::try_from(db).map_err(|_| Error::TooLarge {
                what: "database index",
                len: db,
                max: u64::from(u32::MAX),
            })?)
        }
        RESIZEDB => {
            cursor.len()?;
            cursor.len()?;
            Op::Nothing
        }
        SLOT_INFO => {
            cursor.len()?;
            cursor.len()?;
            cursor.len()?;
            Op::Nothing
        }
        JOURNAL_BLOB => {
            if cursor.len()? != 1 {
                return Err(Error::malformed("journal blob", "it does not hold one record").into());
            }
            Op::Item(Item::JournalBlob(cursor.string(head, max)?))
        }
        FULLSYNC_END => {
            cursor.bytes(8)?;
            Op::Item(Item::FullSyncEnd)
        }
        JOURNAL_OFFSET => Op::Item(Item::JournalOffset(cursor.u64_le()?)),
        ZSTD_BLOB | LZ4_BLOB => Op::Blob(opcode, cursor.len()?),
        TAGGED_CHUNK => {
            let (id, size) = (cursor.u32_le()?, cursor.u32_le()?);
            if id == 0 || size == 0 {
                return Err(Error::malformed("tagged chunk", "its id or its size is 0").into());
            }
            Op::Chunk(id, size)
        }
        VECTOR_INDEX_OP => Op::Skip(Scanner::new(VECTOR_INDEX, max)),
        DOC_INDEX_OP => Op::Skip(Scanner::new(DOC_INDEX, max)),
        EOF => {
            // The place of a checksum; Dragonfly computes none.
            cursor.bytes(8)?;
            Op::Eof
        }
        _ => return Err(Error::Opcode(opcode).into()),
    })
}

/// Reads the payload of an opcode that says something about the next entry.
pub(super) fn read_attribute(
    opcode: u8,
    cursor: &mut Cursor<'_>,
    before: Attributes,
) -> Result<Option<Attributes>, Stop> {
    Ok(Some(match opcode {
        EXPIRETIME_MS => Attributes { expire_at_ms: expiry(cursor.u64_le()?, 1)?, ..before },
        EXPIRETIME => Attributes { expire_at_ms: expiry(u64::from(cursor.u32_le()?), 1000)?, ..before },
        DF_MASK => {
            let mask = cursor.u32_le()?;
            if mask & !(STICKY | MC_FLAGS) != 0 {
                return Err(Error::malformed("entry mask", "it has unknown flags").into());
            }
            let mc_flags = if mask & MC_FLAGS != 0 { Some(cursor.u32_le()?) } else { None };
            Attributes { sticky: mask & STICKY != 0, mc_flags, ..before }
        }
        FREQ => {
            cursor.u8()?;
            before
        }
        IDLE => {
            cursor.len()?;
            before
        }
        _ => return Ok(None),
    }))
}

/// A signed time in units of `scale` ms.
fn expiry(raw: u64, scale: u64) -> Result<Option<u64>, Error> {
    let expiry = i64::try_from(raw).ok().map(|raw| raw as u64 * scale);
    expiry.map(Some).ok_or(Error::malformed("expiry", "it is negative"))
}
