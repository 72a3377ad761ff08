//! Strings.

use bytes::{Bytes, BytesMut};

use super::args::{self, is, text};
use crate::Omits;
use crate::engine::value::Value;
use crate::engine::{Failure, Tx};
use crate::reply::{self, Reply};

type Done = Result<Reply, Failure>;

fn string_reply(tx: &mut Tx<'_>, key: &[u8]) -> Done {
    Ok(Reply::maybe(tx.string(key)?.cloned()))
}

/// Stores a string and journals it in the form SET is rewritten to: `SET key value [PXAT ms] [KEEPTTL] [STICK]`.
/// While the running snapshot has not reached the key's bucket there is no record (v1.39 and later).
fn store(tx: &mut Tx<'_>, key: &Bytes, value: &Bytes, expire_at: Option<u64>, keep: bool, stick: bool) {
    let old = tx.peek(key).map(|e| (e.expire_at, e.sticky));
    let expire_at = if keep { old.and_then(|o| o.0) } else { expire_at };
    let sticky = stick || (keep && old.is_some_and(|o| o.1));
    if tx.omits(key, Omits::Set) {
        tx.put_unseen(key, Value::String(value.clone()), expire_at, sticky);
        tx.omit(key);
        return;
    }
    tx.put(key, Value::String(value.clone()), expire_at);
    if sticky {
        tx.stick(key);
    }
    let mut record: Vec<&[u8]> = vec![b"SET", key, value];
    let at = expire_at.map(text);
    if keep {
        record.push(b"KEEPTTL");
    } else if let Some(at) = &at {
        record.extend([b"PXAT".as_slice(), at]);
    }
    if stick {
        record.push(b"STICK");
    }
    tx.log(key, &record);
}

/// `SET key value [NX|XX] [GET] [EX|PX|EXAT|PXAT n | KEEPTTL] [STICK]`.
pub(super) fn set(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let (key, value) = (&a[1], &a[2]);
    let (mut nx, mut xx, mut get, mut keep, mut stick, mut at) = (false, false, false, false, false, None);
    let mut i = 3;
    while i < a.len() {
        match &a[i] {
            w if is(w, "NX") => nx = true,
            w if is(w, "XX") => xx = true,
            w if is(w, "GET") => get = true,
            w if is(w, "KEEPTTL") => keep = true,
            w if is(w, "STICK") => stick = true,
            w if is(w, "_MCFLAGS") => i += 1,
            w => {
                let n = a.get(i + 1).ok_or_else(Failure::syntax)?;
                at = Some(args::expiry_option(w, n, tx.now).ok_or_else(Failure::syntax)??);
                i += 1;
            }
        }
        i += 1;
    }
    if (nx && xx) || (keep && at.is_some()) {
        return Err(Failure::syntax());
    }
    let old = if get { Some(string_reply(tx, key)?) } else { None };
    let refused = || old.clone().unwrap_or(Reply::Nil);
    if (nx || xx) && tx.exists(key) == nx {
        return Ok(refused());
    }
    if at.is_some_and(|at| at <= tx.now as i64) {
        // Deletes the key without a record: a bug of v1.40.1 that replicas suffer from (seen on the wire).
        tx.del(key);
        return Ok(old.unwrap_or(Reply::OK));
    }
    let at = at.map(|at| (at as u64).min(tx.now + args::MAX_EXPIRE_MS));
    store(tx, key, value, at, keep, stick);
    Ok(old.unwrap_or(Reply::OK))
}

pub(super) fn setnx(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    if tx.exists(&a[1]) {
        tx.no_record();
        return Ok(Reply::Int(0));
    }
    tx.put(&a[1], Value::String(a[2].clone()), None);
    Ok(Reply::Int(1))
}

fn set_for(tx: &mut Tx<'_>, a: &[Bytes], unit: i64) -> Done {
    let ms = args::int(&a[2])?.checked_mul(unit).filter(|&n| n > 0);
    let ms = ms.ok_or_else(|| Failure::err("invalid expire time in 'setex' command"))?;
    let at = tx.now + (ms as u64).min(args::MAX_EXPIRE_MS);
    store(tx, &a[1], &a[3], Some(at), false, false);
    Ok(Reply::OK)
}

pub(super) fn setex(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    set_for(tx, a, 1000)
}

pub(super) fn psetex(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    set_for(tx, a, 1)
}

pub(super) fn get(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    string_reply(tx, &a[1])
}

/// Journals `PEXPIREAT`, `PERSIST`, `DEL`, or nothing.
pub(super) fn getex(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let key = &a[1];
    let value = string_reply(tx, key)?;
    if value == Reply::Nil || a.len() == 2 {
        return Ok(value);
    }
    if a.len() == 3 && is(&a[2], "PERSIST") {
        if tx.peek(key).is_some_and(|e| e.expire_at.is_some()) {
            tx.set_expiry(key, None);
            tx.log(key, &[b"PERSIST".as_slice(), key]);
        }
        return Ok(value);
    }
    let [_, _, word, n] = a else { return Err(Failure::syntax()) };
    let at = args::expiry_option(word, n, tx.now).ok_or_else(Failure::syntax)??;
    if at > (tx.now + args::MAX_EXPIRE_MS) as i64 {
        // Silently ignored by v1.40.1 (the `commands` capture has no record for it).
        return Ok(value);
    }
    super::expiry::apply(tx, key, at);
    Ok(value)
}

