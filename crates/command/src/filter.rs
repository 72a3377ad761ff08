//! What is replicated at all: filters by database, name, type and command.
//!
//! | module | what it answers |
//! |---|---|
//! | [`Filter`] | whether a database, a name, a type, a command is let through |
//! | [`Sieve`] | what is left of a record or a value, for one flow |
//! | [`Pattern`] | whether a name fits |
//!
//! Databases and names decide what is ours: a key that they exclude lies outside the mapping
//! ([`Mapping::target_name`](crate::Mapping::target_name) has no name for it), so nothing under its name is ever written
//! or removed on the target. Types decide which values are carried: a key of an excluded type counts as one that the source
//! does not have. Commands are left out of the stream, whatever that does to their keys.

mod pattern;
mod sieve;
mod value_type;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

pub use pattern::Pattern;
pub use sieve::{Sieve, Sieved};
pub use value_type::ValueType;

/// Why something is not replicated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Excluded {
    /// By its database.
    Database,
    /// By its name.
    Key,
    /// By its type.
    Type,
    /// By the command.
    Command,
    /// The target had a key of this name before, and that one stays (`conflict.policy`).
    Existing,
}

impl Excluded {
    /// One word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Excluded::Database => "database",
            Excluded::Key => "key",
            Excluded::Type => "type",
            Excluded::Command => "command",
            Excluded::Existing => "existing",
        }
    }
}

/// What is let through. Of each pair: where the first list is empty, everything is allowed; what the second one names is
/// excluded in any case.
#[derive(Debug, Clone, Default)]
pub struct FilterRules {
    /// Names that are allowed.
    pub allow_keys: Vec<Pattern>,
    /// Names that are excluded.
    pub deny_keys: Vec<Pattern>,
    /// Databases that are allowed.
    pub allow_databases: BTreeSet<u32>,
    /// Databases that are excluded.
    pub deny_databases: BTreeSet<u32>,
    /// Types that are allowed.
    pub allow_types: BTreeSet<ValueType>,
    /// Types that are excluded.
    pub deny_types: BTreeSet<ValueType>,
    /// Commands of the journal that are allowed, in upper case.
    pub allow_commands: BTreeSet<Bytes>,
    /// Commands of the journal that are excluded, in upper case.
    pub deny_commands: BTreeSet<Bytes>,
}

/// A filter. Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `None`: everything is let through.
    rules: Option<Arc<FilterRules>>,
}

impl Filter {
    /// A filter with these rules.
    #[must_use]
    pub fn new(rules: FilterRules) -> Filter {
        let FilterRules {
            allow_keys,
            deny_keys,
            allow_databases,
            deny_databases,
            allow_types,
            deny_types,
            allow_commands,
            deny_commands,
        } = &rules;
        let names = allow_keys.is_empty() && deny_keys.is_empty();
        let databases = allow_databases.is_empty() && deny_databases.is_empty();
        let types = allow_types.is_empty() && deny_types.is_empty();
        let commands = allow_commands.is_empty() && deny_commands.is_empty();
        let everything = names && databases && types && commands;
        Filter { rules: (!everything).then(|| Arc::new(rules)) }
    }

    /// Whether nothing is excluded.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.rules.is_none()
    }

    /// Whether some types are excluded.
    #[must_use]
    pub fn chooses_types(&self) -> bool {
        self.rules.as_ref().is_some_and(|r| !(r.allow_types.is_empty() && r.deny_types.is_empty()))
    }

    /// Whether a database of the source is let through.
    #[must_use]
    pub fn allows_database(&self, db: u32) -> bool {
        self.rules.as_ref().is_none_or(|r| {
            (r.allow_databases.is_empty() || r.allow_databases.contains(&db))
                && !r.deny_databases.contains(&db)
        })
    }

    /// Whether a name of the source is let through, whatever its database.
    #[must_use]
    pub fn allows_name(&self, key: &[u8]) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(key));
        self.rules
            .as_ref()
            .is_none_or(|r| (r.allow_keys.is_empty() || any(&r.allow_keys)) && !any(&r.deny_keys))
    }

    /// Whether values of a type are carried.
    #[must_use]
    pub fn allows_type(&self, kind: ValueType) -> bool {
        self.rules.as_ref().is_none_or(|r| {
            (r.allow_types.is_empty() || r.allow_types.contains(&kind)) && !r.deny_types.contains(&kind)
        })
    }

    /// Whether records with this command (upper case, as in a journal) are carried.
    #[must_use]
    pub fn allows_command(&self, name: &[u8]) -> bool {
        self.rules.as_ref().is_none_or(|r| {
            (r.allow_commands.is_empty() || r.allow_commands.contains(name))
                && !r.deny_commands.contains(name)
        })
    }

    /// Whether a key of the source is to be on the target: by database, name and type.
    #[must_use]
    pub fn in_scope(&self, db: u32, key: &[u8], kind: ValueType) -> bool {
        self.allows_database(db) && self.allows_name(key) && self.allows_type(kind)
    }

    /// Commands it names that no journal contains.
    #[must_use]
    pub fn unknown_commands(&self) -> Vec<Bytes> {
        let Some(rules) = &self.rules else { return Vec::new() };
        let named = rules.allow_commands.iter().chain(&rules.deny_commands);
        named.filter(|name| crate::table::find(name).is_none()).cloned().collect()
    }
}

#[cfg(test)]
mod tests;
