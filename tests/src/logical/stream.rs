//! Streams with everything that can be asked about them.

use std::collections::{BTreeMap, BTreeSet};

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stream {
    /// Entries in order.
    pub entries: Vec<Entry>,
    /// `last-generated-id`.
    pub last_id: String,
    /// `entries-added`.
    pub entries_added: u64,
    /// `max-deleted-entry-id`.
    pub max_deleted_id: String,
    /// Consumer groups by name.
    pub groups: BTreeMap<Vec<u8>, Group>,
}

/// One entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `ms-seq`.
    pub id: String,
    /// Fields with their values, in order.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// `last-delivered-id`.
    pub last_delivered_id: String,
    /// `entries-read`; `None` where the server does not know.
    pub entries_read: Option<i64>,
    /// Names of its consumers.
    pub consumers: BTreeSet<Vec<u8>>,
    /// Pending entries: id to consumer and times delivered.
    pub pending: BTreeMap<String, (Vec<u8>, i64)>,
}

impl Stream {
    /// What differs from `actual`, in words; empty if nothing does.
    pub(super) fn differences(&self, actual: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut note = |what: &str, expected: String, actual: String| {
            if expected != actual {
                found.push(format!("{what}: expected {expected}, is {actual}"));
            }
        };
        note("entries", self.entries.len().to_string(), actual.entries.len().to_string());
        let pair = self.entries.iter().zip(&actual.entries).find(|(a, b)| a != b);
        if let Some((expected, actual)) = pair {
            note("first entry that differs", expected.readable(), actual.readable());
        }
        note("last-generated-id", self.last_id.clone(), actual.last_id.clone());
        note("entries-added", self.entries_added.to_string(), actual.entries_added.to_string());
        note("max-deleted-entry-id", self.max_deleted_id.clone(), actual.max_deleted_id.clone());
        let names = |stream: &Self| -> Vec<String> {
            stream.groups.keys().map(|name| crate::client::readable(name)).collect()
        };
        note("groups", format!("{:?}", names(self)), format!("{:?}", names(actual)));
        for (name, group) in &self.groups {
            let Some(other) = actual.groups.get(name) else { continue };
            let what = format!("group {}", crate::client::readable(name));
            note(&what, group.readable(), other.readable());
        }
        found
    }
}

impl Entry {
    fn readable(&self) -> String {
        let field = |(name, value): &(Vec<u8>, Vec<u8>)| {
            format!("{}={}", crate::client::readable(name), crate::client::readable(value))
        };
        format!("{} {}", self.id, self.fields.iter().map(field).collect::<Vec<_>>().join(" "))
    }
}

impl Group {
    fn readable(&self) -> String {
        let consumers: Vec<_> = self.consumers.iter().map(|name| crate::client::readable(name)).collect();
        let pending: Vec<_> = self
            .pending
            .iter()
            .map(|(id, (consumer, times))| format!("{id} {} x{times}", crate::client::readable(consumer)))
            .collect();
        format!(
            "last-delivered-id {} entries-read {:?} consumers {consumers:?} pending {} {pending:?}",
            self.last_delivered_id,
            self.entries_read,
            self.pending.len()
        )
    }
}
