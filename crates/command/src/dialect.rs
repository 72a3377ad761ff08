//! What a target understands.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
    sync::LazyLock,
};

use rdb::Kind;

use crate::{
    MissingKind,
    table::{self, Spec},
};

/// Version of a server: major, minor, patch.
pub type Version = (u32, u32, u32);

/// Whose server the target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// Redis.
    Redis,
    /// Valkey, forked from Redis 7.2.4.
    Valkey,
}

/// What `RESTORE` takes, as the target answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// The encodings it loads.
    pub kinds: BTreeSet<Kind>,
    /// The highest RDB version it takes; `None` where that could not be told.
    pub version: Option<u16>,
}

/// What a target understands: its version, and which of [`Dialect::wanted_commands`] it has.
#[derive(Debug, Clone)]
pub struct Dialect {
    /// Version of the server itself (at Valkey not the `redis_version` that it shows to old clients).
    pub version: Version,
    /// Whose server it is.
    pub flavour: Flavour,
    /// Whether it is a cluster: slots, and only database 0.
    pub cluster: bool,
    commands: HashSet<String>,
    /// The table by name, with whether the target has the command and can hold the source's values with it.
    by_name: HashMap<&'static [u8], (&'static Spec, bool), BuildHasherDefault<NameHasher>>,
    hash_field_ttl: bool,
    restore: Option<Restore>,
    forbidden: Vec<(&'static str, &'static str)>,
}

/// Modules, by a command that they have, in the operator's words.
const MODULES: [(&str, &str); 6] = [
    ("JSON.SET", "JSON"),
    ("BF.ADD", "Bloom"),
    ("CF.ADD", "Cuckoo"),
    ("CMS.INITBYDIM", "CMS"),
    ("TOPK.ADD", "Top-K"),
    ("FT.CREATE", "search"),
];

/// Commands that are asked for although no record has them.
const BESIDES: [&str; 1] = ["HELLO"];

impl Dialect {
    /// A target that has these commands (any case), as `COMMAND INFO` told.
    pub fn new<I>(flavour: Flavour, version: Version, cluster: bool, commands: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let commands: HashSet<String> =
            commands.into_iter().map(|c| c.as_ref().to_ascii_uppercase()).collect();
        let has = |spec: &'static Spec| {
            let usable = commands.contains(spec.name) && spec.missing.can_be_carried();
            (spec.name.as_bytes(), (spec, usable))
        };
        let by_name = table::all().iter().map(has).collect();
        let hash_field_ttl = commands.contains("HPEXPIREAT");
        Self {
            version,
            flavour,
            cluster,
            commands,
            by_name,
            hash_field_ttl,
            restore: None,
            forbidden: Vec::new(),
        }
    }

    /// The same target, of which it was found out what its `RESTORE` takes; `None`: what its version takes.
    #[must_use]
    pub fn restoring(self, restore: Option<Restore>) -> Self {
        Self { restore, ..self }
    }

    /// The same target, which does not let us use these commands; with each, what is weaker without.
    #[must_use]
    pub fn forbidding(self, forbidden: Vec<(&'static str, &'static str)>) -> Self {
        Self { forbidden, ..self }
    }

    /// What the target does not let us use, and what is weaker without.
    #[must_use]
    pub fn forbidden(&self) -> &[(&'static str, &'static str)] {
        &self.forbidden
    }

    /// The modules it has, in words.
    #[must_use]
    pub fn modules(&self) -> Vec<&'static str> {
        MODULES.iter().filter(|(command, _)| self.has(command)).map(|(_, words)| *words).collect()
    }

    /// The highest RDB version that its `RESTORE` takes, if it was found out.
    #[must_use]
    pub fn restore_version(&self) -> Option<u16> {
        self.restore.as_ref()?.version
    }

    /// A target that has what a plain server of this version has: for users that may not run `COMMAND INFO`.
    ///
    /// Valkey is taken as Redis 7.2, from which it was forked; from 9 on with the commands for TTLs of hash fields.
    #[must_use]
    pub fn assumed(flavour: Flavour, version: Version, cluster: bool) -> Self {
        let release = match flavour {
            Flavour::Redis => (version.0, version.1),
            Flavour::Valkey => (7, 2),
        };
        let field_ttl = flavour == Flavour::Valkey && version.0 >= 9;
        let has = |spec: &&Spec| match spec.since {
            Some(since) => since <= release || field_ttl && spec.missing == MissingKind::HashFieldTtl,
            None => false,
        };
        Self::new(flavour, version, cluster, table::all().iter().filter(has).map(|spec| spec.name))
    }

    /// Flavour and version from the text of `INFO server`; `None` where it has neither `valkey_version` nor
    /// `redis_version`.
    #[must_use]
    pub fn identify(info: &str) -> Option<(Flavour, Version)> {
        let field = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(|v| parse_version(v.trim()))
        };
        match field("valkey_version") {
            Some(version) => Some((Flavour::Valkey, version)),
            None => field("redis_version").map(|version| (Flavour::Redis, version)),
        }
    }

    /// The names to ask `COMMAND INFO` for.
    #[must_use]
    pub fn wanted_commands() -> &'static [&'static str] {
        static NAMES: LazyLock<Vec<&'static str>> =
            LazyLock::new(|| table::all().iter().map(|s| s.name).chain(BESIDES).collect());
        &NAMES
    }

    /// Whether the target has a command; `name` in upper case.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.commands.contains(name)
    }

    /// The table's row of a command, and whether the target has it and can hold the source's values with it.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<(&'static Spec, bool)> {
        match self.by_name.get(name) {
            Some(found) => Some(*found),
            // the source writes upper case; anything else may take longer
            None if name.iter().any(u8::is_ascii_lowercase) => {
                self.by_name.get(name.to_ascii_uppercase().as_slice()).copied()
            }
            None => None,
        }
    }

    /// Whether `RESTORE` of the target loads values of this encoding.
    #[must_use]
    pub fn restore_accepts(&self, kind: Kind) -> bool {
        if let Some(restore) = &self.restore {
            return restore.kinds.contains(&kind);
        }
        kind.restore_since().is_some_and(|(major, minor)| self.at_least(u32::from(major), u32::from(minor)))
    }

    /// The newest encoding of streams that `RESTORE` of the target loads.
    #[must_use]
    pub fn stream_kind(&self) -> Kind {
        [Kind::Stream3, Kind::Stream2].into_iter().find(|k| self.restore_accepts(*k)).unwrap_or(Kind::Stream)
    }

    /// Whether single hash fields can expire (`HPEXPIREAT`: Redis 7.4, Valkey 9).
    #[must_use]
    pub fn has_hash_field_ttl(&self) -> bool {
        self.hash_field_ttl
    }

    /// Whether streams keep `ENTRIESADDED`, `MAXDELETEDID` and `ENTRIESREAD` (Redis 7.0).
    #[must_use]
    pub fn has_stream_counters(&self) -> bool {
        self.at_least(7, 0)
    }

    pub(crate) fn at_least(&self, major: u32, minor: u32) -> bool {
        (self.version.0, self.version.1) >= (major, minor)
    }
}

