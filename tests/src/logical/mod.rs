//! The logical contents of a server, read with ordinary commands, and the comparison of two of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::Endpoint;

/// A database number and a key.
pub type Name = (u32, Vec<u8>);

/// Everything a server holds, by name.
pub type Contents = BTreeMap<Name, Logical>;

/// One key's contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logical {
    /// Absolute expiry in Unix milliseconds.
    pub expire_at_ms: Option<u64>,
    /// The value.
    pub value: Value,
    /// Members or fields that have their own TTL (only in what a Dragonfly was recorded to hold).
    pub member_ttls: BTreeSet<Vec<u8>>,
}

/// A value in a form in which equal means equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string.
    String(Vec<u8>),
    /// A list in order.
    List(Vec<Vec<u8>>),
    /// A set.
    Set(BTreeSet<Vec<u8>>),
    /// A hash.
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    /// A sorted set: the bits of each member's score.
    Zset(BTreeMap<Vec<u8>, u64>),
    /// A stream.
    Stream(Stream),
    /// A JSON document as `JSON.GET` prints it.
    Json(Vec<u8>),
    /// A type that cannot be read by ordinary commands: its name in `TYPE`.
    Opaque(String),
}

/// A stream with everything that can be asked about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stream {
    /// Entries in order: id, fields with values.
    pub entries: Vec<(String, Vec<(Vec<u8>, Vec<u8>)>)>,
    /// `last-generated-id`.
    pub last_id: String,
    /// `entries-added`.
    pub entries_added: u64,
    /// `max-deleted-entry-id`.
    pub max_deleted_id: String,
    /// Consumer groups by name.
    pub groups: BTreeMap<Vec<u8>, Group>,
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// `last-delivered-id`.
    pub last_delivered_id: String,
    /// `entries-read`, if known.
    pub entries_read: Option<i64>,
    /// Names of its consumers.
    pub consumers: BTreeSet<Vec<u8>>,
    /// Pending entries: id to (consumer, times delivered).
    pub pending: BTreeMap<String, (Vec<u8>, i64)>,
}

/// What is wrong with one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Expected and not there.
    Missing,
    /// There and not expected.
    Unexpected,
    /// Another type.
    Type,
    /// Same type, other value.
    Value,
    /// Same value, other expiry.
    Expiry,
    /// Members or fields have lost their own TTL, the rest is equal.
    MemberTtl,
}

/// One difference. Several things wrong with a key are several differences.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Database on the side that was compared (the target).
    pub db: u32,
    /// Key on that side.
    pub key: Vec<u8>,
    /// What is wrong.
    pub what: What,
    /// Both sides in words, binary safe.
    pub detail: String,
}

/// The contents of one server over all its databases.
pub fn read_server(_endpoint: &Endpoint) -> Contents {
    unimplemented!()
}

/// The contents of a cluster: db 0 of all masters. A key found on two masters panics.
pub fn read_cluster(_masters: &[Endpoint]) -> Contents {
    unimplemented!()
}

/// The contents in a capture's `.jsonl` (latin-1 strings: one character is one byte).
pub fn parse_jsonl(_text: &[u8]) -> Contents {
    unimplemented!()
}

/// Renames every key as the target's mapping does; two keys that meet panic.
pub fn mapped(_contents: &Contents, _map: impl Fn(&Name) -> Option<Name>) -> Contents {
    unimplemented!()
}

/// The default mapping onto a cluster: db N > 0 becomes `dbN:key` in db 0.
pub fn prefixed(_name: &Name) -> Option<Name> {
    unimplemented!()
}

/// What `actual` lacks, has too much or has otherwise, sorted by name.
pub fn diff(_expected: &Contents, _actual: &Contents) -> Vec<Difference> {
    unimplemented!()
}

/// The first differences and how many there are, for a panic message.
pub fn report(_differences: &[Difference]) -> String {
    unimplemented!()
}

/// Reads both sides until they are equal; panics with the report when the deadline has passed.
pub fn wait_equal(
    _deadline: std::time::Duration,
    _expected: impl FnMut() -> Contents,
    _actual: impl FnMut() -> Contents,
) {
    unimplemented!()
}
