//! What goes in and out of a flow task.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use checkpoint::{NotInSync, State};
use command::{Global, JsonAs, Mapping, MemberTtls, MissingKind, SourceKey};
use flow::EofToken;
use repair::{Reached, Value};
use router::Target;
use router::durability::NodeWatch;
use rules::Rules;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, oneshot};

use super::unclear::Step;
use crate::clock::Clock;
use crate::error::Error;
use crate::fences;
use crate::intake::Received;
use crate::ledger::Ledger;
use crate::sharding::Sharding;
use crate::status::Status;
use crate::throttle::Throttle;
use crate::unclear;

/// What all flows of a session share.
#[derive(Debug)]
pub struct Shared {
    /// The servers.
    pub target: Arc<Target>,
    /// What the target's nodes may still lose.
    pub nodes: Option<Arc<NodeWatch>>,
    /// Names of keys on the target.
    pub mapping: Mapping,
    /// The checkpoint.
    pub ledger: Ledger,
    /// What the program says about itself.
    pub status: Arc<Status>,
    /// What time it is.
    pub clock: Clock,
    /// The repair rules in force.
    pub rules: Rules,
    /// Bytes of unanswered commands per flow.
    pub window: usize,
    /// Number of flows.
    pub flows: usize,
    /// Whether keys can be read from the source and repaired.
    pub repair: bool,
    /// The target held nothing when the flows began with a snapshot: nothing on it expires but what was sent since.
    pub began_empty: bool,
    /// How many commands a second.
    pub throttle: Arc<Throttle>,
    /// What connections to the target are called.
    pub connection_name: String,
    /// During a snapshot keys may live longer on the target than they should: whatever is left of it is removed by the next.
    pub leases: bool,
    /// What becomes of JSON documents.
    pub json: JsonAs,
    /// Of which members the expiry is carried out by us; `None`: of none.
    pub member_ttls: Option<MemberTtls>,
    /// Records below existed when the source was attached to last: how old they are is not known. By flow.
    pub existed: Vec<AtomicU64>,
    /// What the run ends for, where the target cannot hold it.
    pub fatal: BTreeSet<MissingKind>,
    /// Which flow carries a key.
    pub sharding: Sharding,
    /// The target may hold keys that the source lacks.
    pub reconcile: AtomicBool,
    /// A checkpoint is due.
    pub checkpoint_due: Notify,
    /// A flow is about to wait for one.
    pub checkpoint_now: Notify,
    /// How a flow's position may grow between two checkpoints.
    pub pace: Pace,
    /// Before the source is attached to again, all that was received has to be applied (masters up to v1.34).
    pub drain_first: bool,
    /// The source does not journal what consumer groups read (before v1.37).
    pub silent_reads: bool,
}

/// How often the checkpoint is written, in records of one flow.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// A checkpoint is due after this many.
    pub records: u64,
    /// How far the reservation goes ahead of what is dispatched.
    pub window: u64,
    /// How far what is stored may fall behind what is dispatched, as long as that is in the checkpoint's hands.
    pub behind: u64,
}

impl Pace {
    /// For a source that keeps `backlog` records of each flow: what is stored never falls more than a quarter behind.
    pub fn for_backlog(backlog: Option<u64>) -> Pace {
        // Nothing is to be stayed within where none are kept.
        let quarter = backlog.filter(|records| *records > 0).map_or(u64::MAX, |records| (records / 4).max(1));
        Pace {
            records: quarter.div_ceil(2).min(1_000),
            window: quarter.saturating_mul(4).min(8_192),
            behind: quarter,
        }
    }

    /// The reservation goes no further ahead than this, where it is given.
    #[must_use]
    pub fn within(self, window: Option<u64>) -> Pace {
        Pace { window: window.unwrap_or(self.window), ..self }
    }
}

/// What the checkpoint has of one flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stored {
    /// A new process would ask the source for the records from this LSN on.
    pub applied: u64,
    /// Nothing at or above this LSN may be sent.
    pub reserved: u64,
}

impl Stored {
    /// What a checkpoint has of each flow.
    pub(crate) fn of_each(state: &State) -> Vec<Stored> {
        let flows = state.applied.iter().zip(&state.reserved);
        flows.map(|(applied, reserved)| Stored { applied: *applied, reserved: *reserved }).collect()
    }
}

/// Why a flow ended.
#[derive(Debug)]
pub enum End {
    /// There is no more input; all that came is settled.
    Input,
    /// It was told to stop. Whether nothing is on its way to the target any more.
    Stopped {
        /// Everything handed out was answered.
        quiet: bool,
    },
    /// What lay in the spool cannot be read: why. The source sends it again.
    SpoolLost(String),
    /// The full sync has to start over, or a resume is not possible: the reason.
    StartOver(String),
    /// The run cannot go on.
    Fatal(Error),
}

