//! What the checkpoint remembers about the nodes, and what it tells after a start.
//!
//! A mark is stored in the same write as the applied LSNs. Every write that they count lies at or below the mark's
//! offset; the ones above it are in the uncertain range and repaired anyway.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep, timeout};

use crate::durability::NodeWatch;
use crate::durability::ask::{self, Answer};
use crate::durability::info::{Fsync, NodeInfo, Role};
use crate::durability::node::Node;
use crate::durability::shared::Shared;
use crate::target::NodeId;

/// How long one node may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// How often it is looked whether a node is watched.
const LOOK: Duration = Duration::from_millis(10);

/// How a node kept its data over a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// An append-only file that reaches the disk before the reply.
    Always,
    /// An append-only file, or snapshots, and everything that counted as applied was on the disk.
    All,
    /// Something that counted as applied was not on the disk yet, or nothing is known about it.
    Part,
}

/// One node as the checkpoint keeps it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// `host:port`.
    pub address: String,
    /// The server process.
    pub run_id: String,
    /// The history that `offset` counts in.
    pub replid: String,
    /// Every write that counted as applied lay at or below it.
    pub offset: u64,
    /// How it kept its data.
    pub kept: Kept,
    /// Its keys in all databases, about.
    pub keys: u64,
    /// When it was taken (Unix milliseconds).
    pub taken_ms: u64,
}

/// What a mark says about a node, besides its address and the time.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    run_id: String,
    replid: String,
    offset: u64,
    kept: Kept,
    keys: u64,
}

impl Node {
    /// `newest` is the highest tag of a write; without one there was none in this process.
    pub(crate) fn body(&self, newest: Option<u64>) -> Option<Body> {
        let known = self.known.as_ref()?;
        // Whatever it held before, the poll that found it covers.
        let held = self.first.saturating_sub(1);
        let kept = match self.fsync {
            Some(Fsync::Always) if self.has_on_disk(u64::MAX - 1) => Kept::Always,
            _ if self.has_on_disk(newest.map_or(held, |newest| newest.max(held))) => Kept::All,
            _ => Kept::Part,
        };
        Some(Body {
            run_id: known.run_id.clone(),
            replid: known.replication.replid.clone(),
            offset: self.settled_offset(),
            kept,
            keys: known.keys,
        })
    }
}

/// What became of the target while nobody watched it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// The same processes with the same histories: nothing that counted as applied is gone.
    Same,
    /// A node was restarted.
    Restarted {
        /// `host:port`.
        node: String,
        /// Why writes that counted as applied may be gone; `None` where none can be.
        may_have_lost: Option<String>,
    },
    /// Another node has taken over, or the node's history is another one.
    TookOver {
        /// `host:port` of the node that served.
        node: String,
        /// Why writes that counted as applied may be gone; `None` where none can be.
        may_have_lost: Option<String>,
    },
    /// It cannot be told.
    Unknown {
        /// Why not.
        reason: String,
    },
    /// It cannot be told yet: a node that serves does not answer, or changes just now.
    Silent {
        /// `host:port`.
        node: String,
        /// What came instead of an answer.
        reason: String,
    },
}

impl Comparison {
    /// Why writes that counted as applied may be gone; `None` where that is excluded.
    pub fn may_have_lost(&self) -> Option<&str> {
        match self {
            Comparison::Same => None,
            Comparison::Restarted { may_have_lost, .. } | Comparison::TookOver { may_have_lost, .. } => {
                may_have_lost.as_deref()
            }
            Comparison::Unknown { reason } | Comparison::Silent { reason, .. } => Some(reason),
        }
    }

    /// The more of them are true, the worse.
    fn rank(&self) -> u8 {
        match self {
            Comparison::Same => 0,
            Comparison::Restarted { may_have_lost: None, .. } => 1,
            Comparison::TookOver { may_have_lost: None, .. } => 2,
            Comparison::Unknown { .. } => 3,
            Comparison::Silent { .. } => 4,
            Comparison::TookOver { .. } | Comparison::Restarted { .. } => 5,
        }
    }
}

