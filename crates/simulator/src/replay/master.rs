//! What all connections of a replaying master share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Pacing;
use super::attachment::Attachment;
use super::contents::Keyspace;
use super::script::{Held, Script};

/// How a script is played.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(super) pacing: Pacing,
    pub(super) cuts: Vec<Cut>,
    /// Flow and number of bytes.
    pub(super) stalls: Vec<(usize, u64)>,
}

/// Where an attachment is closed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) flow: usize,
    pub(super) bytes: u64,
    /// How often it still happens.
    pub(super) times: usize,
}

/// Switches that are thrown by the handle.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Switches {
    pub(super) resumed: bool,
    pub(super) released: bool,
    pub(super) stopped: bool,
}

#[derive(Debug)]
pub(super) struct Master {
    pub(super) script: Script,
    pub(super) pacing: Pacing,
    cuts: Mutex<Vec<Cut>>,
    stalls: Vec<(usize, u64)>,
    pub(super) switches: watch::Sender<Switches>,
    attachments: Mutex<Attachments>,
    syncs: AtomicU64,
    clients: AtomicU64,
    /// Where it is known what was held.
    pub(super) keyspace: Option<Keyspace>,
}

#[derive(Debug, Default)]
struct Attachments {
    made: u32,
    alive: BTreeMap<u32, Arc<Attachment>>,
    newest: Option<Arc<Attachment>>,
}

impl Master {
    pub(super) fn new(script: Script, plan: Plan) -> Master {
        let keyspace = match &script.held {
            Held::Recorded(contents) => Some(Keyspace::new(contents)),
            Held::Unknown | Held::Numbered(_) => None,
        };
        Master {
            keyspace,
            script,
            pacing: plan.pacing,
            cuts: Mutex::new(plan.cuts),
            stalls: plan.stalls,
            switches: watch::Sender::default(),
            attachments: Mutex::default(),
            syncs: AtomicU64::new(0),
            clients: AtomicU64::new(0),
        }
    }

    pub(super) fn next_client(&self) -> u64 {
        self.clients.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn count_sync(&self) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// A new attachment, with the recorded sync id if it is the first.
    pub(super) fn attach(&self) -> Arc<Attachment> {
        let mut all = lock(&self.attachments);
        let id = self.script.first_sync.saturating_add(all.made);
        all.made += 1;
        let attachment = Arc::new(Attachment::new(id, self.script.flows.len()));
        all.alive.insert(id, attachment.clone());
        all.newest = Some(attachment.clone());
        attachment
    }

    pub(super) fn attachment(&self, id: u32) -> Option<Arc<Attachment>> {
        lock(&self.attachments).alive.get(&id).cloned()
    }

    pub(super) fn newest(&self) -> Option<Arc<Attachment>> {
        lock(&self.attachments).newest.clone()
    }

    /// Number of attachments so far.
    pub(super) fn attachments(&self) -> u64 {
        u64::from(lock(&self.attachments).made)
    }

    /// Ends an attachment with all its flows.
    pub(super) fn close(&self, attachment: &Attachment) {
        lock(&self.attachments).alive.remove(&attachment.id);
        attachment.close();
    }

    /// Ends every attachment.
    pub(super) fn close_all(&self) {
        let alive = std::mem::take(&mut lock(&self.attachments).alive);
        alive.values().for_each(|attachment| attachment.close());
    }

    /// The next place at or behind `sent` where `flow` is cut.
    pub(super) fn next_cut(&self, flow: usize, sent: u64) -> Option<u64> {
        let cuts = lock(&self.cuts);
        let ahead = cuts.iter().filter(|cut| cut.flow == flow && cut.times > 0 && cut.bytes >= sent);
        ahead.map(|cut| cut.bytes).min()
    }

    /// Counts a cut that has just happened.
    pub(super) fn cut_done(&self, flow: usize, bytes: u64) {
        let mut cuts = lock(&self.cuts);
        if let Some(cut) = cuts.iter_mut().find(|cut| cut.flow == flow && cut.bytes == bytes && cut.times > 0)
        {
            cut.times -= 1;
        }
    }

    /// Where `flow` stalls, if it does now.
    pub(super) fn stall(&self, flow: usize) -> Option<u64> {
        let here = self.stalls.iter().filter(|stall| stall.0 == flow).map(|stall| stall.1).min();
        here.filter(|_| !self.switches.borrow().resumed)
    }

    /// `DFLY REPLICAOFFSET`.
    pub(super) fn next_lsns(&self) -> Vec<u64> {
        let released = self.switches.borrow().released;
        self.script.flows.iter().map(|flow| flow.next_lsn[usize::from(released)]).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
