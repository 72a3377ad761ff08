//! Taking elements off lists, and moving them.

use bytes::Bytes;

use super::args::{self, End, is};
use crate::engine::{Failure, Tx};
use crate::reply::Reply;

type Done = Result<Reply, Failure>;

fn take(tx: &mut Tx<'_>, key: &[u8], end: End, n: usize) -> Result<Option<Vec<Bytes>>, Failure> {
    let Some(list) = tx.list_mut(key)? else { return Ok(None) };
    let n = n.min(list.len());
    let items = match end {
        End::Left => list.drain(..n).collect(),
        End::Right => list.drain(list.len() - n..).rev().collect(),
    };
    tx.drop_if_empty(key);
    Ok(Some(items))
}

fn pop(tx: &mut Tx<'_>, a: &[Bytes], end: End) -> Done {
    let count = a.get(2).map(|n| args::count(n)).transpose()?;
    if a.len() > 3 {
        return Err(Failure::syntax());
    }
    let Some(items) = take(tx, &a[1], end, count.unwrap_or(1))? else {
        tx.no_record();
        return Ok(if count.is_some() { Reply::NilArray } else { Reply::Nil });
    };
    Ok(match count {
        Some(_) => Reply::list(items),
        None => Reply::maybe(items.into_iter().next()),
    })
}

pub(super) fn lpop(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    pop(tx, a, End::Left)
}

pub(super) fn rpop(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    pop(tx, a, End::Right)
}

fn pop_name(end: End) -> &'static [u8] {
    match end {
        End::Left => b"LPOP",
        End::Right => b"RPOP",
    }
}

/// Journals two records: the pop on the source's flow, the push on the destination's.
fn shift(tx: &mut Tx<'_>, src: &Bytes, dst: &Bytes, from: End, to: End) -> Result<Option<Bytes>, Failure> {
    tx.list(dst)?;
    if tx.list(src)?.is_none() {
        return Ok(None);
    }
    tx.span([src, dst]);
    let Some(item) = take(tx, src, from, 1)?.and_then(|v| v.into_iter().next()) else { return Ok(None) };
    tx.log(src, &[pop_name(from), src]);
    let list = tx.list_or_new(dst)?;
    let push: &[u8] = match to {
        End::Left => {
            list.push_front(item.clone());
            b"LPUSH"
        }
        End::Right => {
            list.push_back(item.clone());
            b"RPUSH"
        }
    };
    tx.log(dst, &[push, dst, &item]);
    Ok(Some(item))
}

pub(super) fn lmove(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::maybe(shift(tx, &a[1], &a[2], End::parse(&a[3])?, End::parse(&a[4])?)?))
}

pub(super) fn rpoplpush(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::maybe(shift(tx, &a[1], &a[2], End::Right, End::Left)?))
}

pub(super) fn blmove(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    shift(tx, &a[1], &a[2], End::parse(&a[3])?, End::parse(&a[4])?)?.map(Reply::Bulk).ok_or(Failure::Blocked)
}

pub(super) fn brpoplpush(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    shift(tx, &a[1], &a[2], End::Right, End::Left)?.map(Reply::Bulk).ok_or(Failure::Blocked)
}

/// Journaled as the plain pop.
fn blocking_pop(tx: &mut Tx<'_>, a: &[Bytes], end: End) -> Done {
    for key in &a[1..a.len() - 1] {
        if let Some(item) = take(tx, key, end, 1)?.and_then(|v| v.into_iter().next()) {
            tx.log(key, &[pop_name(end), key]);
            return Ok(Reply::list([key.clone(), item]));
        }
    }
    Err(Failure::Blocked)
}

pub(super) fn blpop(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    blocking_pop(tx, a, End::Left)
}

pub(super) fn brpop(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    blocking_pop(tx, a, End::Right)
}

/// The keys, the end, and the count of `numkeys key ... LEFT|RIGHT|MIN|MAX [COUNT n]`.
pub(super) fn mpop_args(a: &[Bytes]) -> Result<(&[Bytes], End, usize), Failure> {
    let n = args::count(a.first().ok_or_else(Failure::syntax)?)?;
    let keys = a.get(1..=n).filter(|k| !k.is_empty()).ok_or_else(Failure::syntax)?;
    let end = End::parse(a.get(n + 1).ok_or_else(Failure::syntax)?)?;
    let count = match &a[n + 2..] {
        [] => 1,
        [w, c] if is(w, "COUNT") => args::count(c)?,
        _ => return Err(Failure::syntax()),
    };
    Ok((keys, end, count))
}

/// Journaled as one pop without the count, whatever the count was: a bug of every release up to v1.40.1
/// (`list_family.cc OpPop`, seen in the `commands` capture).
fn take_many(tx: &mut Tx<'_>, a: &[Bytes]) -> Result<Option<Reply>, Failure> {
    let (keys, end, count) = mpop_args(a)?;
    tx.transact();
    for key in keys {
        if let Some(items) = take(tx, key, end, count)? {
            tx.log(key, &[pop_name(end), key]);
            return Ok(Some(Reply::Array(vec![Reply::Bulk(key.clone()), Reply::list(items)])));
        }
    }
    Ok(None)
}

pub(super) fn lmpop(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(take_many(tx, &a[1..])?.unwrap_or(Reply::NilArray))
}

pub(super) fn blmpop(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    take_many(tx, &a[2..])?.ok_or(Failure::Blocked)
}
