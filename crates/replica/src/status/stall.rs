//! Everything stands still although nothing is waited for: tasks that wait for each other, say.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use super::flow::{FlowStatus, NodeStatus};
use super::heartbeat::Stuck;

/// How long nothing may move before that counts as being stuck. A slow checkpoint disk must not look like it.
const PATIENCE: Duration = Duration::from_secs(60);

/// When anything moved last.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    moved: u64,
    since: Option<Instant>,
}

impl Stall {
    /// Takes a look. It is a standstill where records have been received and not applied, while every node of the target
    /// is known to have answered everything. Where nothing is known of the nodes, nobody can tell.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        stable: bool,
        flows: &[Arc<FlowStatus>],
        nodes: &[NodeStatus],
    ) {
        let at = |flow: &Arc<FlowStatus>| (flow.received.load(Relaxed), flow.applied.load(Relaxed));
        let moved = flows
            .iter()
            .map(|flow| at(flow).1.wrapping_add(flow.total().executed))
            .fold(0, u64::wrapping_add);
        let due = flows.iter().any(|flow| at(flow).0 > at(flow).1);
        let waits = flows.iter().any(|flow| flow.waiting().is_some() || flow.repairing().keys > 0)
            || nodes.is_empty()
            || nodes.iter().any(|node| node.waiting.is_some() || node.unsettled > 0);
        if !stable || !due || waits || moved != self.moved {
            self.since = None;
        } else if self.since.is_none() {
            self.since = Some(now);
        }
        self.moved = moved;
    }

    pub(crate) fn stuck(&self, now: Instant) -> Option<Stuck> {
        let silent = now - self.since?;
        (silent > PATIENCE).then(|| Stuck { task: "the way from the source to the target".into(), silent })
    }
}
