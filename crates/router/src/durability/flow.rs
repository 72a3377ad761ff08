//! What a flow knows about all nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::durability::node::{Ending, Verdict};
use crate::durability::retained::Retained;
use crate::durability::shared::Shared;
use crate::durability::{Event, NodeWatch};
use crate::target::NodeId;
use crate::tracker::Origin;

/// An acknowledged command that its node has lost.
#[derive(Debug, Clone)]
pub struct LostWrite {
    /// The node.
    pub node: NodeId,
    /// Its keys: the target's database, the target name.
    pub keys: Vec<(u32, Bytes)>,
    /// The piece of a record that stays open for it; `None` where it was settled before.
    pub origin: Option<Origin>,
    /// What happened to the node.
    pub reason: Arc<str>,
}

/// What became of acknowledged commands.
#[derive(Debug, Default)]
pub struct Resolved {
    /// Settled: where they came from, and how many.
    pub settled: Vec<(Origin, u64)>,
    /// Lost, for each node in the order in which they were acknowledged.
    pub lost: Vec<LostWrite>,
    /// What no repair of single keys mends.
    pub events: Vec<Event>,
    /// Nodes that are not the same any more, with the number of the incarnation: an older lane must not be used.
    pub ended: Vec<(NodeId, u64)>,
}

impl Resolved {
    pub(crate) fn settle(&mut self, origin: Origin, count: u64) {
        if count > 0 {
            self.settled.push((origin, count));
        }
    }
}

/// A node that lost slots, and which of its incarnations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Loss {
    from: NodeId,
    incarnation: u64,
}

#[derive(Debug)]
struct Watched {
    shared: Arc<Shared>,
    retained: Retained,
    /// Slots that the node got, and when (tag).
    gains: BTreeMap<Loss, u64>,
}

impl Watched {
    /// A write counts from now on with those of tag `tag`. Whether it is settled; if not, the watch is asked for what tells.
    fn acknowledged<'a>(
        &mut self,
        tag: u64,
        verdict: Verdict,
        origin: Origin,
        keys: impl Iterator<Item = (u32, &'a [u8])>,
    ) -> bool {
        let settled = self.retained.acknowledged(tag, verdict, origin, keys);
        if !settled {
            self.shared.want(tag);
        }
        settled
    }
}

/// The acknowledged writes of one flow that are not safe yet.
#[derive(Debug)]
pub struct FlowDurability {
    watch: Arc<NodeWatch>,
    /// Tells this flow from the others of the watch.
    id: u64,
    /// Something was lost that is not known to be written down.
    owes: bool,
    nodes: Vec<Option<Watched>>,
    changes: watch::Receiver<u64>,
    /// Something changed that was not looked at.
    unseen: bool,
    /// Lost, but acknowledged when that was already dealt with.
    late: Vec<LostWrite>,
    /// Something was acknowledged.
    begun: bool,
}

impl FlowDurability {
    /// Nothing is acknowledged yet.
    pub fn new(watch: Arc<NodeWatch>) -> Self {
        let changes = watch.changes();
        let id = watch.register();
        FlowDurability {
            watch,
            id,
            owes: false,
            nodes: Vec::new(),
            changes,
            unseen: false,
            late: Vec::new(),
            begun: false,
        }
    }

    /// These nodes hold what an earlier process or session wrote: what becomes of them from now on counts, also before
    /// anything is acknowledged.
    pub fn watch_from_now(&mut self, nodes: &[NodeId]) {
        for node in nodes {
            let watched = self.watched(*node);
            if let Some(newest) = watched.shared.newest() {
                watched.retained.gained(newest);
            }
        }
    }

    /// Every node was written to on another way, by now at the latest, and what that was is not remembered by names. A node
    /// that loses it has lost more than is remembered (rule 30).
    pub fn written_elsewhere(&mut self, nodes: &[NodeId]) {
        for node in nodes {
            let watched = self.watched(*node);
            let tag = watched.shared.started();
            watched.retained.gained(tag);
        }
    }

    /// The nodes that are watched.
    pub fn watch(&self) -> &Arc<NodeWatch> {
        &self.watch
    }

    /// A command was acknowledged on a lane that found this incarnation of the node; `keys` are all its keys, at least
    /// one, with their databases. Whether it is settled already; if not, [`FlowDurability::resolve`] tells later.
    pub fn acknowledged<'a>(
        &mut self,
        node: NodeId,
        incarnation: u64,
        origin: Origin,
        keys: impl Iterator<Item = (u32, &'a [u8])>,
    ) -> bool {
        if !std::mem::replace(&mut self.begun, true) && origin == Origin::Snapshot {
            // A full sync begins, and that was written down before its first command (rule 34).
            self.watch.forget_losses();
        }
        let watched = self.watched(node);
        // In this order: see Shared::with.
        let (tag, verdict) = (watched.shared.started(), watched.shared.glance());
        watched.shared.wrote(tag);
        if watched.shared.incarnation() == incarnation {
            return watched.acknowledged(tag, verdict, origin, keys);
        }
        self.late(node, incarnation, origin, keys)
    }

