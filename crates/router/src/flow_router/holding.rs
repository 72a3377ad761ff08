//! Slots that are held: when, and how they are let go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::{FlowRouter, Waiting};
use crate::failure::Cause;
use crate::held::{Held, Way, sort_unanswered};
use crate::lane::{Lane, Parked};
use crate::outcome::Transient;
use crate::target::NodeId;
use crate::tracker::Origin;
use crate::wire::Predecessor;

/// How often an outage of the target is mentioned again.
const REMINDER: Duration = Duration::from_secs(60);

/// Reasons of one wait that are told at once; further ones come with the reminder.
const MOST_REASONS: usize = 16;

impl FlowRouter {
    /// A command of a slot came back unexecuted: it and all that follows in its slot wait.
    pub(super) fn hold(&mut self, parked: Parked, way: Way) {
        let slot = parked.meta.slot;
        let attempt = self.attempts.get(&slot).copied().unwrap_or(0);
        // A slot that migrates is waited for as a matter of course.
        if let Way::Later(why) = way
            && why != Transient::TryAgain
        {
            self.tell_waiting(why, || format!("slot {slot}"));
        }
        if let Some(held) = self.held.get_mut(&slot) {
            held.in_flight = held.in_flight.saturating_sub(1);
            held.probing = false;
            // What was refused for the moment is not tried again at once because another command of the slot is
            // redirected: in the middle of a migration both would go round for as long as it takes.
            let waits = matches!((held.way, way), (Way::Later(_), Way::Ask(_)));
            if !waits || held.retry_at <= Instant::now() {
                held.way = way;
            }
            if let Way::Later(why) = way {
                held.retry_at = Instant::now() + why.delay(attempt);
            }
            held.insert(parked);
        } else {
            let open = self.lanes.iter().flatten().flat_map(Lane::open_slots);
            let in_flight = open.filter(|open| *open == slot).count();
            let retry_at = match way {
                Way::Later(why) => Instant::now() + why.delay(attempt),
                _ => Instant::now(),
            };
            let mut held = Held::new(way, in_flight, retry_at);
            held.insert(parked);
            self.held.insert(slot, held);
            if let Way::Later(why) = way
                && why.asks_for_refresh()
            {
                self.target.refresh_soon();
            }
        }
        self.release_if_quiet(slot);
    }

    /// Says that the target takes nothing for the moment: at first, and once a minute.
    fn tell_waiting(&mut self, why: Transient, detail: impl FnOnce() -> String) {
        if !self.was_told(why) {
            self.say_waiting(why, detail(), Vec::new());
        }
    }

    /// The same for a connection that was lost or not made, and for each reason: behind one that was closed there may be a
    /// password that was changed.
    fn tell_disconnected(&mut self, detail: String) {
        const WHY: Transient = Transient::Disconnected;
        let mut reasons = Vec::new();
        if let Some(waiting) = self.waiting.as_mut().filter(|waiting| waiting.why == WHY) {
            let known = waiting.reasons.contains(&detail) || waiting.reasons.len() >= MOST_REASONS;
            if known && waiting.told.elapsed() <= REMINDER {
                return;
            }
            reasons = std::mem::take(&mut waiting.reasons);
        }
        if reasons.len() < MOST_REASONS && !reasons.contains(&detail) {
            reasons.push(detail.clone());
        }
        self.say_waiting(WHY, detail, reasons);
    }

