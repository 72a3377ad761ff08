//! Acknowledged is not settled: what stands between the two (rules 27, 28 and 30).

use std::sync::Arc;

use bytes::Bytes;
use command::table;

use super::FlowRouter;
use crate::durability::{Event, FlowDurability, LostWrite, Resolved};
use crate::failure::{Cause, Failure};
use crate::lane::Parked;
use crate::target::NodeId;
use crate::tracker::Origin;

/// The node that answered, and the incarnation of it that the lane found.
#[derive(Debug, Clone, Copy)]
pub(super) struct From {
    pub(super) node: NodeId,
    pub(super) incarnation: u64,
}

impl FlowRouter {
    /// What became of the target that no repair of single keys mends. Until [`FlowRouter::take_target_events`] nothing
    /// counts as settled any more, and no new connection is written to.
    pub fn target_events(&self) -> &[Event] {
        &self.target_events
    }

    /// The same, to be called when it is written down durably that a full sync is due (rule 30).
    pub fn take_target_events(&mut self) -> Vec<Event> {
        let events = std::mem::take(&mut self.target_events);
        if !events.is_empty() {
            self.losses_stored();
            for (origin, count) in std::mem::take(&mut self.settled_later) {
                self.settled(origin, count);
            }
            self.let_lanes_go();
        }
        events
    }

    /// Tells the watch when everything lost is written down.
    pub(super) fn losses_stored(&mut self) {
        if let Some(durability) = self.durability.as_mut().filter(|durability| durability.owes())
            && self.lost_open == 0
            && self.target_events.is_empty()
        {
            durability.stored();
        }
    }

    /// Commands that are acknowledged but not settled.
    pub fn unsettled(&self) -> u64 {
        self.durability.as_ref().map_or(0, FlowDurability::open)
    }

    /// A node acknowledged a command with one key.
    pub(super) fn acknowledged_one(&mut self, from: From, origin: Origin, db: u32, key: &Bytes) {
        self.acknowledged(from, origin, std::iter::once((db, &key[..])));
    }

    /// A node acknowledged a command.
    pub(super) fn acknowledged_all(&mut self, from: From, parked: &Parked) {
        let origin = parked.meta.origin;
        if self.durability.is_some() && parked.meta.many {
            let places = parked.places();
            self.acknowledged(from, origin, places.iter().map(|(db, key)| (*db, &key[..])));
        } else {
            self.acknowledged_one(from, origin, parked.meta.db, &parked.meta.key);
        }
    }

    fn acknowledged<'a>(&mut self, from: From, origin: Origin, keys: impl Iterator<Item = (u32, &'a [u8])>) {
        let settled = match &mut self.durability {
            Some(durability) if origin != Origin::Lane => {
                durability.acknowledged(from.node, from.incarnation, origin, keys)
            }
            _ => true,
        };
        if settled {
            self.settled(origin, 1);
        }
    }

    fn settled(&mut self, origin: Origin, count: u64) {
        if self.target_events.is_empty() {
            (0..count).for_each(|_| self.tracker.settle(origin));
        } else {
            self.settled_later.push((origin, count));
        }
    }

    /// Deals with what the watch has found out since the last look.
    pub(super) fn look_after_settling(&mut self) {
        if self.durability.as_ref().is_some_and(FlowDurability::has_changed) {
            self.resolve();
        }
    }

    fn resolve(&mut self) {
        let Some(durability) = &mut self.durability else { return };
        let Resolved { settled, lost, events, ended } = durability.resolve();
        self.target_events.extend(events);
        for (origin, count) in settled {
            self.settled(origin, count);
        }
        let mut told = None;
        for write in lost {
            self.lost(write, &mut told);
        }
        for (node, incarnation) in ended {
            let lane = self.lanes.get(node.index()).and_then(Option::as_ref);
            if let Some(lane) = lane.filter(|lane| lane.is_up() && lane.incarnation < incarnation) {
                let written_to = lane.has_gone();
                self.broken(node, written_to, "it is not the node that it was");
            }
        }
    }

    /// An acknowledged write is gone: its keys become doubtful, with what the moving commands behind it make of them.
    /// `told`: what was said about the write before.
    fn lost(&mut self, write: LostWrite, told: &mut Option<(NodeId, Arc<str>, Arc<str>)>) {
        let LostWrite { keys, origin, reason, node } = write;
        let Some((db, _)) = keys.first() else { return };
        let db = *db;
        self.counters.failures += 1;
        self.lost_open += 1;
        let (here, there): (Vec<_>, Vec<_>) = keys.into_iter().partition(|place| place.0 == db);
        let names: Vec<Bytes> = here.into_iter().map(|(_, name)| name).collect();
        let mut contaminated = there;
        contaminated.extend(self.contaminated(db, &names, None));
        let origin = origin.unwrap_or(Origin::Lane);
        self.tracker.fail(origin);
        let message = match told {
            Some((before, why, message)) if *before == node && Arc::ptr_eq(why, &reason) => message.clone(),
            _ => {
                let message: Arc<str> = format!("{} {reason}", self.target.address(node)).into();
                *told = Some((node, reason, message.clone()));
                message
            }
        };
        self.failures.push(Failure {
            name: Bytes::new(),
            keys: names,
            db,
            contaminated,
            cause: Cause::Lost,
            seq: 0,
            message,
            origin,
        });
    }

    /// A connection is up. It is written to when the caller knows what its node has lost.
    pub(super) fn up(&mut self, node: NodeId) {
        if self.durability.is_some() {
            self.resolve();
            self.waiting_lanes.push(node);
        } else if let Some(lane) = self.lanes.get_mut(node.index()).and_then(Option::as_mut) {
            lane.go();
        }
        if !self.failures.iter().any(|failure| failure.cause == Cause::Lost) {
            self.let_lanes_go();
        }
    }

    /// The caller knows what was lost.
    pub(super) fn let_lanes_go(&mut self) {
        if !self.target_events.is_empty() {
            return;
        }
        for node in std::mem::take(&mut self.waiting_lanes) {
            if let Some(lane) = self.lanes.get_mut(node.index()).and_then(Option::as_mut)
                && lane.is_up()
            {
                lane.go();
            }
        }
    }

    /// A global command was executed on all nodes, on connections of its own. A node that loses that, since it comes back
    /// with what was on its disk before, is brought in line by a full sync (rules 29 and 30).
    pub fn executed_everywhere(&mut self) {
        let masters = self.target.masters();
        if let Some(durability) = self.durability.as_mut().filter(|_| self.options.rules.on(29)) {
            durability.written_elsewhere(&masters);
        }
    }

    /// A slot is served by another node from now on.
    pub(super) fn gained(&mut self, from: NodeId, node: NodeId) {
        if let Some(durability) = &mut self.durability
            && node != NodeId::NONE
        {
            durability.gained(from, node);
        }
    }
}

/// Waits for the watch.
pub(super) async fn changed(durability: &mut Option<FlowDurability>) {
    match durability {
        Some(durability) => durability.changed().await,
        None => std::future::pending().await,
    }
}

/// Whether a command touches more than its first key.
pub(super) fn has_many_keys(args: &[Bytes]) -> bool {
    let spec = table::find(&args[0]);
    spec.is_some_and(|spec| spec.keys.positions(args).nth(1).is_some())
        || args[0].eq_ignore_ascii_case(b"MOVE")
}