fn parse_version(text: &str) -> Version {
    let mut parts = text.split(['.', '-']).map(|p| p.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

/// Hashes command names, eight bytes at a time. They come from the table or are looked up in it, so nobody can make
/// it degenerate.
#[derive(Debug, Default, Clone)]
struct NameHasher(u64);

impl NameHasher {
    fn fold(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(word));
        }
    }

    fn write_usize(&mut self, length: usize) {
        self.fold(length as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect(version: Version) -> Dialect {
        Dialect::assumed(Flavour::Redis, version, false)
    }

    #[test]
    fn identifies_servers() {
        let redis = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n";
        assert_eq!(Dialect::identify(redis), Some((Flavour::Redis, (7, 0, 15))));
        let valkey = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0-rc1\r\n";
        assert_eq!(Dialect::identify(valkey), Some((Flavour::Valkey, (8, 1, 0))));
        assert_eq!(Dialect::identify("# Server\r\n"), None);
    }

    #[test]
    fn restore_by_version() {
        let cases: [(Version, &[Kind], &[Kind]); 3] = [
            ((6, 2, 14), &[Kind::Stream, Kind::Hash], &[Kind::HashListpack, Kind::Stream2, Kind::Stream3]),
            (
                (7, 0, 15),
                &[Kind::HashListpack, Kind::ListQuicklist2, Kind::Stream2],
                &[Kind::Stream3, Kind::Json],
            ),
            ((7, 2, 4), &[Kind::Stream3, Kind::ZsetListpack], &[Kind::HashTtl, Kind::JsonOld, Kind::Bloom]),
        ];
        for (version, yes, no) in cases {
            let dialect = dialect(version);
            assert!(yes.iter().all(|k| dialect.restore_accepts(*k)), "{version:?}");
            assert!(!no.iter().any(|k| dialect.restore_accepts(*k)), "{version:?}");
        }
        assert!(Dialect::assumed(Flavour::Valkey, (8, 0, 0), true).restore_accepts(Kind::Stream3));
    }

    #[test]
    fn what_was_found_out_counts_more_than_the_version() {
        let restore = Restore { kinds: BTreeSet::from([Kind::Hash, Kind::Stream]), version: Some(9) };
        let dialect = dialect((7, 2, 0)).restoring(Some(restore));
        assert!(dialect.restore_accepts(Kind::Hash) && !dialect.restore_accepts(Kind::HashListpack));
        assert_eq!((dialect.stream_kind(), dialect.restore_version()), (Kind::Stream, Some(9)));
    }

    #[test]
    fn modules_by_their_commands() {
        let dialect = Dialect::new(Flavour::Redis, (8, 0, 0), false, ["json.set", "BF.ADD", "SET"]);
        assert_eq!(dialect.modules(), ["JSON", "Bloom"]);
    }

    #[test]
    fn newest_stream_encoding() {
        assert_eq!(dialect((6, 2, 0)).stream_kind(), Kind::Stream);
        assert_eq!(dialect((7, 0, 15)).stream_kind(), Kind::Stream2);
        assert_eq!(dialect((7, 2, 0)).stream_kind(), Kind::Stream3);
    }

    #[test]
    fn commands_in_any_case() {
        let dialect = Dialect::new(Flavour::Redis, (7, 4, 0), false, ["set", "HPEXPIREAT"]);
        assert!(dialect.has("SET") && dialect.has_hash_field_ttl() && !dialect.has("DEL"));
        assert!(!self::dialect((7, 0, 15)).has_hash_field_ttl());
        assert!(self::dialect((7, 4, 0)).has_hash_field_ttl());
        let valkey = |version| Dialect::assumed(Flavour::Valkey, version, false);
        assert!(!valkey((8, 1, 0)).has_hash_field_ttl() && valkey((9, 0, 0)).has_hash_field_ttl());
    }
}