/// What a node says now.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    Told(NodeInfo),
    Denied,
    Silent(String),
}

/// Compares one mark with what the nodes say now, by address. `serving` are the addresses of those that own slots.
pub(crate) fn compare_one(mark: &Mark, found: &BTreeMap<String, Found>, serving: &[String]) -> Comparison {
    let node = mark.address.clone();
    match found.get(&mark.address) {
        Some(Found::Told(info)) if info.replication.role == Role::Master => return at_home(mark, info),
        Some(Found::Denied) => {
            return Comparison::Unknown { reason: format!("{node} does not allow INFO") };
        }
        Some(Found::Silent(reason)) if serving.contains(&node) => {
            return Comparison::Silent { node, reason: reason.clone() };
        }
        _ => {}
    }
    // It is a replica now, or gone. Its successor shares its history up to where it took over.
    for (address, other) in found.iter().filter(|(address, _)| serving.contains(address)) {
        let Found::Told(info) = other else { continue };
        if let Some(shared) = shared_up_to(mark, info) {
            let may_have_lost = (shared < mark.offset).then(|| {
                format!("{address} took over with offset {shared}, but {} was applied", mark.offset)
            });
            return Comparison::TookOver { node, may_have_lost };
        }
    }
    let reason = format!("no node says that it continues the history of {node}");
    Comparison::TookOver { node, may_have_lost: Some(reason) }
}

/// Up to where a node that leads another history shares that of the mark.
fn shared_up_to(mark: &Mark, info: &NodeInfo) -> Option<u64> {
    let (history, first) = info.replication.former.as_ref()?;
    (*history == mark.replid).then(|| first.saturating_sub(1))
}

/// A node that still, or again, is a master under its address.
fn at_home(mark: &Mark, info: &NodeInfo) -> Comparison {
    let node = mark.address.clone();
    let replication = &info.replication;
    let same_process = info.run_id == mark.run_id;
    if replication.replid == mark.replid {
        // A history goes only forward.
        let may_have_lost = (replication.offset < mark.offset)
            .then(|| format!("its offset is {}, but {} was applied", replication.offset, mark.offset));
        return match (same_process, may_have_lost) {
            (true, None) => Comparison::Same,
            (true, may_have_lost) => Comparison::TookOver { node, may_have_lost },
            (false, may_have_lost) => Comparison::Restarted { node, may_have_lost },
        };
    }
    if let Some(shared) = shared_up_to(mark, info) {
        let may_have_lost = (shared < mark.offset).then(|| {
            format!("it has the former history up to offset {shared}, but {} was applied", mark.offset)
        });
        return match same_process {
            true => Comparison::TookOver { node, may_have_lost },
            false => Comparison::Restarted { node, may_have_lost },
        };
    }
    if same_process {
        // A node that followed another one has a former history. One without has only dropped its own, as a master
        // without replicas does after an hour (`repl-backlog-ttl`).
        let may_have_lost = replication
            .former
            .is_some()
            .then(|| "it followed another node meanwhile, and nothing tells what that one had".to_owned());
        return Comparison::TookOver { node, may_have_lost };
    }
    let may_have_lost = match mark.kept {
        _ if info.keys == 0 && mark.keys > 0 => Some("it was restarted, and is empty".to_owned()),
        // What only read its own disk knows of no other history.
        _ if replication.former.is_some() => {
            Some("it is another process, with a history that is not known here".to_owned())
        }
        Kept::Always | Kept::All => None,
        Kept::Part => Some("it was restarted, and not everything was on its disk before".to_owned()),
    };
    Comparison::Restarted { node, may_have_lost }
}

