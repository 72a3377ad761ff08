//! Whether anything of a flow can still reach the target.

use super::FlowRouter;

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
    pub fn has_predecessors(&self) -> bool {
        !self.predecessors.is_empty()
    }

    /// Connects to every node that a connection broke to, so that what it left behind is ended.
    pub fn reconnect(&mut self) {
        let nodes: Vec<_> = self.predecessors.keys().copied().collect();
        for node in nodes {
            self.lane(node);
        }
    }

    /// Whether the key may have an expiry on the target. Where nothing is known of what was there before, any may.
    pub fn may_expire(&self, db: u32, name: &[u8]) -> bool {
        self.deadlines.possible(db, name)
    }

    /// Whether a repaired value is on its way.
    pub fn has_repairs(&self) -> bool {
        self.tracker.has_repairs()
    }
}
