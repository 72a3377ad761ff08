//! The report: everything the program says about itself, as it stood at one moment.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use checkpoint::NotInSync;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::crash::CrashReport;
use super::flow::{FlowStatus, RepairingKey};
use super::lock;
use super::sides::{DialectReport, MembersReport};
use crate::phase::Phase;
use crate::skew::ClocksReport;

/// Everything the program says about itself, as JSON on `/api/status`. What an older daemon does not tell is empty.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Report {
    /// Whether a daemon runs; false where this was read from the checkpoint.
    pub running: bool,
    /// What the replication is called; empty where it has no name.
    #[serde(default)]
    pub task_name: String,
    /// Where the replication stands.
    pub phase: Phase,
    /// Since when, unix ms.
    pub phase_since_ms: u64,
    /// What is waited for, or the last error.
    pub detail: String,
    /// Whether the journal is followed.
    pub ready: bool,
    /// Tasks that did not report in time: something is broken inside the program.
    #[serde(default)]
    pub stuck: Vec<String>,
    /// Seconds since the program started.
    pub uptime_s: u64,
    /// Address of the source.
    pub source: String,
    /// Release of the source, as far as it is known.
    pub source_release: String,
    /// Address of the target.
    pub target: String,
    /// Replication id of the source.
    pub replication_id: String,
    /// Full syncs since the program started.
    pub full_syncs: u64,
    /// Partial syncs since the program started.
    pub partial_syncs: u64,
    /// Why the last full sync was needed.
    pub last_full_sync_reason: String,
    /// Whether keys that the source lacks are being removed.
    pub reconciling: bool,
    /// Keys removed because the source lacks them.
    pub removed_keys: u64,
    /// Snapshot keys, all flows.
    pub keys: u64,
    /// Journal records, all flows.
    pub records: u64,
    /// Bytes from the source, all flows.
    pub bytes: u64,
    /// Records that the source has and the target has not, all flows; nothing where no daemon asks.
    #[serde(default)]
    pub lag_records: Option<u64>,
    /// Seconds that the target is behind the source, of the flow that is furthest behind; nothing outside stable sync.
    #[serde(default)]
    pub lag_seconds: Option<f64>,
    /// What is held back while the target is slow, all flows.
    #[serde(default)]
    pub spool: SpoolReport,
    /// What a crash right now would cost.
    #[serde(default)]
    pub crash: CrashReport,
    /// Search indexes of the source, which the target does not get: name and definition.
    #[serde(default)]
    pub search_indexes: BTreeMap<String, String>,
    /// What the target understands.
    #[serde(default)]
    pub dialect: DialectReport,
    /// How far the clocks of the source and of the target's nodes are apart.
    #[serde(default)]
    pub clocks: ClocksReport,
    /// Members that expire at the source, and not by themselves on the target.
    #[serde(default)]
    pub members: MembersReport,
    /// Keys that are read again from the source and placed anew.
    #[serde(default)]
    pub repair: RepairReport,
    /// The nodes of the target that are written to.
    #[serde(default)]
    pub nodes: Vec<NodeReport>,
    /// Every flow.
    pub flows: Vec<FlowReport>,
    /// What the target cannot hold.
    pub not_on_target: Vec<LackingReport>,
    /// Commands of the source that are not known here.
    #[serde(default)]
    pub unknown_commands: BTreeMap<String, UnknownReport>,
    /// Records without effect on the target, by reason.
    pub ignored_records: BTreeMap<String, u64>,
    /// What the filter, and foreign keys that stay, left out.
    #[serde(default)]
    pub filtered: FilteredReport,
    /// Keys that the target held before the first full sync, and that stay as they are.
    #[serde(default)]
    pub existing_keys: u64,
    /// Keys that are not in sync.
    pub not_in_sync_count: u64,
    /// How many of them by reason; where nobody counted, of the first ones only.
    #[serde(default)]
    pub not_in_sync_by_cause: BTreeMap<String, u64>,
    /// The first of them.
    pub not_in_sync: Vec<NotInSyncReport>,
}

/// What is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filtered {
    /// A value of the snapshot, or one read from the source.
    Value,
    /// A record of the journal, or a part of one.
    Record,
}

/// What was left out since the program started, by `database`, `key`, `type`, `command`, or `existing` for keys that the
/// target had before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct FilteredReport {
    /// Values of the snapshot, and values read from the source.
    pub values: BTreeMap<String, u64>,
    /// Records of the journal, as a whole or in part.
    pub records: BTreeMap<String, u64>,
}

/// What is held back while the target is slow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct SpoolReport {
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Whether a flow takes no more from the source.
    pub stalled: bool,
}

/// Keys under repair, and keys repaired.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct RepairReport {
    /// Whether doubtful keys can be repaired; where not, why: the promise is weaker then.
    pub off_because: Option<String>,
    /// Keys under repair now.
    pub keys: u64,
    /// How many of them by what put them there.
    pub by_cause: BTreeMap<String, u64>,
    /// The first of them.
    pub first: Vec<RepairingReport>,
    /// Repairs done since the program started.
    pub done: u64,
    /// How many of them by what made them necessary.
    pub done_by_cause: BTreeMap<String, u64>,
    /// Fences read since the program started.
    pub fences: u64,
    /// Fences that had to be read again, because a record touched a key in between.
    pub fences_again: u64,
}

