//! Which name a key of a source database has on the target, and back.
//!
//! A standalone target keeps databases by default; a cluster has only database 0, so database N > 0 becomes a prefix,
//! `dbN:` by default. Two source keys may then want one name: the key `db1:a` of database 0, and `a` of database 1.
//! That must stop the run before anything is written, but only if database 1 exists at the source.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use crate::{
    filter::{Excluded, Filter},
    treatment::SourceKey,
};

/// What becomes of a source database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// The same database, names unchanged. On a cluster only for database 0.
    Keep,
    /// Database 0 of the target, with this in front of each name.
    Prefix(Bytes),
    /// Not replicated.
    Drop,
}

/// A mapping that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MappingError {
    /// A cluster has only database 0.
    #[error("database {0} cannot be kept: a cluster has only database 0")]
    KeepOnCluster(u32),
    /// Two databases with the same names.
    #[error("databases {0} and {1} are both mapped to the same names")]
    SameNames(u32, u32),
}

/// Two keys of the source that want the same name on the target.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the keys {} of database {} and {} of database {} would both be named {} on the target",
    plain.key.escape_ascii(), plain.db, prefixed.key.escape_ascii(), prefixed.db, name.escape_ascii())]
pub struct Collision {
    /// The key that begins with the other database's prefix by itself (usually of database 0).
    pub plain: SourceKey,
    /// The key that gets the name through its database's prefix. It need not exist yet.
    pub prefixed: SourceKey,
    /// The prefix.
    pub prefix: Bytes,
    /// The name on the target.
    pub name: Bytes,
}

/// Where the keys of one source database go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Database on the target.
    pub db: u32,
    /// What stands in front of each name; empty for most.
    pub prefix: Bytes,
}

impl Placement {
    /// The target name of a key. Without a prefix a cheap clone.
    #[must_use]
    pub fn name(&self, key: &Bytes) -> Bytes {
        if self.prefix.is_empty() {
            return key.clone();
        }
        let mut name = BytesMut::with_capacity(self.prefix.len() + key.len());
        name.extend_from_slice(&self.prefix);
        name.extend_from_slice(key);
        name.freeze()
    }
}

/// Keys of the target, by database and name, that were there before the first full sync and stay as they are.
#[derive(Debug, Default)]
pub struct Existing {
    /// The keys.
    pub names: HashSet<(u32, Bytes)>,
    /// Whether a key of the source with such a name is to end the run, instead of being left out.
    pub stop: bool,
}

/// The mapping of databases and the filter, with what is known about the databases of the source. Clones share that
/// knowledge.
#[derive(Debug, Clone)]
pub struct Mapping {
    rules: Arc<BTreeMap<u32, Rule>>,
    /// Databases above 0 without a rule get the prefix `dbN:` instead of being kept.
    prefix_others: bool,
    /// First bytes of all prefixes: a name that begins otherwise collides with nothing.
    first_bytes: Arc<[bool; 256]>,
    filter: Filter,
    existing: Option<Arc<Existing>>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Databases known to exist at the source.
    databases: BTreeSet<u32>,
    /// By database: one key of another database that begins with this one's prefix.
    suspects: BTreeMap<u32, SourceKey>,
    /// There may be more databases than those listed.
    incomplete: bool,
}

impl Mapping {
    /// A standalone target with databases as they are at the source.
    #[must_use]
    pub fn keep() -> Self {
        Self::build(BTreeMap::new(), false)
    }

    /// The default of a cluster: database 0 as it is, `dbN:` in front of the keys of the others.
    #[must_use]
    pub fn prefixed() -> Self {
        Self::build(BTreeMap::new(), true)
    }

    /// A mapping with rules for some databases. The others: kept on a standalone target, `dbN:` on a cluster.
    ///
    /// # Errors
    /// [`MappingError`] where two databases share all names, or a cluster is asked for a second database.
    pub fn with_rules(rules: BTreeMap<u32, Rule>, cluster: bool) -> Result<Self, MappingError> {
        let mapping = Self::build(rules, cluster);
        let mut taken: BTreeMap<(u32, Bytes), u32> = BTreeMap::new();
        for (&db, rule) in mapping.rules.iter() {
            if cluster && db != 0 && *rule == Rule::Keep {
                return Err(MappingError::KeepOnCluster(db));
            }
            let Some(place) = mapping.placement(db) else { continue };
            if let Some(other) = mapping.implied(&place).filter(|other| *other != db) {
                return Err(MappingError::SameNames(other, db));
            }
            if let Some(other) = taken.insert((place.db, place.prefix), db) {
                return Err(MappingError::SameNames(other, db));
            }
        }
        Ok(mapping)
    }

