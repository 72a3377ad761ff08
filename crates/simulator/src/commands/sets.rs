//! Sets.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::args;
use crate::engine::value::Value;
use crate::engine::{Failure, Tx};
use crate::reply::Reply;

type Done = Result<Reply, Failure>;

pub(super) fn sadd(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let set = tx.set_or_new(&a[1])?;
    Ok(Reply::Int(a[2..].iter().filter(|m| set.insert((*m).clone())).count() as i64))
}

pub(super) fn srem(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let Some(set) = tx.set_mut(&a[1])? else {
        tx.no_record();
        return Ok(Reply::Int(0));
    };
    let n = a[2..].iter().filter(|m| set.remove(*m)).count();
    tx.drop_if_empty(&a[1]);
    Ok(Reply::Int(n as i64))
}

pub(super) fn scard(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::Int(tx.set(&a[1])?.map_or(0, BTreeSet::len) as i64))
}

pub(super) fn sismember(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::Int(i64::from(tx.set(&a[1])?.is_some_and(|s| s.contains(&a[2])))))
}

pub(super) fn smismember(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let set = tx.set(&a[1])?;
    let has = |m: &Bytes| Reply::Int(i64::from(set.is_some_and(|s| s.contains(m))));
    Ok(Reply::Array(a[2..].iter().map(has).collect()))
}

fn as_set(members: impl IntoIterator<Item = Bytes>) -> Reply {
    Reply::Set(members.into_iter().map(Reply::Bulk).collect())
}

pub(super) fn smembers(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(as_set(tx.set(&a[1])?.into_iter().flatten().cloned()))
}

/// Everything at once.
pub(super) fn sscan(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let members = tx.set(&a[1])?.into_iter().flatten().cloned();
    Ok(Reply::Array(vec![Reply::bulk("0"), Reply::list(members)]))
}

/// A member chosen by the script if it is there, else by the seeded generator.
fn choose(tx: &mut Tx<'_>, key: &[u8]) -> Result<Option<Bytes>, Failure> {
    let scripted = tx.engine.chosen.front().cloned();
    let Some(len) = tx.set(key)?.map(BTreeSet::len) else { return Ok(None) };
    if let Some(m) = scripted
        && tx.set(key)?.is_some_and(|s| s.contains(&m))
    {
        tx.engine.chosen.pop_front();
        return Ok(Some(m));
    }
    let i = tx.engine.rng.below(len);
    Ok(tx.set(key)?.and_then(|s| s.iter().nth(i).cloned()))
}

/// Journaled as `SREM key member...`, or `DEL key` when nothing is left.
pub(super) fn spop(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let key = &a[1];
    let count = a.get(2).map(|n| args::count(n)).transpose()?;
    let mut popped = Vec::new();
    while popped.len() < count.unwrap_or(1) {
        let Some(member) = choose(tx, key)? else { break };
        if let Some(set) = tx.set_mut(key)? {
            set.remove(&member);
        }
        popped.push(member);
        if tx.drop_if_empty(key) {
            break;
        }
    }
    if !popped.is_empty() {
        if tx.exists(key) {
            let mut record: Vec<&[u8]> = vec![b"SREM", key];
            record.extend(popped.iter().map(|m| &m[..]));
            tx.log(key, &record);
        } else {
            tx.log(key, &[b"DEL".as_slice(), key]);
        }
    }
    Ok(match count {
        Some(_) => as_set(popped),
        None => Reply::maybe(popped.pop()),
    })
}

pub(super) fn srandmember(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let count = a.get(2).map(|n| args::int(n)).transpose()?;
    let members: Vec<Bytes> = tx.set(&a[1])?.into_iter().flatten().cloned().collect();
    let first = tx.engine.rng.below(members.len());
    let turned = members.iter().cycle().skip(first).cloned();
    Ok(match count {
        None => Reply::maybe(members.get(first).cloned()),
        Some(n) if n >= 0 => Reply::list(turned.take(members.len().min(n as usize))),
        Some(_) if members.is_empty() => Reply::Array(Vec::new()),
        Some(n) => Reply::list(turned.take(n.unsigned_abs() as usize)),
    })
}

/// Journaled as `SREM src member` and `SADD dst member`.
pub(super) fn smove(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let (src, dst, member) = (&a[1], &a[2], &a[3]);
    tx.set(dst)?;
    if !tx.set(src)?.is_some_and(|s| s.contains(member)) {
        return Ok(Reply::Int(0));
    }
    if src == dst {
        return Ok(Reply::Int(1));
    }
    tx.transact();
    if let Some(set) = tx.set_mut(src)? {
        set.remove(member);
    }
    tx.drop_if_empty(src);
    tx.log(src, &[b"SREM".as_slice(), src, member]);
    tx.set_or_new(dst)?.insert(member.clone());
    tx.log(dst, &[b"SADD".as_slice(), dst, member]);
    Ok(Reply::Int(1))
}

#[derive(Clone, Copy)]
enum Op {
    Union,
    Inter,
    Diff,
}

fn combine(tx: &mut Tx<'_>, keys: &[Bytes], op: Op) -> Result<BTreeSet<Bytes>, Failure> {
    let mut sets = Vec::with_capacity(keys.len());
    for key in keys {
        sets.push(tx.set(key)?.cloned().unwrap_or_default());
    }
    Ok(sets
        .into_iter()
        .reduce(|a, b| match op {
            Op::Union => &a | &b,
            Op::Inter => &a & &b,
            Op::Diff => &a - &b,
        })
        .unwrap_or_default())
}

/// Journaled as `DEL dst` and `SADD dst member...`; only the DEL when the result is empty.
fn store(tx: &mut Tx<'_>, a: &[Bytes], op: Op) -> Done {
    tx.transact();
    let dst = &a[1];
    let result = combine(tx, &a[2..], op)?;
    let n = result.len();
    tx.del(dst);
    let mut record = vec![Bytes::from_static(b"SADD"), dst.clone()];
    record.extend(result.iter().cloned());
    if n > 0 {
        tx.put(dst, Value::Set(result), None);
    }
    tx.log(dst, &[b"DEL".as_slice(), dst]);
    if n > 0 {
        tx.log(dst, &record);
    }
    Ok(Reply::Int(n as i64))
}

pub(super) fn sunion(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(as_set(combine(tx, &a[1..], Op::Union)?))
}

pub(super) fn sinter(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(as_set(combine(tx, &a[1..], Op::Inter)?))
}

pub(super) fn sdiff(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(as_set(combine(tx, &a[1..], Op::Diff)?))
}

pub(super) fn sunionstore(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    store(tx, a, Op::Union)
}

pub(super) fn sinterstore(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    store(tx, a, Op::Inter)
}

pub(super) fn sdiffstore(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    store(tx, a, Op::Diff)
}
