//! Streams and their consumer groups.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

/// An entry id: milliseconds and sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Id(pub(crate) u64, pub(crate) u64);

impl Id {
    pub(crate) const MAX: Id = Id(u64::MAX, u64::MAX);

    /// The least id above this one.
    pub(crate) fn next(self) -> Option<Id> {
        match self.1.checked_add(1) {
            Some(seq) => Some(Id(self.0, seq)),
            None => Some(Id(self.0.checked_add(1)?, 0)),
        }
    }

    /// Reads `ms-seq` or `ms`; `seq` is taken where none is written.
    pub(crate) fn parse(s: &[u8], seq: u64) -> Option<Id> {
        let s = std::str::from_utf8(s).ok()?;
        match s.split_once('-') {
            Some((ms, seq)) => Some(Id(ms.parse().ok()?, seq.parse().ok()?)),
            None => Some(Id(s.parse().ok()?, seq)),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

/// A stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    pub(crate) entries: BTreeMap<Id, Vec<(Bytes, Bytes)>>,
    pub(crate) last_id: Id,
    pub(crate) max_deleted: Id,
    pub(crate) added: u64,
    pub(crate) groups: BTreeMap<Bytes, Group>,
}

impl Stream {
    /// The least id present, 0-0 when empty.
    pub(crate) fn first_id(&self) -> Id {
        self.entries.keys().next().copied().unwrap_or_default()
    }

    /// Removes one entry by id.
    pub(crate) fn delete(&mut self, id: Id) -> bool {
        let gone = self.entries.remove(&id).is_some();
        if gone && id > self.max_deleted {
            self.max_deleted = id;
        }
        gone
    }

    /// Drops the oldest entries until `len` are left; returns how many went.
    pub(crate) fn trim_to_len(&mut self, len: usize) -> usize {
        let before = self.entries.len();
        while self.entries.len() > len {
            self.entries.pop_first();
        }
        before - self.entries.len()
    }

    /// Drops all entries below `id`; returns how many went.
    pub(crate) fn trim_below(&mut self, id: Id) -> usize {
        let kept = self.entries.split_off(&id);
        std::mem::replace(&mut self.entries, kept).len()
    }
}

/// A consumer group.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) last_id: Id,
    /// `None` when unknown.
    pub(crate) entries_read: Option<u64>,
    pub(crate) pending: BTreeMap<Id, Pending>,
    pub(crate) consumers: BTreeMap<Bytes, Consumer>,
}

/// A delivered entry that was not acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) consumer: Bytes,
    pub(crate) time_ms: u64,
    pub(crate) count: u64,
}

/// When a consumer was last heard of and last got something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Consumer {
    pub(crate) seen_ms: u64,
    pub(crate) active_ms: u64,
}
