//! Keys of any type.

use bytes::Bytes;

use super::args::{self, is, text};
use crate::Omits;
use crate::engine::shard::{BUCKETS, DBS};
use crate::engine::value::Value;
use crate::engine::{Failure, Tx, glob};
use crate::reply::Reply;
use crate::wire::dump;

type Done = Result<Reply, Failure>;

/// `DEL` and `UNLINK`: one record per shard. v1.40 logs `DEL` with the keys that existed and omits what the running snapshot will not
/// show; earlier releases log the command as it came, per shard.
pub(super) fn del(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let keys = &a[1..];
    tx.span(keys);
    let (mut gone, v40) = (0, tx.profile().del_existing);
    for shard in 0..tx.engine.shards.len() {
        let mine: Vec<&Bytes> = keys.iter().filter(|k| tx.place(k).shard == shard).collect();
        let mut record: Vec<&[u8]> = Vec::new();
        for key in mine.iter().copied() {
            if !tx.exists(key) {
                continue;
            }
            gone += 1;
            if tx.omits(key, Omits::SetAndDel) {
                let at = tx.place(key);
                tx.engine.shards[at.shard].remove(tx.db, at.bucket, key);
                tx.omit(key);
                continue;
            }
            tx.del(key);
            record.push(key);
        }
        let name: &[u8] = if v40 { b"DEL" } else { &a[0].to_ascii_uppercase() };
        if !v40 {
            record = mine.iter().map(|k| &k[..]).collect();
        }
        if !record.is_empty() {
            record.insert(0, name);
            tx.log_on(shard, &record);
        }
    }
    Ok(Reply::Int(gone))
}

pub(super) fn exists(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::Int(a[1..].iter().filter(|k| tx.exists(k)).count() as i64))
}

pub(super) fn type_of(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::Simple(tx.peek(&a[1]).map_or("none", |e| e.value.type_name())))
}

pub(super) fn dbsize(tx: &mut Tx<'_>, _: &[Bytes]) -> Done {
    let db = usize::from(tx.db);
    let n: usize = tx.engine.shards.iter().filter_map(|s| s.dbs[db].as_ref()).map(|d| d.keys).sum();
    Ok(Reply::Int(n as i64))
}

/// Live keys of one bucket.
fn keys_in(tx: &Tx<'_>, shard: usize, bucket: usize) -> Vec<(Bytes, &'static str)> {
    let Some(db) = &tx.engine.shards[shard].dbs[usize::from(tx.db)] else { return Vec::new() };
    db.buckets[bucket]
        .iter()
        .filter(|(_, e)| e.expire_at.is_none_or(|t| t > tx.now))
        .map(|(k, e)| (k.clone(), e.value.type_name()))
        .collect()
}

pub(super) fn keys(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let mut out = Vec::new();
    for shard in 0..tx.engine.shards.len() {
        for bucket in 0..BUCKETS {
            out.extend(keys_in(tx, shard, bucket).into_iter().map(|k| k.0).filter(|k| glob(&a[1], k)));
        }
    }
    Ok(Reply::list(out))
}

/// The cursor is a bucket's number; whole buckets are returned, so a key that stays is returned exactly once.
pub(super) fn scan(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let mut cursor = args::count(&a[1]).map_err(|_| Failure::err("invalid cursor"))?;
    let (mut count, mut pattern, mut kind) = (10, None, None);
    for option in a[2..].chunks(2) {
        match option {
            [w, n] if is(w, "COUNT") => count = args::count(n)?.max(1),
            [w, p] if is(w, "MATCH") => pattern = Some(p.clone()),
            [w, t] if is(w, "TYPE") => kind = Some(t.to_ascii_lowercase()),
            _ => return Err(Failure::syntax()),
        }
    }
    let end = BUCKETS * tx.engine.shards.len();
    let (mut seen, mut out) = (0, Vec::new());
    while cursor < end && seen < count {
        let keys = keys_in(tx, cursor / BUCKETS, cursor % BUCKETS);
        seen += keys.len();
        out.extend(
            keys.into_iter()
                .filter(|(k, t)| {
                    pattern.as_ref().is_none_or(|p| glob(p, k))
                        && kind.as_ref().is_none_or(|want| want == &t.to_ascii_lowercase().into_bytes())
                })
                .map(|(k, _)| k),
        );
        cursor += 1;
    }
    let next = if cursor >= end { 0 } else { cursor };
    Ok(Reply::Array(vec![Reply::Bulk(text(next)), Reply::list(out)]))
}

