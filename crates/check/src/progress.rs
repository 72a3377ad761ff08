//! How far a check is.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Written by the check, read by whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    round: AtomicU32,
    done: AtomicU64,
    total: AtomicU64,
    suspects: AtomicU64,
}

/// A moment of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// The round, from 1; 0 before the first.
    pub round: u32,
    /// Keys looked at in this round, of both sides together.
    pub done: u64,
    /// Keys there are to look at; the servers' own count, so an estimate.
    pub total: u64,
    /// Keys that seem to differ so far.
    pub suspects: u64,
}

impl Progress {
    /// Now.
    pub fn now(&self) -> Moment {
        Moment {
            round: self.round.load(Relaxed),
            done: self.done.load(Relaxed),
            total: self.total.load(Relaxed),
            suspects: self.suspects.load(Relaxed),
        }
    }

    pub(crate) fn begin(&self, round: u32, total: u64) {
        self.done.store(0, Relaxed);
        self.total.store(total, Relaxed);
        self.round.store(round, Relaxed);
    }

    pub(crate) fn add(&self, keys: usize) {
        self.done.fetch_add(keys as u64, Relaxed);
    }

    pub(crate) fn suspects(&self, count: u64) {
        self.suspects.store(count, Relaxed);
    }
}