    /// The reply came from an incarnation that has ended.
    fn late<'a>(
        &mut self,
        node: NodeId,
        incarnation: u64,
        origin: Origin,
        keys: impl Iterator<Item = (u32, &'a [u8])>,
    ) -> bool {
        let watched = self.watched(node);
        let endings = watched.shared.endings_from(incarnation);
        let Some(ending) = endings.first() else {
            // A lane cannot know an incarnation that the watch does not.
            return true;
        };
        let known = watched.retained.incarnation() > incarnation;
        if known && ending.safe > ending.at {
            // All of that incarnation is there, this one included; it counts with the current one's.
            let tag = watched.shared.started();
            return watched.acknowledged(tag, Verdict::default(), origin, keys);
        }
        if !known {
            return watched.retained.acknowledged(ending.at, Verdict::default(), origin, keys);
        }
        let keys = keys.map(|(db, name)| (db, Bytes::copy_from_slice(name))).collect();
        let reason = ending.reason.clone();
        self.late.push(LostWrite { node, keys, origin: Some(origin), reason });
        false
    }

    /// `node` got a slot that `from` served. Either it has taken over, or the slot has migrated and `node` holds keys that
    /// this flow has not written there.
    pub fn gained(&mut self, from: NodeId, node: NodeId) {
        let lost = match self.watch.known(from) {
            Some(shared) => {
                let (incarnation, left) = shared.with(|n| (n.incarnation(), n.known.is_none()));
                Loss { from, incarnation: if left { incarnation.saturating_sub(1) } else { incarnation } }
            }
            None => Loss { from, incarnation: 0 },
        };
        let watched = self.watched(node);
        let tag = watched.shared.started();
        if watched.gains.insert(lost, tag).is_none_or(|before| before < tag) {
            // Soon a poll that was sent since then covers whatever came with the slot.
            watched.shared.want(tag);
        }
    }

    fn watched(&mut self, node: NodeId) -> &mut Watched {
        let index = node.index();
        if self.nodes.len() <= index {
            self.nodes.resize_with(index + 1, || None);
        }
        let (nodes, watch, id) = (&mut self.nodes, &self.watch, self.id);
        nodes[index].get_or_insert_with(|| {
            let shared = watch.shared(node);
            let (incarnation, first) = shared.with(|n| (n.incarnation(), n.first));
            watch.store(id, node, incarnation);
            let budget = watch.budget().clone();
            let retained =
                Retained::new(node, *watch.settings(), incarnation, first.saturating_sub(1), budget);
            Watched { shared, retained, gains: BTreeMap::new() }
        })
    }

    /// Whether something may have become of acknowledged commands.
    pub(crate) fn has_changed(&self) -> bool {
        self.unseen || !self.late.is_empty() || self.changes.has_changed()
    }

    /// Waits until something may have become of acknowledged commands. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The watch is kept by this flow itself.
            std::future::pending::<()>().await;
        }
        self.unseen = true;
    }

    /// What became of acknowledged commands since the last call.
    pub fn resolve(&mut self) -> Resolved {
        self.changes.mark_unchanged();
        self.unseen = false;
        let mut resolved = Resolved::default();
        for watched in self.nodes.iter_mut().flatten() {
            let (incarnation, verdict) = watched.shared.verdict();
            let node = watched.retained.node();
            if watched.retained.incarnation() < incarnation {
                let address = self.watch.address(node);
                for (loss, tag) in std::mem::take(&mut watched.gains) {
                    let ended = self.watch.known(loss.from).map(|from| from.endings_from(loss.incarnation));
                    let by = ended.as_ref().and_then(|endings| endings.first()?.by.as_deref());
                    if by != Some(&address) {
                        watched.retained.gained(tag);
                    }
                }
                for ending in watched.shared.endings_from(watched.retained.incarnation()) {
                    let Ending { at, safe, remains, .. } = ending;
                    let before = resolved.lost.len();
                    watched.retained.ended(&ending, &address, &mut resolved);
                    let lost = resolved.lost.len() - before;
                    tracing::warn!(
                        node = address,
                        reason = &*ending.reason,
                        lost,
                        at,
                        safe,
                        ?remains,
                        "a node of the target is not what it was"
                    );
                }
                resolved.ended.push((node, watched.retained.incarnation()));
            }
            // An incarnation that ended between the two is dealt with the next time.
            if watched.retained.incarnation() == incarnation {
                watched.retained.settle(verdict, &mut resolved);
            }
            if let Some(tag) = watched.retained.newest() {
                watched.shared.want(tag);
            }
        }
        resolved.lost.append(&mut self.late);
        self.owes |= !resolved.lost.is_empty() || !resolved.events.is_empty();
        if !resolved.ended.is_empty() && !self.owes {
            self.stored();
        }
        resolved
    }

    /// Everything that was told as lost is written down.
    pub fn stored(&mut self) {
        self.owes = false;
        for watched in self.nodes.iter().flatten() {
            self.watch.store(self.id, watched.retained.node(), watched.retained.incarnation());
        }
    }

    /// Whether something that was told as lost is not known to be written down.
    pub fn owes(&self) -> bool {
        self.owes
    }

    /// Acknowledged commands that are not settled.
    pub fn open(&self) -> u64 {
        self.nodes.iter().flatten().map(|watched| watched.retained.open()).sum::<u64>()
            + self.late.len() as u64
    }

    /// The same by node, at the node's number.
    pub(crate) fn open_by_node(&self) -> Vec<u64> {
        let open = |watched: &Option<_>| watched.as_ref().map_or(0, |w: &Watched| w.retained.open());
        self.nodes.iter().map(open).collect()
    }

    /// Keys that are remembered although the commands are settled.
    pub fn remembered(&self) -> usize {
        self.nodes.iter().flatten().map(|watched| watched.retained.remembered()).sum()
    }
}

impl Drop for FlowDurability {
    fn drop(&mut self) {
        self.watch.release(self.id);
    }
}