pub(super) fn dump_key(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let profile = tx.profile();
    Ok(tx.peek(&a[1]).map_or(Reply::Nil, |e| Reply::Bulk(dump::write(&e.value, &e.members, profile).into())))
}

/// `MEMORY USAGE key [WITHOUTKEY]`: about what a real master says, which depends on its allocator.
pub(super) fn memory(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    match a {
        [_, w, key, ..] if is(w, "USAGE") => Ok(match tx.peek(key) {
            None => Reply::Nil,
            Some(entry) => Reply::Int((48 + key.len() + entry.value.size()) as i64),
        }),
        _ => Err(Failure::syntax()),
    }
}

/// Journaled as it came.
pub(super) fn restore(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let key = &a[1];
    let ttl = args::int(&a[2])?;
    let (mut replace, mut absolute, mut stick) = (false, false, false);
    let mut options = a[4..].iter();
    while let Some(option) = options.next() {
        match option {
            w if is(w, "REPLACE") => replace = true,
            w if is(w, "ABSTTL") => absolute = true,
            w if is(w, "STICK") => stick = true,
            w if is(w, "IDLETIME") || is(w, "FREQ") => drop(options.next()),
            _ => return Err(Failure::syntax()),
        }
    }
    if ttl < 0 {
        return Err(Failure::err("Invalid TTL value, must be >= 0"));
    }
    if !replace && tx.exists(key) {
        return Err(Failure::line("BUSYKEY Target key name already exists."));
    }
    let (value, members) = dump::read(&a[3]).ok_or_else(|| Failure::err("Bad data format"))?;
    let at = match ttl as u64 {
        0 => None,
        ms if absolute => Some(ms),
        ms => Some(tx.now + ms),
    };
    if at.is_some_and(|at| at <= tx.now) {
        tx.del(key);
        return Ok(Reply::OK);
    }
    tx.put(key, value, at.map(|at| at.min(tx.now + args::MAX_EXPIRE_MS)));
    if let Some(entry) = tx.entry_mut(key) {
        entry.members = members;
    }
    if stick {
        tx.stick(key);
    }
    Ok(Reply::OK)
}

/// Puts a copy of `entry` at `dst` and journals it as RESTORE, the form for RENAME across shards and COPY.
fn restore_copy(tx: &mut Tx<'_>, dst: &Bytes, entry: crate::engine::shard::Entry) {
    let payload = dump::write(&entry.value, &entry.members, tx.profile());
    let at = text(entry.expire_at.unwrap_or(0));
    let mut record: Vec<&[u8]> = vec![b"RESTORE", dst, &at, &payload, b"REPLACE", b"ABSTTL"];
    if entry.sticky {
        record.push(b"STICK");
    }
    let record: Vec<Bytes> = record.into_iter().map(Bytes::copy_from_slice).collect();
    move_in(tx, dst, entry);
    tx.log(dst, &record);
}

/// Moves `entry` to `dst` and journals it as SET of its bytes, which only a string has, with what else it has in further
/// records (v1.11.0 to v1.19 `generic_family.cc` Renamer::UpdateDest).
fn set_copy(tx: &mut Tx<'_>, dst: &Bytes, entry: crate::engine::shard::Entry) {
    let word = |word: &'static str| Bytes::from_static(word.as_bytes());
    let bytes = match &entry.value {
        Value::String(bytes) => bytes.clone(),
        _ => word("no string"),
    };
    let mut records = vec![vec![word("SET"), dst.clone(), bytes]];
    if entry.sticky {
        records.push(vec![word("STICK"), dst.clone()]);
    }
    if let Some(at) = entry.expire_at {
        records.push(vec![word("PEXPIREAT"), dst.clone(), text(at)]);
    }
    move_in(tx, dst, entry);
    tx.log_transaction(dst, &records);
}

