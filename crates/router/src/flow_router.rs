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

mod doubt;
mod durable;
mod holding;
mod quiet;
mod replies;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use command::{Deadline, Effect, TargetCommand};
use rules::Rules;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::deadlines::Deadlines;
use crate::durability::{self, FlowDurability, NodeWatch};
use crate::failure::{Cause, Failure};
use crate::held::{Held, Way};
use crate::lane::{Lane, Meta, Parked};
use crate::outcome::Transient;
use crate::target::{NodeId, Target};
use crate::tracker::{Origin, Tracker};
use crate::wire::{self, Event, Predecessor, Wiring};

use doubt::Moving;
pub use quiet::NodeLoad;

/// Longest pause before a node that could not be reached is connected to again.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

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
    /// Watches whether acknowledged writes are safe: without it they count as settled at once (rules 27 to 30).
    pub durability: Option<Arc<NodeWatch>>,
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
    held: BTreeMap<u16, Held>,
    /// How often a slot was refused in a row.
    attempts: BTreeMap<u16, u32>,
    /// By node: how often in a row it could not be connected to.
    unreached: BTreeMap<NodeId, u32>,
    /// Connections that broke and may still have bytes in their node's socket buffer.
    predecessors: BTreeMap<NodeId, Predecessor>,
    /// Moving commands that were not answered yet, in the order of the flow.
    moving: BTreeMap<u64, Moving>,
    deadlines: Deadlines,
    /// A node does not tell the expiry of keys.
    probes_refused: bool,
    tracker: Tracker,
    failures: Vec<Failure>,
    durability: Option<FlowDurability>,
    /// What the caller was not told yet.
    target_events: Vec<durability::Event>,
    /// Settled, but not to be called so before the caller was told.
    settled_later: Vec<(Origin, u64)>,
    /// Lanes that are up and wait until the caller knows what was lost (rule 28).
    waiting_lanes: Vec<NodeId>,
    /// Lost commands that were not handed back yet.
    lost_open: usize,
    counters: Counters,
    events: UnboundedReceiver<Event>,
    events_in: UnboundedSender<Event>,
    next_seq: u64,
    next_generation: u64,
    window: usize,
    /// Why the target takes nothing at the moment, or has not executed anything since.
    waiting: Option<Waiting>,
}

/// What was told about a target that takes nothing.
#[derive(Debug)]
struct Waiting {
    why: Transient,
    /// When that was last told.
    told: Instant,
    /// [`Counters::executed`] then.
    executed: u64,
    /// What was told of connections that were lost or not made, since it began.
    reasons: Vec<String>,
}

impl FlowRouter {
    /// A router for flow number `flow` that keeps at most `window` bytes of unanswered commands; each counts for 256
    /// bytes more than it has.
    pub fn new(target: Arc<Target>, flow: usize, window: usize) -> Self {
        Self::with(target, flow, window, RouterOptions::default())
    }

    /// A router that behaves as `options` say.
    pub fn with(target: Arc<Target>, flow: usize, window: usize, options: RouterOptions) -> Self {
        let (events_in, events) = unbounded_channel();
        let mut deadlines = Deadlines::default();
        deadlines.set_remembering(options.repair);
        let durability = options.durability.clone().map(|watch| {
            let mut durability = FlowDurability::new(watch);
            durability.watch_from_now(&target.masters());
            durability
        });
        FlowRouter {
            owners: target.owners(),
            target,
            flow,
            durability,
            target_events: Vec::new(),
            settled_later: Vec::new(),
            waiting_lanes: Vec::new(),
            lost_open: 0,
            options,
            lanes: Vec::new(),
            held: BTreeMap::new(),
            attempts: BTreeMap::new(),
            unreached: BTreeMap::new(),
            predecessors: BTreeMap::new(),
            moving: BTreeMap::new(),
            deadlines,
            probes_refused: false,
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
        self.waiting.as_ref().filter(|_| !self.held.is_empty()).map(|waiting| waiting.why.name())
    }

    /// Whether doubtful keys are repaired from now on.
    pub fn set_repair(&mut self, repair: bool) {
        if self.options.repair != repair {
            self.options.repair = repair;
            self.deadlines.set_remembering(repair);
        }
    }

    /// Whether every expiry that the target's keys may have was given by this router: the target was empty when this
    /// process began. Until that is said, any key may have one (rule 32).
    pub fn set_ttl_history(&mut self, known: bool) {
        self.deadlines.set_known(known);
    }

    /// A key may have an expiry that was given to it on another way than through this router (rule 32).
    pub fn note_expiry(&mut self, db: u32, name: &Bytes) {
        self.deadlines.note(db, &[Bytes::new(), name.clone()], Deadline::Given);
    }

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
        self.put(command, origin, matches!(origin, Origin::Record(_)));
    }

