//! Which keys a record touches, and whether it can be taken apart by them.

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;

use crate::{
    table::{self, Handling, Keys, Spec},
    treatment::SourceKey,
};

/// The keys of a record, and what they have to do with each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touches {
    /// The keys, in the order of the arguments; a key that is named twice stands twice.
    pub keys: Vec<SourceKey>,
    /// How they hang together.
    pub shape: Shape,
}

/// How the keys of a record hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// One key, whose new value depends on no other.
    One,
    /// Several keys that have nothing to do with each other: [`keep_keys`] takes it apart.
    List,
    /// Several keys that cannot be told apart: the value of one becomes that of another, or all change or none.
    Moving,
    /// Over all keys of databases or slots (`FLUSHALL`, `FLUSHDB`, `DFLYCLUSTER`).
    Global,
    /// No key at all (`PING`, `SCRIPT`, `FT.*`).
    Keyless,
    /// A command that the table does not have. Its first argument stands for a key, which is a guess.
    Unknown,
}

/// Rows by name. The names in a journal are in upper case.
static ROWS: LazyLock<HashMap<&'static [u8], &'static Spec>> =
    LazyLock::new(|| table::all().iter().map(|spec| (spec.name.as_bytes(), spec)).collect());

/// The row of a command of a journal.
pub(crate) fn row(args: &[Bytes]) -> Option<&'static Spec> {
    ROWS.get(args.first()?.as_ref()).copied()
}

/// What a record of database `db` touches. `MOVE` touches the key in both databases.
#[must_use]
pub fn touches(db: u32, args: &[Bytes]) -> Touches {
    let key = |i: usize| SourceKey { db, key: args[i].clone() };
    let Some(spec) = row(args) else {
        return Touches { keys: (1..args.len().min(2)).map(key).collect(), shape: Shape::Unknown };
    };
    if let Handling::Keyless(_) = spec.handling {
        let shape = if spec.name == "SCRIPT" { Shape::Keyless } else { Shape::Global };
        return Touches { keys: Vec::new(), shape };
    }
    let mut keys: Vec<SourceKey> = spec.keys.positions(args).map(key).collect();
    if let ("MOVE", [_, name, to]) = (spec.name, args)
        && let Some(to) = std::str::from_utf8(to).ok().and_then(|to| to.parse().ok())
    {
        keys.push(SourceKey { db: to, key: name.clone() });
    }
    let shape = match keys.len() {
        0 => Shape::Keyless,
        1 => Shape::One,
        _ if list(spec).is_some() => Shape::List,
        _ => Shape::Moving,
    };
    Touches { keys, shape }
}

/// First key and distance, of commands that only list keys.
fn list(spec: &Spec) -> Option<(usize, usize)> {
    match (spec.handling, spec.keys) {
        (Handling::Split | Handling::Ignore(_), Keys::Every { first, step }) => Some((first, step)),
        _ => None,
    }
}

/// A command that only lists keys ([`Shape::List`], or one of these with a single key), with those keys for which
/// `keep` says so. `None`: it is another command, or none of its keys is kept.
#[must_use]
pub fn keep_keys(args: &[Bytes], keep: &dyn Fn(&[u8]) -> bool) -> Option<Vec<Bytes>> {
    let (first, step) = list(row(args)?)?;
    let mut kept = args.get(..first)?.to_vec();
    for group in args[first..].chunks(step).filter(|group| keep(&group[0])) {
        kept.extend_from_slice(group);
    }
    (kept.len() > first).then_some(kept)
}

#[cfg(test)]
mod tests;
