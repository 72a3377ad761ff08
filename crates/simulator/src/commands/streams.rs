//! Streams; consumer groups are in `groups`.

use bytes::Bytes;

use super::args::{self, is};
use crate::engine::stream::{Id, Stream};
use crate::engine::{Failure, Tx};
use crate::reply::Reply;

type Done = Result<Reply, Failure>;

pub(super) fn bad_id() -> Failure {
    Failure::err("Invalid stream ID specified as stream command argument")
}

pub(super) fn id(s: &[u8], seq: u64) -> Result<Id, Failure> {
    Id::parse(s, seq).ok_or_else(bad_id)
}

pub(super) fn id_bytes(id: Id) -> Bytes {
    Bytes::from(id.to_string())
}

/// How a stream is to be cut, and whether the words of the client may be journaled as they are.
enum Trim {
    Len(usize),
    MinId(Id, bool),
}

/// `MAXLEN|MINID [=|~] threshold [LIMIT n]` at `a[at..]`; moves `at` behind it.
fn trim_option(a: &[Bytes], at: &mut usize) -> Result<Option<Trim>, Failure> {
    let by_len = match a.get(*at) {
        Some(w) if is(w, "MAXLEN") => true,
        Some(w) if is(w, "MINID") => false,
        _ => return Ok(None),
    };
    *at += 1;
    let approximate = a.get(*at).is_some_and(|w| w == "~");
    *at += usize::from(approximate || a.get(*at).is_some_and(|w| w == "="));
    let threshold = a.get(*at).ok_or_else(Failure::syntax)?;
    *at += 1;
    let trim = if by_len {
        Trim::Len(args::count(threshold)?)
    } else {
        Trim::MinId(id(threshold, 0)?, !approximate)
    };
    if a.get(*at).is_some_and(|w| is(w, "LIMIT")) {
        *at += 2;
    }
    Ok(Some(trim))
}

/// Cuts the stream. `~` is taken as exact.
fn cut(s: &mut Stream, trim: &Trim) -> usize {
    match trim {
        Trim::Len(n) => s.trim_to_len(*n),
        Trim::MinId(id, _) => s.trim_below(*id),
    }
}

/// The exact form a trim is journaled in: an exact MINID as given, everything else as the MINID of what is
/// left, or `MAXLEN 0`.
fn journaled(s: &Stream, trim: &Trim) -> [Bytes; 2] {
    match trim {
        Trim::MinId(id, true) => [Bytes::from_static(b"MINID"), id_bytes(*id)],
        _ if s.entries.is_empty() => [Bytes::from_static(b"MAXLEN"), Bytes::from_static(b"0")],
        _ => [Bytes::from_static(b"MINID"), id_bytes(s.first_id())],
    }
}

/// The id an entry gets: `*`, `ms-*`, or given.
fn resolve(s: &[u8], last: Id, now: u64) -> Result<Id, Failure> {
    let too_small =
        || Failure::err("The ID specified in XADD is equal or smaller than the target stream top item");
    let wanted = if s == b"*" {
        if now > last.0 { Id(now, 0) } else { last.next().ok_or_else(too_small)? }
    } else if let Some(ms) = s.strip_suffix(b"-*") {
        let ms = args::count(ms).map_err(|_| bad_id())? as u64;
        if ms == last.0 { last.next().ok_or_else(too_small)? } else { Id(ms, 0) }
    } else {
        id(s, 0)?
    };
    if wanted == Id::default() {
        return Err(Failure::err("The ID specified in XADD must be greater than 0-0"));
    }
    if wanted > last { Ok(wanted) } else { Err(too_small()) }
}

/// Journaled with the id it got and an exact trim; up to v1.26 as it came.
pub(super) fn xadd(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let key = &a[1];
    let (mut at, mut nomk, mut trim) = (2, false, None);
    loop {
        if a.get(at).is_some_and(|w| is(w, "NOMKSTREAM")) {
            nomk = true;
            at += 1;
        } else if let Some(t) = trim_option(a, &mut at)? {
            trim = Some(t);
        } else {
            break;
        }
    }
    let fields = a.get(at + 1..).filter(|f| !f.is_empty() && f.len() % 2 == 0);
    let fields = fields.ok_or_else(|| Failure::err("wrong number of arguments for 'xadd' command"))?;
    let last = match tx.stream(key)? {
        Some(s) => s.last_id,
        None if nomk => return Ok(Reply::Nil),
        None => Id::default(),
    };
    let id = resolve(&a[at], last, tx.now)?;
    let stream = tx.stream_or_new(key)?;
    stream.entries.insert(id, fields.chunks_exact(2).map(|p| (p[0].clone(), p[1].clone())).collect());
    stream.last_id = id;
    stream.added += 1;
    let mut record = vec![Bytes::from_static(b"XADD"), key.clone()];
    if nomk {
        record.push(Bytes::from_static(b"NOMKSTREAM"));
    }
    if let Some(trim) = &trim {
        cut(stream, trim);
        record.extend(journaled(stream, trim));
    }
    record.push(id_bytes(id));
    record.extend_from_slice(fields);
    let said: &[Bytes] = if tx.profile().stream_ids { &record } else { a };
    tx.log(key, said);
    Ok(Reply::Bulk(id_bytes(id)))
}

