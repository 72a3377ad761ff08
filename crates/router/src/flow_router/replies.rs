//! What happened on a connection, and what follows from it.

use tracing::{debug, warn};

use super::FlowRouter;
use super::doubt::contradiction;
use super::durable::From;
use crate::failure::Cause;
use crate::held::Way;
use crate::lane::{Parked, Plain};
use crate::outcome::{Outcome, classify};
use crate::target::NodeId;
use crate::tracker::Origin;
use crate::wire::{Answer, Event, Run};

impl FlowRouter {
    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Retired { node, generation } => {
                if self.current(node, generation).is_some() {
                    self.predecessors.remove(&node);
                }
            }
            Event::Up { node, generation, client_id, run_id, incarnation } => {
                self.predecessors.remove(&node);
                self.unreached.remove(&node);
                if let Some(lane) = self.current(node, generation) {
                    lane.connected = true;
                    (lane.client_id, lane.run_id, lane.incarnation) = (client_id, run_id, incarnation);
                    debug!(flow = self.flow, node = %self.target.address(node), "lane connected");
                    self.up(node);
                }
            }
            Event::Replies { node, generation, runs } => {
                for run in runs {
                    if self.current(node, generation).is_none() {
                        return;
                    }
                    match run {
                        Run::Done(count, answer) => self.executed(node, count, answer),
                        Run::Refused(message) => self.refused(node, &message),
                    }
                }
            }
            Event::Down { node, generation, was_up, reason } => {
                if let Some(lane) = self.current(node, generation) {
                    // As long as it was not let go nothing was written.
                    let was_up = was_up && lane.has_gone();
                    self.broken(node, was_up, &reason);
                }
            }
        }
    }

    fn executed(&mut self, node: NodeId, count: u32, answer: Answer) {
        let quiet = self.held.is_empty() && self.attempts.is_empty();
        for _ in 0..count {
            let Some(lane) = self.lanes[node.index()].as_mut() else { return };
            let ambiguous = lane.ambiguous;
            let from = From { node, incarnation: lane.incarnation };
            let Some(answered) = lane.answered() else {
                self.broken(node, true, "more replies than commands");
                return;
            };
            if quiet && answer == Answer::Plain && !ambiguous {
                let plain = answered.take_plain();
                self.executed_plainly(from, plain);
                continue;
            }
            if answered.meta().origin == Origin::Lane {
                if answered.done(|meta| meta.probe) {
                    self.set_ambiguous(node, answer == Answer::MinusOne);
                }
                continue;
            }
            let contradiction = contradiction(answered.meta(), answer, ambiguous);
            if quiet && contradiction.is_none() {
                let plain = answered.take_plain();
                self.executed_plainly(from, plain);
            } else {
                let parked = answered.park();
                self.executed_while_held(from, parked, contradiction);
            }
            if ambiguous {
                self.set_ambiguous(node, false);
            }
        }
    }

    /// Says whether the lane's next command changes the expiry of a key that has none.
    fn set_ambiguous(&mut self, node: NodeId, ambiguous: bool) {
        if let Some(lane) = self.lanes.get_mut(node.index()).and_then(Option::as_mut) {
            lane.ambiguous = ambiguous;
        }
    }

    /// A command was executed while no slot is held.
    fn executed_plainly(&mut self, from: From, answered: Plain) {
        match answered {
            Plain::One { origin, seq, effect, db, key } => {
                self.count_executed(origin);
                self.finished(seq, effect);
                self.acknowledged_one(from, origin, db, &key);
            }
            Plain::Many(parked) => {
                self.count_executed(parked.meta.origin);
                self.finished(parked.meta.seq, parked.meta.effect);
                self.acknowledged_all(from, &parked);
            }
        }
    }

    fn count_executed(&mut self, origin: Origin) {
        if origin != Origin::Lane {
            self.counters.executed += 1;
        }
    }

    /// A command was executed: to be settled, or to be reported.
    fn executed_or_contradicted(&mut self, from: From, parked: Parked, contradiction: Option<&'static str>) {
        match contradiction {
            None => {
                self.finished(parked.meta.seq, parked.meta.effect);
                self.acknowledged_all(from, &parked);
            }
            Some(why) => self.fail(parked, Cause::Contradicted, why.into()),
        }
    }

    fn settle(&mut self, parked: &Parked) {
        self.finished(parked.meta.seq, parked.meta.effect);
        self.tracker.settle(parked.meta.origin);
    }

    /// A command was executed while some slots are held: its own may be among them.
    fn executed_while_held(&mut self, from: From, parked: Parked, contradiction: Option<&'static str>) {
        let (slot, origin) = (parked.meta.slot, parked.meta.origin);
        self.count_executed(origin);
        self.attempts.remove(&slot);
        let Some(held) = self.held.get_mut(&slot) else {
            self.executed_or_contradicted(from, parked, contradiction);
            return;
        };
        held.in_flight = held.in_flight.saturating_sub(1);
        if held.probing {
            // The target takes commands of this slot again.
            self.executed_or_contradicted(from, parked, contradiction);
            let owner = self.owners[slot as usize];
            self.release(slot, Way::Moved(owner));
            return;
        }
        let overtaken = held.overtaken_by(&parked);
        for gone in overtaken.pointless {
            self.settle(&gone);
        }
        if overtaken.broken.is_empty() {
            self.executed_or_contradicted(from, parked, contradiction);
        } else {
            let why = "executed before an earlier command of the same key that was refused";
            self.fail(parked, Cause::Overtaken, why.into());
            for earlier in overtaken.broken {
                let why = "refused, and overtaken by a later command of the same key";
                self.fail(earlier, Cause::Overtaken, why.into());
            }
        }
        self.release_if_quiet(slot);
    }

    fn refused(&mut self, node: NodeId, message: &[u8]) {
        let Some(lane) = self.lanes[node.index()].as_mut() else { return };
        let Some(answered) = lane.answered() else {
            self.broken(node, true, "more replies than commands");
            return;
        };
        let mut parked = answered.park();
        if parked.meta.origin == Origin::Lane {
            if parked.meta.probe {
                self.probe_refused(node, message);
                return;
            }
            // The database was checked before, and ASKING is never refused by a cluster: what follows on this
            // connection would land in the wrong place.
            let reason =
                format!("the target refused to prepare the connection: {}", String::from_utf8_lossy(message));
            self.broken(node, true, &reason);
            return;
        }
        self.set_ambiguous(node, false);
        match classify(message) {
            Outcome::Moved { addr, .. } => {
                self.counters.redirects += 1;
                let owner = self.target.node_at(&addr, node);
                self.target.learn(parked.meta.slot, owner);
                self.hold(parked, Way::Moved(owner));
            }
            Outcome::Ask { addr } => {
                self.counters.redirects += 1;
                let importer = self.target.node_at(&addr, node);
                parked.asked = true;
                self.hold(parked, Way::Ask(importer));
            }
            Outcome::Later(why) => {
                self.counters.retries += 1;
                self.hold(parked, Way::Later(why));
            }
            Outcome::Failed(message) => self.failed(parked, message),
            Outcome::Done => {}
        }
    }

    /// The expiry of a key was not told. Where that is for the moment the command behind is refused alike, or else
    /// its key counts as ambiguous; where the user may not ask, rule 32 cannot be followed.
    fn probe_refused(&mut self, node: NodeId, message: &[u8]) {
        if !message.starts_with(b"NOPERM") {
            self.set_ambiguous(node, true);
        } else if !std::mem::replace(&mut self.probes_refused, true) {
            let (node, message) = (self.target.address(node), resp::printable(message));
            warn!(
                node,
                message, "PTTL refused: a key that expires too early and is made again goes unnoticed"
            );
        }
    }

    fn failed(&mut self, parked: Parked, message: String) {
        let slot = parked.meta.slot;
        if self.options.repair && !self.options.rules.on(10) {
            self.settle(&parked);
        } else {
            self.fail(parked, Cause::Refused, message.into());
        }
        if let Some(held) = self.held.get_mut(&slot) {
            held.in_flight = held.in_flight.saturating_sub(1);
            if held.probing {
                // It was refused for a reason of its own; the slot is open again.
                let owner = self.owners[slot as usize];
                self.release(slot, Way::Moved(owner));
            } else {
                self.release_if_quiet(slot);
            }
        }
    }
}
