//! Which database of the source goes where on the target.

use std::collections::BTreeMap;

/// The `mapping` section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    /// `mapping.databases`; `None` when it is not given: then the kind of target decides, see [`Mapping::for_cluster`].
    pub databases: Option<Databases>,
}

/// How databases are mapped. Every variant leaves database 0 as it is unless a map names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Databases {
    /// Database N stays database N. Only a standalone target has databases.
    Keep,
    /// Database N > 0 becomes `dbN:key` in database 0.
    Prefix,
    /// Chosen by database.
    Map {
        /// The databases the configuration names.
        named: BTreeMap<u32, Choice>,
        /// What happens to databases N > 0 that it does not name: `true` keeps them (standalone target), `false`
        /// prefixes them with `dbN:` (cluster).
        keep_others: bool,
    },
}

/// What a map says about one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Keep the database's number.
    Keep,
    /// Into database 0, under this prefix. Never empty, never the beginning of another one.
    Prefix(Vec<u8>),
    /// Not replicated.
    Drop,
}

/// Where the keys of one source database go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Into this database, under their own names.
    Keep(u32),
    /// Into database 0, each name behind this prefix.
    Prefix(Vec<u8>),
    /// Nowhere.
    Drop,
}

impl Databases {
    /// Where the keys of the source's database `db` go.
    pub fn resolve(&self, db: u32) -> Destination {
        let by_default = |keep: bool| {
            if keep || db == 0 { Destination::Keep(db) } else { Destination::Prefix(default_prefix(db)) }
        };
        match self {
            Databases::Keep => by_default(true),
            Databases::Prefix => by_default(false),
            Databases::Map { named, keep_others } => match named.get(&db) {
                Some(Choice::Keep) => Destination::Keep(db),
                Some(Choice::Prefix(prefix)) => Destination::Prefix(prefix.clone()),
                Some(Choice::Drop) => Destination::Drop,
                None => by_default(*keep_others),
            },
        }
    }
}

impl Mapping {
    /// The mapping for a cluster: what is configured, else [`Databases::Prefix`]. `None` when the configuration keeps
    /// databases, which a cluster does not have (with `target.type: auto` this is known only after connecting).
    pub fn for_cluster(&self) -> Option<Databases> {
        match &self.databases {
            None => Some(Databases::Prefix),
            Some(Databases::Keep) => None,
            Some(Databases::Map { named, .. })
                if named.iter().any(|(db, choice)| *db > 0 && *choice == Choice::Keep) =>
            {
                None
            }
            Some(Databases::Map { named, .. }) => {
                Some(Databases::Map { named: named.clone(), keep_others: false })
            }
            Some(Databases::Prefix) => Some(Databases::Prefix),
        }
    }

    /// The mapping for a standalone server: what is configured, else [`Databases::Keep`].
    pub fn for_standalone(&self) -> Databases {
        match &self.databases {
            None => Databases::Keep,
            Some(Databases::Map { named, .. }) => Databases::Map { named: named.clone(), keep_others: true },
            Some(other) => other.clone(),
        }
    }
}

fn default_prefix(db: u32) -> Vec<u8> {
    format!("db{db}:").into_bytes()
}
