//! Records that are not sent as they are.

pub(crate) mod expiry;
pub(crate) mod global;
pub(crate) mod json;
pub(crate) mod keyspace;
pub(crate) mod members;
pub(crate) mod plain;
pub(crate) mod store;
pub(crate) mod streams;
pub(crate) mod strings;

mod call;
mod context;

use std::fmt;

pub(crate) use call::{Call, decimal, integer};
pub(crate) use context::Context;

use crate::treatment::Treatment;

/// `Err` is a treatment too: one that ends the translation early.
pub(crate) type Outcome = Result<Treatment, Box<Treatment>>;

/// A function that writes a record anew for the target.
pub(crate) type RewriteFn = fn(&Context, Call) -> Outcome;

/// Writes a record anew for the target.
#[derive(Clone, Copy)]
pub struct Rewrite(pub(crate) RewriteFn);

impl fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rewrite")
    }
}
