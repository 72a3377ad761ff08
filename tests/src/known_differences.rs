//! Differences between a capture's contents and what a target can hold after it, by name.

use crate::logical::{Difference, What};

/// A difference that is expected, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Key at the source, in database `db`.
    pub key: &'static [u8],
    /// Database at the source.
    pub db: u32,
    /// What is wrong.
    pub what: What,
    /// Why.
    pub why: &'static str,
}

/// The list for one capture on one kind of target.
pub fn of(_version: &str, _scenario: &str, _cluster: bool) -> Vec<Known> {
    unimplemented!()
}

/// Panics unless exactly the known differences were found.
pub fn assert_exactly(_known: &[Known], _found: &[Difference]) {
    unimplemented!()
}