    fn build(rules: BTreeMap<u32, Rule>, prefix_others: bool) -> Self {
        let mut first_bytes = [false; 256];
        first_bytes[usize::from(b'd')] = prefix_others;
        for rule in rules.values() {
            if let Rule::Prefix(prefix) = rule
                && let Some(&first) = prefix.first()
            {
                first_bytes[usize::from(first)] = true;
            }
        }
        Self {
            rules: Arc::new(rules),
            prefix_others,
            first_bytes: Arc::new(first_bytes),
            filter: Filter::default(),
            existing: None,
            seen: Arc::new(Mutex::new(Seen::default())),
        }
    }

    /// The same mapping for what this filter lets through.
    #[must_use]
    pub fn with_filter(self, filter: Filter) -> Self {
        Self { filter, ..self }
    }

    /// The same mapping without these names of the target; databases already noted stay so.
    #[must_use]
    pub fn without(self, existing: Arc<Existing>) -> Self {
        let existing = (!existing.names.is_empty()).then_some(existing);
        Self { existing, ..self }
    }

    /// What is let through.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether no key of a database that is not dropped is left out.
    #[must_use]
    pub fn takes_everything(&self) -> bool {
        self.filter.is_everything() && self.existing.is_none()
    }

    /// Why a key is left out, whatever its type; a database that the mapping drops is no reason here.
    #[must_use]
    pub fn excludes(&self, db: u32, key: &Bytes) -> Option<Excluded> {
        if !self.filter.is_everything() {
            if !self.filter.allows_database(db) {
                return Some(Excluded::Database);
            }
            if !self.filter.allows_name(key) {
                return Some(Excluded::Key);
            }
        }
        let existing = self.existing.as_ref()?;
        let place = self.placement(db)?;
        existing.names.contains(&(place.db, place.name(key))).then_some(Excluded::Existing)
    }

    /// Whether a key of the source whose name the target had before ends the run.
    #[must_use]
    pub fn stops_at_existing(&self) -> bool {
        self.existing.as_ref().is_some_and(|existing| existing.stop)
    }

    /// Where the keys of a source database go; `None` if it is dropped.
    #[must_use]
    pub fn placement(&self, db: u32) -> Option<Placement> {
        match self.rules.get(&db) {
            Some(Rule::Drop) => None,
            Some(Rule::Prefix(prefix)) => Some(Placement { db: 0, prefix: prefix.clone() }),
            Some(Rule::Keep) => Some(Placement { db, prefix: Bytes::new() }),
            None if self.prefix_others && db != 0 => {
                Some(Placement { db: 0, prefix: Bytes::from(format!("db{db}:")) })
            }
            None => Some(Placement { db, prefix: Bytes::new() }),
        }
    }

    /// The target's database and name of a source key; `None` if its database is dropped, or the filter or a key that was
    /// there before leaves it out.
    #[must_use]
    pub fn target_name(&self, db: u32, key: &Bytes) -> Option<(u32, Bytes)> {
        let place = self.placement(db)?;
        self.excludes(db, key).is_none().then(|| (place.db, place.name(key)))
    }

    /// The source key of a name found on the target; `None` for a foreign name, which no source key would take, or only one
    /// that is left out.
    ///
    /// A prefix counts only for databases known to exist at the source; else the name is one of the database that
    /// keeps its names. Where not all databases are known ([`Mapping::databases_unknown`]) every prefix counts.
    #[must_use]
    pub fn source_name(&self, target_db: u32, name: &Bytes) -> Option<SourceKey> {
        let plain = self.implied(&Placement { db: target_db, prefix: Bytes::new() });
        let rival = self
            .rivals(target_db, name)
            .into_iter()
            .filter(|(db, _)| {
                let seen = self.lock();
                plain.is_none() || seen.incomplete || seen.databases.contains(db)
            })
            .filter(|(db, length)| self.excludes(*db, &name.slice(*length..)).is_none())
            .max_by_key(|(_, length)| *length);
        match rival {
            Some((db, length)) => Some(SourceKey { db, key: name.slice(length..) }),
            None => plain
                .map(|db| SourceKey { db, key: name.clone() })
                .filter(|key| self.excludes(key.db, &key.key).is_none()),
        }
    }

    /// What to scan on the target for the keys of a source database: the target's database and a `MATCH` pattern,
    /// `None` for all names. [`Mapping::source_name`] decides about each name found.
    #[must_use]
    pub fn scan(&self, db: u32) -> Option<(u32, Option<Bytes>)> {
        let place = self.placement(db)?;
        if place.prefix.is_empty() {
            return Some((place.db, None));
        }
        Some((place.db, Some(begins_with(&place.prefix))))
    }

    /// Whether there may be databases that nobody has told of: the source does not answer `INFO keyspace`.
    pub fn databases_unknown(&self, unknown: bool) {
        self.lock().incomplete = unknown;
    }

    /// Whether it is not known which database's key this name is.
    #[must_use]
    pub fn is_ambiguous(&self, target_db: u32, name: &[u8]) -> bool {
        self.lock().incomplete && !self.rivals(target_db, name).is_empty()
    }

