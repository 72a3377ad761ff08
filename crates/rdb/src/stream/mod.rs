//! Streams with everything that is needed to rebuild them by command.

pub(crate) mod node;
pub(crate) mod tail;

use bytes::Bytes;

/// Id of a stream entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct StreamId {
    /// Milliseconds part.
    pub ms: u64,
    /// Sequence part.
    pub seq: u64,
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// A live entry: `XADD key id field value ...`. Deleted entries are not handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEntry {
    /// Its id, absolute.
    pub id: StreamId,
    /// Fields and values in the order of the source; names may repeat.
    pub fields: Vec<(Bytes, Bytes)>,
}

/// What follows the entries of a stream. Comes once, after the last entry; a stream without entries has it too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamTail {
    /// Number of live entries.
    pub length: u64,
    /// Last id ever generated: `XSETID key last_id`.
    pub last_id: StreamId,
    /// First live id; types 19 and 21 only.
    pub first_id: Option<StreamId>,
    /// `XSETID ... MAXDELETEDID`; types 19 and 21 only.
    pub max_deleted_id: Option<StreamId>,
    /// `XSETID ... ENTRIESADDED`; types 19 and 21 only.
    pub entries_added: Option<u64>,
    /// Consumer groups in the order of the source.
    pub groups: Vec<StreamGroup>,
}

/// A consumer group: `XGROUP CREATE key name last_delivered ENTRIESREAD entries_read`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamGroup {
    /// Its name.
    pub name: Bytes,
    /// Last id delivered to any consumer.
    pub last_delivered: StreamId,
    /// Entries read so far; `None` where the source does not know (type 15, or 2^64-1 on the wire).
    pub entries_read: Option<u64>,
    /// Its consumers, those without pending entries too.
    pub consumers: Vec<StreamConsumer>,
    /// Pending entries that no consumer claims. A sane source has none.
    pub unowned: Vec<Pending>,
}

/// A consumer: `XGROUP CREATECONSUMER`, then `XCLAIM` for what is pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConsumer {
    /// Its name.
    pub name: Bytes,
    /// Unix ms of its last attempt.
    pub seen_time_ms: u64,
    /// Unix ms of its last success; type 21 only, and `None` where it never had one (-1 on the wire).
    pub active_time_ms: Option<u64>,
    /// What was delivered to it and not acknowledged, by id.
    pub pending: Vec<Pending>,
}

/// A delivered, unacknowledged entry: `XCLAIM key group consumer 0 id TIME .. RETRYCOUNT .. FORCE JUSTID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Entry id; the entry itself may be deleted.
    pub id: StreamId,
    /// Unix ms of the last delivery.
    pub delivery_time_ms: u64,
    /// Number of deliveries.
    pub delivery_count: u64,
}