impl End {
    /// Told to stop in the middle of something.
    pub(crate) const STOPPED: End = End::Stopped { quiet: false };
}

/// What a flow tells its session.
#[derive(Debug)]
pub enum Notice {
    /// FULLSYNC_END was read, and everything before it is settled.
    Cut {
        /// The flow.
        flow: usize,
    },
    /// The snapshot stream is complete and settled; the journal begins at `next`.
    Ready {
        /// The flow.
        flow: usize,
        /// The next LSN.
        next: u64,
    },
    /// Keys that came on this flow and belong to others; they are listed.
    Misplaced {
        /// The keys.
        keys: Vec<SourceKey>,
    },
    /// A global command stands next; everything before it is settled.
    Global {
        /// The flow.
        flow: usize,
        /// Its LSN in this flow.
        lsn: u64,
        /// Pairs the copies.
        txid: u64,
        /// The command.
        global: Global,
    },
    /// The flow has ended.
    Ended {
        /// The flow.
        flow: usize,
        /// Why.
        end: End,
    },
}

/// What a session tells a flow.
#[derive(Debug)]
pub enum Order {
    /// Every flow is ready: apply the journal.
    Go,
    /// The global command was executed on every node: end the repairs in its scope, and tell whose.
    BarrierEnds {
        /// The command.
        global: Global,
        /// Answered with the keys.
        done: oneshot::Sender<Vec<SourceKey>>,
    },
    /// The global command was executed and is stored.
    GlobalDone,
    /// No key that the source lacks is left on the target.
    Reconciled,
    /// What the source answered to a fence.
    Fence(fences::Answer),
    /// Put these keys under repair.
    Repair {
        /// The keys, all of this flow.
        keys: Vec<SourceKey>,
        /// What put them there.
        cause: repair::Cause,
        /// Why, in words.
        reason: &'static str,
        /// Answered when every one of them has left.
        done: oneshot::Sender<()>,
    },
    /// A step of the repair of keys that may belong to any flow.
    Unclear {
        /// The keys.
        keys: Vec<SourceKey>,
        /// What to do.
        step: Step,
        /// Answered with where each of them stands in this flow.
        done: oneshot::Sender<Vec<Reached>>,
    },
    /// Send the value of such a key.
    Carry {
        /// The key.
        key: SourceKey,
        /// Its value.
        value: Value,
        /// Answered with whether it has settled.
        done: oneshot::Sender<bool>,
    },
    /// Tell when every record below this LSN was dispatched.
    Passed {
        /// An LSN of this flow.
        at: u64,
        /// Answered then.
        done: oneshot::Sender<()>,
    },
}

/// How a flow begins.
#[derive(Debug)]
pub enum Start {
    /// With a snapshot stream.
    Snapshot {
        /// Stands at its end.
        token: EofToken,
    },
    /// With the records that were missed, in the form of a snapshot stream (masters up to v1.34).
    Missed {
        /// Stands at its end.
        token: EofToken,
        /// Keys that were under repair when the program ended.
        repairing: Vec<NotInSync>,
    },
    /// With the journal.
    Journal {
        /// The LSN asked for.
        next: u64,
        /// Records below it may have been applied before the program ended (repair rule 7).
        uncertain_end: u64,
        /// Keys that were under repair then.
        repairing: Vec<NotInSync>,
    },
}

/// The ends of a flow's channels that the task holds.
#[derive(Debug)]
pub struct Channels {
    /// What the socket delivered.
    pub input: spool::Receiver,
    /// What of it is received.
    pub received: Arc<Received>,
    /// To the session.
    pub notices: UnboundedSender<Notice>,
    /// From the session.
    pub orders: UnboundedReceiver<Order>,
    /// Questions to the source.
    pub fences: UnboundedSender<fences::Ask>,
    /// Keys that may belong to any flow.
    pub unclear: UnboundedSender<unclear::Request>,
    /// Becomes true when the flow shall stop.
    pub stop: watch::Receiver<bool>,
    /// The applied LSN, for ACKs and the checkpoint.
    pub applied: watch::Sender<u64>,
    /// The LSN behind the newest PING.
    pub ping: watch::Sender<u64>,
    /// The next LSN to be dispatched, and how far the reservation has to reach.
    pub position: watch::Sender<Position>,
    /// What the checkpoint has, by flow.
    pub stored: watch::Receiver<Vec<Stored>>,
}

/// Where a flow stands, for the checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// The next LSN to be dispatched.
    pub next: u64,
    /// The reservation has to reach this far at least, for a value that waits (repair rule 6).
    pub wanted: u64,
}
