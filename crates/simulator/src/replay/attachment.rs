//! One attached replica.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

/// `Preparation -> FullSync -> Stable`; a journal-style partial sync skips the middle. Every stage may end in `Closed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Preparation,
    FullSync,
    Stable,
    Closed,
}

/// Made by `REPLCONF capa dragonfly`, ends with its first connection.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) id: u32,
    stage: watch::Sender<Stage>,
    flows: Vec<Flow>,
}

#[derive(Debug, Default)]
struct Flow {
    open: AtomicBool,
    /// Answered PARTIAL: only the journal follows.
    journal_only: AtomicBool,
    sent: AtomicU64,
    acked: AtomicU64,
}

impl Attachment {
    pub(super) fn new(id: u32, flows: usize) -> Attachment {
        let flows = std::iter::repeat_with(Flow::default).take(flows).collect();
        Attachment { id, stage: watch::Sender::new(Stage::Preparation), flows }
    }

    pub(super) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Goes on to `to` if it stands at `from`.
    pub(super) fn advance(&self, from: Stage, to: Stage) -> bool {
        self.stage.send_if_modified(|stage| {
            let here = *stage == from;
            if here {
                *stage = to;
            }
            here
        })
    }

    pub(super) fn close(&self) {
        self.stage.send_replace(Stage::Closed);
    }

    /// Waits until it is closed.
    pub(super) async fn closed(&self) {
        // The sender lives as long as the attachment does.
        let _ = self.stage.subscribe().wait_for(|stage| *stage == Stage::Closed).await;
    }

    /// Told of every change of the stage.
    pub(super) fn watch(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Registers a flow; false if it was open already.
    pub(super) fn open_flow(&self, flow: usize, journal_only: bool) -> bool {
        let opened = !self.flows[flow].open.swap(true, Ordering::Relaxed);
        if opened {
            self.flows[flow].journal_only.store(journal_only, Ordering::Relaxed);
        }
        opened
    }

    /// How many of the flows have no snapshot.
    pub(super) fn journal_only(&self) -> usize {
        self.flows.iter().filter(|flow| flow.journal_only.load(Ordering::Relaxed)).count()
    }

    pub(super) fn all_flows_open(&self) -> bool {
        self.flows.iter().all(|flow| flow.open.load(Ordering::Relaxed))
    }

    pub(super) fn set_sent(&self, flow: usize, bytes: u64) {
        self.flows[flow].sent.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, flow: usize) -> u64 {
        self.flows.get(flow).map_or(0, |flow| flow.sent.load(Ordering::Relaxed))
    }

    pub(super) fn set_acked(&self, flow: usize, lsn: u64) {
        self.flows[flow].acked.store(lsn, Ordering::Relaxed);
    }

    pub(super) fn acked(&self, flow: usize) -> u64 {
        self.flows.get(flow).map_or(0, |flow| flow.acked.load(Ordering::Relaxed))
    }
}
