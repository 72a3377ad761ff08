//! Consumer groups.

use bytes::Bytes;

use super::args::{self, is, text};
use super::streams::{bad_id, entry, id, id_bytes};
use crate::engine::stream::{Consumer, Group, Id, Pending, Stream};
use crate::engine::{Failure, Tx};
use crate::reply::Reply;

type Done = Result<Reply, Failure>;

pub(super) fn no_group(key: &[u8], group: &[u8]) -> Failure {
    let (key, group) = (String::from_utf8_lossy(key), String::from_utf8_lossy(group));
    Failure::Line(format!("NOGROUP No such consumer group '{group}' for key name '{key}'"))
}

fn group_mut<'t>(tx: &'t mut Tx<'_>, key: &[u8], name: &[u8]) -> Result<&'t mut Group, Failure> {
    tx.stream_mut(key)?
        .ok_or_else(|| Failure::err("no such key"))?
        .groups
        .get_mut(name)
        .ok_or_else(|| no_group(key, name))
}

/// `XGROUP CREATE|SETID|DESTROY|CREATECONSUMER|DELCONSUMER key group ...`, journaled as it came.
pub(super) fn xgroup(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let (word, key, name) = (&a[1], &a[2], &a[3]);
    let now = tx.now;
    match word {
        w if is(w, "CREATE") => {
            let at = a.get(4).ok_or_else(Failure::syntax)?;
            let make = a[5..].iter().any(|w| is(w, "MKSTREAM"));
            if tx.stream(key)?.is_none() && !make {
                return Err(Failure::err(
                    "The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
                ));
            }
            let read = a[5..]
                .windows(2)
                .find(|p| is(&p[0], "ENTRIESREAD"))
                .map(|p| args::count(&p[1]))
                .transpose()?;
            let given = if at == "$" { None } else { Some(id(at, 0)?) };
            let stream = tx.stream_or_new(key)?;
            if stream.groups.contains_key(name) {
                return Err(Failure::line("BUSYGROUP Consumer Group name already exists"));
            }
            let last_id = given.unwrap_or(stream.last_id);
            let group = Group { last_id, entries_read: read.map(|n| n as u64), ..Group::default() };
            stream.groups.insert(name.clone(), group);
            Ok(Reply::OK)
        }
        w if is(w, "SETID") => {
            let at = a.get(4).ok_or_else(Failure::syntax)?;
            let read =
                a[5..].windows(2).find(|p| is(&p[0], "ENTRIESREAD")).map(|p| args::int(&p[1])).transpose()?;
            let last = tx.stream(key)?.map(|s| s.last_id).unwrap_or_default();
            let group = group_mut(tx, key, name)?;
            group.last_id = if at == "$" { last } else { id(at, 0)? };
            // Kept where nothing is said of it (v1.40.1 `stream_family.cc` `OpSetId`); Redis forgets it.
            if let Some(read) = read {
                group.entries_read = u64::try_from(read).ok();
            }
            Ok(Reply::OK)
        }
        w if is(w, "DESTROY") => {
            let gone = tx.stream_mut(key)?.is_some_and(|s| s.groups.remove(name).is_some());
            Ok(Reply::Int(i64::from(gone)))
        }
        w if is(w, "CREATECONSUMER") => {
            let consumer = a.get(4).ok_or_else(Failure::syntax)?.clone();
            let group = group_mut(tx, key, name)?;
            let new = !group.consumers.contains_key(&consumer);
            group.consumers.entry(consumer).or_insert(Consumer { seen_ms: now, active_ms: now });
            Ok(Reply::Int(i64::from(new)))
        }
        w if is(w, "DELCONSUMER") => {
            let consumer = a.get(4).ok_or_else(Failure::syntax)?;
            let group = group_mut(tx, key, name)?;
            let before = group.pending.len();
            group.pending.retain(|_, p| p.consumer != *consumer);
            group.consumers.remove(consumer);
            Ok(Reply::Int((before - group.pending.len()) as i64))
        }
        _ => Err(Failure::syntax()),
    }
}

/// How many entries were ever added up to `id`, where that can be known from the stream's counters.
fn entries_up_to(s: &Stream, id: Id) -> Option<u64> {
    if s.added == 0 {
        return Some(0);
    }
    let len = s.entries.len() as u64;
    if len == 0 && id <= s.last_id {
        return Some(s.added);
    }
    if id == s.last_id {
        return Some(s.added);
    }
    if id > s.last_id || s.max_deleted >= s.first_id() && s.max_deleted != Id::default() {
        return None;
    }
    match id.cmp(&s.first_id()) {
        std::cmp::Ordering::Less => Some(s.added - len),
        std::cmp::Ordering::Equal => Some(s.added - len + 1),
        std::cmp::Ordering::Greater => None,
    }
}

