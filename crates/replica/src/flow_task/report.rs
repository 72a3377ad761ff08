//! What a flow tells the status page besides its counters.

use std::time::Duration;

use tokio::time::Instant;

use super::FlowTask;
use crate::status::{NodeStatus, Repairing, RepairingKey, SHOWN_KEYS};

/// How often.
const INTERVAL: Duration = Duration::from_millis(250);

impl FlowTask {
    /// What just changed is told with the next look, however short ago the last one was.
    pub(super) fn report_soon(&mut self) {
        self.reported -= INTERVAL;
    }

    /// Keys under repair and nodes, a few times a second.
    pub(super) fn report(&mut self) {
        if self.reported.elapsed() < INTERVAL {
            return;
        }
        self.reported = Instant::now();
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
        let waiting = self.router.waiting();
        let nodes = self.router.open_by_node();
        let nodes = nodes.into_iter().map(|(node, unsettled)| NodeStatus {
            address: self.shared.target.address(node),
            waiting: waiting.filter(|_| unsettled > 0).map(str::to_owned),
            unsettled,
        });
        self.status.set_nodes(nodes.collect());
    }
}