pub(super) fn getset(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let old = string_reply(tx, &a[1])?;
    tx.put(&a[1], Value::String(a[2].clone()), None);
    Ok(old)
}

pub(super) fn getdel(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let old = string_reply(tx, &a[1])?;
    if tx.del(&a[1]).is_none() {
        tx.no_record();
    }
    Ok(old)
}

/// Journaled as MSET; up to v1.19 under the name of the command, also if it sets nothing (v1.11.0 `string_family.cc`
/// MSetNx: the last hop succeeds either way).
fn put_pairs(tx: &mut Tx<'_>, a: &[Bytes], sets: bool) -> Result<(), Failure> {
    tx.span(a[1..].iter().step_by(2));
    let name: Bytes = match tx.profile().mset_verbatim {
        true => a[0].to_ascii_uppercase().into(),
        false => Bytes::from_static(b"MSET"),
    };
    for shard in 0..tx.engine.shards.len() {
        let mut record = vec![name.clone()];
        for pair in a[1..].chunks_exact(2).filter(|p| tx.place(&p[0]).shard == shard).collect::<Vec<_>>() {
            if sets {
                tx.put(&pair[0], Value::String(pair[1].clone()), None);
            }
            record.extend_from_slice(pair);
        }
        if record.len() > 1 {
            tx.log_on(shard, &record);
        }
    }
    Ok(())
}

fn pairs_given(a: &[Bytes]) -> Result<(), Failure> {
    if a.len() % 2 == 1 { Ok(()) } else { Err(Failure::err("wrong number of arguments for 'mset' command")) }
}

pub(super) fn mset(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    pairs_given(a)?;
    put_pairs(tx, a, true)?;
    Ok(Reply::OK)
}

pub(super) fn msetnx(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    pairs_given(a)?;
    let sets = !a[1..].chunks_exact(2).any(|pair| tx.exists(&pair[0]));
    if sets || tx.profile().mset_verbatim {
        put_pairs(tx, a, sets)?;
    }
    Ok(Reply::Int(i64::from(sets)))
}

pub(super) fn mget(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::Array(a[1..].iter().map(|k| string_reply(tx, k).unwrap_or(Reply::Nil)).collect()))
}

pub(super) fn strlen(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::Int(tx.string(&a[1])?.map_or(0, Bytes::len) as i64))
}

/// Replaces a string's bytes, keeping its expiry.
pub(super) fn rewrite(tx: &mut Tx<'_>, key: &[u8], value: impl Into<Bytes>) -> Result<i64, Failure> {
    let value = value.into();
    let n = value.len() as i64;
    if value.len() > 512 << 20 {
        return Err(Failure::err("string exceeds maximum allowed size"));
    }
    *tx.string_or_new(key)? = value;
    Ok(n)
}

/// A copy of the string's bytes; empty when the key is missing.
pub(super) fn current(tx: &mut Tx<'_>, key: &[u8]) -> Result<BytesMut, Failure> {
    Ok(tx.string(key)?.map(|s| BytesMut::from(&s[..])).unwrap_or_default())
}

pub(super) fn append(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let mut s = current(tx, &a[1])?;
    s.extend_from_slice(&a[2]);
    Ok(Reply::Int(rewrite(tx, &a[1], s)?))
}

pub(super) fn prepend(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let mut s = BytesMut::from(&a[2][..]);
    s.extend_from_slice(&current(tx, &a[1])?);
    Ok(Reply::Int(rewrite(tx, &a[1], s)?))
}

pub(super) fn setrange(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let at = args::count(&a[2]).map_err(|_| Failure::err("offset is out of range"))?;
    let mut s = current(tx, &a[1])?;
    if a[3].is_empty() {
        return Ok(Reply::Int(s.len() as i64));
    }
    let end = at + a[3].len();
    if end > 512 << 20 {
        return Err(Failure::err("string exceeds maximum allowed size"));
    }
    if s.len() < end {
        s.resize(end, 0);
    }
    s[at..end].copy_from_slice(&a[3]);
    Ok(Reply::Int(rewrite(tx, &a[1], s)?))
}

pub(super) fn getrange(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let s = tx.string(&a[1])?.cloned().unwrap_or_default();
    let r = args::range(args::int(&a[2])?, args::int(&a[3])?, s.len());
    Ok(Reply::Bulk(s.slice(r)))
}

fn add(tx: &mut Tx<'_>, key: &[u8], by: i64) -> Done {
    let old = match tx.string(key)? {
        Some(s) => args::int(s)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or_else(|| Failure::err("increment or decrement would overflow"))?;
    rewrite(tx, key, text(new))?;
    Ok(Reply::Int(new))
}

pub(super) fn incr(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    add(tx, &a[1], 1)
}

pub(super) fn decr(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    add(tx, &a[1], -1)
}

pub(super) fn incrby(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let by = args::int(&a[2])?;
    add(tx, &a[1], by)
}

pub(super) fn decrby(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let by = args::int(&a[2])?.checked_neg().ok_or_else(Failure::not_integer)?;
    add(tx, &a[1], by)
}

pub(super) fn incrbyfloat(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let old = match tx.string(&a[1])? {
        Some(s) => args::float(s)?,
        None => 0.0,
    };
    let new = old + args::float(&a[2])?;
    if !new.is_finite() {
        return Err(Failure::err("increment would produce NaN or Infinity"));
    }
    let s = Bytes::from(reply::score(new));
    rewrite(tx, &a[1], s.clone())?;
    Ok(Reply::Bulk(s))
}
