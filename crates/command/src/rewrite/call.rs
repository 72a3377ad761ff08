//! A record on its way through the table.

use bytes::Bytes;

use crate::{
    mapping::Placement,
    table::Spec,
    target::Commands,
    treatment::{MemberExpiry, Missing, MissingKind, Reason, SourceKey, Treatment},
};

/// A record with the row of its command and the place of its database.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) spec: &'static Spec,
    /// Whether the target has the command.
    pub(crate) available: bool,
    /// Database at the source.
    pub(crate) db: u32,
    pub(crate) place: Placement,
    /// Name and arguments, with source names.
    pub(crate) args: Vec<Bytes>,
    /// Unix ms at which the record was read.
    pub(crate) arrived_ms: u64,
}

impl Call {
    /// Whether argument `index` exists and is this word, in any case.
    pub(crate) fn is(&self, index: usize, word: &str) -> bool {
        self.args.get(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Argument `index`.
    pub(crate) fn arg(&self, index: usize) -> Result<&Bytes, Box<Treatment>> {
        self.args.get(index).ok_or_else(|| self.malformed())
    }

    /// Argument `index` as a decimal number.
    pub(crate) fn integer(&self, index: usize) -> Result<i64, Box<Treatment>> {
        integer(self.arg(index)?).ok_or_else(|| self.malformed())
    }

    /// The source key at argument `index`.
    pub(crate) fn source(&self, index: usize) -> Result<SourceKey, Box<Treatment>> {
        Ok(SourceKey { db: self.db, key: self.arg(index)?.clone() })
    }

    /// All keys that the record names.
    pub(crate) fn keys(&self) -> Vec<SourceKey> {
        let keys = self.spec.keys.positions(&self.args);
        keys.map(|i| SourceKey { db: self.db, key: self.args[i].clone() }).collect()
    }

    /// Nothing is sent, all keys of the record are to be read again.
    pub(crate) fn not_in_sync(&self, reason: Reason) -> Treatment {
        Treatment::NotInSync { keys: self.keys(), reason }
    }

    /// The arguments do not fit the command.
    pub(crate) fn malformed(&self) -> Box<Treatment> {
        Box::new(self.not_in_sync(Reason::Malformed))
    }

    /// The target lacks this; nothing is sent.
    pub(crate) fn lacking(&self, kind: MissingKind) -> Treatment {
        Treatment::Lacking(Missing { kind, keys: self.keys() })
    }

    /// Members of the first key expire at this time (unix ms), which somebody else than the target sees to.
    pub(crate) fn expiring(&self, commands: Commands, at_ms: i64) -> Result<Treatment, Box<Treatment>> {
        Ok(Treatment::Expiring { commands, expiry: self.member_expiry(at_ms)? })
    }

    /// Members of the first key expire at this time (unix ms).
    pub(crate) fn member_expiry(&self, at_ms: i64) -> Result<MemberExpiry, Box<Treatment>> {
        Ok(MemberExpiry { key: self.source(1)?, at_ms: u64::try_from(at_ms).unwrap_or(0) })
    }

    /// What is lost of this record's keys.
    pub(crate) fn missing(&self, kind: MissingKind) -> Missing {
        Missing { kind, keys: self.keys() }
    }

    /// Unix ms of a time that is `amount` of `unit` ms from the arrival of the record.
    pub(crate) fn after_arrival(&self, amount: i64, unit: i64) -> i64 {
        let arrived = i64::try_from(self.arrived_ms).unwrap_or(i64::MAX);
        arrived.saturating_add(amount.saturating_mul(unit))
    }
}

/// A decimal number.
pub(crate) fn integer(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// A number as an argument.
pub(crate) fn decimal(number: impl itoa::Integer) -> Bytes {
    Bytes::copy_from_slice(itoa::Buffer::new().format(number).as_bytes())
}
