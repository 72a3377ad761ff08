//! The logical contents of a server, read with ordinary commands, and the comparison of two of them.

mod diff;
mod jsonl;
mod read;
mod stream;
mod write;

use std::collections::{BTreeMap, BTreeSet};

pub use diff::{Difference, What, diff, report, wait_equal};
pub(crate) use jsonl::latin1;
pub use jsonl::parse_jsonl;
pub use read::{read_cluster, read_server};
pub use stream::{Entry, Group, Stream};
pub use write::write;

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

impl Logical {
    /// A value without any expiry.
    pub fn lasting(value: Value) -> Self {
        Self { expire_at_ms: None, value, member_ttls: BTreeSet::new() }
    }
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
    /// A type that ordinary commands cannot read: its name in `TYPE`.
    Opaque(String),
}

impl Value {
    /// The type's name, as `TYPE` gives it.
    pub fn type_name(&self) -> &str {
        match self {
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Set(_) => "set",
            Self::Hash(_) => "hash",
            Self::Zset(_) => "zset",
            Self::Stream(_) => "stream",
            Self::Json(_) => "ReJSON-RL",
            Self::Opaque(name) => name,
        }
    }
}

/// Renames every key as the target's mapping does; `None` drops it. Two keys that meet panic.
pub fn mapped(contents: &Contents, map: impl Fn(&Name) -> Option<Name>) -> Contents {
    let mut renamed = Contents::new();
    for (name, logical) in contents {
        let Some(to) = map(name) else { continue };
        let text = crate::client::readable(&to.1);
        assert!(renamed.insert(to, logical.clone()).is_none(), "two source keys map to {text}");
    }
    renamed
}

/// The default mapping onto a cluster: db N > 0 becomes `dbN:key` in db 0.
pub fn prefixed(name: &Name) -> Option<Name> {
    prefixed_with(&|db| format!("db{db}:"))(name)
}

/// A mapping onto a cluster with other prefixes: db N > 0 becomes `prefix(N)key` in db 0.
pub fn prefixed_with(prefix: &impl Fn(u32) -> String) -> impl Fn(&Name) -> Option<Name> {
    move |(db, key)| match db {
        0 => Some((0, key.clone())),
        db => Some((0, [prefix(*db).as_bytes(), key].concat())),
    }
}
