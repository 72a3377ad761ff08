//! Ranges of sorted sets, by rank, score and name.

use bytes::Bytes;

use super::args::{self, is};
use crate::engine::value::Zset;
use crate::engine::{Failure, Tx};
use crate::reply::Reply;

type Done = Result<Reply, Failure>;
type Members = Vec<(Bytes, f64)>;

/// What a range goes by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Name,
}

/// A score bound: the score, and whether it is excluded.
fn score_bound(s: &[u8]) -> Result<(f64, bool), Failure> {
    let (s, open) = match s.strip_prefix(b"(") {
        Some(rest) => (rest, true),
        None => (s, false),
    };
    args::float(s).map(|d| (d, open)).map_err(|_| Failure::err("min or max is not a float"))
}

/// A name bound: `None` for an end of the world, whose side is in the second part.
enum NameBound {
    Lowest,
    Highest,
    At(Bytes, bool),
}

fn name_bound(s: &Bytes) -> Result<NameBound, Failure> {
    match s.split_first() {
        Some((b'-', [])) => Ok(NameBound::Lowest),
        Some((b'+', [])) => Ok(NameBound::Highest),
        Some((b'[', _)) => Ok(NameBound::At(s.slice(1..), false)),
        Some((b'(', _)) => Ok(NameBound::At(s.slice(1..), true)),
        _ => Err(Failure::err("min or max not valid string range item")),
    }
}

fn above(bound: &NameBound, m: &[u8]) -> bool {
    match bound {
        NameBound::Lowest => true,
        NameBound::Highest => false,
        NameBound::At(b, open) => m > &b[..] || (!open && m == &b[..]),
    }
}

fn below(bound: &NameBound, m: &[u8]) -> bool {
    match bound {
        NameBound::Lowest => false,
        NameBound::Highest => true,
        NameBound::At(b, open) => m < &b[..] || (!open && m == &b[..]),
    }
}

/// The members from `lo` to `hi`, ascending; with `rev` descending (ranks then count from the highest).
pub(super) fn select(
    zset: Option<&Zset>,
    by: By,
    lo: &Bytes,
    hi: &Bytes,
    rev: bool,
) -> Result<Members, Failure> {
    let all = |z: &Zset| -> Members { z.iter().map(|(m, s)| (m.clone(), s)).collect() };
    let mut items = match by {
        By::Rank => {
            let (start, stop) = (args::int(lo)?, args::int(hi)?);
            let mut items = zset.map(all).unwrap_or_default();
            if rev {
                items.reverse();
            }
            let range = args::range(start, stop, items.len());
            return Ok(items.drain(range).collect());
        }
        By::Score => {
            let ((lo, lo_open), (hi, hi_open)) = (score_bound(lo)?, score_bound(hi)?);
            let mut items = zset.map(all).unwrap_or_default();
            items.retain(|&(_, s)| (s > lo || (!lo_open && s == lo)) && (s < hi || (!hi_open && s == hi)));
            items
        }
        By::Name => {
            let (lo, hi) = (name_bound(lo)?, name_bound(hi)?);
            let mut items = zset.map(all).unwrap_or_default();
            items.retain(|(m, _)| above(&lo, m) && below(&hi, m));
            items
        }
    };
    if rev {
        items.reverse();
    }
    Ok(items)
}

/// `start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]`.
pub(super) fn parse_and_select(tx: &mut Tx<'_>, key: &[u8], a: &[Bytes]) -> Result<(Members, bool), Failure> {
    let (mut by, mut rev, mut limit, mut scores) = (By::Rank, false, None, false);
    let mut at = 2;
    while let Some(word) = a.get(at) {
        match word {
            w if is(w, "BYSCORE") => by = By::Score,
            w if is(w, "BYLEX") => by = By::Name,
            w if is(w, "REV") => rev = true,
            w if is(w, "WITHSCORES") => scores = true,
            w if is(w, "LIMIT") => {
                limit = Some(limit_args(a.get(at + 1..at + 3))?);
                at += 2;
            }
            _ => return Err(Failure::syntax()),
        }
        at += 1;
    }
    let (lo, hi) = if rev && by != By::Rank { (&a[1], &a[0]) } else { (&a[0], &a[1]) };
    let items = select(tx.zset(key)?, by, lo, hi, rev)?;
    Ok((limited(items, limit), scores))
}

fn limit_args(a: Option<&[Bytes]>) -> Result<(usize, i64), Failure> {
    match a {
        Some([offset, count]) => Ok((args::count(offset)?, args::int(count)?)),
        _ => Err(Failure::syntax()),
    }
}

fn limited(items: Members, limit: Option<(usize, i64)>) -> Members {
    match limit {
        None => items,
        Some((offset, n)) => {
            items.into_iter().skip(offset).take(usize::try_from(n).unwrap_or(usize::MAX)).collect()
        }
    }
}

fn answer((items, scores): (Members, bool)) -> Reply {
    if scores { Reply::Scored(items) } else { Reply::list(items.into_iter().map(|i| i.0)) }
}

pub(super) fn zrange(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    parse_and_select(tx, &a[1], &a[2..]).map(answer)
}

fn old_form(tx: &mut Tx<'_>, a: &[Bytes], by: By, rev: bool) -> Done {
    let mut rest = vec![a[2].clone(), a[3].clone()];
    match by {
        By::Rank => {}
        By::Score => rest.push(Bytes::from_static(b"BYSCORE")),
        By::Name => rest.push(Bytes::from_static(b"BYLEX")),
    }
    if rev {
        rest.push(Bytes::from_static(b"REV"));
    }
    rest.extend_from_slice(&a[4..]);
    parse_and_select(tx, &a[1], &rest).map(answer)
}

pub(super) fn zrevrange(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    old_form(tx, a, By::Rank, true)
}

pub(super) fn zrangebyscore(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    old_form(tx, a, By::Score, false)
}

pub(super) fn zrevrangebyscore(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    old_form(tx, a, By::Score, true)
}

pub(super) fn zrangebylex(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    old_form(tx, a, By::Name, false)
}

pub(super) fn zrevrangebylex(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    old_form(tx, a, By::Name, true)
}

pub(super) fn zcount(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::Int(select(tx.zset(&a[1])?, By::Score, &a[2], &a[3], false)?.len() as i64))
}

pub(super) fn zlexcount(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::Int(select(tx.zset(&a[1])?, By::Name, &a[2], &a[3], false)?.len() as i64))
}

fn remove(tx: &mut Tx<'_>, a: &[Bytes], by: By) -> Done {
    let gone = select(tx.zset(&a[1])?, by, &a[2], &a[3], false)?;
    let Some(zset) = tx.zset_mut(&a[1])? else {
        tx.no_record();
        return Ok(Reply::Int(0));
    };
    gone.iter().for_each(|(m, _)| {
        zset.remove(m);
    });
    tx.drop_if_empty(&a[1]);
    Ok(Reply::Int(gone.len() as i64))
}

pub(super) fn zremrangebyrank(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    remove(tx, a, By::Rank)
}

pub(super) fn zremrangebyscore(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    remove(tx, a, By::Score)
}

pub(super) fn zremrangebylex(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    remove(tx, a, By::Name)
}
