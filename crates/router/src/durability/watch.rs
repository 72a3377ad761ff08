//! All nodes of a target, shared by the flows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use resp::Connection;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use crate::durability::ask::{self, Answer};
use crate::durability::info::Role;
use crate::durability::node::Node;
use crate::durability::recent::Budget;
use crate::durability::shared::Shared;
use crate::durability::{Mark, Persistence, Settings, poll};
use crate::error::Error;
use crate::target::{NodeId, Target};

/// One node as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// `host:port`.
    pub address: String,
    /// The server process; empty where it does not say.
    pub run_id: String,
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
    /// Questions asked so far.
    pub polls: u64,
    /// Whether it answers.
    pub answers: bool,
    /// It does not let this user ask: writes count as safe after the loss window, and what it loses goes unnoticed.
    pub denied: bool,
    /// How often it turned out to be another process or to lead another history.
    pub incarnation: u64,
}

/// The incarnations of some nodes at one moment, before something is sent to all of them.
#[derive(Debug, Clone)]
pub struct Standing {
    nodes: Vec<(NodeId, Option<u64>)>,
}

impl Standing {
    /// Whether every node was seen.
    pub fn is_complete(&self) -> bool {
        self.nodes.iter().all(|(_, stood)| stood.is_some())
    }
}

/// What became of writes sent to every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// They are safe on every node.
    Settled,
    /// These nodes are other ones than before: what was sent to them has to be sent again, or to the nodes that now
    /// serve (rule 29).
    Changed(Vec<NodeId>),
    /// The time was up before it was known of these nodes.
    Waiting(Vec<NodeId>),
}

/// Watches the nodes that writes go to.
#[derive(Debug)]
pub struct NodeWatch {
    target: Arc<Target>,
    settings: Settings,
    budget: Arc<Budget>,
    nodes: Mutex<BTreeMap<NodeId, Arc<Shared>>>,
    changes: watch::Sender<u64>,
    /// By flow: up to which incarnation of each node its losses are written down.
    stored: Mutex<BTreeMap<u64, BTreeMap<NodeId, u64>>>,
    flows: AtomicU64,
    /// Flows that ended: what becomes of the nodes since then, they do not write down.
    orphans: Mutex<BTreeSet<u64>>,
    /// What the checkpoint says about nodes that were not looked at yet.
    pub(crate) earlier: Mutex<BTreeMap<String, Mark>>,
}

impl NodeWatch {
    /// Watches the nodes that own slots, and every other one from its first lane on. It ends when the last clone is
    /// dropped. To be called within a runtime.
    pub fn start(target: Arc<Target>, settings: Settings) -> Arc<NodeWatch> {
        let masters = target.masters();
        let watch = Arc::new(NodeWatch {
            target,
            settings,
            budget: Budget::new(settings.retained_bytes),
            nodes: Mutex::default(),
            changes: watch::Sender::new(0),
            stored: Mutex::default(),
            flows: AtomicU64::new(0),
            orphans: Mutex::default(),
            earlier: Mutex::default(),
        });
        for node in masters {
            watch.shared(node);
        }
        watch
    }

