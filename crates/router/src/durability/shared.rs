//! What flows read of a node without a lock, and how they ask for haste.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::durability::node::{Ending, Node, Verdict};

/// One node, between its poller, the lanes that connect to it, and the flows.
#[derive(Debug)]
pub(crate) struct Shared {
    node: Mutex<Node>,
    started: AtomicU64,
    settled: AtomicU64,
    at_once: AtomicBool,
    forget: AtomicU64,
    incarnation: AtomicU64,
    /// The poll that somebody waits for.
    wanted: AtomicU64,
    /// The same, also where writes count as settled at once.
    asked: AtomicU64,
    /// One more than the highest tag of a write.
    newest: AtomicU64,
    pub(crate) wake: Notify,
    polling: AtomicBool,
}

impl Shared {
    pub(crate) fn new(node: Node) -> Shared {
        let shared = Shared {
            started: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            at_once: AtomicBool::new(false),
            forget: AtomicU64::new(0),
            incarnation: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            newest: AtomicU64::new(0),
            wake: Notify::new(),
            polling: AtomicBool::new(false),
            node: Mutex::new(node),
        };
        shared.with(|_| ());
        shared
    }

    /// Looks at or changes the node, and publishes what became of it.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Node) -> R) -> R {
        let mut node = self.lock();
        let result = f(&mut node);
        let Verdict { settled, at_once, forget } = node.verdict();
        // A new incarnation is published first: who reads it last knows that nothing read before was a later one's.
        self.incarnation.store(node.incarnation(), Ordering::SeqCst);
        self.started.store(node.started, Ordering::SeqCst);
        self.settled.store(settled, Ordering::SeqCst);
        self.at_once.store(at_once, Ordering::SeqCst);
        self.forget.store(forget, Ordering::SeqCst);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Node> {
        // No invariant spans several fields of a node that a panic could break for good.
        self.node.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn started(&self) -> u64 {
        self.started.load(Ordering::SeqCst)
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation.load(Ordering::SeqCst)
    }

    /// The verdict on the current incarnation, and which one that is; consistent with each other.
    pub(crate) fn verdict(&self) -> (u64, Verdict) {
        let node = self.lock();
        (node.incarnation(), node.verdict())
    }

    /// The verdict without the lock: each part as of some moment.
    pub(crate) fn glance(&self) -> Verdict {
        Verdict {
            settled: self.settled.load(Ordering::SeqCst),
            at_once: self.at_once.load(Ordering::SeqCst),
            forget: self.forget.load(Ordering::SeqCst),
        }
    }

    pub(crate) fn endings_from(&self, first: u64) -> Vec<Ending> {
        self.lock().endings.get(first as usize..).unwrap_or_default().to_vec()
    }

    /// Whether a poller has to be started.
    pub(crate) fn begin_polling(&self) -> bool {
        !self.polling.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn end_polling(&self) {
        self.polling.store(false, Ordering::SeqCst);
    }

    /// A write with this tag was acknowledged.
    pub(crate) fn wrote(&self, tag: u64) {
        if self.newest.load(Ordering::Relaxed) <= tag {
            self.newest.fetch_max(tag + 1, Ordering::Relaxed);
        }
    }

    /// The highest tag of a write.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.newest.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Somebody waits until writes with this tag are settled.
    pub(crate) fn want(&self, tag: u64) {
        if self.wanted.load(Ordering::Relaxed) <= tag
            && self.wanted.fetch_max(tag + 1, Ordering::Relaxed) <= tag
        {
            self.wake.notify_one();
        }
    }

    /// Somebody waits for a poll that is sent from now on.
    pub(crate) fn ask(&self, tag: u64) {
        self.asked.fetch_max(tag + 1, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Whether a poll is due that somebody waits for.
    pub(crate) fn is_wanted(&self) -> bool {
        let verdict = self.glance();
        let asked = self.asked.load(Ordering::Relaxed) > verdict.settled;
        asked || !verdict.at_once && self.wanted.load(Ordering::Relaxed) > verdict.settled
    }
}
