//! What streams and their groups look like.

use bytes::Bytes;

use super::args::{self, is, text};
use super::groups::no_group;
use super::streams::{entry, id, id_bytes};
use crate::engine::stream::{Consumer, Group, Id, Pending};
use crate::engine::{Failure, Tx};
use crate::reply::Reply;

type Done = Result<Reply, Failure>;

/// `XPENDING key group [start end count [consumer]]`.
pub(super) fn xpending(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let now = tx.now;
    let group = tx.stream(&a[1])?.and_then(|s| s.groups.get(&a[2])).ok_or_else(|| no_group(&a[1], &a[2]))?;
    let [lo, hi, n, rest @ ..] = &a[3..] else {
        let ends = (group.pending.keys().next(), group.pending.keys().next_back());
        let end = |e: Option<&Id>| e.map_or(Reply::Nil, |id| Reply::Bulk(id_bytes(*id)));
        let per = |c: &Bytes| {
            let n = group.pending.values().filter(|p| p.consumer == *c).count();
            (n > 0).then(|| Reply::Array(vec![Reply::Bulk(c.clone()), Reply::Bulk(text(n))]))
        };
        let consumers = group.consumers.keys().filter_map(per).collect();
        return Ok(Reply::Array(vec![
            Reply::Int(group.pending.len() as i64),
            end(ends.0),
            end(ends.1),
            Reply::Array(consumers),
        ]));
    };
    let lo = if lo == "-" { Id::default() } else { id(lo, 0)? };
    let hi = if hi == "+" { Id::MAX } else { id(hi, u64::MAX)? };
    let row = |(id, p): (&Id, &Pending)| {
        Reply::Array(vec![
            Reply::Bulk(id_bytes(*id)),
            Reply::Bulk(p.consumer.clone()),
            Reply::Int(now.saturating_sub(p.time_ms) as i64),
            Reply::Int(p.count as i64),
        ])
    };
    let wanted = rest.first();
    let hits = group.pending.range(lo..=hi).filter(|(_, p)| wanted.is_none_or(|c| p.consumer == *c));
    Ok(Reply::Array(hits.take(args::count(n)?).map(row).collect()))
}

/// `XINFO STREAM|GROUPS|CONSUMERS key [group]`.
pub(super) fn xinfo(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    let now = tx.now;
    let stream = tx.stream(&a[2])?.ok_or_else(|| Failure::err("no such key"))?;
    let int = |k: &str, n: usize| (Reply::bulk(k), Reply::Int(n as i64));
    let id = |k: &str, id: Id| (Reply::bulk(k), Reply::Bulk(id_bytes(id)));
    Ok(match &a[1] {
        w if is(w, "STREAM") => {
            let at = |e: Option<(&Id, &Vec<(Bytes, Bytes)>)>| e.map_or(Reply::Nil, |(id, f)| entry(*id, f));
            Reply::Map(vec![
                int("length", stream.entries.len()),
                id("last-generated-id", stream.last_id),
                id("max-deleted-entry-id", stream.max_deleted),
                int("entries-added", stream.added as usize),
                id("recorded-first-entry-id", stream.first_id()),
                int("groups", stream.groups.len()),
                (Reply::bulk("first-entry"), at(stream.entries.first_key_value())),
                (Reply::bulk("last-entry"), at(stream.entries.last_key_value())),
            ])
        }
        w if is(w, "GROUPS") => {
            let row = |(name, g): (&Bytes, &Group)| {
                let read = g.entries_read.map_or(Reply::Nil, |n| Reply::Int(n as i64));
                Reply::Map(vec![
                    (Reply::bulk("name"), Reply::Bulk(name.clone())),
                    int("consumers", g.consumers.len()),
                    int("pending", g.pending.len()),
                    id("last-delivered-id", g.last_id),
                    (Reply::bulk("entries-read"), read),
                ])
            };
            Reply::Array(stream.groups.iter().map(row).collect())
        }
        w if is(w, "CONSUMERS") => {
            let name = a.get(3).ok_or_else(Failure::syntax)?;
            let group = stream.groups.get(name).ok_or_else(|| no_group(&a[2], name))?;
            let row = |(c, seen): (&Bytes, &Consumer)| {
                let pending = group.pending.values().filter(|p| p.consumer == *c).count();
                Reply::Map(vec![
                    (Reply::bulk("name"), Reply::Bulk(c.clone())),
                    int("pending", pending),
                    int("idle", now.saturating_sub(seen.seen_ms) as usize),
                    int("inactive", now.saturating_sub(seen.active_ms) as usize),
                ])
            };
            Reply::Array(group.consumers.iter().map(row).collect())
        }
        _ => return Err(Failure::syntax()),
    })
}
