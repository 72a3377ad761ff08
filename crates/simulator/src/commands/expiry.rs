//! When keys go.

use bytes::Bytes;

use super::args::{self, is, text};
use crate::engine::{Failure, Tx};
use crate::reply::Reply;

type Done = Result<Reply, Failure>;

/// Sets an absolute expiry on an existing key, or deletes the key when that is past: journals `PEXPIREAT key ms` or `DEL key`.
pub(super) fn apply(tx: &mut Tx<'_>, key: &Bytes, at: i64) {
    if at <= tx.now as i64 {
        tx.del(key);
        tx.log(key, &[b"DEL".as_slice(), key]);
    } else {
        tx.set_expiry(key, Some(at as u64));
        tx.log(key, &[b"PEXPIREAT".as_slice(), key, &text(at)]);
    }
}

fn expire_with(tx: &mut Tx<'_>, a: &[Bytes], unit: i64, absolute: bool) -> Done {
    let key = &a[1];
    let n = args::int(&a[2])?;
    let out_of_range = || Failure::err("expiry is out of range");
    let mut at = n.checked_mul(unit).ok_or_else(out_of_range)?;
    if !absolute {
        at = at.checked_add(tx.now as i64).ok_or_else(out_of_range)?;
    }
    if at > (tx.now + args::MAX_EXPIRE_MS) as i64 {
        if absolute {
            return Err(out_of_range());
        }
        at = (tx.now + args::MAX_EXPIRE_MS) as i64;
    }
    let Some(entry) = tx.peek(key) else { return Ok(Reply::Int(0)) };
    let old = entry.expire_at;
    for flag in &a[3..] {
        let holds = match flag {
            f if is(f, "NX") => old.is_none(),
            f if is(f, "XX") => old.is_some(),
            f if is(f, "GT") => old.is_some_and(|o| at > o as i64),
            f if is(f, "LT") => old.is_none_or(|o| at < o as i64),
            _ => return Err(Failure::err("Unsupported option")),
        };
        if !holds {
            return Ok(Reply::Int(0));
        }
    }
    apply(tx, key, at);
    Ok(Reply::Int(1))
}

pub(super) fn expire(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    expire_with(tx, a, 1000, false)
}

pub(super) fn pexpire(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    expire_with(tx, a, 1, false)
}

pub(super) fn expireat(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    expire_with(tx, a, 1000, true)
}

pub(super) fn pexpireat(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    expire_with(tx, a, 1, true)
}

pub(super) fn persist(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    if tx.peek(&a[1]).is_some_and(|e| e.expire_at.is_some()) {
        tx.set_expiry(&a[1], None);
        return Ok(Reply::Int(1));
    }
    tx.no_record();
    Ok(Reply::Int(0))
}

/// -2 when missing, -1 without expiry.
fn left(tx: &mut Tx<'_>, key: &[u8], f: impl Fn(u64, u64) -> u64) -> Done {
    let now = tx.now;
    Ok(Reply::Int(match tx.peek(key) {
        None => -2,
        Some(e) => e.expire_at.map_or(-1, |at| f(at, now) as i64),
    }))
}

pub(super) fn ttl(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    left(tx, &a[1], |at, now| (at - now).div_ceil(1000))
}

pub(super) fn pttl(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    left(tx, &a[1], |at, now| at - now)
}

pub(super) fn expiretime(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    left(tx, &a[1], |at, _| (at + 500) / 1000)
}

pub(super) fn pexpiretime(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    left(tx, &a[1], |at, _| at)
}
