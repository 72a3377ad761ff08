//! What the program says about itself: counters that every part writes, and one report that the status page, the
//! metrics and the progress line are made from.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::Instant;

use checkpoint::NotInSync;
use command::{Missing, MissingKind};
use router::Counters;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::ledger::now_ms;
use crate::phase::Phase;

/// Keys kept per kind that the target lacks.
const LISTED_KEYS: usize = 100;
/// Keys not in sync shown in a report.
pub const SHOWN_NOT_IN_SYNC: usize = 100;

/// Counters of one flow. All only grow, unless they say where something stands.
#[derive(Debug, Default)]
pub struct FlowStatus {
    /// Bytes read from the flow's socket.
    pub bytes: AtomicU64,
    /// Snapshot keys applied or passed over.
    pub keys: AtomicU64,
    /// Journal records decoded, those in the snapshot included.
    pub records: AtomicU64,
    /// The next LSN the decoder expects.
    pub received: AtomicU64,
    /// Everything below is acknowledged by the target.
    pub applied: AtomicU64,
    /// Applied LSN of the newest durable checkpoint.
    pub checkpointed: AtomicU64,
    /// The source's next LSN when it was last asked.
    pub source: AtomicU64,
    /// Bytes that wait in the spool.
    pub spooled: AtomicU64,
    /// Whether FULLSYNC_END was read.
    pub cut: AtomicBool,
    counters: Mutex<Counters>,
    waiting: Mutex<Option<&'static str>>,
    /// Counts of the attachments before this one.
    before: Mutex<Counters>,
}

impl FlowStatus {
    /// Replaces the router's counters, and why it waits for the target.
    pub fn set_router(&self, counters: Counters, waiting: Option<&'static str>) {
        *lock(&self.counters) = counters;
        *lock(&self.waiting) = waiting;
    }

    fn roll(&self) {
        let mut before = lock(&self.before);
        let mut now = lock(&self.counters);
        *before = sum(*before, *now);
        *now = Counters::default();
    }

    fn total(&self) -> Counters {
        sum(*lock(&self.before), *lock(&self.counters))
    }
}

fn sum(a: Counters, b: Counters) -> Counters {
    Counters {
        executed: a.executed + b.executed,
        redirects: a.redirects + b.redirects,
        retries: a.retries + b.retries,
        disconnects: a.disconnects + b.disconnects,
        failures: a.failures + b.failures,
    }
}

#[derive(Debug, Default)]
struct Lacking {
    count: u64,
    keys: Vec<String>,
}

#[derive(Debug)]
struct Place {
    phase: Phase,
    since: Instant,
    since_ms: u64,
    detail: String,
    replication_id: String,
    release: String,
    partial_syncs: u64,
    full_syncs: u64,
    last_full_sync_reason: String,
    removed: u64,
    reconciling: bool,
}

/// What the program says about itself; shared by all its parts.
#[derive(Debug)]
pub struct Status {
    started: Instant,
    /// Keys that the source had when the last attachment began; 0 if it does not tell.
    expected_keys: AtomicU64,
    source: String,
    target: String,
    place: Mutex<Place>,
    flows: RwLock<Vec<Arc<FlowStatus>>>,
    lacking: Mutex<BTreeMap<MissingKind, Lacking>>,
    ignored: Mutex<BTreeMap<&'static str, u64>>,
    not_in_sync: Mutex<(u64, Vec<NotInSync>)>,
}

impl Status {
    /// A program that starts; `source` and `target` are their addresses.
    pub fn new(source: String, target: String) -> Arc<Status> {
        let place = Place {
            phase: Phase::Starting,
            since: Instant::now(),
            since_ms: now_ms(),
            detail: String::new(),
            replication_id: String::new(),
            release: String::new(),
            partial_syncs: 0,
            full_syncs: 0,
            last_full_sync_reason: String::new(),
            removed: 0,
            reconciling: false,
        };
        Arc::new(Status {
            started: Instant::now(),
            expected_keys: AtomicU64::new(0),
            source,
            target,
            place: Mutex::new(place),
            flows: RwLock::default(),
            lacking: Mutex::default(),
            ignored: Mutex::default(),
            not_in_sync: Mutex::default(),
        })
    }