    fn was_told(&self, why: Transient) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.why == why && waiting.told.elapsed() <= REMINDER)
    }

    fn say_waiting(&mut self, why: Transient, detail: String, reasons: Vec<String>) {
        warn!(flow = self.flow, reason = why.name(), detail, "waiting for the target");
        let executed = self.counters.executed;
        self.waiting = Some(Waiting { why, told: Instant::now(), executed, reasons });
    }

    /// Says that it takes everything again: it has executed something since. That nothing is held says little, as it may
    /// all have gone under repair.
    pub(super) fn tell_recovery(&mut self) {
        let executed = self.counters.executed;
        if self.held.is_empty() && self.waiting.take_if(|waiting| executed > waiting.executed).is_some() {
            info!(flow = self.flow, "the target takes writes again");
        }
    }

    /// Sends a redirected slot's commands on as soon as nothing of it is out any more.
    pub(super) fn release_if_quiet(&mut self, slot: u16) {
        if let Some(held) = self.held.get(&slot)
            && held.in_flight == 0
            && !held.probing
            && !matches!(held.way, Way::Later(_))
        {
            let way = held.way;
            self.release(slot, way);
        }
    }

    /// The owner of a slot that is not held. Where the flow has no connection to it, nothing of the slot is out there: the
    /// moment to take over what the map says. Without it every slot that was quiet while its node failed over is tried
    /// there once more, a connection for each handful.
    pub(super) fn owner_now(&mut self, slot: u16) -> NodeId {
        let before = self.owners[slot as usize];
        if self.lanes.get(before.index()).is_some_and(Option::is_some) {
            return before;
        }
        let now = self.target.owner(slot);
        if now == before || now == NodeId::NONE {
            return before;
        }
        // Commands that were answered ASK may be out at the node that imports the slot.
        if self.lanes.iter().flatten().flat_map(Lane::open_slots).any(|open| open == slot) {
            return before;
        }
        self.own(slot, now);
        now
    }

    /// The slot is served by `node` from now on.
    fn own(&mut self, slot: u16, node: NodeId) {
        let before = std::mem::replace(&mut self.owners[slot as usize], node);
        if before != node {
            self.gained(before, node);
        }
    }

    pub(super) fn release(&mut self, slot: u16, way: Way) {
        let Some(mut held) = self.held.remove(&slot) else { return };
        if let Way::Moved(node) = way {
            self.own(slot, node);
        }
        let owner = self.owners[slot as usize];
        while let Some(mut parked) = held.pop_first() {
            match way {
                // Keys of the slot that are still with the owner stay there; one that is not is asked for there first.
                Way::Ask(importer) if std::mem::take(&mut parked.asked) => {
                    self.lane(importer).push_asking(parked);
                }
                _ => self.lane(owner).push_encoded(parked),
            }
        }
    }

    /// Tries the slots whose time has come: the first command alone, the rest when it was taken.
    pub(super) fn retry_due(&mut self) {
        let now = Instant::now();
        let due: Vec<u16> = self
            .held
            .iter()
            .filter(|(_, h)| {
                h.in_flight == 0 && !h.probing && h.retry_at <= now && matches!(h.way, Way::Later(_))
            })
            .map(|(slot, _)| *slot)
            .collect();
        for slot in due {
            *self.attempts.entry(slot).or_insert(0) += 1;
            let owner = self.target.owner(slot);
            let Some(held) = self.held.get_mut(&slot) else { continue };
            if owner == NodeId::NONE {
                held.retry_at = now + Transient::ClusterDown.delay(self.attempts[&slot]);
                self.target.refresh_soon();
                continue;
            }
            let Some(first) = held.pop_first() else {
                self.held.remove(&slot);
                continue;
            };
            held.in_flight = 1;
            held.probing = true;
            self.own(slot, owner);
            self.lane(owner).push_encoded(first);
        }
    }

    /// A connection is gone: what it did not answer comes back, in order.
    pub(super) fn broken(&mut self, node: NodeId, was_up: bool, reason: &str) {
        let Some(lane) = self.lanes[node.index()].take() else { return };
        self.counters.disconnects += 1;
        let address = self.target.address(node);
        if !was_up {
            *self.unreached.entry(node).or_insert(0) += 1;
        }
        if was_up {
            warn!(flow = self.flow, node = address, reason, "target connection lost");
        }
        self.tell_disconnected(format!("{address}: {reason}"));
        if was_up {
            let predecessor = Predecessor { client_id: lane.client_id, run_id: lane.run_id.clone() };
            self.predecessors.insert(node, predecessor);
        }
        let (unanswered, unsent) = lane.dismantle();
        let (mut again, never) = match was_up {
            true => sort_unanswered(unanswered, self.options.repair, self.options.rules),
            false => (unanswered, Vec::new()),
        };
        again.extend(unsent);
        // Every slot that had something out on this lane is held, with its count taken anew from the other lanes.
        let returned = again.iter().chain(&never).filter(|parked| parked.meta.origin != Origin::Lane);
        let returned = returned.map(|parked| parked.meta.slot);
        let mut slots: BTreeMap<u16, usize> = returned.map(|slot| (slot, 0)).collect();
        for open in self.lanes.iter().flatten().flat_map(Lane::open_slots) {
            slots.entry(open).and_modify(|count| *count += 1);
        }
        for (slot, in_flight) in slots {
            let attempt = self.attempts.get(&slot).copied().unwrap_or(0);
            let retry_at = Instant::now() + Transient::Disconnected.delay(attempt);
            let way = Way::Later(Transient::Disconnected);
            let held = self.held.entry(slot).or_insert_with(|| Held::new(way, in_flight, retry_at));
            (held.way, held.in_flight, held.retry_at, held.probing) = (way, in_flight, retry_at, false);
        }
        for parked in again {
            if parked.meta.origin == Origin::Lane {
                continue;
            }
            if let Some(held) = self.held.get_mut(&parked.meta.slot) {
                held.insert(parked);
            }
        }
        let message: Arc<str> = format!("not known whether it was executed: {reason}").into();
        self.failures.reserve_exact(never.len());
        for parked in never {
            self.fail(parked, Cause::Unanswered, message.clone());
        }
        self.held.retain(|_, held| held.in_flight > 0 || !held.is_empty());
        self.target.refresh_soon();
    }
}
