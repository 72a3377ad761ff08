//! What goes in and out of a flow task.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use command::{Global, Mapping, SourceKey};
use flow::EofToken;
use router::Target;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};

use crate::error::Error;
use crate::ledger::Ledger;
use crate::status::Status;

/// What all flows of an attachment share.
#[derive(Debug)]
pub struct Shared {
    /// The servers.
    pub target: Arc<Target>,
    /// Names of keys on the target.
    pub mapping: Mapping,
    /// The checkpoint.
    pub ledger: Ledger,
    /// What the program says about itself.
    pub status: Arc<Status>,
    /// Bytes of unanswered commands per flow.
    pub window: usize,
    /// Number of flows.
    pub flows: usize,
    /// Snapshot keys that came on another flow than their name says.
    pub misplaced: AtomicU64,
    /// A full sync over data that may hold keys the source lacks.
    pub over_existing: AtomicBool,
}

/// Why a flow ended.
#[derive(Debug)]
pub enum End {
    /// The source closed the link; all that came is settled.
    Input,
    /// It was told to stop.
    Stopped,
    /// The full sync has to start over, or a resume is not possible: the reason.
    StartOver(String),
    /// The run cannot go on.
    Fatal(Error),
}

/// What a flow tells its attachment.
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

/// What an attachment tells a flow.
#[derive(Debug)]
pub enum Order {
    /// Every flow is ready: apply the journal.
    Go,
    /// The global command was executed and is stored.
    GlobalDone,
    /// No key that the source lacks is left on the target.
    Reconciled,
    /// Take note of records that touch these keys from now on.
    Watch {
        /// Keys that the source lacks, as far as is known.
        keys: Arc<HashSet<SourceKey>>,
        /// Answered when the order is in force.
        done: oneshot::Sender<()>,
    },
    /// Tell which watched keys were touched, once all records below `at` were dispatched.
    Touched {
        /// An LSN of this flow.
        at: u64,
        /// The keys.
        reply: oneshot::Sender<HashSet<SourceKey>>,
    },
    /// Remove these watched keys from the target, except those touched meanwhile, and watch no longer.
    Remove {
        /// The keys.
        keys: Vec<SourceKey>,
        /// Answered with their number when the target has acknowledged it.
        done: oneshot::Sender<u64>,
    },
}

/// How a flow begins.
#[derive(Debug)]
pub enum Start {
    /// With a snapshot stream, whole or only of missed records.
    Snapshot {
        /// Stands at its end.
        token: EofToken,
    },
    /// With the journal at this LSN.
    Journal {
        /// The LSN asked for.
        next: u64,
    },
}

/// The ends of a flow's channels that the task holds.
#[derive(Debug)]
pub struct Channels {
    /// What the socket delivered.
    pub input: spool::Receiver,
    /// To the attachment.
    pub notices: UnboundedSender<Notice>,
    /// From the attachment.
    pub orders: UnboundedReceiver<Order>,
    /// Becomes true when the flow shall stop.
    pub stop: watch::Receiver<bool>,
    /// The applied LSN, for ACKs and the checkpoint.
    pub applied: watch::Sender<u64>,
    /// The LSN behind the newest PING.
    pub ping: watch::Sender<u64>,
}
