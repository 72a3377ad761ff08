//! Payloads of `DUMP` and `RESTORE`: type, value, version, checksum.

use bytes::{Bytes, BytesMut};

use crate::{Error, Kind};

/// RDB version in the footers that we write; Dragonfly v1.40.1 writes the same (`rdb_save.cc` `AppendFooter`).
pub const VERSION: u16 = 9;

/// The payload for `RESTORE` of a value: type byte, raw value, [`VERSION`], CRC64.
pub fn payload(kind: Kind, raw: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(raw.len() + 11);
    append_payload(&mut out, kind, raw);
    out.freeze()
}

/// Appends the payload of a value to `out`.
pub fn append_payload(_out: &mut BytesMut, _kind: Kind, _raw: &[u8]) {}

/// Length of the payload of a raw value of `raw` bytes.
pub fn payload_len(raw: usize) -> usize {
    raw + 11
}

/// Checks a payload's version and checksum and takes it apart, without copying.
///
/// # Errors
/// [`Error::Truncated`], [`Error::Version`], [`Error::Checksum`], [`Error::Opcode`] for an unknown type.
pub fn parse(payload: &Bytes) -> Result<(Kind, Bytes), Error> {
    let _ = payload;
    Err(Error::Checksum)
}

/// Re-encodes the raw value of a stream for an older target: 21 as 19 (Redis 7.0) or 15 (Redis 5 and 6), 19 as 15.
///
/// # Errors
/// [`Error::Reencode`] for other pairs, and what a malformed value gives.
pub fn stream_as(from: Kind, raw: &[u8], to: Kind) -> Result<Bytes, Error> {
    let _ = raw;
    Err(Error::Reencode { from: from.code(), to: to.code() })
}
