//! Strings as arrays of bits.

use bytes::{Bytes, BytesMut};

use super::args::{self, is};
use super::strings;
use crate::engine::value::Value;
use crate::engine::{Failure, Tx};
use crate::reply::Reply;

type Done = Result<Reply, Failure>;

fn bit_offset(s: &[u8]) -> Result<(usize, u8), Failure> {
    let n = args::count(s).map_err(|_| Failure::err("bit offset is not an integer or out of range"))?;
    if n >= 4 << 30 {
        return Err(Failure::err("bit offset is not an integer or out of range"));
    }
    Ok((n / 8, 0x80 >> (n % 8)))
}

pub(super) fn setbit(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let (byte, mask) = bit_offset(&a[2])?;
    let on = match &a[3][..] {
        b"0" => false,
        b"1" => true,
        _ => return Err(Failure::err("bit is not an integer or out of range")),
    };
    let mut s = strings::current(tx, &a[1])?;
    if s.len() <= byte {
        s.resize(byte + 1, 0);
    }
    let old = s[byte] & mask != 0;
    if on {
        s[byte] |= mask;
    } else {
        s[byte] &= !mask;
    }
    strings::rewrite(tx, &a[1], s)?;
    Ok(Reply::Int(i64::from(old)))
}

pub(super) fn getbit(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let (byte, mask) = bit_offset(&a[2])?;
    let bit = tx.string(&a[1])?.and_then(|s| s.get(byte)).is_some_and(|b| b & mask != 0);
    Ok(Reply::Int(i64::from(bit)))
}

/// `BITOP AND|OR|XOR|NOT dst src ...`, journaled as `SET dst value` or `DEL dst`. The destination keeps its expiry here while the record
/// does not say so, as in v1.40.1.
pub(super) fn bitop(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let dst = &a[2];
    tx.transact();
    let mut sources = Vec::with_capacity(a.len() - 3);
    for key in &a[3..] {
        sources.push(strings::current(tx, key)?);
    }
    let len = sources.iter().map(BytesMut::len).max().unwrap_or(0);
    let not = is(&a[1], "NOT");
    if not && sources.len() != 1 {
        return Err(Failure::err("BITOP NOT must be called with a single source key."));
    }
    let fold: fn(u8, u8) -> u8 = match &a[1] {
        w if is(w, "AND") => |x, y| x & y,
        w if is(w, "OR") => |x, y| x | y,
        w if is(w, "XOR") => |x, y| x ^ y,
        _ if not => |x, _| x,
        _ => return Err(Failure::syntax()),
    };
    let byte = |i: usize| {
        let mut bytes = sources.iter().map(|s| s.get(i).copied().unwrap_or(0));
        let first = bytes.next().unwrap_or(0);
        let b = bytes.fold(first, fold);
        if not { !b } else { b }
    };
    let value: Bytes = (0..len).map(byte).collect::<Vec<u8>>().into();
    if value.is_empty() {
        if tx.del(dst).is_some() {
            tx.log(dst, &[b"DEL".as_slice(), dst]);
        }
        return Ok(Reply::Int(0));
    }
    let expire_at = tx.peek(dst).and_then(|e| e.expire_at);
    tx.put(dst, Value::String(value.clone()), expire_at);
    tx.log(dst, &[b"SET".as_slice(), dst, &value]);
    Ok(Reply::Int(len as i64))
}
