//! What can be wrong with a stream or a payload.

use thiserror::Error;

/// What to do about an [`enum@Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The bytes contradict the format: close, and start over with a full sync.
    Corrupt,
    /// The bytes may be good, but exceed a bound of [`crate::Limits`] that an operator can raise.
    Limit,
    /// The bytes are of a form that this decoder does not know: a newer release, most likely.
    Unsupported,
}

/// A stream or payload that cannot be decoded. A decoder that returned one stays in error.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The stream does not begin with `REDIS` and four digits.
    #[error("the stream does not begin with an RDB header")]
    Magic,
    /// An RDB version outside 5 to 12 (`rdb_load.cc` `RdbLoader::Load` accepts the same range).
    #[error("RDB version {0} is not supported")]
    Version(u32),
    /// A byte that is neither an opcode nor a value type where one of both must stand.
    #[error("unknown opcode or value type {0}")]
    Opcode(u8),
    /// An opcode that is known but may not stand at this place.
    #[error("opcode {opcode} may not stand inside {place}")]
    Misplaced {
        /// The opcode.
        opcode: u8,
        /// Where it was met.
        place: &'static str,
    },
    /// A first byte that is no length.
    #[error("byte {0:#04x} does not begin a length")]
    Length(u8),
    /// A first byte that is no string.
    #[error("byte {0:#04x} does not begin a string")]
    StringEncoding(u8),
    /// A length above a bound.
    #[error("{what} of {len} exceeds the limit of {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its length as the stream says.
        len: u64,
        /// The bound.
        max: u64,
    },
    /// A value of a fixed form that has another one.
    #[error("bad {what}: {detail}")]
    Malformed {
        /// What was being decoded: `listpack`, `ziplist`, `lz4 blob`, ...
        what: &'static str,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// A payload or blob ends before what it holds is complete.
    #[error("{0} ends too early")]
    Truncated(&'static str),
    /// Bytes follow where nothing may follow.
    #[error("{0} has bytes after its end")]
    Trailing(&'static str),
    /// The footer of a DUMP payload does not match its bytes.
    #[error("the payload's checksum is wrong")]
    Checksum,
    /// A value cannot be re-encoded as another type.
    #[error("type {from} cannot be written as type {to}")]
    Reencode {
        /// Type code of the value.
        from: u8,
        /// Type code asked for.
        to: u8,
    },
}

impl Error {
    /// What to do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::TooLarge { .. } => Class::Limit,
            Self::Version(_) | Self::Opcode(_) | Self::Reencode { .. } => Class::Unsupported,
            _ => Class::Corrupt,
        }
    }

    pub(crate) fn malformed(what: &'static str, detail: &'static str) -> Self {
        Self::Malformed { what, detail }
    }
}
