//! Streams by command: entries with their ids, then ids and counters, groups, consumers, pending entries.

use bytes::Bytes;
use rdb::{Pending, StreamConsumer, StreamEntry, StreamGroup, StreamId, StreamTail};

use super::{batch::Batch, ids::Ids};
use crate::rewrite::decimal;

/// Most ids of one `XCLAIM`.
const MAX_CLAIMS: usize = 512;

/// `XADD key id field value ...`.
pub(super) fn entry(out: &mut Batch, entry: StreamEntry) {
    let fields = entry.fields.into_iter().flat_map(|(field, value)| [field, value]);
    out.whole("XADD", [id(entry.id)].into_iter().chain(fields));
}

/// Everything behind the entries. `counters`: the target keeps `ENTRIESADDED`, `MAXDELETEDID` and `ENTRIESREAD`.
pub(super) fn tail(out: &mut Batch, tail: StreamTail, counters: bool) {
    if tail.length == 0 {
        // the only way to an empty stream that leaves no trace in its counters
        let group = || Bytes::from_static(b"df2redis");
        let zero = || Bytes::from_static(b"0-0");
        out.subcommand("XGROUP", "CREATE", [group(), zero(), Bytes::from_static(b"MKSTREAM")]);
        out.subcommand("XGROUP", "DESTROY", [group()]);
    }
    let mut set_id = vec![id(tail.last_id)];
    if let Some(added) = tail.entries_added.filter(|_| counters) {
        let deleted = tail.max_deleted_id.unwrap_or_default();
        set_id.extend([Bytes::from_static(b"ENTRIESADDED"), decimal(added)]);
        set_id.extend([Bytes::from_static(b"MAXDELETEDID"), id(deleted)]);
    }
    out.whole("XSETID", set_id);
    for group in tail.groups {
        self::group(out, group, counters);
    }
}

fn group(out: &mut Batch, group: StreamGroup, counters: bool) {
    let mut create = vec![group.name.clone(), id(group.last_delivered)];
    if let Some(read) = group.entries_read.filter(|_| counters) {
        create.extend([Bytes::from_static(b"ENTRIESREAD"), decimal(read)]);
    }
    out.subcommand("XGROUP", "CREATE", create);
    for consumer in group.consumers {
        self::consumer(out, &group.name, &consumer);
    }
}

fn consumer(out: &mut Batch, group: &Bytes, consumer: &StreamConsumer) {
    out.subcommand("XGROUP", "CREATECONSUMER", [group.clone(), consumer.name.clone()]);
    let same = |a: &Pending, b: &Pending| {
        (a.delivery_time_ms, a.delivery_count) == (b.delivery_time_ms, b.delivery_count)
    };
    for alike in consumer.pending.chunk_by(same) {
        for claims in alike.chunks(MAX_CLAIMS) {
            let head = [group.clone(), consumer.name.clone(), Bytes::from_static(b"0")];
            let options = [
                Bytes::from_static(b"TIME"),
                decimal(claims[0].delivery_time_ms),
                Bytes::from_static(b"RETRYCOUNT"),
                decimal(claims[0].delivery_count),
                Bytes::from_static(b"FORCE"),
                Bytes::from_static(b"JUSTID"),
            ];
            let ids = claims.iter().map(|pending| id(pending.id));
            out.whole("XCLAIM", head.into_iter().chain(ids).chain(options));
        }
    }
}

/// Whether a pending entry is one whose stream entry is deleted: since 7.0 Redis does not claim such entries, and they
/// cannot be added for the purpose, because ids must grow.
pub(super) fn misses_pending(tail: &StreamTail, ids: &Ids) -> bool {
    let deleted = tail.max_deleted_id.unwrap_or_default();
    let suspect = |pending: &&Pending| {
        tail.length == 0 || pending.id <= deleted || tail.first_id.is_some_and(|first| pending.id < first)
    };
    let owned = tail.groups.iter().flat_map(|group| &group.consumers).flat_map(|consumer| &consumer.pending);
    let suspects = owned.filter(suspect).map(|pending| pending.id).collect();
    ids.lack(suspects) || tail.groups.iter().any(|group| !group.unowned.is_empty())
}

fn id(id: StreamId) -> Bytes {
    id.to_string().into()
}
