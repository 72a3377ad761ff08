//! When single members of sets and fields of hashes go.
//!
//! As v1.40.1 does (`set_family.cc`, `hset_family.cc`, `generic_family.cc OpFieldExpire`): nothing expires before it is
//! looked at, and looking at it is not journaled, unless the key vanishes with it (`DEL`). `FIELDEXPIRE` and `HEXPIRE` of
//! what is gone journal its removal before themselves, since a replica may still have it.

use bytes::Bytes;

use super::args::{self, is};
use crate::engine::value::Value;
use crate::engine::{Failure, Tx};
use crate::reply::Reply;

type Done = Result<Reply, Failure>;

fn seconds(arg: &[u8]) -> Result<u64, Failure> {
    let ttl = args::int(arg)?;
    u64::try_from(ttl).ok().filter(|ttl| *ttl > 0).ok_or_else(|| Failure::err("invalid expire time"))
}

/// Options in front of a number of seconds, and the place behind it.
fn options(a: &[Bytes]) -> Result<(bool, bool, u64, usize), Failure> {
    let (mut only_new, mut keep, mut at) = (false, false, 2);
    loop {
        match a.get(at) {
            Some(w) if is(w, "NX") => only_new = true,
            Some(w) if is(w, "KEEPTTL") => keep = true,
            Some(n) => return Ok((only_new, keep, seconds(n)?, at + 1)),
            None => return Err(Failure::syntax()),
        }
        at += 1;
    }
}

/// `SADDEX key [KEEPTTL] seconds member ...`, journaled as it came.
pub(super) fn saddex(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let (_, keep, ttl, first) = options(a)?;
    let at_s = tx.now / 1000 + ttl;
    let mut added = 0;
    for member in &a[first..] {
        let new = tx.set_or_new(&a[1])?.insert(member.clone());
        added += i64::from(new);
        if new || !keep {
            tx.set_member_expiry(&a[1], member, Some(at_s));
        }
    }
    Ok(Reply::Int(added))
}

/// `HSETEX key [NX] [KEEPTTL] seconds field value ...`, journaled as it came.
pub(super) fn hsetex(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let (only_new, keep, ttl, first) = options(a)?;
    if a.len() == first || (a.len() - first) % 2 == 1 {
        return Err(Failure::err("wrong number of arguments for 'hsetex' command"));
    }
    let at_s = tx.now / 1000 + ttl;
    let mut added = 0;
    for pair in a[first..].chunks_exact(2) {
        let hash = tx.hash_or_new(&a[1])?;
        let new = !hash.contains_key(&pair[0]);
        if !new && only_new {
            continue;
        }
        hash.insert(pair[0].clone(), pair[1].clone());
        added += i64::from(new);
        if new || !keep {
            tx.set_member_expiry(&a[1], &pair[0], Some(at_s));
        }
    }
    Ok(Reply::Int(added))
}

/// Gives members a TTL: 1, or -2 for what is not there.
fn expire(tx: &mut Tx<'_>, key: &Bytes, ttl: u64, members: &[Bytes]) -> Done {
    let hash = match tx.peek(key).map(|e| &e.value) {
        None => return Ok(Reply::Array(members.iter().map(|_| Reply::Int(-2)).collect())),
        Some(Value::Set(_)) => false,
        Some(Value::Hash(_)) => true,
        Some(_) => return Err(Failure::wrong_type()),
    };
    let had_expiry = tx.peek(key).is_some_and(|e| !e.members.is_empty());
    let at_s = tx.now / 1000 + ttl;
    let removal: &[u8] = if hash { b"HDEL" } else { b"SREM" };
    let mut missing = vec![removal, key];
    let mut replies = Vec::new();
    for member in members {
        let there = match hash {
            true => tx.hash(key)?.is_some_and(|hash| hash.contains_key(member)),
            false => tx.set(key)?.is_some_and(|set| set.contains(member)),
        };
        replies.push(Reply::Int(if there { 1 } else { -2 }));
        match there {
            true => tx.set_member_expiry(key, member, Some(at_s)),
            false => missing.push(member),
        }
    }
    if missing.len() > 2 && had_expiry && tx.profile().removes_missing && tx.exists(key) {
        tx.log(key, &missing);
    }
    Ok(Reply::Array(replies))
}

/// `FIELDEXPIRE key seconds member ...`, of sets and hashes.
pub(super) fn fieldexpire(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let ttl = seconds(&a[2])?;
    expire(tx, &a[1], ttl, &a[3..])
}

/// `HEXPIRE key seconds FIELDS n field ...`, without the conditions.
pub(super) fn hexpire(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let ttl = seconds(&a[2])?;
    if !is(&a[3], "FIELDS") || args::count(&a[4])? != a.len() - 5 {
        return Err(Failure::syntax());
    }
    expire(tx, &a[1], ttl, &a[5..])
}

/// `FIELDTTL key member`: seconds that are left; -1 without expiry, -2 without the key, -3 without the member.
pub(super) fn fieldttl(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let there = match tx.peek(&a[1]).map(|e| &e.value) {
        None => return Ok(Reply::Int(-2)),
        Some(Value::Set(_)) => tx.set(&a[1])?.is_some_and(|set| set.contains(&a[2])),
        Some(Value::Hash(_)) => tx.hash(&a[1])?.is_some_and(|hash| hash.contains_key(&a[2])),
        Some(_) => return Err(Failure::wrong_type()),
    };
    let at_s = tx.peek(&a[1]).and_then(|e| e.members.get(&a[2])).copied();
    Ok(Reply::Int(match at_s {
        _ if !there => -3,
        None => -1,
        Some(at_s) => at_s.saturating_sub(tx.now / 1000) as i64,
    }))
}
