//! Whether anything of a flow can still reach the target.

use std::collections::BTreeMap;

use super::FlowRouter;
use crate::held::Way;
use crate::outcome::Transient;
use crate::target::NodeId;

/// What a flow has for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeLoad {
    /// The node.
    pub node: NodeId,
    /// Commands for it that wait, are unanswered, or are answered and not safe from a failover yet.
    pub open: u64,
    /// Why nothing is sent to it for the moment: `disconnected`, `LOADING`, ….
    pub waiting: Option<&'static str>,
}

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

    /// What is on its way to each node, and why nothing is sent to it for the moment.
    pub fn nodes(&self) -> Vec<NodeLoad> {
        let unsettled = self.durability.as_ref().map(|d| d.open_by_node()).unwrap_or_default();
        let mut held: BTreeMap<NodeId, (u64, Option<Transient>)> = BTreeMap::new();
        for (slot, commands) in &self.held {
            let (count, waits) = held.entry(self.owners[usize::from(*slot)]).or_default();
            *count += commands.len() as u64;
            if let Way::Later(why) = commands.way {
                waits.get_or_insert(why);
            }
        }
        let load = |node: NodeId| {
            let lane = self.lanes.get(node.index()).and_then(Option::as_ref);
            let (held, waits) = held.get(&node).copied().unwrap_or_default();
            let unreached = lane.is_some() && self.unreached.contains_key(&node);
            NodeLoad {
                node,
                open: lane.map_or(0, |lane| lane.open_slots().count() as u64)
                    + held
                    + unsettled.get(node.index()).copied().unwrap_or(0),
                waiting: waits.or(unreached.then_some(Transient::Disconnected)).map(Transient::name),
            }
        };
        self.target.masters().into_iter().map(load).collect()
    }

    /// Whether a repaired value is on its way.
    pub fn has_repairs(&self) -> bool {
        self.tracker.has_repairs()
    }
}
