//! One entry from the front of a buffer.
//!
//! Ops and layouts: `journal/types.h` `Op`, `journal/serializer.cc` `JournalReader`, `serializer_commons.cc`
//! `WritePackedUInt` (v1.40.1); 11 and 12 as of v1.18.

use bytes::Bytes;

use crate::{Entry, Error, Limits, Record, RecordKind};

const SELECT: u64 = 6;
const EXPIRED: u64 = 9;
const COMMAND: u64 = 10;
const MULTI_COMMAND: u64 = 11;
const EXEC: u64 = 12;
const PING: u64 = 13;
const FIN: u64 = 14;
const LSN: u64 = 15;

/// Why a read stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The buffer must hold at least this many bytes, counted from its beginning.
    More(usize),
    /// The bytes are wrong.
    Bad(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Bad(error)
    }
}

/// What is made of a record's arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// They are slices of the buffer.
    Keep,
    /// Their lengths are checked, and the record has none.
    Skip,
}

/// Reads one entry and its length; `db` is the current database before and after.
pub(crate) fn read(
    buf: &Bytes,
    db: &mut u32,
    limits: &Limits,
    arguments: Arguments,
) -> Result<(Entry, usize), Stop> {
    let mut cursor = Cursor { buf, pos: 0, arguments };
    loop {
        let entry = match cursor.packed()? {
            SELECT => {
                let index = cursor.packed()?;
                *db = u32::from(u16::try_from(index).map_err(|_| Error::Db(index))?);
                continue;
            }
            COMMAND => Entry::Record(cursor.record(RecordKind::Command, *db, limits)?),
            EXPIRED => Entry::Record(cursor.record(RecordKind::Expired, *db, limits)?),
            MULTI_COMMAND => Entry::Record(cursor.record(RecordKind::Multi, *db, limits)?),
            EXEC => Entry::Exec { txid: cursor.packed()?, shards: cursor.packed()? },
            PING => Entry::Ping,
            FIN => Entry::Fin,
            LSN => Entry::Lsn(cursor.packed()?),
            op => return Err(Error::Op(op).into()),
        };
        return Ok((entry, cursor.pos));
    }
}

struct Cursor<'a> {
    buf: &'a Bytes,
    pos: usize,
    arguments: Arguments,
}

impl Cursor<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let end = self.pos + N;
        let slice = self.buf.get(self.pos..end).ok_or(Stop::More(end))?;
        let mut array = [0; N];
        array.copy_from_slice(slice);
        self.pos = end;
        Ok(array)
    }

    /// An integer of 1, 2, 5 or 9 bytes, big-endian.
    #[inline]
    fn packed(&mut self) -> Result<u64, Stop> {
        let [first] = self.array()?;
        match first {
            0..=0x3f => Ok(u64::from(first)),
            0x40..=0x7f => self.array().map(|[low]| u64::from(first & 0x3f) << 8 | u64::from(low)),
            0x80 => self.array().map(|b| u64::from(u32::from_be_bytes(b))),
            0x81 => self.array().map(u64::from_be_bytes),
            _ => Err(Error::Packed(first).into()),
        }
    }

    fn bounded(&mut self, what: &'static str, max: usize) -> Result<usize, Stop> {
        let len = self.packed()?;
        match usize::try_from(len) {
            Ok(size) if size <= max => Ok(size),
            _ => Err(Error::TooLarge { what, len, max: max as u64 }.into()),
        }
    }

    fn record(&mut self, kind: RecordKind, db: u32, limits: &Limits) -> Result<Record, Stop> {
        let txid = self.packed()?;
        // Number of flows that take part: meaningful up to v1.20 only, constant 1 since v1.38.
        self.packed()?;
        let argc = self.bounded("number of arguments", limits.max_args)?;
        let total = self.bounded("record", limits.max_total)?;
        if argc == 0 {
            return Err(Error::NoArguments.into());
        }
        // Nothing is allocated before bytes for all arguments are there: at least one of each one's length.
        let least = self.pos.saturating_add(total).saturating_add(argc);
        if self.buf.len() < least {
            return Err(Stop::More(least));
        }
        let keep = self.arguments == Arguments::Keep;
        let mut args = Vec::with_capacity(if keep { argc } else { 0 });
        let mut left = total;
        for i in 0..argc {
            let len = self.bounded("argument", limits.max_arg)?;
            left = left.checked_sub(len).ok_or(Error::Total { total: total as u64 })?;
            let start = self.pos;
            let end = start + len;
            if self.buf.len() < end {
                // What is left of this record, with one byte for the length of each argument that follows.
                return Err(Stop::More(end + left + (argc - i - 1)));
            }
            if keep {
                args.push(self.buf.slice(start..end));
            }
            self.pos = end;
        }
        if left > 0 {
            return Err(Error::Total { total: total as u64 }.into());
        }
        Ok(Record { db, txid, kind, args })
    }
}
