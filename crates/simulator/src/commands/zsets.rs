//! Sorted sets: members and scores. Ranges are in `zranges`, combinations in `zstores`.

use bytes::Bytes;

use super::args::{self, End, is};
use super::pops::mpop_args;
use crate::engine::value::Zset;
use crate::engine::{Failure, Tx};
use crate::reply::Reply;

type Done = Result<Reply, Failure>;

#[derive(Default, Clone, Copy)]
struct Flags {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
    ch: bool,
    incr: bool,
}

/// `ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member ...`, journaled as it came.
pub(super) fn zadd(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let mut f = Flags::default();
    let mut at = 2;
    while let Some(word) = a.get(at) {
        match word {
            w if is(w, "NX") => f.nx = true,
            w if is(w, "XX") => f.xx = true,
            w if is(w, "GT") => f.gt = true,
            w if is(w, "LT") => f.lt = true,
            w if is(w, "CH") => f.ch = true,
            w if is(w, "INCR") => f.incr = true,
            _ => break,
        }
        at += 1;
    }
    let pairs = &a[at..];
    if pairs.is_empty() || pairs.len() % 2 == 1 || (f.incr && pairs.len() > 2) {
        return Err(Failure::syntax());
    }
    if (f.nx && (f.xx || f.gt || f.lt)) || (f.gt && f.lt) {
        return Err(Failure::err("GT, LT, and/or NX options at the same time are not compatible"));
    }
    let scores = pairs.chunks_exact(2).map(|p| args::float(&p[0])).collect::<Result<Vec<f64>, _>>()?;
    let zset = tx.zset_or_new(&a[1])?;
    let (mut added, mut changed, mut last) = (0, 0, None);
    for (pair, score) in pairs.chunks_exact(2).zip(scores) {
        let member = &pair[1];
        let old = zset.score(member);
        let new = if f.incr { old.unwrap_or(0.0) + score } else { score };
        let skip = match old {
            Some(old) => f.nx || (f.gt && new <= old) || (f.lt && new >= old),
            None => f.xx,
        };
        if skip {
            last = None;
            continue;
        }
        if new.is_nan() {
            return Err(Failure::err("resulting score is not a number (NaN)"));
        }
        zset.insert(member.clone(), new);
        added += i64::from(old.is_none());
        changed += i64::from(old != Some(new));
        last = Some(new);
    }
    tx.drop_if_empty(&a[1]);
    Ok(match (f.incr, f.ch) {
        (true, _) => last.map_or(Reply::Nil, Reply::Double),
        (_, true) => Reply::Int(changed),
        _ => Reply::Int(added),
    })
}

pub(super) fn zincrby(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let by = args::float(&a[2])?;
    let zset = tx.zset_or_new(&a[1])?;
    let new = zset.score(&a[3]).unwrap_or(0.0) + by;
    if new.is_nan() {
        tx.drop_if_empty(&a[1]);
        return Err(Failure::err("resulting score is not a number (NaN)"));
    }
    zset.insert(a[3].clone(), new);
    Ok(Reply::Double(new))
}

pub(super) fn zrem(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let Some(zset) = tx.zset_mut(&a[1])? else {
        tx.no_record();
        return Ok(Reply::Int(0));
    };
    let n = a[2..].iter().filter(|m| zset.remove(m).is_some()).count();
    tx.drop_if_empty(&a[1]);
    Ok(Reply::Int(n as i64))
}

pub(super) fn zscore(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(tx.zset(&a[1])?.and_then(|z| z.score(&a[2])).map_or(Reply::Nil, Reply::Double))
}

pub(super) fn zmscore(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let zset = tx.zset(&a[1])?;
    let score = |m: &Bytes| zset.and_then(|z| z.score(m)).map_or(Reply::Nil, Reply::Double);
    Ok(Reply::Array(a[2..].iter().map(score).collect()))
}

pub(super) fn zcard(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::Int(tx.zset(&a[1])?.map_or(0, Zset::len) as i64))
}

