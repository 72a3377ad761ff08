//! The lanes of one flow, and the order of their commands.
//!
//! ```text
//!             put ──> lane of the slot's owner ──> sent ──reply──> settled
//!                         │  ▲                       │
//!       slot is held      │  └── MOVED, ASK, retry ──┤ redirect, transient refusal, broken connection
//!             └───────────┴──────> held slot <───────┘
//! ```
//!
//! Everything of one slot keeps its order. When the first command of a slot comes back, the slot is held: later commands
//! wait behind it, and nothing is sent until every command of the slot that is still out has been answered.
//!
//! Each flow has its own view of the slot map, and changes it slot by slot, only while nothing of that slot is out. A
//! map that changed under a flow would let a new command overtake an older one on the way to the old owner.

mod holding;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use command::TargetCommand;
use rules::Rules;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use tracing::debug;

use crate::failure::{Cause, Failure};
use crate::held::{Held, Way};
use crate::lane::{Lane, Meta, Parked};
use crate::outcome::{Outcome, Transient, classify};
use crate::target::{NodeId, Target};
use crate::tracker::{Origin, Tracker};
use crate::wire::{self, Event, Run};

/// How a router behaves.
#[derive(Debug, Clone, Default)]
pub struct RouterOptions {
    /// The repair rules in force.
    pub rules: Rules,
    /// Name of every connection that writes (`CLIENT SETNAME`): what [`Target::retire`] finds it by after a crash.
    /// Without one, that of [`Target::set_name`].
    pub name: Option<String>,
    /// Whether doubtful keys are repaired from the source. Without, commands that may be repeated are sent again when
    /// their connection broke.
    pub repair: bool,
}

/// What the router counted since it was made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Commands that the target executed.
    pub executed: u64,
    /// MOVED and ASK replies.
    pub redirects: u64,
    /// Refusals that were tried again (OOM, LOADING, …).
    pub retries: u64,
    /// Connections that broke.
    pub disconnects: u64,
    /// Commands that failed for good.
    pub failures: u64,
}

/// Routes the commands of one flow to the target's nodes.
#[derive(Debug)]
pub struct FlowRouter {
    target: Arc<Target>,
    flow: usize,
    options: RouterOptions,
    /// This flow's view of the slot map.
    owners: Vec<NodeId>,
    lanes: Vec<Option<Lane>>,
    held: HashMap<u16, Held>,
    /// How often a slot was refused in a row.
    attempts: HashMap<u16, u32>,
    /// Connections that broke and may still have bytes in their node's socket buffer.
    predecessors: HashMap<NodeId, i64>,
    tracker: Tracker,
    failures: Vec<Failure>,
    counters: Counters,
    events: UnboundedReceiver<Event>,
    events_in: UnboundedSender<Event>,
    next_seq: u64,
    next_generation: u64,
    window: usize,
    /// Why the target takes nothing at the moment, and when that was last told.
    waiting: Option<(Transient, Instant)>,
}

impl FlowRouter {
    /// A router for flow number `flow` that keeps at most `window` bytes of unanswered commands.
    pub fn new(target: Arc<Target>, flow: usize, window: usize) -> Self {
        Self::with(target, flow, window, RouterOptions::default())
    }

    /// A router that behaves as `options` say.
    pub fn with(target: Arc<Target>, flow: usize, window: usize, options: RouterOptions) -> Self {
        let (events_in, events) = unbounded_channel();
        FlowRouter {
            owners: target.owners(),
            target,
            flow,
            options,
            lanes: Vec::new(),
            held: HashMap::new(),
            attempts: HashMap::new(),
            predecessors: HashMap::new(),
            tracker: Tracker::default(),
            failures: Vec::new(),
            counters: Counters::default(),
            events,
            events_in,
            next_seq: 0,
            next_generation: 0,
            window,
            waiting: None,
        }
    }

    /// The bookkeeping of this flow's LSNs.
    pub fn tracker(&mut self) -> &mut Tracker {
        &mut self.tracker
    }

    /// Everything below is acknowledged by the target, or recorded as not in sync.
    pub fn applied(&self) -> u64 {
        self.tracker.applied()
    }

    /// Whether nothing is on its way and nothing waits to be recorded.
    pub fn is_settled(&self) -> bool {
        self.tracker.is_settled()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Why commands wait for the target at the moment: `OOM`, `LOADING`, `disconnected`, ….
    pub fn waiting(&self) -> Option<&'static str> {
        self.waiting.map(|(why, _)| why.name())
    }

