//! Payloads of `DUMP` and `RESTORE`: type byte, raw value, version u16 LE, CRC64 u64 LE over all before it.
//!
//! `rdb_save.cc` `AppendFooter` (v1.40.1), seen on the wire in journaled `RESTORE` records.

mod members;
mod plain;
mod smallest;

use bytes::{BufMut, Bytes, BytesMut};
use crc::{CRC_64_REDIS, Crc, Table};

use crate::cursor::{Cursor, Stop};
use crate::scan::{NODES, Scanner};
use crate::{Error, Kind};

pub use members::{Untimed, living, untimed};
pub use plain::plain_payload;
pub use smallest::{of_no_type, smallest};

/// RDB version in the footers that we write; Dragonfly v1.40.1 writes the same (`RDB_SER_VERSION`).
pub const VERSION: u16 = 9;

/// Latest RDB version whose payloads are taken.
const MAX_VERSION: u16 = 12;
const FOOTER: usize = 10;

static CRC64: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// The payload for `RESTORE` of a value: type byte, raw value, [`VERSION`], CRC64.
pub fn payload(kind: Kind, raw: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload_len(raw.len()));
    append_payload(&mut out, kind, raw);
    out.freeze()
}

/// Appends the payload of a value to `out`.
pub fn append_payload(out: &mut BytesMut, kind: Kind, raw: &[u8]) {
    out.reserve(payload_len(raw.len()));
    let start = out.len();
    out.put_u8(kind.code());
    out.put_slice(raw);
    out.put_u16_le(VERSION);
    let checksum = CRC64.checksum(&out[start..]);
    out.put_u64_le(checksum);
}

/// A payload of which version and checksum are missing.
fn finish(mut out: Vec<u8>, version: u16) -> Bytes {
    out.put_u16_le(version);
    let checksum = CRC64.checksum(&out);
    out.put_u64_le(checksum);
    out.into()
}

/// Length of the payload of a raw value of `raw` bytes.
pub fn payload_len(raw: usize) -> usize {
    1 + raw + FOOTER
}

/// Checks a payload's version and checksum and takes it apart, without copying.
///
/// The raw value is what [`crate::Pieces::new`] and [`payload`] take.
///
/// # Errors
/// [`Error::Truncated`], [`Error::Version`], [`Error::Checksum`], [`Error::Opcode`] for an unknown type.
pub fn parse(payload: &Bytes) -> Result<(Kind, Bytes), Error> {
    let end = payload.len().checked_sub(FOOTER).filter(|end| *end > 0).ok_or(Error::Truncated("payload"))?;
    let mut footer = Cursor::at(payload, end);
    let footer = footer.bytes(2).and_then(|version| Ok((version, footer.u64_le()?)));
    let (version, checksum) = footer.map_err(|stop| stop.at_end_of("payload"))?;
    let version = u16::from(version[1]) << 8 | u16::from(version[0]);
    if version > MAX_VERSION {
        return Err(Error::Version(u32::from(version)));
    }
    if CRC64.checksum(&payload[..end + 2]) != checksum {
        return Err(Error::Checksum);
    }
    let kind = Kind::from_code(payload[0]).ok_or(Error::Opcode(payload[0]))?;
    Ok((kind, payload.slice(1..end)))
}

/// Re-encodes the raw value of a stream for an older target: 21 as 19 (Redis 7.0) or 15 (Redis 5 and 6), 19 as 15.
///
/// The nodes stay as they are. What the older type has no room for is lost: the consumers' times of last success, and
/// in type 15 the counters, the first id and the highest deleted id.
///
/// # Errors
/// [`Error::Reencode`] for other pairs, and what a malformed value gives.
pub fn stream_as(from: Kind, raw: &[u8], to: Kind) -> Result<Bytes, Error> {
    match (from, to) {
        (Kind::Stream3, Kind::Stream2 | Kind::Stream) | (Kind::Stream2, Kind::Stream) => {}
        _ => return Err(Error::Reencode { from: from.code(), to: to.code() }),
    }
    let mut nodes = 0;
    let scanned = Scanner::new(NODES, usize::MAX).run(raw, &mut nodes);
    scanned.map_err(|stop| stop.at_end_of("stream"))?;
    let mut copy =
        Copy { from, to, raw, cursor: Cursor::at(raw, nodes), out: Vec::with_capacity(raw.len()), copied: 0 };
    copy.tail().map_err(|stop| stop.at_end_of("stream"))?;
    if copy.cursor.pos() < raw.len() {
        return Err(Error::Trailing("stream"));
    }
    copy.keep();
    Ok(copy.out.into())
}

/// Copies a stream and leaves parts out.
struct Copy<'a> {
    from: Kind,
    to: Kind,
    raw: &'a [u8],
    cursor: Cursor<'a>,
    out: Vec<u8>,
    /// Up to here everything was copied or left out.
    copied: usize,
}

impl Copy<'_> {
    /// Copies what was read since the last time.
    fn keep(&mut self) {
        self.out.extend_from_slice(&self.raw[self.copied..self.cursor.pos()]);
        self.copied = self.cursor.pos();
    }

    /// Leaves out what is read next.
    fn leave_out(&mut self, read: impl Fn(&mut Cursor<'_>) -> Result<(), Stop>) -> Result<(), Stop> {
        self.keep();
        read(&mut self.cursor)?;
        self.copied = self.cursor.pos();
        Ok(())
    }

    fn lens(&mut self, count: usize) -> Result<(), Stop> {
        lens(&mut self.cursor, count)
    }

    fn tail(&mut self) -> Result<(), Stop> {
        let counters = self.to != Kind::Stream;
        self.lens(3)?;
        if counters {
            self.lens(5)?;
        } else {
            self.leave_out(|cursor| lens(cursor, 5))?;
        }
        for _ in 0..self.cursor.len()? {
            self.cursor.skip_string(usize::MAX)?;
            self.lens(2)?;
            if counters {
                self.lens(1)?;
            } else {
                self.leave_out(|cursor| lens(cursor, 1))?;
            }
            for _ in 0..self.cursor.len()? {
                self.cursor.bytes(24)?;
                self.lens(1)?;
            }
            for _ in 0..self.cursor.len()? {
                self.consumer()?;
            }
        }
        Ok(())
    }

    fn consumer(&mut self) -> Result<(), Stop> {
        self.cursor.skip_string(usize::MAX)?;
        self.cursor.bytes(8)?;
        if self.from == Kind::Stream3 {
            self.leave_out(|cursor| cursor.bytes(8).map(|_| ()))?;
        }
        for _ in 0..self.cursor.len()? {
            self.cursor.bytes(16)?;
        }
        Ok(())
    }
}

fn lens(cursor: &mut Cursor<'_>, count: usize) -> Result<(), Stop> {
    for _ in 0..count {
        cursor.len()?;
    }
    Ok(())
}
