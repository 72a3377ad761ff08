//! Sorted sets made of others.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::args::{self, is};
use super::zranges;
use crate::ZStore;
use crate::engine::value::{Value, Zset};
use crate::engine::{Failure, Tx};
use crate::reply::{Reply, six_digits};

type Done = Result<Reply, Failure>;

/// Stores the result, journaled as `DEL dst` and `ZADD dst score member...`. The journaled scores have six significant
/// digits, the stored ones all of theirs (v1.40.1 `zset_family.cc OpAdd`). An empty result over a missing key leaves no record.
fn store(tx: &mut Tx<'_>, dst: &Bytes, items: Vec<(Bytes, f64)>) -> Done {
    let existed = tx.del(dst).is_some();
    let n = items.len();
    let mut record = vec![Bytes::from_static(b"ZADD"), dst.clone()];
    let mut zset = Zset::default();
    for (m, score) in items {
        record.extend([Bytes::from(six_digits(score)), m.clone()]);
        zset.insert(m, score);
    }
    if n > 0 {
        tx.put(dst, Value::Zset(zset), None);
    }
    if tx.profile().zstore == ZStore::Command {
        return Ok(Reply::Int(n as i64));
    }
    if n > 0 || existed {
        tx.log(dst, &[b"DEL".as_slice(), dst]);
    }
    if n > 0 {
        tx.log(dst, &record);
    }
    Ok(Reply::Int(n as i64))
}

/// As the client sent it; over several shards each one's keys only.
fn log_command(tx: &mut Tx<'_>, a: &[Bytes], keys: &[&Bytes]) {
    let name = Bytes::from(a[0].to_ascii_uppercase());
    let shards: BTreeSet<usize> = keys.iter().map(|key| tx.place(key).shard).collect();
    for &shard in &shards {
        let mut record = vec![name.clone()];
        if shards.len() == 1 {
            record.extend_from_slice(&a[1..]);
        } else {
            record.extend(keys.iter().filter(|key| tx.place(key).shard == shard).map(|key| (*key).clone()));
        }
        tx.log_on(shard, &record);
    }
}

#[derive(Clone, Copy)]
enum Op {
    Union,
    Inter,
    Diff,
}

/// A sorted set, or a set whose members score 1.
fn source(tx: &mut Tx<'_>, key: &[u8]) -> Result<Zset, Failure> {
    match tx.peek(key).map(|e| &e.value) {
        None => Ok(Zset::default()),
        Some(Value::Zset(z)) => Ok(z.clone()),
        Some(Value::Set(s)) => {
            let mut z = Zset::default();
            s.iter().for_each(|m| {
                z.insert(m.clone(), 1.0);
            });
            Ok(z)
        }
        Some(_) => Err(Failure::wrong_type()),
    }
}

fn combine(tx: &mut Tx<'_>, a: &[Bytes], op: Op) -> Done {
    let dst = &a[1];
    let n = args::count(&a[2])?;
    let keys = a.get(3..3 + n).filter(|k| !k.is_empty());
    let keys = keys.ok_or_else(|| Failure::err("at least 1 input key is needed"))?;
    let (mut weights, mut aggregate) = (vec![1.0; n], 0);
    let mut at = 3 + n;
    while let Some(word) = a.get(at) {
        match word {
            w if is(w, "WEIGHTS") => {
                let given = a.get(at + 1..=at + n).ok_or_else(Failure::syntax)?;
                weights = given.iter().map(|w| args::float(w)).collect::<Result<_, _>>()?;
                at += n;
            }
            w if is(w, "AGGREGATE") => {
                aggregate = match a.get(at + 1) {
                    Some(w) if is(w, "SUM") => 0,
                    Some(w) if is(w, "MIN") => 1,
                    Some(w) if is(w, "MAX") => 2,
                    _ => return Err(Failure::syntax()),
                };
                at += 1;
            }
            _ => return Err(Failure::syntax()),
        }
        at += 1;
    }
    tx.transact();
    let merge = |x: f64, y: f64| match aggregate {
        0 => Some(x + y).filter(|s| !s.is_nan()).unwrap_or(0.0),
        1 => x.min(y),
        _ => x.max(y),
    };
    let mut result: Option<Zset> = None;
    for (key, weight) in keys.iter().zip(weights) {
        let set = source(tx, key)?;
        let mut next = Zset::default();
        let weighted = |s: f64| Some(s * weight).filter(|s| !s.is_nan()).unwrap_or(0.0);
        match (&mut result, op) {
            (None, _) => {
                set.iter().for_each(|(m, s)| {
                    next.insert(m.clone(), weighted(s));
                });
            }
            (Some(acc), Op::Union) => {
                for (m, s) in set.iter() {
                    let s = weighted(s);
                    let s = acc.score(m).map_or(s, |old| merge(old, s));
                    acc.insert(m.clone(), s);
                }
                continue;
            }
            (Some(acc), Op::Inter) => {
                for (m, old) in acc.iter() {
                    if let Some(s) = set.score(m) {
                        next.insert(m.clone(), merge(old, weighted(s)));
                    }
                }
            }
            (Some(acc), Op::Diff) => {
                for (m, old) in acc.iter().filter(|(m, _)| set.score(m).is_none()) {
                    next.insert(m.clone(), old);
                }
            }
        }
        result = Some(next);
    }
    let items = result.map(|z| z.iter().map(|(m, s)| (m.clone(), s)).collect()).unwrap_or_default();
    let done = store(tx, dst, items)?;
    if tx.profile().zstore == ZStore::Command {
        let keys: Vec<&Bytes> = std::iter::once(dst).chain(keys).collect();
        log_command(tx, a, &keys);
    }
    Ok(done)
}

pub(super) fn zunionstore(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    combine(tx, a, Op::Union)
}

pub(super) fn zinterstore(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    combine(tx, a, Op::Inter)
}

pub(super) fn zdiffstore(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    combine(tx, a, Op::Diff)
}

pub(super) fn zrangestore(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    tx.transact();
    let (items, _) = zranges::parse_and_select(tx, &a[2], &a[3..])?;
    let done = store(tx, &a[1], items)?;
    // v1.34.0 does both (seen in its capture).
    if tx.profile().zstore != ZStore::Members {
        log_command(tx, a, &[&a[1], &a[2]]);
    }
    Ok(done)
}
