//! What came of comparing a key.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;

/// What is wrong with a key; the first that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// At the source and not on the target.
    Missing,
    /// On the target and not at the source.
    Extra,
    /// Another type.
    Type,
    /// The same type, another value.
    Value,
    /// The same value, another expiry.
    Ttl,
}

impl What {
    /// All of them, as the summary line has them.
    pub const ALL: [What; 5] = [What::Missing, What::Extra, What::Type, What::Value, What::Ttl];

    /// The word in the summary line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            What::Missing => "missing",
            What::Extra => "extra",
            What::Type => "type",
            What::Value => "value",
            What::Ttl => "ttl",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A key of the source and its name on the target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Named {
    /// Database at the source.
    pub db: u32,
    /// Name at the source.
    pub key: Bytes,
    /// Database on the target.
    pub target_db: u32,
    /// Name on the target.
    pub name: Bytes,
}

/// What came of one look at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing differs.
    Equal,
    /// On neither side.
    Gone,
    /// The target has no such type; which.
    NotComparable(String),
    /// Not replicated, as the configuration says: of what kind, and which setting.
    Skipped(String),
    /// Something differs.
    Different(Found),
}

/// A difference in one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) what: What,
    /// Both sides in words, without values: those may be nobody else's business.
    pub(crate) detail: String,
    /// Stands for what was seen at the source: it differs if the source has changed.
    pub(crate) print: u64,
}
