//! What one flow says about itself.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use router::Counters;
use tokio::time::Instant;

use super::lag::Samples;
use super::lock;

/// What a flow's task has told is true for so long; it tells something every second.
const LATELY: Duration = Duration::from_secs(10);

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
    /// The LSN that the last `REPLCONF ACK` told the source.
    pub acknowledged: AtomicU64,
    /// Applied LSN of the newest durable checkpoint.
    pub checkpointed: AtomicU64,
    /// Reserved LSN of the newest durable checkpoint: nothing at or above was ever sent (rule 5).
    pub reserved: AtomicU64,
    /// The source's next LSN when it was last asked.
    pub source: AtomicU64,
    /// Bytes that wait in the spool, in memory and on disk.
    pub spooled: AtomicU64,
    /// Those of them that are on disk.
    pub spooled_on_disk: AtomicU64,
    /// Whether the spool takes no more, so that the source has to wait.
    pub stalled: AtomicBool,
    /// Whether FULLSYNC_END was read.
    pub cut: AtomicBool,
    /// Whether it stands at a global command, until the others have come to theirs and it is executed.
    pub at_global: AtomicBool,
    /// When its task last told anything.
    told: Mutex<Option<Instant>>,
    counters: Mutex<Counters>,
    waiting: Mutex<Option<&'static str>>,
    /// Counts of the attachments before this one.
    before: Mutex<Counters>,
    repairs: Mutex<Repairing>,
    nodes: Mutex<Vec<NodeStatus>>,
    pub(crate) samples: Mutex<Samples>,
}

/// The keys of a flow that are under repair at this moment. What was repaired is counted by
/// [`Status::repaired`](super::Status::repaired).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repairing {
    /// How many there are.
    pub keys: u64,
    /// How many by what put them there.
    pub by_cause: BTreeMap<&'static str, u64>,
    /// The first of them; [`SHOWN_KEYS`](super::SHOWN_KEYS) are enough.
    pub first: Vec<RepairingKey>,
}

/// A key under repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairingKey {
    /// Database at the source.
    pub db: u32,
    /// Name at the source.
    pub key: bytes::Bytes,
    /// What put it there.
    pub cause: &'static str,
    /// What it waits for, such as `fence`, `turn`, `target`.
    pub stage: &'static str,
}

/// A node of the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// `host:port`.
    pub address: String,
    /// Why nothing is sent to it for the moment.
    pub waiting: Option<String>,
    /// Commands for it that are not settled: not sent or not answered yet, or not yet safe from its failover (rule 27).
    pub unsettled: u64,
}

impl FlowStatus {
    /// Replaces the router's counters, and why it waits for the target.
    pub fn set_router(&self, counters: Counters, waiting: Option<&'static str>) {
        self.told_at(Instant::now());
        *lock(&self.counters) = counters;
        *lock(&self.waiting) = waiting;
    }

    /// What the spool holds in memory and on disk, and whether it takes no more.
    pub fn set_spool(&self, memory: u64, disk: u64, stalled: bool) {
        self.spooled.store(memory + disk, Relaxed);
        self.spooled_on_disk.store(disk, Relaxed);
        self.stalled.store(stalled, Relaxed);
    }

    /// Replaces what is under repair.
    pub fn set_repairing(&self, repairing: Repairing) {
        *lock(&self.repairs) = repairing;
    }

    /// Replaces what this flow has on its way to the target's nodes. The report adds the flows up.
    pub fn set_nodes(&self, nodes: Vec<NodeStatus>) {
        *lock(&self.nodes) = nodes;
    }

    pub(crate) fn roll(&self) {
        let mut before = lock(&self.before);
        let mut now = lock(&self.counters);
        *before = sum(*before, *now);
        *now = Counters::default();
    }

    /// A new LSN space: what was seen of the old one says nothing about it.
    pub(crate) fn forget_samples(&self) {
        *lock(&self.samples) = Samples::default();
    }

    pub(crate) fn total(&self) -> Counters {
        sum(*lock(&self.before), *lock(&self.counters))
    }

    pub(crate) fn waiting(&self) -> Option<&'static str> {
        *lock(&self.waiting)
    }

    pub(crate) fn told_at(&self, now: Instant) {
        *lock(&self.told) = Some(now);
    }

    /// Whether the target is what it waits for, as far as its task has told lately. One that tells nothing has no excuse.
    pub(crate) fn waits_for_target(&self, now: Instant) -> bool {
        let lately = lock(&self.told).is_some_and(|told| now.saturating_duration_since(told) < LATELY);
        let nodes = lock(&self.nodes);
        // Where nothing is known of the nodes, nobody can tell.
        let open = nodes.is_empty() || nodes.iter().any(|node| node.waiting.is_some() || node.unsettled > 0);
        lately && (self.waiting().is_some() || open)
    }

    pub(crate) fn repairing(&self) -> Repairing {
        lock(&self.repairs).clone()
    }

    pub(crate) fn nodes(&self) -> Vec<NodeStatus> {
        lock(&self.nodes).clone()
    }

    /// The newest LSN that the source is known to have reached: what it said itself, or what it has sent since.
    pub(crate) fn known_source(&self) -> u64 {
        self.source.load(Relaxed).max(self.received.load(Relaxed))
    }

    pub(crate) fn sample(&self, now: Instant) {
        lock(&self.samples).take(now, self.known_source(), self.applied.load(Relaxed));
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