/// `XREADGROUP GROUP group consumer [COUNT n] [BLOCK ms] [NOACK] STREAMS key ... id ...`. Since v1.37 its effects
/// are journaled: a new consumer, a claim per entry, the group's position.
pub(super) fn xreadgroup(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    if !is(&a[1], "GROUP") {
        return Err(Failure::syntax());
    }
    let (name, consumer) = (&a[2], &a[3]);
    let (mut at, mut count, mut noack) = (4, usize::MAX, false);
    while let Some(word) = a.get(at) {
        match word {
            w if is(w, "COUNT") => {
                count = args::count(a.get(at + 1).ok_or_else(Failure::syntax)?)?;
                at += 2;
            }
            w if is(w, "BLOCK") => at += 2,
            w if is(w, "NOACK") => {
                noack = true;
                at += 1;
            }
            w if is(w, "STREAMS") => break,
            _ => return Err(Failure::syntax()),
        }
    }
    let rest = a.get(at + 1..).filter(|r| !r.is_empty() && r.len() % 2 == 0).ok_or_else(Failure::syntax)?;
    let (keys, ids) = rest.split_at(rest.len() / 2);
    tx.span(keys);
    let mut out = Vec::new();
    for (key, from) in keys.iter().zip(ids) {
        let entries = if from == ">" {
            deliver(tx, key, name, consumer, count, noack)?
        } else {
            history(tx, key, name, consumer, id(from, 0)?, count)?
        };
        if !entries.is_empty() || from != ">" {
            out.push(Reply::Array(vec![Reply::Bulk(key.clone()), Reply::Array(entries)]));
        }
    }
    Ok(if out.is_empty() { Reply::NilArray } else { Reply::Array(out) })
}

/// What this consumer got before and has not acknowledged.
fn history(
    tx: &mut Tx<'_>,
    key: &Bytes,
    name: &Bytes,
    who: &Bytes,
    after: Id,
    n: usize,
) -> Result<Vec<Reply>, Failure> {
    let stream = tx.stream(key)?.ok_or_else(|| no_group(key, name))?;
    let group = stream.groups.get(name).ok_or_else(|| no_group(key, name))?;
    Ok(group
        .pending
        .iter()
        .filter(|(id, p)| **id > after && p.consumer == *who)
        .take(n)
        .filter_map(|(id, _)| Some(entry(*id, stream.entries.get(id)?)))
        .collect())
}

fn deliver(
    tx: &mut Tx<'_>,
    key: &Bytes,
    name: &Bytes,
    who: &Bytes,
    n: usize,
    noack: bool,
) -> Result<Vec<Reply>, Failure> {
    let now = tx.now;
    let stream = tx.stream_mut(key)?.ok_or_else(|| no_group(key, name))?;
    let group = stream.groups.get(name).ok_or_else(|| no_group(key, name))?;
    let new_consumer = !group.consumers.contains_key(who);
    let after = group.last_id.next().unwrap_or(Id::MAX);
    let (mut read, mut last) = (group.entries_read, group.last_id);
    let hits: Vec<(Id, Vec<(Bytes, Bytes)>)> =
        stream.entries.range(after..).take(n).map(|(id, f)| (*id, f.clone())).collect();
    for (id, _) in &hits {
        let tombstones = stream.max_deleted > last && stream.max_deleted != Id::default();
        read = match read {
            Some(r) if !tombstones => Some(r + 1),
            _ => entries_up_to(stream, *id),
        };
        last = *id;
    }
    if let Some(group) = stream.groups.get_mut(name) {
        let seen = group.consumers.entry(who.clone()).or_default();
        seen.seen_ms = now;
        if !hits.is_empty() {
            seen.active_ms = now;
        }
        group.last_id = last;
        group.entries_read = read;
        if !noack {
            for (id, _) in &hits {
                group.pending.insert(*id, Pending { consumer: who.clone(), time_ms: now, count: 1 });
            }
        }
    }
    if tx.profile().xreadgroup {
        if new_consumer {
            tx.log(key, &[b"XGROUP".as_slice(), b"CREATECONSUMER", key, name, who]);
        }
        let time = text(now);
        for (id, _) in hits.iter().filter(|_| !noack) {
            let id = id_bytes(*id);
            tx.log(
                key,
                &[
                    b"XCLAIM".as_slice(),
                    key,
                    name,
                    who,
                    b"0",
                    &id,
                    b"TIME",
                    &time,
                    b"RETRYCOUNT",
                    b"1",
                    b"FORCE",
                    b"JUSTID",
                    b"LASTID",
                    &id,
                ],
            );
        }
        if !hits.is_empty() {
            let read = read.map_or(Bytes::from_static(b"-1"), text);
            let last = id_bytes(last);
            tx.log(key, &[b"XGROUP".as_slice(), b"SETID", key, name, &last, b"ENTRIESREAD", &read]);
        }
    }
    Ok(hits.iter().map(|(id, fields)| entry(*id, fields)).collect())
}

