//! What a check found, in numbers.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::options::Mode;
use crate::verdict::What;

/// The numbers. Shown as the summary line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// `full`, `outline`, `length` or `smart`.
    pub mode: &'static str,
    /// Rounds made.
    pub rounds: u32,
    /// Keys of the source that are the same on the target. One that its server lists twice counts twice.
    pub ok: u64,
    /// Keys of the source that the target lacks.
    pub missing: u64,
    /// Keys of the target that the source lacks.
    pub extra: u64,
    /// Keys of another type.
    pub r#type: u64,
    /// Keys of another value.
    pub value: u64,
    /// Keys of the same value with another expiry.
    pub ttl: u64,
    /// Keys that changed at the source whenever they were looked at: nothing can be said about them.
    pub in_motion: u64,
    /// Keys of types that the target cannot hold, by type.
    pub not_comparable: BTreeMap<String, u64>,
    /// Keys of the source that the configuration does not replicate, by the reason. Whatever the target has under their
    /// names is nobody's difference.
    pub skipped: BTreeMap<String, u64>,
    /// Names on the target that no key of the source would take.
    pub foreign: u64,
}

impl Summary {
    pub(crate) fn new(mode: Mode) -> Summary {
        Summary { mode: mode.name(), ..Summary::default() }
    }

    /// Whether no key was found that could be compared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ok + self.differences() + self.in_motion == 0
    }

    /// How many keys differ.
    #[must_use]
    pub fn differences(&self) -> u64 {
        What::ALL.into_iter().map(|what| self.count(what)).sum()
    }

    /// How many keys differ in this way.
    #[must_use]
    pub fn count(&self, what: What) -> u64 {
        match what {
            What::Missing => self.missing,
            What::Extra => self.extra,
            What::Type => self.r#type,
            What::Value => self.value,
            What::Ttl => self.ttl,
        }
    }

    pub(crate) fn add(&mut self, what: What) {
        *match what {
            What::Missing => &mut self.missing,
            What::Extra => &mut self.extra,
            What::Type => &mut self.r#type,
            What::Value => &mut self.value,
            What::Ttl => &mut self.ttl,
        } += 1;
    }

    pub(crate) fn forget_differences(&mut self) {
        (self.missing, self.extra, self.r#type, self.value, self.ttl) = (0, 0, 0, 0, 0);
    }
}

/// `OK:n missing:n extra:n type:n value:n ttl:n`
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OK:{}", self.ok)?;
        What::ALL.into_iter().try_for_each(|what| write!(f, " {what}:{}", self.count(what)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_line() {
        let mut summary = Summary { ok: 7, ..Summary::new(Mode::Full) };
        What::ALL.into_iter().for_each(|what| summary.add(what));
        summary.add(What::Extra);
        assert_eq!(summary.to_string(), "OK:7 missing:1 extra:2 type:1 value:1 ttl:1");
        assert_eq!(summary.differences(), 6);
        summary.forget_differences();
        assert_eq!(summary.differences(), 0);
        assert!(!summary.is_empty() && Summary::new(Mode::Full).is_empty());
    }
}
