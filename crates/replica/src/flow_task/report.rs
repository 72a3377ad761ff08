//! What a flow tells the status page besides its counters.

use std::time::Duration;

use tokio::time::Instant;

use super::FlowTask;
use crate::status::{NodeStatus, Repairing, RepairingKey, SHOWN_KEYS};

/// How often.
const INTERVAL: Duration = Duration::from_millis(250);
/// So much later for each key under repair: to look through all of them takes time from the records.
const LATER: Duration = Duration::from_micros(50);

impl FlowTask {
    /// What just changed is told with the next look, however short ago the last one was.
    pub(super) fn report_soon(&mut self) {
        self.report_at_once = true;
    }

    /// Keys under repair and nodes, a few times a second.
    pub(super) fn report(&mut self) {
        let keys = u32::try_from(self.repairs.repairing_len()).unwrap_or(u32::MAX);
        if !self.report_at_once && self.reported.elapsed() < INTERVAL.max(LATER.saturating_mul(keys)) {
            return;
        }
        (self.reported, self.report_at_once) = (Instant::now(), false);
        let mut repairing = Repairing { keys: self.repairs.repairing_len() as u64, ..Repairing::default() };
        if repairing.keys > 0 {
            for status in self.repairs.status() {
                *repairing.by_cause.entry(status.cause.words()).or_insert(0) += 1;
                if repairing.first.len() < SHOWN_KEYS {
                    repairing.first.push(RepairingKey {
                        db: status.key.db,
                        key: status.key.key,
                        cause: status.cause.words(),
                        stage: status.phase.words(),
                    });
                }
            }
        }
        self.status.set_repairing(repairing);
        let nodes = self.router.nodes().into_iter().map(|load| NodeStatus {
            address: self.shared.target.address(load.node),
            waiting: load.waiting.map(str::to_owned),
            unsettled: load.open,
        });
        self.status.set_nodes(nodes.collect());
    }
}
