//! Everything stands still although nothing is waited for: tasks that wait for each other, say, each of which is alive.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use super::flow::FlowStatus;
use super::heartbeat::Stuck;
use crate::phase::Phase;

/// How long a flow may not move before that counts as being stuck. A slow checkpoint disk must not look like it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long nothing may happen on the way to stable sync, the start included, not even another attempt. A connection of a dead process may be
/// waited for as long as the target keeps it (`tcp-keepalive`, 300 s).
const PATIENCE_ATTACHING: Duration = Duration::from_secs(400);

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) phase: Phase,
    /// Attempts to attach so far, and whatever else the engine has done besides the flows.
    pub(crate) steps: u64,
    pub(crate) flows: &'a [Arc<FlowStatus>],
    /// A global command is being executed: the target's nodes take the time they need.
    pub(crate) executing: bool,
}

/// Something that has to change.
#[derive(Debug, Default, Clone, Copy)]
struct Watched {
    value: u64,
    /// Since when it has been as it is, and ought not to be.
    since: Option<Instant>,
}

impl Watched {
    fn look(&mut self, now: Instant, value: u64, due: bool) {
        if !due || value != self.value {
            self.since = None;
        } else if self.since.is_none() {
            self.since = Some(now);
        }
        self.value = value;
    }

    fn silent(&self, now: Instant, patience: Duration) -> Option<Duration> {
        self.since.map(|since| now - since).filter(|silent| *silent > patience)
    }
}

/// When anything moved last.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    flows: Vec<Watched>,
    attaching: Watched,
}

impl Stall {
    /// Takes a look. A flow stands still where records have been received and not applied, while it has told that the
    /// target has answered everything, or tells nothing any more. Keys under repair are no excuse: records pass them. At a
    /// global command a flow waits for the others, so it is their moving that counts.
    pub(crate) fn look(&mut self, now: Instant, seen: &Seen<'_>) {
        let at = |flow: &FlowStatus| (flow.received.load(Relaxed), flow.applied.load(Relaxed));
        let moved = |flow: &FlowStatus| at(flow).1.wrapping_add(flow.total().executed);
        let all = seen.flows.iter().map(|flow| moved(flow)).fold(0, u64::wrapping_add);
        let stable = seen.phase == Phase::Stable;
        self.flows.resize(seen.flows.len(), Watched::default());
        for (flow, watched) in seen.flows.iter().zip(&mut self.flows) {
            let waits = flow.waits_for_target(now) || seen.executing;
            let due = stable && at(flow).0 > at(flow).1 && !waits;
            let value = if flow.at_global.load(Relaxed) { all } else { moved(flow) };
            watched.look(now, value, due);
        }
        let under_way = !matches!(seen.phase, Phase::Stopped | Phase::Stable);
        let waits = seen.flows.iter().any(|flow| flow.waiting().is_some() && flow.waits_for_target(now));
        let received =
            |flow: &Arc<FlowStatus>| flow.bytes.load(Relaxed).wrapping_add(flow.keys.load(Relaxed));
        let value = seen.flows.iter().map(received).fold(all.wrapping_add(seen.steps), u64::wrapping_add);
        self.attaching.look(now, value, under_way && !waits);
    }

    pub(crate) fn stuck(&self, now: Instant) -> Vec<Stuck> {
        let stuck = |task: String, silent| Stuck { task, silent };
        let flows = self.flows.iter().enumerate().filter_map(|(id, watched)| {
            let silent = watched.silent(now, PATIENCE)?;
            Some(stuck(format!("the way from flow {id} of the source to the target"), silent))
        });
        let attaching = self.attaching.silent(now, PATIENCE_ATTACHING);
        flows.chain(attaching.map(|silent| stuck("the way to stable sync".into(), silent))).collect()
    }
}
