//! The commands that occur in a journal, and those that are sent: where their keys are, what they do, what becomes
//! of them.
//!
//! A new command goes into `rows.rs`. A command that is not there is never sent ([`Reason::Unknown`]).
//!
//! [`Reason::Unknown`]: crate::Reason::Unknown

mod guide;
mod positions;
mod recorded;
mod rows;

pub use guide::commands_md;
pub(crate) use positions::store_at;
pub use positions::{Keys, Positions};
pub use recorded::{FAMILIES, Family, Recorded};

use bytes::Bytes;

use crate::{
    rewrite::Rewrite,
    target::Effect,
    treatment::{Ignored, MissingKind},
};

/// One row of the table.
#[derive(Debug)]
pub struct Spec {
    /// Name in upper case.
    pub name: &'static str,
    /// Where the keys stand.
    pub keys: Keys,
    /// What a second execution leads to.
    pub effect: Effect,
    /// What becomes of a record with this command.
    pub handling: Handling,
    /// First Redis release (major, minor) that has it; `None` for commands of modules and of Dragonfly alone.
    pub since: Option<(u32, u32)>,
    /// What a target lacks that does not have the command.
    pub missing: MissingKind,
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy)]
pub enum Handling {
    /// Sent as it is, with target names. Several keys must lie on one slot.
    Verbatim,
    /// Only lists keys ([`Keys::Every`]): on a cluster split into one command a slot.
    Split,
    /// Nothing to do.
    Ignore(Ignored),
    /// The target cannot have it, whatever its modules: Dragonfly's own encoding.
    Foreign,
    /// Written anew for the target.
    Rewrite(Rewrite),
    /// Without keys: over databases, or over the whole server.
    Keyless(Rewrite),
    /// Never in a journal, but sent or asked for.
    OnlySent,
}

/// All rows, in no order that matters.
#[must_use]
pub fn all() -> &'static [Spec] {
    rows::ROWS
}

/// The row of a command, in any case. Not meant for hot paths: [`crate::Dialect::find`] is.
#[must_use]
pub fn find(name: &[u8]) -> Option<&'static Spec> {
    all().iter().find(|spec| spec.name.as_bytes().eq_ignore_ascii_case(name))
}

/// The keys of a command, source names or target names; none for an unknown command.
#[must_use]
pub fn keys(args: &[Bytes]) -> Vec<Bytes> {
    let Some(spec) = args.first().and_then(|name| find(name)) else { return Vec::new() };
    spec.keys.positions(args).map(|i| args[i].clone()).collect()
}

#[cfg(test)]
mod tests;