    /// Whether doubtful keys are repaired from now on.
    pub fn set_repair(&mut self, repair: bool) {
        self.options.repair = repair;
    }

    /// Whether every TTL that the target's keys may have was given by this router: the target was empty when this
    /// process began. Until that is said, any key may have one (rule 32).
    pub fn set_ttl_history(&mut self, _known: bool) {}

    /// Opens the placing of a repaired value. Its commands follow as [`FlowRouter::send`] with [`Origin::Repair`], and
    /// then [`FlowRouter::repair_close`]. A token is used once.
    pub fn repair_open(&mut self, token: u64) {
        self.tracker.open_repair(token);
    }

    /// All commands of a repaired value are handed out.
    pub fn repair_close(&mut self, token: u64) {
        self.tracker.settle(Origin::Repair(token));
    }

    /// The tokens all of whose commands were settled since the last call. One with a [`Failure`] is never among them.
    pub fn take_settled_repairs(&mut self) -> Vec<u64> {
        self.tracker.take_settled_repairs()
    }

    /// The keys that become doubtful with keys `names` of database `db` (rule 11): the other keys of every moving
    /// command behind number `after` (of all: `None`) that touches one of them and has not been answered, and so on,
    /// in the order in which the commands are executed.
    pub fn contaminated(&self, _db: u32, _names: &[Bytes], _after: Option<u64>) -> Vec<(u32, Bytes)> {
        Vec::new()
    }

    /// Whether there is room for another command.
    pub fn has_room(&self) -> bool {
        self.open_bytes() < self.window
    }

    fn open_bytes(&self) -> usize {
        let lanes: usize = self.lanes.iter().flatten().map(|lane| lane.open_bytes).sum();
        lanes + self.held.values().map(Held::bytes).sum::<usize>()
    }

    /// Takes a command over. It goes to the socket with the next full chunk or [`FlowRouter::flush`].
    ///
    /// It does not wait, so that the pieces of a record are taken over all or none: [`FlowRouter::has_room`] is asked before.
    pub fn send(&mut self, command: TargetCommand, origin: Origin) {
        self.tracker.add(origin);
        self.put(command, origin);
    }

    /// Hands everything collected to the sockets.
    pub fn flush(&mut self) {
        self.lanes.iter_mut().flatten().for_each(Lane::flush);
    }

    /// Waits for the next thing to happen on a connection, or for the time to try a held slot again, and deals with it and
    /// all that happened besides. Cancel-safe.
    pub async fn next_event(&mut self) {
        let retry_at = self
            .held
            .values()
            .filter(|h| h.in_flight == 0 && !h.probing && matches!(h.way, Way::Later(_)))
            .map(|h| h.retry_at)
            .min();
        tokio::select! {
            event = self.events.recv() => {
                let event = event.expect("the router itself keeps a sender");
                self.handle(event);
                while let Ok(event) = self.events.try_recv() {
                    self.handle(event);
                }
            }
            () = until(retry_at) => self.retry_due(),
        }
        self.flush();
        self.tell_recovery();
    }