pub(super) fn xtrim(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let mut at = 2;
    let trim = trim_option(a, &mut at)?.ok_or_else(Failure::syntax)?;
    let Some(stream) = tx.stream_mut(&a[1])? else { return Ok(Reply::Int(0)) };
    let n = cut(stream, &trim);
    let [word, threshold] = journaled(stream, &trim);
    let record = [Bytes::from_static(b"XTRIM"), a[1].clone(), word, threshold];
    let said: &[Bytes] = if tx.profile().stream_ids { &record } else { a };
    tx.log(&a[1], said);
    Ok(Reply::Int(n as i64))
}

pub(super) fn xdel(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let ids = a[2..].iter().map(|i| id(i, 0)).collect::<Result<Vec<_>, _>>()?;
    let Some(stream) = tx.stream_mut(&a[1])? else {
        tx.no_record();
        return Ok(Reply::Int(0));
    };
    Ok(Reply::Int(ids.into_iter().filter(|&i| stream.delete(i)).count() as i64))
}

pub(super) fn xlen(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    Ok(Reply::Int(tx.stream(&a[1])?.map_or(0, |s| s.entries.len()) as i64))
}

pub(super) fn entry(id: Id, fields: &[(Bytes, Bytes)]) -> Reply {
    let fields = Reply::list(fields.iter().flat_map(|(f, v)| [f.clone(), v.clone()]));
    Reply::Array(vec![Reply::Bulk(id_bytes(id)), fields])
}

fn bound(s: &[u8], low: bool) -> Result<Id, Failure> {
    match s {
        b"-" => Ok(Id::default()),
        b"+" => Ok(Id::MAX),
        [b'(', rest @ ..] => {
            let at = id(rest, if low { 0 } else { u64::MAX })?;
            if low {
                at.next().ok_or_else(bad_id)
            } else if at.1 > 0 {
                Ok(Id(at.0, at.1 - 1))
            } else {
                at.0.checked_sub(1).map(|ms| Id(ms, u64::MAX)).ok_or_else(bad_id)
            }
        }
        _ => id(s, if low { 0 } else { u64::MAX }),
    }
}

fn range(tx: &mut Tx<'_>, a: &[Bytes], rev: bool) -> Done {
    let (lo, hi) = if rev { (&a[3], &a[2]) } else { (&a[2], &a[3]) };
    let (lo, hi) = (bound(lo, true)?, bound(hi, false)?);
    let most = match &a[4..] {
        [] => usize::MAX,
        [w, n] if is(w, "COUNT") => args::count(n)?,
        _ => return Err(Failure::syntax()),
    };
    let Some(stream) = tx.stream(&a[1])? else { return Ok(Reply::Array(Vec::new())) };
    if lo > hi {
        return Ok(Reply::Array(Vec::new()));
    }
    let hits = stream.entries.range(lo..=hi).map(|(&id, f)| entry(id, f));
    Ok(Reply::Array(if rev { hits.rev().take(most).collect() } else { hits.take(most).collect() }))
}

pub(super) fn xrange(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    range(tx, a, false)
}

pub(super) fn xrevrange(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    range(tx, a, true)
}

/// `XSETID key id [ENTRIESADDED n] [MAXDELETEDID id]`.
pub(super) fn xsetid(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let last = id(&a[2], 0)?;
    let stream = tx.stream_mut(&a[1])?.ok_or_else(|| Failure::err("no such key"))?;
    if stream.entries.keys().next_back().is_some_and(|&top| top > last) {
        return Err(Failure::err("The ID specified in XSETID is smaller than the target stream top item"));
    }
    for option in a[3..].chunks(2) {
        match option {
            [w, n] if is(w, "ENTRIESADDED") => stream.added = args::count(n)? as u64,
            [w, i] if is(w, "MAXDELETEDID") => stream.max_deleted = id(i, 0)?,
            _ => return Err(Failure::syntax()),
        }
    }
    stream.last_id = last;
    Ok(Reply::OK)
}
