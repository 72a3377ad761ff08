//! All nodes of a target, shared by the flows.

use std::sync::Arc;
use std::time::Duration;

use crate::durability::{Comparison, Mark, Persistence, Role, Settings};
use crate::target::{NodeId, Target};

/// One node as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// `host:port`.
    pub address: String,
    /// The server process.
    pub run_id: String,
    /// What it is.
    pub role: Role,
    /// The history that its offsets count in.
    pub replid: String,
    /// Its replication offset.
    pub offset: u64,
    /// Replicas past their full sync.
    pub replicas: usize,
    /// What every such replica has.
    pub lowest_replica_offset: Option<u64>,
    /// How it keeps its data over a restart; `None` where it does not say.
    pub persistence: Option<Persistence>,
    /// Whether it answers.
    pub answers: bool,
}

/// The incarnations of some nodes at one moment, before something is sent to all of them.
#[derive(Debug, Clone)]
pub struct Standing {
    nodes: Vec<(NodeId, u64)>,
}

/// What became of writes sent to every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// They are safe on every node.
    Settled,
    /// These nodes are other ones than before: what was sent to them has to be sent again (rule 29).
    Changed(Vec<NodeId>),
    /// The time was up before it was known of these nodes.
    Waiting(Vec<NodeId>),
}

/// Watches the nodes that writes go to.
#[derive(Debug)]
pub struct NodeWatch {
    target: Arc<Target>,
    settings: Settings,
}

impl NodeWatch {
    /// Starts to watch the target's nodes. It ends when the last clone is dropped.
    pub fn start(target: Arc<Target>, settings: Settings) -> Arc<NodeWatch> {
        Arc::new(NodeWatch { target, settings })
    }

    /// How it watches.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The nodes met so far.
    pub fn nodes(&self) -> Vec<(NodeId, NodeStatus)> {
        let _ = &self.target;
        Vec::new()
    }

    /// What the checkpoint should remember, to be taken before the applied LSNs it is stored with.
    pub fn marks(&self) -> Vec<Mark> {
        Vec::new()
    }

    /// What became of the target since `stored` was taken.
    pub async fn compare(&self, _stored: &[Mark]) -> Comparison {
        Comparison::Unknown { reason: "not looked".into() }
    }

    /// The nodes' incarnations, before something is sent to all of them.
    pub fn stand(&self, nodes: &[NodeId]) -> Standing {
        Standing { nodes: nodes.iter().map(|node| (*node, 0)).collect() }
    }

    /// Waits until everything acknowledged by now is settled on every node (rule 29).
    pub async fn settle_all(&self, standing: &Standing, _limit: Duration) -> Settlement {
        Settlement::Waiting(standing.nodes.iter().map(|(node, _)| *node).collect())
    }
}
