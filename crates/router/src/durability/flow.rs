//! What a flow knows about all nodes.

use std::sync::Arc;

use bytes::Bytes;

use crate::durability::{Event, NodeWatch};
use crate::target::NodeId;
use crate::tracker::Origin;

/// The keys of an acknowledged command.
#[derive(Debug, Clone)]
pub enum Acknowledged {
    /// It has one.
    One(Bytes),
    /// All of them.
    Many(Vec<Bytes>),
}

/// An acknowledged command that its node has lost.
#[derive(Debug, Clone)]
pub struct LostWrite {
    /// The node.
    pub node: NodeId,
    /// The target's database.
    pub db: u32,
    /// Target names of its keys.
    pub keys: Vec<Bytes>,
    /// The piece of a record that stays open for it; `None` where it was settled before.
    pub origin: Option<Origin>,
    /// What happened to the node.
    pub reason: Arc<str>,
}

/// What became of acknowledged commands.
#[derive(Debug, Default)]
pub struct Resolved {
    /// Settled, with the number of commands of this origin.
    pub settled: Vec<(Origin, u64)>,
    /// Lost, in the order in which they were acknowledged.
    pub lost: Vec<LostWrite>,
    /// What no repair of single keys mends.
    pub events: Vec<Event>,
    /// Nodes whose lanes have to be connected anew.
    pub ended: Vec<NodeId>,
}

/// The acknowledged writes of one flow that are not safe yet.
#[derive(Debug)]
pub struct FlowDurability {
    watch: Arc<NodeWatch>,
}

impl FlowDurability {
    /// Nothing is acknowledged yet.
    pub fn new(watch: Arc<NodeWatch>) -> Self {
        FlowDurability { watch }
    }

    /// The nodes that are watched.
    pub fn watch(&self) -> &Arc<NodeWatch> {
        &self.watch
    }
}
