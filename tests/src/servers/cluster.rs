//! A real Redis Cluster.

use super::{RedisOptions, RedisServer};
use crate::client::{Client, Endpoint};

/// How a cluster is formed. The default has three masters without replicas.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Masters; the slots are dealt evenly in ranges.
    pub masters: usize,
    /// Replicas of each master.
    pub replicas_per_master: usize,
    /// Options of every node.
    pub node: RedisOptions,
}

/// What `CLUSTER NODES` says about one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// Index into [`Cluster::nodes`].
    pub index: usize,
    /// Node id, 40 hex digits.
    pub id: String,
    /// `127.0.0.1:port`.
    pub addr: String,
    /// `None` for a master, else the id of the master it follows.
    pub master_id: Option<String>,
}

/// A running cluster; all nodes end with it.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<RedisServer>,
}

impl Cluster {
    /// Starts the nodes, joins them, waits until every node says `cluster_state:ok` and every replica is linked.
    pub fn start(_options: ClusterOptions) -> Self {
        unimplemented!()
    }
    /// All servers; the masters of the start come first.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }
    /// One server, to kill, pause or restart it.
    pub fn node_mut(&mut self, index: usize) -> &mut RedisServer {
        &mut self.nodes[index]
    }
    /// `host:port` of every node.
    pub fn seeds(&self) -> Vec<String> {
        unimplemented!()
    }
    /// The masters as the cluster sees them now (nodes that do not answer are asked past).
    pub fn masters(&self) -> Vec<NodeInfo> {
        unimplemented!()
    }
    /// The replicas as the cluster sees them now.
    pub fn replicas(&self) -> Vec<NodeInfo> {
        unimplemented!()
    }
    /// Endpoints of the masters as the cluster sees them now.
    pub fn master_endpoints(&self) -> Vec<Endpoint> {
        unimplemented!()
    }
    /// Index of the master that owns `slot` now.
    pub fn master_of(&self, _slot: u16) -> usize {
        unimplemented!()
    }
    /// The slot of a key, asked from a node.
    pub fn slot_of(&self, _key: &[u8]) -> u16 {
        unimplemented!()
    }
    /// A connection to the master that owns `key`.
    pub fn client_for(&self, _key: &[u8]) -> Client {
        unimplemented!()
    }
    /// Moves a slot with its keys to the master `to`: [`Cluster::begin_slot_migration`],
    /// [`Cluster::move_keys`] until none is left, [`Cluster::finish_slot_migration`].
    pub fn migrate_slot(&self, _slot: u16, _to: usize) {
        unimplemented!()
    }
    /// Marks the slot MIGRATING at its owner and IMPORTING at `to`: absent keys now answer ASK.
    pub fn begin_slot_migration(&self, _slot: u16, _to: usize) {
        unimplemented!()
    }
    /// Moves up to `count` keys of the slot from its owner to `to` and returns how many there were.
    pub fn move_keys(&self, _slot: u16, _to: usize, _count: usize) -> usize {
        unimplemented!()
    }
    /// Gives the slot to `to`: the old owner now answers MOVED.
    pub fn finish_slot_migration(&self, _slot: u16, _to: usize) {
        unimplemented!()
    }
    /// Makes the replica `index` the master by `CLUSTER FAILOVER` and waits until all nodes agree.
    pub fn failover(&self, _index: usize) {
        unimplemented!()
    }
    /// SIGKILL to one node.
    pub fn kill(&mut self, index: usize) {
        self.nodes[index].kill();
    }
    /// Waits until every running node says `cluster_state:ok`.
    pub fn wait_ok(&self) {
        unimplemented!()
    }
}
