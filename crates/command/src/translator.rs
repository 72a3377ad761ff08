//! Records and values in, treatments out.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Dialect, Mapping, Treatment, treatment::Ignored};

/// Why a snapshot value cannot be translated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The value's bytes do not decode.
    #[error(transparent)]
    Value(#[from] rdb::Error),
    /// A piece or end of a value that never began.
    #[error("value {0} was not begun")]
    NotBegun(u64),
}

/// Translates the records and values of one flow. Flows have a translator each, over clones of one [`Mapping`].
#[derive(Debug)]
pub struct Translator {
    mapping: Mapping,
    dialect: Arc<Dialect>,
}

/// A snapshot string, ready to be encoded without an argument vector: `SET name value [PXAT ms]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StringEntry {
    /// Database to `SELECT` on a standalone target; 0 on a cluster.
    pub db: u32,
    /// Slot on a cluster; 0 on a standalone target.
    pub slot: u16,
    /// Target name.
    pub key: Bytes,
    /// The string.
    pub value: Bytes,
    /// Absolute expiry in unix ms.
    pub expire_at_ms: Option<u64>,
}

impl Translator {
    /// A translator without open values.
    #[must_use]
    pub fn new(mapping: Mapping, dialect: Arc<Dialect>) -> Self {
        Self { mapping, dialect }
    }

    /// The mapping.
    #[must_use]
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// What the target understands.
    #[must_use]
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// What a journal record means. `arrived_ms`: unix time at which it was read, from which relative times count.
    pub fn record(&mut self, _record: journal::Record, _arrived_ms: u64) -> Treatment {
        Treatment::Ignore(Ignored::NoEffect)
    }

    /// The fast way for a string that goes out as one `SET`; `None`: use [`Translator::value`].
    ///
    /// # Errors
    /// The string's encoding is broken.
    pub fn string(&mut self, _value: &rdb::Value, _now_ms: u64) -> Result<Option<StringEntry>, Error> {
        Ok(None)
    }

    /// What a complete snapshot value means: replace the key. `now_ms`: unix time; keys and members whose expiry has
    /// passed are removed instead.
    ///
    /// # Errors
    /// The value's bytes do not decode.
    pub fn value(&mut self, _value: rdb::Value, _now_ms: u64) -> Result<Treatment, Error> {
        Ok(Treatment::Ignore(Ignored::NoEffect))
    }

    /// A value begins that comes in pieces: the key is removed.
    pub fn begin(&mut self, _begin: rdb::Begin, _now_ms: u64) -> Treatment {
        Treatment::Ignore(Ignored::NoEffect)
    }

    /// Some elements of an open value.
    ///
    /// # Errors
    /// [`Error::NotBegun`].
    pub fn piece(&mut self, _id: u64, _piece: rdb::Piece, _now_ms: u64) -> Result<Treatment, Error> {
        Ok(Treatment::Ignore(Ignored::NoEffect))
    }

    /// An open value is complete: its expiry is set.
    ///
    /// # Errors
    /// [`Error::NotBegun`].
    pub fn end(&mut self, _id: u64) -> Result<Treatment, Error> {
        Ok(Treatment::Ignore(Ignored::NoEffect))
    }
}