pub(super) fn xack(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let ids = a[3..].iter().map(|i| id(i, 0)).collect::<Result<Vec<_>, _>>()?;
    let Some(group) = tx.stream_mut(&a[1])?.and_then(|s| s.groups.get_mut(&a[2])) else {
        tx.no_record();
        return Ok(Reply::Int(0));
    };
    Ok(Reply::Int(ids.iter().filter(|i| group.pending.remove(i).is_some()).count() as i64))
}

/// `XCLAIM key group consumer min-idle id ... [TIME ms] [IDLE ms] [RETRYCOUNT n] [FORCE] [JUSTID] [LASTID id]`.
pub(super) fn xclaim(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let now = tx.now;
    let idle = args::count(&a[4])? as u64;
    let ids: Vec<Id> = a[5..].iter().map_while(|i| Id::parse(i, 0)).collect();
    if ids.is_empty() {
        return Err(bad_id());
    }
    let (mut time, mut retry, mut force, mut just, mut last) = (now, None, false, false, None);
    let mut options = a[5 + ids.len()..].iter();
    while let Some(w) = options.next() {
        let mut value = || options.next().ok_or_else(Failure::syntax);
        match w {
            w if is(w, "TIME") => time = args::count(value()?)? as u64,
            w if is(w, "IDLE") => time = now.saturating_sub(args::count(value()?)? as u64),
            w if is(w, "RETRYCOUNT") => retry = Some(args::count(value()?)? as u64),
            w if is(w, "LASTID") => last = Some(id(value()?, 0)?),
            w if is(w, "FORCE") => force = true,
            w if is(w, "JUSTID") => just = true,
            _ => return Err(Failure::syntax()),
        }
    }
    let stream = tx.stream_mut(&a[1])?.ok_or_else(|| no_group(&a[1], &a[2]))?;
    let group = stream.groups.get_mut(&a[2]).ok_or_else(|| no_group(&a[1], &a[2]))?;
    if let Some(last) = last {
        group.last_id = group.last_id.max(last);
    }
    group.consumers.entry(a[3].clone()).or_insert(Consumer { seen_ms: now, active_ms: now });
    let mut out = Vec::new();
    for id in ids {
        let Some(fields) = stream.entries.get(&id) else {
            group.pending.remove(&id);
            continue;
        };
        let count = match group.pending.get(&id) {
            Some(p) if now.saturating_sub(p.time_ms) >= idle => p.count,
            None if force => 0,
            _ => continue,
        };
        let count = retry.unwrap_or(if just { count } else { count + 1 });
        group.pending.insert(id, Pending { consumer: a[3].clone(), time_ms: time, count });
        out.push(if just { Reply::Bulk(id_bytes(id)) } else { entry(id, fields) });
    }
    Ok(Reply::Array(out))
}

/// `XAUTOCLAIM key group consumer min-idle start [COUNT n] [JUSTID]`.
pub(super) fn xautoclaim(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let now = tx.now;
    let idle = args::count(&a[4])? as u64;
    let start = if a[5] == "-" { Id::default() } else { id(&a[5], 0)? };
    let count = a[6..].windows(2).find(|p| is(&p[0], "COUNT")).map_or(Ok(100), |p| args::count(&p[1]))?;
    let just = a[6..].iter().any(|w| is(w, "JUSTID"));
    let stream = tx.stream_mut(&a[1])?.ok_or_else(|| no_group(&a[1], &a[2]))?;
    let group = stream.groups.get_mut(&a[2]).ok_or_else(|| no_group(&a[1], &a[2]))?;
    group.consumers.entry(a[3].clone()).or_insert(Consumer { seen_ms: now, active_ms: now });
    let due: Vec<Id> = group
        .pending
        .range(start..)
        .filter(|(_, p)| now.saturating_sub(p.time_ms) >= idle)
        .map(|(id, _)| *id)
        .take(count)
        .collect();
    let (mut out, mut gone) = (Vec::new(), Vec::new());
    for id in due {
        match (stream.entries.get(&id), group.pending.get_mut(&id)) {
            (Some(fields), Some(p)) => {
                p.consumer = a[3].clone();
                p.time_ms = now;
                p.count += u64::from(!just);
                out.push(if just { Reply::Bulk(id_bytes(id)) } else { entry(id, fields) });
            }
            _ => {
                group.pending.remove(&id);
                gone.push(id_bytes(id));
            }
        }
    }
    Ok(Reply::Array(vec![Reply::bulk("0-0"), Reply::Array(out), Reply::list(gone)]))
}