    /// Deals with what has happened already, without waiting.
    pub fn poll(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.handle(event);
        }
    }

    /// The commands that failed since the last call. Their records stay open until they are handed back to
    /// [`FlowRouter::settle_failures`].
    pub fn take_failures(&mut self) -> Vec<Failure> {
        std::mem::take(&mut self.failures)
    }

    /// The keys of these commands stand durably in the list of keys that are not in sync.
    pub fn settle_failures(&mut self, failures: Vec<Failure>) {
        for failure in failures {
            self.tracker.settle(failure.origin);
        }
    }

    fn put(&mut self, command: TargetCommand, origin: Origin) {
        let TargetCommand { db, slot, args, key, effect, .. } = command;
        self.next_seq += 1;
        let meta = Meta::new(self.next_seq, slot, db, effect, origin, key);
        if !self.held.is_empty()
            && let Some(held) = self.held.get_mut(&slot)
        {
            held.insert(Parked::new(meta, &args));
            return;
        }
        let node = self.owners[slot as usize];
        if node == NodeId::NONE {
            self.hold(Parked::new(meta, &args), Way::Later(Transient::ClusterDown));
            return;
        }
        self.lane(node).push(meta, &args);
    }

    fn lane(&mut self, node: NodeId) -> &mut Lane {
        let index = node.index();
        if self.lanes.len() <= index {
            self.lanes.resize_with(index + 1, || None);
        }
        if self.lanes[index].is_none() {
            self.next_generation += 1;
            let generation = self.next_generation;
            let predecessor = self.predecessors.get(&node).copied();
            let (input, output) = unbounded_channel();
            let run =
                wire::run(self.target.clone(), node, generation, predecessor, output, self.events_in.clone());
            let task = tokio::spawn(run).abort_handle();
            self.lanes[index] = Some(Lane::new(generation, input, task));
        }
        self.lanes[index].as_mut().expect("made above")
    }

    /// The lane that an event speaks of, unless it was replaced meanwhile.
    fn current(&mut self, node: NodeId, generation: u64) -> Option<&mut Lane> {
        self.lanes.get_mut(node.index())?.as_mut().filter(|lane| lane.generation == generation)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Up { node, generation, client_id } => {
                self.predecessors.remove(&node);
                if let Some(lane) = self.current(node, generation) {
                    lane.client_id = client_id;
                    debug!(flow = self.flow, node = %self.target.address(node), "lane connected");
                }
            }
            Event::Replies { node, generation, runs } => {
                for run in runs {
                    if self.current(node, generation).is_none() {
                        return;
                    }
                    match run {
                        Run::Done(count) => self.executed(node, count),
                        Run::Refused(message) => self.refused(node, &message),
                    }
                }
            }
            Event::Down { node, generation, was_up, reason } => {
                if self.current(node, generation).is_some() {
                    self.broken(node, was_up, &reason);
                }
            }
        }
    }

    fn executed(&mut self, node: NodeId, count: u32) {
        let quiet = self.held.is_empty() && self.attempts.is_empty();
        for _ in 0..count {
            let Some(lane) = self.lanes[node.index()].as_mut() else { return };
            let Some(answered) = lane.answered() else {
                self.broken(node, true, "more replies than commands");
                return;
            };
            if quiet {
                let origin = answered.done(|meta| meta.origin);
                self.count_executed(origin);
                self.tracker.settle(origin);
            } else {
                let parked = answered.park();
                self.executed_while_held(parked);
            }
        }
    }

    fn count_executed(&mut self, origin: Origin) {
        if origin != Origin::Lane {
            self.counters.executed += 1;
        }
    }

    /// A command was executed while some slots are held: its own may be among them.
    fn executed_while_held(&mut self, parked: Parked) {
        let (slot, origin) = (parked.meta.slot, parked.meta.origin);
        self.count_executed(origin);
        if origin == Origin::Lane {
            return;
        }
        self.attempts.remove(&slot);
        let Some(held) = self.held.get_mut(&slot) else {
            self.tracker.settle(origin);
            return;
        };
        held.in_flight = held.in_flight.saturating_sub(1);
        if held.probing {
            // The target takes commands of this slot again.
            self.tracker.settle(origin);
            let owner = self.owners[slot as usize];
            self.release(slot, Way::Moved(owner));
            return;
        }
        let overtaken = held.overtaken_by(&parked);
        for gone in overtaken.pointless {
            self.tracker.settle(gone.meta.origin);
        }
        if overtaken.broken.is_empty() {
            self.tracker.settle(origin);
        } else {
            self.fail(
                parked,
                Cause::Overtaken,
                "executed before an earlier command of the same key that was refused".into(),
            );
            for earlier in overtaken.broken {
                self.fail(
                    earlier,
                    Cause::Overtaken,
                    "refused, and overtaken by a later command of the same key".into(),
                );
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
            // The database was checked before, and ASKING is never refused by a cluster: what follows on this
            // connection would land in the wrong place.
            let reason =
                format!("the target refused to prepare the connection: {}", String::from_utf8_lossy(message));
            self.broken(node, true, &reason);
            return;
        }
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

    fn failed(&mut self, parked: Parked, message: String) {
        let slot = parked.meta.slot;
        self.fail(parked, Cause::Refused, message);
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

    fn fail(&mut self, parked: Parked, cause: Cause, message: String) {
        self.counters.failures += 1;
        let (db, seq, origin) = (parked.meta.db, parked.meta.seq, parked.meta.origin);
        self.tracker.fail(origin);
        let (args, keys, contaminated) = (parked.args(), parked.keys(), Vec::new());
        self.failures.push(Failure { args, keys, db, contaminated, cause, seq, message, origin });
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