    /// Databases known to exist at the source, ascending.
    #[must_use]
    pub fn databases(&self) -> Vec<u32> {
        self.lock().databases.iter().copied().collect()
    }

    /// A database exists at the source: `INFO keyspace` lists it, or a record selects it.
    ///
    /// # Errors
    /// A key that begins with its prefix was seen before. The database is known afterwards all the same.
    pub fn note_database(&self, db: u32) -> Result<(), Box<Collision>> {
        let Some(place) = self.placement(db) else { return Ok(()) };
        let mut seen = self.lock();
        seen.databases.insert(db);
        match seen.suspects.get(&db) {
            None => Ok(()),
            Some(plain) => Err(self.collision(plain.clone(), db, place.prefix.len())),
        }
    }

    /// A key of `db` is about to be written under `name`. Remembers one key for each prefix that `name` begins with.
    ///
    /// # Errors
    /// `name` begins with the prefix of another database that is known to exist.
    pub fn check(&self, db: u32, target_db: u32, name: &Bytes) -> Result<(), Box<Collision>> {
        let Some(&first) = name.first() else { return Ok(()) };
        if !self.first_bytes[usize::from(first)] {
            return Ok(());
        }
        let own = self.placement(db).map_or(0, |place| place.prefix.len());
        for (other, length) in self.rivals(target_db, name) {
            // A key that is left out takes no name.
            if other == db || length <= own || self.excludes(other, &name.slice(length..)).is_some() {
                continue;
            }
            let mut seen = self.lock();
            let plain = SourceKey { db, key: name.slice(own..) };
            if seen.databases.contains(&other) {
                return Err(self.collision(plain, other, length));
            }
            seen.suspects.entry(other).or_insert(plain);
        }
        Ok(())
    }

    /// The database, other than `db`, known to exist, whose prefix this key begins with, and the prefix.
    #[must_use]
    pub fn collides(&self, db: u32, key: &Bytes) -> Option<(u32, Bytes)> {
        let (target_db, name) = self.target_name(db, key)?;
        let own = name.len() - key.len();
        let (other, length) = self
            .rivals(target_db, &name)
            .into_iter()
            .find(|(other, length)| *other != db && *length > own && self.lock().databases.contains(other))?;
        Some((other, name.slice(..length)))
    }

    /// All databases whose prefix `name` begins with, and the lengths of the prefixes.
    fn rivals(&self, target_db: u32, name: &[u8]) -> Vec<(u32, usize)> {
        let mut found = Vec::new();
        if target_db != 0 || name.is_empty() || !self.first_bytes[usize::from(name[0])] {
            return found;
        }
        for (&db, rule) in self.rules.iter() {
            if let Rule::Prefix(prefix) = rule
                && !prefix.is_empty()
                && name.starts_with(prefix)
            {
                found.push((db, prefix.len()));
            }
        }
        if self.prefix_others
            && let Some((db, length)) = default_prefix(name)
            && !self.rules.contains_key(&db)
        {
            found.push((db, length));
        }
        found
    }

    /// The database that has no rule of its own and goes to this place, or the one that keeps its names there.
    fn implied(&self, place: &Placement) -> Option<u32> {
        if place.prefix.is_empty() {
            let keeps = self.placement(place.db).is_some_and(|own| own == *place);
            let merged = || {
                let empty = |rule: &Rule| matches!(rule, Rule::Prefix(p) if p.is_empty());
                self.rules.iter().find(|(_, rule)| place.db == 0 && empty(rule)).map(|(db, _)| *db)
            };
            return if keeps { Some(place.db) } else { merged() };
        }
        let (db, length) = default_prefix(&place.prefix).filter(|_| self.prefix_others)?;
        (length == place.prefix.len() && !self.rules.contains_key(&db)).then_some(db)
    }

    fn collision(&self, plain: SourceKey, db: u32, length: usize) -> Box<Collision> {
        let name = self.target_name(plain.db, &plain.key).map_or_else(|| plain.key.clone(), |(_, name)| name);
        let prefixed = SourceKey { db, key: name.slice(length..) };
        Box::new(Collision { plain, prefixed, prefix: name.slice(..length), name })
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The `MATCH` pattern of names that begin with this.
#[must_use]
pub fn begins_with(prefix: &[u8]) -> Bytes {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for &byte in prefix {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\' | b'^') {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern.push(b'*');
    pattern.into()
}

/// `db<N>:` with N > 0 written without leading zeros: N and the length of the prefix.
fn default_prefix(name: &[u8]) -> Option<(u32, usize)> {
    let digits = name.strip_prefix(b"db")?;
    let colon = digits.iter().take(6).position(|&b| b == b':')?;
    let number = std::str::from_utf8(&digits[..colon]).ok()?;
    if !number.starts_with(|c: char| ('1'..='9').contains(&c)) {
        return None;
    }
    Some((number.parse().ok()?, 2 + colon + 1))
}

#[cfg(test)]
mod tests;
