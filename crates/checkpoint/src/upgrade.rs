//! Formats of the head record, oldest first; each is read into what the program uses today.
//!
//! Version 1 is the first. A new version adds its own `vN` function here and keeps the older ones, with a test that reads
//! bytes the older version wrote; [`Head::encode`] always writes [`CURRENT`].

use crate::codec::{DecodeError, Decoder};
use crate::head::{Head, decode_body};

/// The format written today.
pub(crate) const CURRENT: u8 = 1;

/// Reads a head record of any known version.
pub(crate) fn head(bytes: &[u8]) -> Result<Head, DecodeError> {
    let (version, body) = Decoder::open(bytes, &[], CURRENT)?;
    match version {
        1 => decode_body(body),
        _ => Err(DecodeError::Damaged("a record has an unknown version")),
    }
}
