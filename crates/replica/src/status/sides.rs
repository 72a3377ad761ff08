//! What is known of the two servers besides the stream.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use command::Dialect;
use serde::{Deserialize, Serialize};

use super::{Status, lock};
use crate::skew::ClocksReport;

/// What was found out about the source and the target.
#[derive(Debug, Clone, Default)]
pub(super) struct Sides {
    pub(super) clocks: ClocksReport,
    pub(super) members: MembersReport,
    pub(super) target: DialectReport,
    /// Search indexes of the source: name and definition.
    pub(super) search: BTreeMap<String, String>,
}

/// Search indexes that are listed.
const INDEXES: usize = 100;
/// Characters of a definition that are shown.
const DEFINITION: usize = 500;

/// What the target understands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct DialectReport {
    /// Product and version, such as `Redis 7.0.15`.
    pub product: String,
    /// Whether it is a cluster.
    pub cluster: bool,
    /// The highest RDB version that `RESTORE` takes; nothing where it does not tell.
    pub restore_rdb_version: Option<u16>,
    /// The newest version of the Redis protocol it speaks.
    pub resp: u8,
    /// Whether single hash fields can expire.
    pub hash_field_ttl: bool,
    /// Modules that it has, of those that the source's types need.
    pub modules: Vec<String>,
    /// What it does not let us use.
    pub forbidden: Vec<ForbiddenReport>,
}

/// Keys of which members expire at the source, and not by themselves on the target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct MembersReport {
    /// Keys on the schedule; nothing where such members are not removed by us.
    pub scheduled: Option<u64>,
    /// When the first of them is due, unix ms by the source's clock.
    pub next_due_ms: Option<u64>,
}

/// A command that the target does not let us use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ForbiddenReport {
    /// The command.
    pub command: String,
    /// What is weaker without it.
    pub weaker: String,
}

impl DialectReport {
    /// The report of a target.
    #[must_use]
    pub fn of(dialect: &Dialect) -> DialectReport {
        let (major, minor, patch) = dialect.version;
        DialectReport {
            product: format!("{:?} {major}.{minor}.{patch}", dialect.flavour),
            cluster: dialect.cluster,
            restore_rdb_version: dialect.restore_version(),
            resp: if dialect.has("HELLO") { 3 } else { 2 },
            hash_field_ttl: dialect.has_hash_field_ttl(),
            modules: dialect.modules().into_iter().map(str::to_owned).collect(),
            forbidden: dialect
                .forbidden()
                .iter()
                .map(|(command, weaker)| ForbiddenReport {
                    command: (*command).to_owned(),
                    weaker: (*weaker).to_owned(),
                })
                .collect(),
        }
    }
}

impl Status {
    /// The source has a search index, which the target does not get: its name, a blank, and the rest of its `FT.CREATE`.
    /// Every flow tells it.
    pub fn search_index(&self, definition: &[u8]) {
        let text = String::from_utf8_lossy(definition);
        let (name, rest) = text.split_once(' ').unwrap_or((&text, ""));
        let search = &mut lock(&self.sides).search;
        if search.len() < INDEXES || search.contains_key(name) {
            search.insert(name.to_owned(), rest.chars().take(DEFINITION).collect());
        }
    }

    /// The source has a search index no more.
    pub fn search_index_dropped(&self, name: &[u8]) {
        lock(&self.sides).search.remove(&*String::from_utf8_lossy(name));
    }

    /// The clocks were compared.
    pub fn set_clocks(&self, clocks: ClocksReport) {
        self.source_ahead_ms.store(clocks.source_ahead_ms.unwrap_or(0), Relaxed);
        lock(&self.sides).clocks = clocks;
    }

    /// By how much the source's clock is ahead of this program's (ms); 0 while that is not known.
    pub fn source_ahead_ms(&self) -> i64 {
        self.source_ahead_ms.load(Relaxed)
    }

    /// So many keys have members that expire through us, and the first is due then.
    pub fn set_scheduled(&self, keys: u64, next_due_ms: Option<u64>) {
        lock(&self.sides).members = MembersReport { scheduled: Some(keys), next_due_ms };
    }

    /// It is known what the target understands.
    pub fn set_dialect(&self, dialect: &Dialect) {
        lock(&self.sides).target = DialectReport::of(dialect);
    }
}