pub(super) fn zrank(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(tx.zset(&a[1])?.and_then(|z| z.rank(&a[2])).map_or(Reply::Nil, |r| Reply::Int(r as i64)))
}

pub(super) fn zrevrank(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let rank = tx.zset(&a[1])?.and_then(|z| Some(z.len() - 1 - z.rank(&a[2])?));
    Ok(rank.map_or(Reply::Nil, |r| Reply::Int(r as i64)))
}

/// Everything at once.
pub(super) fn zscan(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let score = |s| Reply::bulk(crate::reply::score(s));
    let items = tx.zset(&a[1])?.into_iter().flat_map(|z| z.iter());
    let items = items.flat_map(|(m, s)| [Reply::Bulk(m.clone()), score(s)]).collect();
    Ok(Reply::Array(vec![Reply::bulk("0"), Reply::Array(items)]))
}

fn take(tx: &mut Tx<'_>, key: &[u8], end: End, n: usize) -> Result<Option<Vec<(Bytes, f64)>>, Failure> {
    let Some(zset) = tx.zset_mut(key)? else { return Ok(None) };
    let items: Vec<(Bytes, f64)> = match end {
        End::Left => zset.iter().take(n).map(|(m, s)| (m.clone(), s)).collect(),
        End::Right => zset.iter().rev().take(n).map(|(m, s)| (m.clone(), s)).collect(),
    };
    items.iter().for_each(|(m, _)| {
        zset.remove(m);
    });
    tx.drop_if_empty(key);
    Ok(Some(items))
}

fn pop(tx: &mut Tx<'_>, a: &[Bytes], end: End) -> Done {
    let n = a.get(2).map_or(Ok(1), |n| args::count(n))?;
    match take(tx, &a[1], end, n)? {
        Some(items) => Ok(Reply::Scored(items)),
        None => {
            tx.no_record();
            Ok(Reply::Array(Vec::new()))
        }
    }
}

pub(super) fn zpopmin(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    pop(tx, a, End::Left)
}

pub(super) fn zpopmax(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    pop(tx, a, End::Right)
}

fn pop_name(end: End) -> &'static [u8] {
    match end {
        End::Left => b"ZPOPMIN",
        End::Right => b"ZPOPMAX",
    }
}

/// Journaled as the plain pop, without a count.
fn blocking_pop(tx: &mut Tx<'_>, a: &[Bytes], end: End) -> Done {
    for key in &a[1..a.len() - 1] {
        if let Some((member, score)) = take(tx, key, end, 1)?.and_then(|v| v.into_iter().next()) {
            tx.log(key, &[pop_name(end), key]);
            return Ok(Reply::Array(vec![
                Reply::Bulk(key.clone()),
                Reply::Bulk(member),
                Reply::Double(score),
            ]));
        }
    }
    Err(Failure::Blocked)
}

pub(super) fn bzpopmin(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    blocking_pop(tx, a, End::Left)
}

pub(super) fn bzpopmax(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    blocking_pop(tx, a, End::Right)
}

/// Journaled as `ZPOPMIN key n` or `ZPOPMAX key n`.
fn take_many(tx: &mut Tx<'_>, a: &[Bytes]) -> Result<Option<Reply>, Failure> {
    let (keys, end, count) = mpop_args(a)?;
    tx.transact();
    for key in keys {
        if let Some(items) = take(tx, key, end, count)? {
            tx.log(key, &[pop_name(end), key, &args::text(items.len())]);
            let pair = |(m, s)| Reply::Array(vec![Reply::Bulk(m), Reply::Double(s)]);
            let items = items.into_iter().map(pair).collect();
            return Ok(Some(Reply::Array(vec![Reply::Bulk(key.clone()), Reply::Array(items)])));
        }
    }
    Ok(None)
}

pub(super) fn zmpop(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(take_many(tx, &a[1..])?.unwrap_or(Reply::NilArray))
}

pub(super) fn bzmpop(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    take_many(tx, &a[2..])?.ok_or(Failure::Blocked)
}
