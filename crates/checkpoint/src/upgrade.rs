//! Formats of the head record, oldest first; each is read into what the program uses today.
//!
//! | version | what came with it |
//! |---|---|
//! | 1 | generation, list, state |
//! | 2 | the checkpoint's name; the nodes of the target in the state |
//! | 3 | the schedule, which begins empty |
//!
//! A new version adds its own `vN` function here and keeps the older ones, with a test that reads bytes the older version
//! wrote; [`Head::encode`] always writes [`CURRENT`]. The first [`crate::Store::open`] writes the new format, in a
//! durable write like any other: a crash leaves the old record or the new one. [`crate::inspect`] upgrades nothing.

use crate::codec::{DecodeError, Decoder};
use crate::head::{Head, decode_body, decode_state, flag};
use crate::schedule::Sum;

/// The format written today.
pub(crate) const CURRENT: u8 = 3;

/// Reads a head record of any known version.
pub(crate) fn head(bytes: &[u8]) -> Result<Head, DecodeError> {
    let (version, body) = Decoder::open(bytes, &[], CURRENT)?;
    match version {
        1 => v1(body),
        2 | 3 => decode_body(version, body),
        _ => Err(DecodeError::Damaged("a record has an unknown version")),
    }
}

/// Version 1 knew neither name nor nodes.
fn v1(mut body: Decoder<'_>) -> Result<Head, DecodeError> {
    let mut head = Head {
        generation: body.u64()?,
        listed: body.u64()?,
        list_digest: body.u64()?,
        name: String::new(),
        scheduled: Sum::default(),
        state: None,
    };
    if flag(body.u8()?)? {
        head.state = Some(decode_state(&mut body)?);
    }
    body.end()?;
    Ok(head)
}