/// One key under repair.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct RepairingReport {
    /// Database at the source.
    pub db: u32,
    /// Name at the source, unprintable bytes escaped.
    pub key: String,
    /// What put it there.
    pub cause: String,
    /// What it waits for.
    pub stage: String,
}

impl RepairingReport {
    pub(crate) fn of(key: &RepairingKey) -> RepairingReport {
        let name = key.key.escape_ascii().to_string();
        RepairingReport { db: key.db, key: name, cause: key.cause.into(), stage: key.stage.into() }
    }
}

/// One node of the target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct NodeReport {
    /// `host:port`.
    pub address: String,
    /// Why nothing is sent to it for the moment.
    pub waiting: Option<String>,
    /// Commands sent to it that are not settled.
    pub unsettled: u64,
}

/// One flow.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct FlowReport {
    /// Its number.
    pub flow: usize,
    /// Snapshot keys.
    pub keys: u64,
    /// Journal records.
    pub records: u64,
    /// Bytes from the source.
    pub bytes: u64,
    /// Bytes that wait for the target, in memory and on disk.
    pub spooled_bytes: u64,
    /// Those of them that are on disk.
    pub spooled_disk_bytes: u64,
    /// Whether the spool takes no more from the source.
    pub stalled: bool,
    /// The next LSN the decoder expects.
    pub received_lsn: u64,
    /// The next LSN to be acknowledged by the target.
    pub applied_lsn: u64,
    /// The LSN that the source was last told; nothing where it is not stored.
    pub acknowledged_lsn: Option<u64>,
    /// Applied LSN of the newest durable checkpoint.
    pub checkpointed_lsn: u64,
    /// Nothing at or above this LSN was ever sent to the target.
    pub reserved_lsn: u64,
    /// The source's next LSN when it was last asked; nothing where nobody asks.
    pub source_lsn: Option<u64>,
    /// Records that the source has and the target has not; nothing where nobody asks.
    pub lag_records: Option<u64>,
    /// For how long the oldest of them has been known; nothing outside stable sync.
    pub lag_seconds: Option<f64>,
    /// Records per second that the source wrote in the last 10 s.
    pub source_records_per_s: f64,
    /// Keys under repair.
    pub repairing_keys: u64,
    /// Commands the target executed.
    pub executed: u64,
    /// MOVED and ASK replies.
    pub redirects: u64,
    /// Refusals that were tried again.
    pub retries: u64,
    /// Target connections that broke.
    pub disconnects: u64,
    /// Commands that failed for good.
    pub failures: u64,
}

impl FlowReport {
    pub(crate) fn of(id: usize, flow: &FlowStatus, stable: bool, now: Instant) -> FlowReport {
        let counters = flow.total();
        let applied = flow.applied.load(Relaxed);
        let samples = lock(&flow.samples);
        FlowReport {
            flow: id,
            keys: flow.keys.load(Relaxed),
            records: flow.records.load(Relaxed),
            bytes: flow.bytes.load(Relaxed),
            spooled_bytes: flow.spooled.load(Relaxed),
            spooled_disk_bytes: flow.spooled_on_disk.load(Relaxed),
            stalled: flow.stalled.load(Relaxed),
            received_lsn: flow.received.load(Relaxed),
            applied_lsn: applied,
            acknowledged_lsn: Some(flow.acknowledged.load(Relaxed)),
            checkpointed_lsn: flow.checkpointed.load(Relaxed),
            reserved_lsn: flow.reserved.load(Relaxed),
            source_lsn: Some(flow.source.load(Relaxed)),
            lag_records: Some(flow.known_source().saturating_sub(applied)),
            lag_seconds: stable.then(|| samples.lag(now, applied).as_secs_f64()),
            source_records_per_s: samples.rate(),
            repairing_keys: flow.repairing().keys,
            executed: counters.executed,
            redirects: counters.redirects,
            retries: counters.retries,
            disconnects: counters.disconnects,
            failures: counters.failures,
        }
    }
}

/// One kind of thing that the target cannot hold.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct LackingReport {
    /// In words.
    pub kind: String,
    /// Values and records met.
    pub count: u64,
    /// The first keys.
    pub keys: Vec<String>,
}

/// A command that is not known here.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct UnknownReport {
    /// Its records; their keys were read from the source instead.
    pub records: u64,
    /// How many of them do not even tell their keys: what they did is missing on the target.
    pub keys_unknown: u64,
}

/// One key that is not in sync.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct NotInSyncReport {
    /// Database at the source.
    pub db: u32,
    /// Name at the source, unprintable bytes escaped.
    pub key: String,
    /// Why.
    pub reason: String,
    /// When, unix ms.
    pub at_ms: u64,
}

impl NotInSyncReport {
    /// One entry of the list.
    pub fn of(key: &NotInSync) -> NotInSyncReport {
        let name = key.key.escape_ascii().to_string();
        NotInSyncReport { db: key.db, key: name, reason: key.reason.clone(), at_ms: key.at_ms }
    }
}