fn move_in(tx: &mut Tx<'_>, dst: &Bytes, entry: crate::engine::shard::Entry) {
    tx.del(dst);
    tx.put(dst, entry.value, entry.expire_at);
    if let Some(moved) = tx.entry_mut(dst) {
        moved.members = entry.members;
    }
    if entry.sticky {
        tx.stick(dst);
    }
}

fn rename_with(tx: &mut Tx<'_>, a: &[Bytes], only_new: bool) -> Done {
    let (src, dst) = (&a[1], &a[2]);
    let done = if only_new { Reply::Int(1) } else { Reply::OK };
    if !tx.exists(src) {
        return Err(Failure::err("no such key"));
    }
    if src == dst {
        return Ok(if only_new { Reply::Int(0) } else { Reply::OK });
    }
    if only_new && tx.exists(dst) {
        return Ok(Reply::Int(0));
    }
    tx.span([src, dst]);
    let Some(entry) = tx.del(src) else { return Ok(done) };
    if tx.place(src).shard == tx.place(dst).shard {
        move_in(tx, dst, entry);
        let name: &[u8] = if only_new { b"RENAMENX" } else { b"RENAME" };
        tx.log(src, &[name, src, dst]);
    } else {
        tx.log(src, &[b"DEL".as_slice(), src]);
        if tx.profile().rename_sets {
            set_copy(tx, dst, entry);
        } else {
            restore_copy(tx, dst, entry);
        }
    }
    Ok(done)
}

pub(super) fn rename(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    rename_with(tx, a, false)
}

pub(super) fn renamenx(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    rename_with(tx, a, true)
}

pub(super) fn copy(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let replace = a[3..].iter().any(|w| is(w, "REPLACE"));
    if a[3..].iter().any(|w| is(w, "DB")) {
        return Err(Failure::syntax());
    }
    let Some(entry) = tx.peek(&a[1]).cloned() else { return Ok(Reply::Int(0)) };
    if !replace && tx.exists(&a[2]) {
        return Ok(Reply::Int(0));
    }
    tx.transact();
    restore_copy(tx, &a[2], entry);
    Ok(Reply::Int(1))
}

/// Journaled once, in the source database, even when nothing moved. Runs on all shards, so it has a transaction id.
pub(super) fn move_key(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let key = &a[1];
    let to = args::int(&a[2])?;
    let to = u16::try_from(to)
        .ok()
        .filter(|&d| d < DBS)
        .ok_or_else(|| Failure::err("DB index is out of range"))?;
    if to == tx.db {
        return Err(Failure::err("source and destination objects are the same"));
    }
    tx.transact();
    let moved = tx.exists(key) && tx.peek_in(to, key).is_none();
    if moved && let Some(entry) = tx.del(key) {
        let from = std::mem::replace(&mut tx.db, to);
        move_in(tx, key, entry);
        tx.db = from;
    }
    tx.log(key, &[b"MOVE".as_slice(), key, &a[2]]);
    Ok(Reply::Int(i64::from(moved)))
}

/// Marks keys as exempt from eviction: one record per shard with this shard's keys.
pub(super) fn stick(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let keys = &a[1..];
    tx.span(keys);
    let mut n = 0;
    for shard in 0..tx.engine.shards.len() {
        let mut record: Vec<&[u8]> = vec![b"STICK"];
        for key in keys {
            if tx.place(key).shard == shard {
                record.push(key);
                n += i64::from(tx.stick(key));
            }
        }
        if record.len() > 1 {
            tx.log_on(shard, &record);
        }
    }
    Ok(Reply::Int(n))
}

pub(super) fn touch(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    exists(tx, a)
}

/// One record on every flow, all with the same transaction id.
fn flush(tx: &mut Tx<'_>, name: &str, dbs: std::ops::Range<u16>) -> Done {
    tx.transact();
    for shard in 0..tx.engine.shards.len() {
        tx.log_on(shard, &[name]);
        dbs.clone().for_each(|db| tx.engine.shards[shard].flush(db));
    }
    Ok(Reply::OK)
}

pub(super) fn flushdb(tx: &mut Tx<'_>, _: &[Bytes]) -> Done {
    flush(tx, "FLUSHDB", tx.db..tx.db + 1)
}

pub(super) fn flushall(tx: &mut Tx<'_>, _: &[Bytes]) -> Done {
    flush(tx, "FLUSHALL", 0..DBS)
}
