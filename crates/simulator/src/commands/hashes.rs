//! Hashes.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::args;
use crate::engine::{Failure, Tx};
use crate::reply::{self, Reply};

type Done = Result<Reply, Failure>;

fn set_fields(tx: &mut Tx<'_>, a: &[Bytes]) -> Result<i64, Failure> {
    if a.len() % 2 == 1 {
        return Err(Failure::err("wrong number of arguments for 'hset' command"));
    }
    let hash = tx.hash_or_new(&a[1])?;
    let mut added = 0;
    for pair in a[2..].chunks_exact(2) {
        added += i64::from(hash.insert(pair[0].clone(), pair[1].clone()).is_none());
    }
    // A field that is set anew does not expire any more.
    a[2..].chunks_exact(2).for_each(|pair| tx.set_member_expiry(&a[1], &pair[0], None));
    Ok(added)
}

pub(super) fn hset(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::Int(set_fields(tx, a)?))
}

pub(super) fn hmset(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    set_fields(tx, a)?;
    Ok(Reply::OK)
}

/// Journaled even when the field was there already (seen in the `commands` capture).
pub(super) fn hsetnx(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let hash = tx.hash_or_new(&a[1])?;
    if hash.contains_key(&a[2]) {
        return Ok(Reply::Int(0));
    }
    hash.insert(a[2].clone(), a[3].clone());
    Ok(Reply::Int(1))
}

pub(super) fn hget(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::maybe(tx.hash(&a[1])?.and_then(|h| h.get(&a[2]).cloned())))
}

pub(super) fn hmget(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let hash = tx.hash(&a[1])?;
    Ok(Reply::Array(a[2..].iter().map(|f| Reply::maybe(hash.and_then(|h| h.get(f).cloned()))).collect()))
}

pub(super) fn hdel(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let Some(hash) = tx.hash_mut(&a[1])? else {
        tx.no_record();
        return Ok(Reply::Int(0));
    };
    let n = a[2..].iter().filter(|f| hash.remove(*f).is_some()).count();
    tx.drop_if_empty(&a[1]);
    Ok(Reply::Int(n as i64))
}

pub(super) fn hlen(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::Int(tx.hash(&a[1])?.map_or(0, BTreeMap::len) as i64))
}

pub(super) fn hexists(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::Int(i64::from(tx.hash(&a[1])?.is_some_and(|h| h.contains_key(&a[2])))))
}

pub(super) fn hstrlen(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::Int(tx.hash(&a[1])?.and_then(|h| h.get(&a[2])).map_or(0, Bytes::len) as i64))
}

pub(super) fn hkeys(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::list(tx.hash(&a[1])?.into_iter().flatten().map(|(f, _)| f.clone())))
}

pub(super) fn hvals(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::list(tx.hash(&a[1])?.into_iter().flatten().map(|(_, v)| v.clone())))
}

pub(super) fn hgetall(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let pair = |(f, v): (&Bytes, &Bytes)| (Reply::Bulk(f.clone()), Reply::Bulk(v.clone()));
    Ok(Reply::Map(tx.hash(&a[1])?.into_iter().flatten().map(pair).collect()))
}

/// Everything at once.
pub(super) fn hscan(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let items = tx.hash(&a[1])?.into_iter().flatten().flat_map(|(f, v)| [f.clone(), v.clone()]);
    Ok(Reply::Array(vec![Reply::bulk("0"), Reply::list(items)]))
}

pub(super) fn hincrby(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let by = args::int(&a[3])?;
    let old = match tx.hash(&a[1])?.and_then(|h| h.get(&a[2])) {
        Some(v) => args::int(v).map_err(|_| Failure::err("hash value is not an integer"))?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or_else(|| Failure::err("increment or decrement would overflow"))?;
    tx.hash_or_new(&a[1])?.insert(a[2].clone(), args::text(new));
    Ok(Reply::Int(new))
}

pub(super) fn hincrbyfloat(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let by = args::float(&a[3])?;
    let old = match tx.hash(&a[1])?.and_then(|h| h.get(&a[2])) {
        Some(v) => args::float(v).map_err(|_| Failure::err("hash value is not a float"))?,
        None => 0.0,
    };
    if !(old + by).is_finite() {
        return Err(Failure::err("increment would produce NaN or Infinity"));
    }
    let new = Bytes::from(reply::score(old + by));
    tx.hash_or_new(&a[1])?.insert(a[2].clone(), new.clone());
    Ok(Reply::Bulk(new))
}
