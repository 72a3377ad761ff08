//! What the program says about itself: counters that every part writes, and one report that the status page, the
//! metrics and the progress line are made from.

mod crash;
mod flow;
mod heartbeat;
mod lag;
mod report;
mod sides;
mod stall;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock};
use std::time::Duration;

use checkpoint::NotInSync;
use command::{Excluded, Missing, MissingKind};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;
use tracing::{info, warn};

pub use crash::{Backlog, CrashReport, Restart};
pub use flow::{FlowStatus, NodeStatus, Repairing, RepairingKey};
pub use heartbeat::{Heart, Stuck};
pub use report::{
    Filtered, FilteredReport, FlowReport, LackingReport, NodeReport, NotInSyncReport, RepairReport,
    RepairingReport, Report, SpoolReport, UnknownReport,
};
pub use sides::{DialectReport, ForbiddenReport, MembersReport};

use crate::desk::Request;
use crate::ledger::now_ms;
use crate::phase::Phase;
use crash::Stored;
use heartbeat::Hearts;
use sides::Sides;
use stall::{Seen, Stall};

/// Keys kept per kind that the target lacks.
const LISTED_KEYS: usize = 100;
/// Keys not in sync shown in a report.
pub const SHOWN_NOT_IN_SYNC: usize = 100;
/// Keys under repair shown in a report.
pub const SHOWN_KEYS: usize = 100;
/// Reasons told apart where nobody counted them.
const REASONS: usize = 20;
/// Unknown commands that are counted by name.
const UNKNOWN_COMMANDS: usize = 100;
/// Bytes of such a name that are shown.
const SHOWN_NAME: usize = 64;

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
    stored: Stored,
    repair_off: Option<String>,
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
    filtered: Mutex<BTreeMap<(Filtered, Excluded), u64>>,
    unknown: Mutex<BTreeMap<String, UnknownReport>>,
    not_in_sync: Mutex<(u64, Vec<NotInSync>)>,
    not_in_sync_by_cause: Mutex<BTreeMap<String, u64>>,
    /// Fences read for repairs.
    pub fences: AtomicU64,
    /// Fences that had to be read again, because a record touched a key in between (rule 14).
    pub fences_again: AtomicU64,
    repaired: Mutex<BTreeMap<&'static str, u64>>,
    nodes: Mutex<Vec<NodeStatus>>,
    /// Records per flow that the source keeps.
    backlog: Mutex<Backlog>,
    /// Keys that the target had before, and that stay.
    existing: AtomicU64,
    task: OnceLock<String>,
    owns_checkpoint: AtomicBool,
    /// Where keys can be asked to be repaired, while a session lives.
    desk: Mutex<Option<Sender<Request>>>,
    hearts: Hearts,
    stall: Mutex<Stall>,
    attempts: AtomicU64,
    executing: AtomicBool,
    sides: Mutex<Sides>,
    /// By how much the source's clock is ahead of ours (ms); 0 while it is not known.
    source_ahead_ms: AtomicI64,
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
            stored: Stored::Unknown,
            repair_off: None,
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
            filtered: Mutex::default(),
            unknown: Mutex::default(),
            not_in_sync: Mutex::default(),
            not_in_sync_by_cause: Mutex::default(),
            fences: AtomicU64::new(0),
            fences_again: AtomicU64::new(0),
            repaired: Mutex::default(),
            nodes: Mutex::default(),
            backlog: Mutex::default(),
            existing: AtomicU64::new(0),
            task: OnceLock::new(),
            owns_checkpoint: AtomicBool::new(false),
            desk: Mutex::default(),
            hearts: Hearts::new(),
            stall: Mutex::default(),
            attempts: AtomicU64::new(0),
            executing: AtomicBool::new(false),
            sides: Mutex::default(),
            source_ahead_ms: AtomicI64::new(0),
        })
    }

    /// What the replication is called; the first word counts.
    pub fn set_task_name(&self, name: String) {
        let _ = self.task.set(name);
    }

    /// How many keys of the target stay as they were before the first full sync.
    pub fn set_existing(&self, keys: u64) {
        self.existing.store(keys, Relaxed);
    }

    /// Registers a task that the replication cannot do without: it has to beat within `deadline` as long as it lives.
    pub fn heart(&self, task: impl Into<String>, deadline: Duration) -> Heart {
        self.hearts.heart(task.into(), deadline)
    }

    /// Tasks that are stuck: one did not beat in time, or everything stands still although nothing is waited for. Waiting
    /// for the source or for the target is neither.
    pub fn stuck(&self) -> Vec<Stuck> {
        let mut stuck = self.hearts.stuck();
        stuck.extend(lock(&self.stall).stuck(Instant::now()));
        stuck
    }

    /// The engine begins to attach, or does another step of it that may be repeated.
    pub fn attempting(&self) {
        self.attempts.fetch_add(1, Relaxed);
    }

    /// Whether a global command is being executed on the target's nodes.
    pub fn executing(&self, executing: bool) {
        self.executing.store(executing, Relaxed);
    }

    /// Looks at the clock and at the flows: to be called a few times a second, for the lag in seconds, the rates, and
    /// to notice that everything stands still.
    pub fn sample(&self) {
        let now = Instant::now();
        let stable = self.phase().0 == Phase::Stable;
        let flows = self.flows();
        if stable {
            flows.iter().for_each(|flow| flow.sample(now));
        }
        let repaired: u64 = lock(&self.repaired).values().sum();
        let seen = Seen {
            phase: self.phase().0,
            steps: self.attempts.load(Relaxed).wrapping_add(repaired),
            flows: &flows,
            executing: self.executing.load(Relaxed),
        };
        lock(&self.stall).look(now, &seen);
    }

    /// Where keys can be asked to be repaired; nothing while there is no session.
    pub fn desk(&self) -> Option<Sender<Request>> {
        lock(&self.desk).clone().filter(|desk| !desk.is_closed())
    }

    pub(crate) fn set_desk(&self, desk: Sender<Request>) {
        *lock(&self.desk) = Some(desk);
    }

    /// The checkpoint is open and nobody else's; `resumable`: it holds a position to resume from.
    pub fn opened(&self, resumable: bool) {
        self.set_resumable(resumable);
        self.owns_checkpoint.store(true, Relaxed);
    }

    /// Whether the durable checkpoint holds a position to resume from.
    pub fn set_resumable(&self, resumable: bool) {
        lock(&self.place).stored = if resumable { Stored::Position } else { Stored::Nothing };
    }

    /// Whether this process is the one that the checkpoint belongs to.
    pub fn owns_checkpoint(&self) -> bool {
        let working = !matches!(self.phase().0, Phase::Starting | Phase::Stopped);
        working || self.owns_checkpoint.load(Relaxed)
    }

    /// How many records of a flow the source keeps for replicas that come back (`shard_repl_backlog_len`).
    pub fn set_backlog(&self, backlog: Backlog) {
        *lock(&self.backlog) = backlog;
    }

    /// Doubtful keys cannot be repaired, and why; nothing: they can.
    pub fn set_repair_off(&self, because: Option<String>) {
        lock(&self.place).repair_off = because;
    }

    /// Repairs whose value is settled.
    pub fn repaired(&self, cause: &'static str, keys: u64) {
        *lock(&self.repaired).entry(cause).or_insert(0) += keys;
    }

    /// Replaces what is known of the target's nodes beside what the flows say of them.
    pub fn set_nodes(&self, nodes: Vec<NodeStatus>) {
        *lock(&self.nodes) = nodes;
    }

    /// What all say of the nodes, added up.
    fn nodes(&self) -> Vec<NodeStatus> {
        let mut nodes: BTreeMap<String, NodeStatus> = BTreeMap::new();
        let of_flows = self.flows().into_iter().flat_map(|flow| flow.nodes());
        for node in lock(&self.nodes).clone().into_iter().chain(of_flows) {
            let entry = nodes.entry(node.address.clone()).or_default();
            entry.address = node.address;
            entry.unsettled += node.unsettled;
            entry.waiting = entry.waiting.take().or(node.waiting);
        }
        nodes.into_values().collect()
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
        if phase == Phase::Stable {
            place.stored = Stored::Position;
        }
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

    /// Attached again where the link was lost: everything goes on.
    pub fn attached_again(&self, replication_id: &str, release: &str) {
        let mut place = lock(&self.place);
        place.replication_id = replication_id.to_owned();
        place.release = release.to_owned();
        place.partial_syncs += 1;
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
                place.stored = Stored::Nothing;
            }
            None => {
                place.partial_syncs += 1;
                place.stored = Stored::Position;
            }
        }
        drop(place);
        let mut list = self.flows.write().unwrap_or_else(|p| p.into_inner());
        list.resize_with(flows, Arc::default);
        for flow in list.iter() {
            flow.roll();
            flow.cut.store(false, Relaxed);
            if full.is_some() {
                flow.forget_samples();
            }
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

    /// Something is left out, or a part of it.
    pub fn filtered(&self, what: Filtered, why: Excluded) {
        *lock(&self.filtered).entry((what, why)).or_insert(0) += 1;
    }

    /// What was left out, by what it was and why.
    fn filtered_report(&self) -> FilteredReport {
        let mut report = FilteredReport::default();
        for ((what, why), count) in lock(&self.filtered).iter() {
            let map = match what {
                Filtered::Value => &mut report.values,
                Filtered::Record => &mut report.records,
            };
            map.insert(why.word().to_owned(), *count);
        }
        report
    }

    /// A record of a command that nobody here knows. Whether it is the first of that command.
    pub fn unknown_command(&self, name: &[u8], lost: bool) -> bool {
        let mut unknown = lock(&self.unknown);
        let name = name[..name.len().min(SHOWN_NAME)].escape_ascii().to_string();
        if !unknown.contains_key(&name) && unknown.len() >= UNKNOWN_COMMANDS {
            return false;
        }
        let counts = unknown.entry(name).or_default();
        counts.records += 1;
        counts.keys_unknown += u64::from(lost);
        counts.records == 1
    }

    /// The list of keys not in sync has changed.
    pub fn set_not_in_sync(&self, count: u64, first: Vec<NotInSync>) {
        *lock(&self.not_in_sync) = (count, first);
    }

    /// How many keys are not in sync, by cause.
    pub fn set_not_in_sync_by_cause(&self, counts: BTreeMap<String, u64>) {
        *lock(&self.not_in_sync_by_cause) = counts;
    }

    fn not_in_sync_by_cause(&self, first: &[NotInSync]) -> BTreeMap<String, u64> {
        let counted = lock(&self.not_in_sync_by_cause).clone();
        if !counted.is_empty() {
            return counted;
        }
        let mut counts = BTreeMap::new();
        for entry in first {
            if counts.len() < REASONS || counts.contains_key(&entry.reason) {
                *counts.entry(entry.reason.clone()).or_insert(0) += 1;
            }
        }
        counts
    }

    /// Names removed after a repeated full sync; `running` while the removal goes on.
    pub fn removed(&self, more: u64, running: bool) {
        let mut place = lock(&self.place);
        place.removed += more;
        place.reconciling = running;
    }

    /// Everything, as it stands now.
    pub fn report(&self) -> Report {
        let now = Instant::now();
        let (stuck, nodes, crash, repair) = (self.stuck(), self.nodes(), self.crash(now), self.repair());
        let place = lock(&self.place);
        let stable = place.phase == Phase::Stable;
        let flows: Vec<FlowReport> =
            self.flows().iter().enumerate().map(|(id, flow)| FlowReport::of(id, flow, stable, now)).collect();
        let lacking = lock(&self.lacking)
            .iter()
            .map(|(kind, l)| LackingReport { kind: kind.to_string(), count: l.count, keys: l.keys.clone() })
            .collect();
        let (count, first) = &*lock(&self.not_in_sync);
        let waiting = self.flows().iter().find_map(|flow| flow.waiting());
        let detail = match waiting {
            Some(why) if place.detail.is_empty() => format!("waiting for the target: {why}"),
            _ => place.detail.clone(),
        };
        let sides = lock(&self.sides).clone();
        let disk_bytes = flows.iter().map(|f| f.spooled_disk_bytes).sum();
        Report {
            running: true,
            task_name: self.task.get().cloned().unwrap_or_default(),
            phase: place.phase,
            phase_since_ms: place.since_ms,
            detail,
            ready: stable,
            stuck: stuck.iter().map(ToString::to_string).collect(),
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
            lag_seconds: flows.iter().filter_map(|f| f.lag_seconds).max_by(f64::total_cmp),
            spool: SpoolReport {
                memory_bytes: flows.iter().map(|f| f.spooled_bytes).sum::<u64>().saturating_sub(disk_bytes),
                disk_bytes,
                stalled: flows.iter().any(|f| f.stalled),
            },
            crash,
            clocks: sides.clocks,
            members: sides.members,
            dialect: sides.target,
            search_indexes: sides.search,
            repair: RepairReport { off_because: place.repair_off.clone(), ..repair },
            nodes: nodes
                .into_iter()
                .map(|n| NodeReport { address: n.address, waiting: n.waiting, unsettled: n.unsettled })
                .collect(),
            flows,
            not_on_target: lacking,
            unknown_commands: lock(&self.unknown).clone(),
            ignored_records: lock(&self.ignored).iter().map(|(k, v)| ((*k).to_owned(), *v)).collect(),
            filtered: self.filtered_report(),
            existing_keys: self.existing.load(Relaxed),
            not_in_sync_count: *count,
            not_in_sync_by_cause: self.not_in_sync_by_cause(first),
            not_in_sync: first.iter().map(NotInSyncReport::of).collect(),
        }
    }

    fn crash(&self, now: Instant) -> CrashReport {
        let stored = lock(&self.place).stored;
        let backlog = *lock(&self.backlog);
        let flows = self.flows();
        let known: Vec<crash::Flow> = flows
            .iter()
            .map(|flow| {
                let samples = lock(&flow.samples);
                let (rate, checkpointed) = (samples.rate(), flow.checkpointed.load(Relaxed));
                // A source that is away goes on writing, as far as anybody knows.
                let unseen = (samples.age(now).as_secs_f64() * rate) as u64;
                let end = flow.known_source() + unseen;
                crash::Flow {
                    behind: end.saturating_sub(checkpointed),
                    // Rule 7: what does not exist was not sent.
                    uncertain: flow.reserved.load(Relaxed).min(end).saturating_sub(checkpointed),
                    rate,
                }
            })
            .collect();
        let under_repair = flows.iter().map(|flow| flow.repairing().keys).sum();
        crash::report(stored, backlog, &known, under_repair)
    }

    fn repair(&self) -> RepairReport {
        let done_by_cause: BTreeMap<String, u64> =
            lock(&self.repaired).iter().map(|(cause, keys)| ((*cause).to_owned(), *keys)).collect();
        let mut report = RepairReport {
            done: done_by_cause.values().sum(),
            done_by_cause,
            fences: self.fences.load(Relaxed),
            fences_again: self.fences_again.load(Relaxed),
            ..RepairReport::default()
        };
        for repairing in self.flows().iter().map(|flow| flow.repairing()) {
            report.keys += repairing.keys;
            for (cause, keys) in &repairing.by_cause {
                *report.by_cause.entry((*cause).to_owned()).or_insert(0) += keys;
            }
            let room = SHOWN_KEYS - report.first.len();
            report.first.extend(repairing.first.iter().take(room).map(RepairingReport::of));
        }
        report
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counters and small values: nothing is half-changed by a panic elsewhere.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