    /// The same for a command that the source executed, and that has no LSN of its own in here: one that came during the
    /// snapshot, or one that waited for a repaired value. Its reply may contradict the source as any record's (rule 31).
    pub fn send_executed(&mut self, command: TargetCommand, origin: Origin) {
        self.tracker.add(origin);
        self.put(command, origin, true);
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
            biased;
            event = self.events.recv() => {
                let event = event.expect("the router itself keeps a sender");
                self.handle(event);
                while let Ok(event) = self.events.try_recv() {
                    self.handle(event);
                }
            }
            () = durable::changed(&mut self.durability) => {}
            () = until(retry_at) => self.retry_due(),
        }
        self.look_after_settling();
        self.flush();
        self.tell_recovery();
    }

    /// Deals with what has happened already, without waiting.
    pub fn poll(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.handle(event);
        }
        self.look_after_settling();
    }

    /// The commands that failed since the last call. Their records stay open until they are handed back to
    /// [`FlowRouter::settle_failures`].
    pub fn take_failures(&mut self) -> Vec<Failure> {
        let failures = std::mem::take(&mut self.failures);
        self.let_lanes_go();
        failures
    }

    /// The keys of these commands stand durably in the list of keys that are not in sync.
    pub fn settle_failures(&mut self, failures: Vec<Failure>) {
        for failure in failures {
            self.lost_open -= usize::from(failure.cause == Cause::Lost);
            self.tracker.settle(failure.origin);
        }
        self.losses_stored();
    }

    fn put(&mut self, command: TargetCommand, origin: Origin, executed: bool) {
        let TargetCommand { db, slot, args, key, effect, .. } = command;
        self.next_seq += 1;
        let mut meta = Meta::new(self.next_seq, slot, db, effect, origin, key);
        self.expect(&mut meta, &args, executed);
        meta.many = self.durability.is_some() && args.len() > 2 && durable::has_many_keys(&args);
        if effect == Effect::Moving {
            self.note_moving(&meta, &args);
        }
        if !self.held.is_empty()
            && let Some(held) = self.held.get_mut(&slot)
        {
            held.insert(Parked::new(meta, &args));
            return;
        }
        let node = self.owner_now(slot);
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
            let (go, wait) = oneshot::channel();
            let wiring = Wiring {
                target: self.target.clone(),
                node,
                generation,
                name: self.options.name.clone(),
                watch: self.options.durability.clone(),
                go: wait,
                pause: self.unreached.get(&node).map_or(Duration::ZERO, |times| unreached_for(*times)),
                predecessor: self.predecessors.get(&node).filter(|_| self.options.rules.on(8)).cloned(),
            };
            let (input, output) = unbounded_channel();
            let run = wire::run(wiring, output, self.events_in.clone());
            let task = tokio::spawn(run).abort_handle();
            self.lanes[index] = Some(Lane::new(generation, input, go, task));
        }
        self.lanes[index].as_mut().expect("made above")
    }

    /// The lane that an event speaks of, unless it was replaced meanwhile.
    fn current(&mut self, node: NodeId, generation: u64) -> Option<&mut Lane> {
        self.lanes.get_mut(node.index())?.as_mut().filter(|lane| lane.generation == generation)
    }
}

/// The pause before a node is connected to that could not be `times` in a row. Each of its slots comes back at a time of
/// its own, so this is what keeps many slots from knocking at it all the time.
fn unreached_for(times: u32) -> Duration {
    Transient::Disconnected.delay(times.saturating_sub(1)).min(LONGEST_PAUSE)
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