impl NodeWatch {
    /// What the checkpoint should remember. To be taken *after* the applied LSNs that it is stored with.
    ///
    /// Nodes that were not looked at yet are described as [`NodeWatch::compare`] was told.
    ///
    /// A node that has lost something is described as it was before, until every flow has been told by
    /// [`FlowRouter::settle_failures`] and [`FlowRouter::take_target_events`] that the loss is written down.
    ///
    /// [`FlowRouter::settle_failures`]: crate::FlowRouter::settle_failures
    /// [`FlowRouter::take_target_events`]: crate::FlowRouter::take_target_events
    pub fn marks(self: &Arc<Self>) -> Vec<Mark> {
        let taken = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let taken_ms = u64::try_from(taken.as_millis()).unwrap_or(u64::MAX);
        let serving = self.target().masters();
        let mut nodes: BTreeMap<NodeId, Arc<Shared>> = self.watched().into_iter().collect();
        for node in &serving {
            nodes.entry(*node).or_insert_with(|| self.shared(*node));
        }
        let marks = nodes.into_iter().filter_map(|(id, shared)| {
            let newest = shared.newest();
            let body = shared.with(|node| {
                if node.frozen.is_some() && self.is_stored(id, node.incarnation()) {
                    node.frozen = None;
                }
                let fresh = || serving.contains(&id).then(|| node.body(newest)).flatten();
                node.frozen.clone().or_else(fresh)
            });
            let Some(body) = body else {
                // Not looked at yet, or away: what was known before still holds.
                return self.earlier().get(&self.address(id)).filter(|_| serving.contains(&id)).cloned();
            };
            let Body { run_id, replid, offset, kept, keys } = body;
            Some(Mark { address: self.address(id), run_id, replid, offset, kept, keys, taken_ms })
        });
        let mut marks: Vec<Mark> = marks.collect();
        marks.sort();
        marks
    }

    /// What became of the target since `stored` was taken: the worst that is found.
    pub async fn compare(self: &Arc<Self>, stored: &[Mark]) -> Comparison {
        if stored.is_empty() {
            return Comparison::Unknown { reason: "the checkpoint tells nothing about the nodes".into() };
        }
        *self.earlier() = stored.iter().map(|mark| (mark.address.clone(), mark.clone())).collect();
        let masters = self.target().masters();
        let serving: Vec<String> = masters.iter().map(|node| self.address(*node)).collect();
        let mut found = BTreeMap::new();
        for address in serving.iter().chain(stored.iter().map(|mark| &mark.address)) {
            if !found.contains_key(address) {
                found.insert(address.clone(), self.ask(address).await);
            }
        }
        let all = stored.iter().map(|mark| compare_one(mark, &found, &serving));
        let worst = all.max_by_key(Comparison::rank).unwrap_or(Comparison::Same);
        if worst.rank() >= (Comparison::Silent { node: String::new(), reason: String::new() }).rank() {
            return worst;
        }
        // What happens from now on has to be noticed by those that watch, so they must have seen the same processes.
        let limit = Instant::now() + LIMIT;
        for node in masters {
            let address = self.address(node);
            let Some(Found::Told(info)) = found.get(&address) else { continue };
            while !self.saw(node, info) {
                if Instant::now() >= limit {
                    return Comparison::Silent { node: address, reason: "it changes just now".into() };
                }
                sleep(LOOK).await;
            }
        }
        worst
    }

    /// Whether the process that said this of itself is watched.
    fn saw(self: &Arc<Self>, node: NodeId, info: &NodeInfo) -> bool {
        self.shared(node).with(|node| {
            node.known.as_ref().is_some_and(|known| {
                known.run_id == info.run_id && known.replication.replid == info.replication.replid
            })
        })
    }

    fn earlier(&self) -> MutexGuard<'_, BTreeMap<String, Mark>> {
        // Replaced as a whole.
        self.earlier.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    async fn ask(&self, address: &str) -> Found {
        let asked = async {
            let mut connection = self.target().open_addr(address).await?;
            ask::whole(&mut connection).await
        };
        match timeout(LIMIT, asked).await {
            Ok(Ok(Answer::Told(info))) => Found::Told(info),
            Ok(Ok(Answer::Denied)) => Found::Denied,
            Ok(Err(error)) => Found::Silent(error.to_string()),
            Err(_) => Found::Silent("no answer in time".into()),
        }
    }
}

#[cfg(test)]
mod tests;