    /// How it watches.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Bytes that all flows keep for writes that a node may lose.
    pub fn retained_bytes(&self) -> usize {
        self.budget.used()
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn address(&self, node: NodeId) -> String {
        self.target.address(node)
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.target.is_cluster()
    }

    pub(crate) async fn connect(&self, node: NodeId) -> Result<Connection, Error> {
        self.target.open_addr(&self.target.address(node)).await
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Arc<Shared>>> {
        // Entries are only added, each whole.
        self.nodes.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The node's record; it is polled from now on.
    pub(crate) fn shared(self: &Arc<Self>, node: NodeId) -> Arc<Shared> {
        let shared = self
            .lock()
            .entry(node)
            .or_insert_with(|| Arc::new(Shared::new(Node::new(self.settings))))
            .clone();
        if shared.begin_polling() {
            tokio::spawn(poll::run(Arc::downgrade(self), node, shared.clone()));
        }
        shared
    }

    /// The node's record, if it is watched.
    pub(crate) fn known(&self, node: NodeId) -> Option<Arc<Shared>> {
        self.lock().get(&node).cloned()
    }

    /// Changes a node, and wakes the flows if that means something to them.
    pub(crate) fn update<R>(&self, shared: &Shared, f: impl FnOnce(&mut Node) -> R) -> R {
        let before = shared.verdict();
        let result = shared.with(f);
        let after = shared.verdict();
        if (before.0, before.1.settled, before.1.at_once) != (after.0, after.1.settled, after.1.at_once) {
            self.changes.send_modify(|version| *version += 1);
        }
        result
    }

    /// Learns over `connection` what the node is, before anything is sent on it, and returns the number of its
    /// incarnation. Where it, or a node that it succeeds, is not what it was, the flows are told (rule 28).
    ///
    /// # Errors
    /// The connection's; it reads its data set; it is a replica.
    pub(crate) async fn look(
        self: &Arc<Self>,
        node: NodeId,
        connection: &mut Connection,
    ) -> Result<u64, Error> {
        let shared = self.shared(node);
        let sent = Instant::now();
        let number = shared.with(Node::begin);
        let info = match ask::whole(connection).await? {
            Answer::Told(info) => info,
            Answer::Denied => {
                if !shared.with(|node| std::mem::replace(&mut node.denied, true)) {
                    let address = self.address(node);
                    warn!(node = address, "INFO is not allowed: only time tells what is safe on the target");
                }
                return Ok(shared.incarnation());
            }
        };
        let addr = connection.addr().to_owned();
        let role = info.replication.role;
        let former = info.replication.former.clone().filter(|_| role == Role::Master);
        let now = Instant::now();
        if !self.update(&shared, |node| node.observe(number, sent, info, now)) {
            let reason = "it was restarted meanwhile".to_owned();
            return Err(resp::Error::Closed { addr, reason }.into());
        }
        let others: Vec<_> =
            self.lock().iter().filter(|(n, _)| **n != node).map(|(_, s)| s.clone()).collect();
        for other in &others {
            if let Some((history, first)) = &former {
                self.update(other, |n| n.continued_by(history, *first, &addr, now));
            }
        }
        self.succession(now);
        match role {
            Role::Master => Ok(shared.incarnation()),
            Role::Replica => {
                self.target.refresh_soon();
                Err(Error::IsReplica { addr })
            }
        }
    }

    /// A node does not answer, or is another one than before: who serves its slots has to be found, and looked at.
    pub(crate) fn in_trouble(self: &Arc<Self>, node: NodeId, shared: &Shared) {
        self.update(shared, |node| node.answers = false);
        self.target.refresh_soon();
        if self.is_cluster() {
            for master in self.target.masters().into_iter().filter(|master| *master != node) {
                self.shared(master);
            }
        }
        self.succession(Instant::now());
    }

    /// Ends the nodes that serve nothing and do not answer as masters, once every node that serves was looked at
    /// and none says that it continues their history.
    fn succession(&self, now: Instant) {
        if !self.is_cluster() {
            return;
        }
        let masters = self.target.masters();
        let nodes: Vec<_> = self.lock().iter().map(|(node, shared)| (*node, shared.clone())).collect();
        let serves = |shared: &Shared| shared.with(|n| n.known.is_some() && n.answers && !n.away || n.denied);
        let seen = |master: &NodeId| nodes.iter().any(|(node, shared)| node == master && serves(shared));
        if !masters.iter().all(seen) {
            return;
        }
        for (node, shared) in &nodes {
            if !masters.contains(node) && shared.with(|n| n.away || !n.answers) {
                self.update(shared, |node| node.succeeded(now));
            }
        }
    }

    /// Whether nothing can be learned from the node any more. Then its poller ends, until a lane asks for it again.
    pub(crate) fn is_done_with(&self, node: NodeId, shared: &Shared) -> bool {
        let done = shared.with(|n| n.known.is_none()) && !self.target.masters().contains(&node);
        if done {
            shared.end_polling();
        }
        done
    }

    /// The nodes met so far.
    pub fn nodes(&self) -> Vec<(NodeId, NodeStatus)> {
        let nodes: Vec<_> = self.lock().iter().map(|(node, shared)| (*node, shared.clone())).collect();
        nodes.into_iter().map(|(id, shared)| (id, shared.with(|node| self.status(id, node)))).collect()
    }

    fn status(&self, id: NodeId, node: &Node) -> NodeStatus {
        let known = node.known.as_ref();
        let replication = known.map(|known| &known.replication);
        NodeStatus {
            address: self.address(id),
            run_id: known.map(|known| known.run_id.clone()).unwrap_or_default(),
            replid: replication.map(|r| r.replid.clone()).unwrap_or_default(),
            offset: replication.map_or(0, |r| r.offset),
            replicas: replication.map_or(0, |r| r.online()),
            lowest_replica_offset: replication.and_then(|r| r.lowest()),
            persistence: known.and_then(|known| known.persistence),
            polls: node.started,
            answers: node.answers,
            denied: node.denied,
            incarnation: node.incarnation(),
        }
    }

    /// The nodes' incarnations, before something is sent to all of them. Nodes that are new are looked at first; one that
    /// does not answer within `limit` counts as changed later.
    pub async fn stand(self: &Arc<Self>, nodes: &[NodeId], limit: Duration) -> Standing {
        let deadline = Instant::now() + limit;
        let mut changes = self.changes();
        let mut standing = Vec::new();
        for node in nodes {
            let shared = self.shared(*node);
            let seen = || shared.with(|n| n.known.is_some() && n.answers && !n.away || n.denied);
            while !seen() {
                if timeout_at(deadline, changes.changed()).await.is_err() {
                    break;
                }
            }
            standing.push((*node, seen().then(|| shared.incarnation())));
        }
        Standing { nodes: standing }
    }

    /// Nodes that are other ones than before, as far as is known by now.
    pub fn changed_since(self: &Arc<Self>, standing: &Standing) -> Vec<NodeId> {
        let same = |node: &NodeId, stood: &Option<u64>| *stood == Some(self.shared(*node).incarnation());
        standing.nodes.iter().filter(|(node, stood)| !same(node, stood)).map(|(node, _)| *node).collect()
    }

    /// Waits until everything acknowledged by now is settled on every node (rule 29).
    pub async fn settle_all(self: &Arc<Self>, standing: &Standing, limit: Duration) -> Settlement {
        if !self.settings.rules.on(29) {
            return Settlement::Settled;
        }
        let deadline = Instant::now() + limit;
        let mut changes = self.changes();
        let nodes: Vec<_> =
            standing.nodes.iter().map(|(node, stood)| (*node, *stood, self.shared(*node))).collect();
        let tags: Vec<_> = nodes.iter().map(|(.., shared)| shared.started()).collect();
        for ((.., shared), tag) in nodes.iter().zip(&tags) {
            shared.ask(*tag);
        }
        loop {
            changes.mark_unchanged();
            let (mut changed, mut waiting) = (Vec::new(), Vec::new());
            for ((node, stood, shared), tag) in nodes.iter().zip(&tags) {
                let (incarnation, verdict) = shared.verdict();
                match stood {
                    // Only a poll that was sent since then tells that the node has not been another one meanwhile.
                    Some(stood) if *stood == incarnation => {
                        if verdict.settled <= *tag {
                            waiting.push(*node);
                        }
                    }
                    _ => changed.push(*node),
                }
            }
            if !changed.is_empty() {
                return Settlement::Changed(changed);
            }
            if waiting.is_empty() {
                return Settlement::Settled;
            }
            if timeout_at(deadline, changes.changed()).await.is_err() {
                return Settlement::Waiting(waiting);
            }
        }
    }

    /// What flows that have ended did not write down is repaired by a full sync whose beginning is written down. The
    /// first command of a snapshot says the same (rule 34).
    ///
    /// Until then, or until [`NodeWatch::succeed`], a node that loses something is described as it was before in
    /// [`NodeWatch::marks`].
    pub fn forget_losses(&self) {
        let orphans = std::mem::take(&mut *self.orphans());
        self.stored().retain(|flow, _| !orphans.contains(flow));
    }

    fn orphans(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        // Entries are only added, or taken all at once.
        self.orphans.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn stored(&self) -> MutexGuard<'_, BTreeMap<u64, BTreeMap<NodeId, u64>>> {
        // Entries are only added or replaced, each whole.
        self.stored.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A number for one more flow.
    pub(crate) fn register(&self) -> u64 {
        self.flows.fetch_add(1, Ordering::Relaxed)
    }

    /// Flow `flow` has written down what the node lost before this incarnation.
    pub(crate) fn store(&self, flow: u64, node: NodeId, incarnation: u64) {
        self.stored().entry(flow).or_default().insert(node, incarnation);
    }

    /// The flows of another session are in the place of those that have ended, from now on. Returns the nodes that have
    /// become others without an ended flow having written down what they lost (rule 30).
    pub fn succeed(&self) -> Vec<NodeId> {
        let mut orphans = self.orphans();
        let mut stored = self.stored();
        let mut lost = BTreeSet::new();
        for orphan in std::mem::take(&mut *orphans) {
            let nodes = stored.get(&orphan).into_iter().flatten();
            let became = |node: &NodeId| self.known(*node).map_or(0, |shared| shared.incarnation());
            let owed: Vec<NodeId> =
                nodes.filter(|(node, stored)| **stored < became(node)).map(|(node, _)| *node).collect();
            if owed.is_empty() {
                stored.remove(&orphan);
            } else {
                orphans.insert(orphan);
                lost.extend(owed);
            }
        }
        lost.into_iter().collect()
    }

    /// A flow has ended.
    pub(crate) fn release(&self, flow: u64) {
        self.orphans().insert(flow);
    }

    /// Whether every flow that wrote to the node has written down what it lost before this incarnation.
    pub(crate) fn is_stored(&self, node: NodeId, incarnation: u64) -> bool {
        self.stored().values().all(|nodes| nodes.get(&node).is_none_or(|stored| *stored >= incarnation))
    }

    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    pub(crate) fn watched(&self) -> Vec<(NodeId, Arc<Shared>)> {
        self.lock().iter().map(|(node, shared)| (*node, shared.clone())).collect()
    }
}
