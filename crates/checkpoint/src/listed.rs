//! Entries of the not-in-sync list as the store keeps them: `n`, database, name -> reason, flow, LSN, time.

use crc::{CRC_64_XZ, Crc};

use crate::NotInSync;
use crate::codec::{DecodeError, Decoder, Encoder};

/// What every entry's key begins with.
pub(crate) const PREFIX: &[u8] = b"n";
const VERSION: u8 = 1;
const DIGEST: Crc<u64> = Crc::<u64>::new(&CRC_64_XZ);

/// The key of an entry; sorted by database (big-endian), then by name.
pub(crate) fn key(db: u32, name: &[u8]) -> Vec<u8> {
    [PREFIX, &db.to_be_bytes(), name].concat()
}

/// The value of an entry; its checksum also covers its key.
pub(crate) fn encode(key: &[u8], entry: &NotInSync) -> Vec<u8> {
    let mut out = Encoder::new(VERSION);
    out.text(&entry.reason);
    out.u32(entry.flow);
    out.u64(entry.lsn);
    out.u64(entry.at_ms);
    out.finish(key)
}

/// An entry from its key and value.
pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<NotInSync, DecodeError> {
    let name = key.strip_prefix(PREFIX).and_then(|rest| rest.split_first_chunk::<4>());
    let (db, name) = name.ok_or(DecodeError::Damaged("an entry has no database"))?;
    let (_, mut body) = Decoder::open(value, key, VERSION)?;
    let entry = NotInSync {
        db: u32::from_be_bytes(*db),
        key: name.to_vec(),
        reason: body.text()?,
        flow: body.u32()?,
        lsn: body.u64()?,
        at_ms: body.u64()?,
    };
    body.end()?;
    Ok(entry)
}

/// What one entry adds to the list's digest.
pub(crate) fn digest(key: &[u8], value: &[u8]) -> u64 {
    let mut digest = DIGEST.digest();
    digest.update(key);
    digest.update(value);
    digest.finalize()
}