    /// The phase, and since when.
    pub fn phase(&self) -> (Phase, Instant) {
        let place = lock(&self.place);
        (place.phase, place.since)
    }

    /// Enters a phase; one line in the log.
    pub fn enter(&self, phase: Phase, detail: impl Into<String>) {
        let mut place = lock(&self.place);
        debug_assert!(phase.may_follow(place.phase), "{phase} does not follow {}", place.phase);
        let detail = detail.into();
        let after = place.since.elapsed();
        let away = |phase| matches!(phase, Phase::Connecting | Phase::Attaching);
        // The attempts of one outage are one phase to whoever reads the log; the attempts have lines of their own.
        let same_outage = away(phase) && away(place.phase) && !(detail.is_empty() && place.detail.is_empty());
        if same_outage {
            (place.phase, place.detail) =
                (phase, if detail.is_empty() { place.detail.clone() } else { detail });
            return;
        }
        info!(
            phase = phase.name(),
            before = place.phase.name(),
            after_ms = after.as_millis() as u64,
            detail,
            "phase"
        );
        (place.phase, place.since, place.since_ms, place.detail) = (phase, Instant::now(), now_ms(), detail);
    }

    /// How many keys the source has as a snapshot begins.
    pub fn expect_keys(&self, keys: u64) {
        self.expected_keys.store(keys, Relaxed);
    }

    /// How many keys the source had when the last attachment began; 0 if it does not tell.
    pub fn expected_keys(&self) -> u64 {
        self.expected_keys.load(Relaxed)
    }

    /// What the phase waits for.
    pub fn set_detail(&self, detail: impl Into<String>) {
        lock(&self.place).detail = detail.into();
    }

    /// A new attachment: its flows, all counters of the stream at zero.
    pub fn attached(&self, replication_id: &str, release: &str, flows: usize, full: Option<&str>) {
        let mut place = lock(&self.place);
        place.replication_id = replication_id.to_owned();
        place.release = release.to_owned();
        match full {
            Some(reason) => {
                place.full_syncs += 1;
                place.last_full_sync_reason = reason.to_owned();
            }
            None => place.partial_syncs += 1,
        }
        drop(place);
        let mut list = self.flows.write().unwrap_or_else(|p| p.into_inner());
        list.resize_with(flows, Arc::default);
        for flow in list.iter() {
            flow.roll();
            flow.cut.store(false, Relaxed);
        }
    }

    /// The counters of every flow of this attachment.
    pub fn flows(&self) -> Vec<Arc<FlowStatus>> {
        self.flows.read().unwrap_or_else(|p| p.into_inner()).clone()
    }

    /// Keys of which the target cannot hold something. The first of a kind is logged in words.
    pub fn lacks(&self, missing: &Missing, policy: &str) {
        let mut lacking = lock(&self.lacking);
        let entry = lacking.entry(missing.kind).or_default();
        if entry.count == 0 {
            let (db, key) =
                missing.keys.first().map(|k| (k.db, k.key.escape_ascii().to_string())).unwrap_or_default();
            warn!(kind = %missing.kind, db, key, policy, "the target cannot hold this");
        }
        entry.count += missing.keys.len().max(1) as u64;
        for key in &missing.keys {
            if entry.keys.len() < LISTED_KEYS {
                let name = format!("db{}:{}", key.db, key.key.escape_ascii());
                if !entry.keys.contains(&name) {
                    entry.keys.push(name);
                }
            }
        }
    }

    /// Logs how much the target cannot hold, if there is anything.
    pub fn log_lacking(&self) {
        for (kind, entry) in lock(&self.lacking).iter() {
            warn!(kind = %kind, count = entry.count, "not on the target");
        }
    }

    /// A record that needs nothing done.
    pub fn ignored(&self, reason: &'static str) {
        *lock(&self.ignored).entry(reason).or_insert(0) += 1;
    }

    /// The list of keys not in sync has changed.
    pub fn set_not_in_sync(&self, count: u64, first: Vec<NotInSync>) {
        *lock(&self.not_in_sync) = (count, first);
    }

    /// Names removed after a repeated full sync; `running` while the removal goes on.
    pub fn removed(&self, more: u64, running: bool) {
        let mut place = lock(&self.place);
        place.removed += more;
        place.reconciling = running;
    }

