//! Whether anything of a flow can still reach the target.

use super::FlowRouter;
use crate::target::NodeId;

impl FlowRouter {
    /// Whether nothing is on its way, nothing waits, and no connection that broke can still execute anything.
    pub fn is_quiet(&self) -> bool {
        self.tracker.is_settled()
            && self.failures.is_empty()
            && self.held.is_empty()
            && self.lanes.iter().flatten().all(|lane| lane.open_bytes == 0)
    }

    /// Connections that broke and of which it is not known yet that they can execute nothing any more: they are asked
    /// after at once (rule 23 waits for rule 8).
    ///
    /// What is left at a node that serves nothing any more goes when it becomes a replica, and is ended before anything is
    /// written to it again.
    pub fn has_predecessors(&self) -> bool {
        !self.predecessors.is_empty() && !self.left_behind().is_empty()
    }

    fn left_behind(&self) -> Vec<NodeId> {
        let serving = self.target.masters();
        self.predecessors.keys().copied().filter(|node| serving.contains(node)).collect()
    }

    /// Connects to every node that a connection broke to, so that what it left behind is ended.
    pub fn reconnect(&mut self) {
        for node in self.left_behind() {
            self.lane(node);
        }
    }

    /// Whether the key may have an expiry on the target. Where nothing is known of what was there before, any may.
    pub fn may_expire(&self, db: u32, name: &[u8]) -> bool {
        self.deadlines.possible(db, name)
    }

    /// The nodes with something on its way to them, and how many commands that is: unanswered ones, and answered ones
    /// that are not safe from a failover yet.
    pub fn open_by_node(&self) -> Vec<(NodeId, u64)> {
        let unsettled = self.durability.as_ref().map(|d| d.open_by_node()).unwrap_or_default();
        let count = |index: usize| {
            let lane = self.lanes.get(index).and_then(Option::as_ref);
            let open = lane.map_or(0, |lane| lane.open_slots().count() as u64);
            open + unsettled.get(index).copied().unwrap_or(0)
        };
        self.target.masters().into_iter().map(|node| (node, count(node.index()))).collect()
    }

    /// Whether a repaired value is on its way.
    pub fn has_repairs(&self) -> bool {
        self.tracker.has_repairs()
    }
}
