//! Lists; what takes elements off them is in `pops`.

use std::collections::VecDeque;

use bytes::Bytes;

use super::args::{self, is};
use crate::engine::{Failure, Tx};
use crate::reply::Reply;

type Done = Result<Reply, Failure>;

fn push_all(list: &mut VecDeque<Bytes>, items: &[Bytes], left: bool) -> i64 {
    for item in items {
        if left {
            list.push_front(item.clone());
        } else {
            list.push_back(item.clone());
        }
    }
    list.len() as i64
}

fn push(tx: &mut Tx<'_>, a: &[Bytes], left: bool) -> Done {
    Ok(Reply::Int(push_all(tx.list_or_new(&a[1])?, &a[2..], left)))
}

/// Journaled even when there is no list (seen in the `commands` capture).
fn push_existing(tx: &mut Tx<'_>, a: &[Bytes], left: bool) -> Done {
    Ok(Reply::Int(tx.list_mut(&a[1])?.map_or(0, |l| push_all(l, &a[2..], left))))
}

pub(super) fn lpush(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    push(tx, a, true)
}

pub(super) fn rpush(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    push(tx, a, false)
}

pub(super) fn lpushx(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    push_existing(tx, a, true)
}

pub(super) fn rpushx(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    push_existing(tx, a, false)
}

pub(super) fn llen(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::Int(tx.list(&a[1])?.map_or(0, VecDeque::len) as i64))
}

pub(super) fn lrange(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let (start, stop) = (args::int(&a[2])?, args::int(&a[3])?);
    let Some(list) = tx.list(&a[1])? else { return Ok(Reply::Array(Vec::new())) };
    Ok(Reply::list(list.range(args::range(start, stop, list.len())).cloned()))
}

fn position(i: i64, len: usize) -> Option<usize> {
    let i = if i < 0 { i + len as i64 } else { i };
    usize::try_from(i).ok().filter(|&i| i < len)
}

pub(super) fn lindex(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let i = args::int(&a[2])?;
    Ok(Reply::maybe(tx.list(&a[1])?.and_then(|l| l.get(position(i, l.len())?).cloned())))
}

pub(super) fn lset(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let i = args::int(&a[2])?;
    let list = tx.list_mut(&a[1])?.ok_or_else(|| Failure::err("no such key"))?;
    let at = position(i, list.len()).ok_or_else(|| Failure::err("index out of range"))?;
    list[at] = a[3].clone();
    Ok(Reply::OK)
}

pub(super) fn linsert(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let after = match &a[2] {
        w if is(w, "BEFORE") => 0,
        w if is(w, "AFTER") => 1,
        _ => return Err(Failure::syntax()),
    };
    let Some(list) = tx.list_mut(&a[1])? else {
        tx.no_record();
        return Ok(Reply::Int(0));
    };
    let Some(at) = list.iter().position(|e| e == &a[3]) else { return Ok(Reply::Int(-1)) };
    list.insert(at + after, a[4].clone());
    Ok(Reply::Int(list.len() as i64))
}

pub(super) fn lrem(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let count = args::int(&a[2])?;
    let Some(list) = tx.list_mut(&a[1])? else {
        tx.no_record();
        return Ok(Reply::Int(0));
    };
    let most = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let mut gone = 0;
    let mut keep = |e: &Bytes| {
        let hit = gone < most && e == &a[3];
        gone += usize::from(hit);
        !hit
    };
    if count < 0 {
        let kept: VecDeque<Bytes> = list.drain(..).rev().filter(|e| keep(e)).collect();
        *list = kept.into_iter().rev().collect();
    } else {
        list.retain(keep);
    }
    tx.drop_if_empty(&a[1]);
    Ok(Reply::Int(gone as i64))
}

pub(super) fn ltrim(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let (start, stop) = (args::int(&a[2])?, args::int(&a[3])?);
    let Some(list) = tx.list_mut(&a[1])? else {
        tx.no_record();
        return Ok(Reply::OK);
    };
    let keep = args::range(start, stop, list.len());
    list.truncate(keep.end);
    list.drain(..keep.start);
    tx.drop_if_empty(&a[1]);
    Ok(Reply::OK)
}

pub(super) fn lpos(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let (mut rank, mut count, mut most) = (1, None, usize::MAX);
    for option in a[3..].chunks(2) {
        match option {
            [w, n] if is(w, "RANK") => rank = args::int(n)?,
            [w, n] if is(w, "COUNT") => count = Some(args::count(n)?),
            [w, n] if is(w, "MAXLEN") => most = args::count(n)?,
            _ => return Err(Failure::syntax()),
        }
    }
    if rank == 0 {
        return Err(Failure::err("RANK can't be zero"));
    }
    if most == 0 {
        most = usize::MAX;
    }
    let list = tx.list(&a[1])?;
    let at = |(i, e): (usize, &Bytes)| (e == &a[2]).then_some(Reply::Int(i as i64));
    let hits: Vec<Reply> = match list {
        None => Vec::new(),
        Some(l) if rank > 0 => {
            l.iter().enumerate().take(most).filter_map(at).skip(rank as usize - 1).collect()
        }
        Some(l) => {
            let skip = rank.unsigned_abs() as usize - 1;
            l.iter().enumerate().rev().take(most).filter_map(at).skip(skip).collect()
        }
    };
    Ok(match count {
        None => hits.into_iter().next().unwrap_or(Reply::Nil),
        Some(0) => Reply::Array(hits),
        Some(n) => Reply::Array(hits.into_iter().take(n).collect()),
    })
}