    /// Everything, as it stands now.
    pub fn report(&self) -> Report {
        let place = lock(&self.place);
        let flows: Vec<FlowReport> =
            self.flows().iter().enumerate().map(|(id, flow)| FlowReport::of(id, flow)).collect();
        let lacking = lock(&self.lacking)
            .iter()
            .map(|(kind, l)| LackingReport { kind: kind.to_string(), count: l.count, keys: l.keys.clone() })
            .collect();
        let (count, first) = &*lock(&self.not_in_sync);
        let waiting = self.flows().iter().find_map(|flow| *lock(&flow.waiting));
        let detail = match waiting {
            Some(why) if place.detail.is_empty() => format!("waiting for the target: {why}"),
            _ => place.detail.clone(),
        };
        Report {
            running: true,
            phase: place.phase,
            phase_since_ms: place.since_ms,
            detail,
            ready: place.phase == Phase::Stable,
            uptime_s: self.started.elapsed().as_secs(),
            source: self.source.clone(),
            source_release: place.release.clone(),
            target: self.target.clone(),
            replication_id: place.replication_id.clone(),
            full_syncs: place.full_syncs,
            partial_syncs: place.partial_syncs,
            last_full_sync_reason: place.last_full_sync_reason.clone(),
            reconciling: place.reconciling,
            removed_keys: place.removed,
            keys: flows.iter().map(|f| f.keys).sum(),
            records: flows.iter().map(|f| f.records).sum(),
            bytes: flows.iter().map(|f| f.bytes).sum(),
            lag_records: flows.iter().map(|f| f.lag_records).sum(),
            flows,
            not_on_target: lacking,
            ignored_records: lock(&self.ignored).iter().map(|(k, v)| ((*k).to_owned(), *v)).collect(),
            not_in_sync_count: *count,
            not_in_sync: first.iter().map(NotInSyncReport::of).collect(),
        }
    }
}

/// Everything the program says about itself, as JSON on `/api/status`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Report {
    /// Whether a daemon runs; false where this was read from the checkpoint.
    pub running: bool,
    /// Where the replication stands.
    pub phase: Phase,
    /// Since when, unix ms.
    pub phase_since_ms: u64,
    /// What is waited for, or the last error.
    pub detail: String,
    /// Whether the journal is followed.
    pub ready: bool,
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
    /// Records that the source has and the target has not, all flows.
    pub lag_records: u64,
    /// Every flow.
    pub flows: Vec<FlowReport>,
    /// What the target cannot hold.
    pub not_on_target: Vec<LackingReport>,
    /// Records without effect on the target, by reason.
    pub ignored_records: BTreeMap<String, u64>,
    /// Keys that are not in sync.
    pub not_in_sync_count: u64,
    /// The first of them.
    pub not_in_sync: Vec<NotInSyncReport>,
}

/// One flow.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct FlowReport {
    /// Its number.
    pub flow: usize,
    /// Snapshot keys.
    pub keys: u64,
    /// Journal records.
    pub records: u64,
    /// Bytes from the source.
    pub bytes: u64,
    /// Bytes that wait for the target.
    pub spooled_bytes: u64,
    /// The next LSN the decoder expects.
    pub received_lsn: u64,
    /// The next LSN to be acknowledged by the target.
    pub applied_lsn: u64,
    /// Applied LSN of the newest durable checkpoint.
    pub checkpointed_lsn: u64,
    /// The source's next LSN when it was last asked.
    pub source_lsn: u64,
    /// `source_lsn - applied_lsn`.
    pub lag_records: u64,
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
    fn of(id: usize, flow: &FlowStatus) -> FlowReport {
        let counters = flow.total();
        let (applied, source) = (flow.applied.load(Relaxed), flow.source.load(Relaxed));
        FlowReport {
            flow: id,
            keys: flow.keys.load(Relaxed),
            records: flow.records.load(Relaxed),
            bytes: flow.bytes.load(Relaxed),
            spooled_bytes: flow.spooled.load(Relaxed),
            received_lsn: flow.received.load(Relaxed),
            applied_lsn: applied,
            checkpointed_lsn: flow.checkpointed.load(Relaxed),
            source_lsn: source,
            lag_records: source.saturating_sub(applied),
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counters and small values: nothing is half-changed by a panic elsewhere.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
