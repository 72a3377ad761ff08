//! One key's value under a second name that no single command reaches: RENAME, MOVE and COPY whose two names lie on
//! different nodes, slots or databases of the target.
//!
//! The caller drains its lanes first and sends nothing until this is done: both names belong to one flow.

use bytes::Bytes;
use command::{CrossKey, CrossOperation, Place};
use resp::Reply;

use crate::error::Error;
use crate::side::Side;

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transfer {
    /// The value is under its new name.
    Done,
    /// There was nothing to move: where the source did move something, the two sides differ.
    Missing,
    /// The new name was taken, and the operation respects that.
    Taken,
    /// The target refused a step; its message. Both keys are doubtful.
    Refused(String),
}

/// Executes `what` with DUMP, RESTORE and UNLINK.
///
/// Executing it again after it was interrupted ends in the same state, as long as no other record of the two keys was
/// executed in between: the old name is removed last.
///
/// # Errors
/// The connection's, after trying for about a minute.
pub async fn transfer(side: &mut Side, what: &CrossKey) -> Result<Transfer, Error> {
    let CrossKey { operation, from, to } = what;
    let dump = call(side, from, &[b"DUMP", &from.name]).await?;
    let payload = match dump {
        Reply::Bulk(payload) => payload,
        Reply::Error(line) => return Ok(Transfer::Refused(resp::printable(&line))),
        _ => return Ok(Transfer::Missing),
    };
    let ttl = match call(side, from, &[b"PTTL", &from.name]).await? {
        Reply::Integer(ttl) if ttl > 0 => ttl,
        Reply::Integer(-1) => 0,
        // It expired between the two calls.
        Reply::Integer(_) => return Ok(Transfer::Missing),
        Reply::Error(line) => return Ok(Transfer::Refused(resp::printable(&line))),
        _ => return Ok(Transfer::Refused("PTTL answered in an unexpected form".into())),
    };
    // PTTL is rounded down to the millisecond of the target's clock, so the absolute time is asked for where it can be.
    let expires_at = match call(side, from, &[b"PEXPIRETIME", &from.name]).await? {
        Reply::Integer(at) if at > 0 => Some(at),
        _ => None,
    };
    let (ttl, absolute) = expires_at.map_or((ttl, false), |at| (at, true));
    let ttl = Bytes::from(ttl.to_string());
    let replace = matches!(operation, CrossOperation::Rename | CrossOperation::Copy { replace: true });
    let mut restore: Vec<&[u8]> = vec![b"RESTORE", &to.name, &ttl, &payload];
    if replace {
        restore.push(b"REPLACE");
    }
    if absolute {
        restore.push(b"ABSTTL");
    }
    match call(side, to, &restore).await? {
        Reply::Error(line) if line.starts_with(b"BUSYKEY") => return Ok(Transfer::Taken),
        Reply::Error(line) => return Ok(Transfer::Refused(resp::printable(&line))),
        _ => {}
    }
    if !matches!(operation, CrossOperation::Copy { .. })
        && let Reply::Error(line) = call(side, from, &[b"UNLINK", &from.name]).await?
    {
        return Ok(Transfer::Refused(resp::printable(&line)));
    }
    Ok(Transfer::Done)
}

async fn call(side: &mut Side, place: &Place, args: &[&[u8]]) -> Result<Reply, Error> {
    side.call_slot(place.slot, place.db, args).await
}
