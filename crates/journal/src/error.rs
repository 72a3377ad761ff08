//! What can be wrong with a journal.

use thiserror::Error;

/// What to do about an [`enum@Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The bytes contradict the format. There is no framing to skip by: close, and start over with a full sync.
    Corrupt,
    /// The record may be good, but exceeds a bound of [`crate::Limits`].
    Limit,
    /// An op that this decoder does not know: a newer release, most likely.
    Unsupported,
}

/// A journal that cannot be decoded. A decoder that returned one stays in error.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// An unknown op.
    #[error("unknown journal op {0}")]
    Op(u64),
    /// A first byte that is no length.
    #[error("byte {0:#04x} does not begin a packed integer")]
    Packed(u8),
    /// A database index above 16 bits.
    #[error("database {0} is out of range")]
    Db(u64),
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
    /// The arguments are longer or shorter together than the record says.
    #[error("the arguments do not add up to the record's {total} bytes")]
    Total {
        /// Bytes of all arguments as the record says.
        total: u64,
    },
    /// A record without even a command name.
    #[error("the record has no arguments")]
    NoArguments,
    /// A journal blob ends inside its record.
    #[error("the journal blob ends too early")]
    Truncated,
    /// A journal blob holds more than one record.
    #[error("the journal blob has bytes after its record")]
    Trailing,
}

impl Error {
    /// What to do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::TooLarge { .. } => Class::Limit,
            Self::Op(_) => Class::Unsupported,
            _ => Class::Corrupt,
        }
    }
}
