//! The journal of one shard: the LSN counter and the ring of recent records.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

/// LSNs begin at 1 and advance only once journaling is on, which the first attach does for good.
#[derive(Debug)]
pub(crate) struct Journal {
    on: bool,
    next: u64,
    ring: VecDeque<(Instant, Bytes)>,
    capacity: usize,
    /// How long records are kept at most.
    keep: Option<Duration>,
}

impl Journal {
    pub(crate) fn new(capacity: usize, keep: Option<Duration>) -> Self {
        Journal { on: false, next: 1, ring: VecDeque::new(), capacity, keep }
    }

    /// One that is on and goes on from another master's LSNs (`StartInThreadAtLsn`, v1.34 and later).
    pub(crate) fn continued(self, next: u64) -> Self {
        Journal { on: true, next, ..self }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    pub(crate) fn turn_on(&mut self) {
        self.on = true;
    }

    /// The LSN of the next record.
    pub(crate) fn next_lsn(&self) -> u64 {
        self.next
    }

    /// Appends a record; returns its LSN.
    pub(crate) fn push(&mut self, record: Bytes) -> u64 {
        if self.capacity > 0 {
            if self.ring.len() == self.capacity {
                self.ring.pop_front();
            }
            self.ring.push_back((Instant::now(), record));
            self.forget_old();
        }
        self.next += 1;
        self.next - 1
    }

    /// Lets go of what is kept for too long.
    pub(crate) fn forget_old(&mut self) {
        let Some(keep) = self.keep else { return };
        while self.ring.front().is_some_and(|(at, _)| at.elapsed() > keep) {
            self.ring.pop_front();
        }
    }

    /// Skips one LSN and forgets the ring: what an omitted write does (v1.39 and later, `ClearBuffer`).
    pub(crate) fn skip(&mut self) {
        if self.on {
            self.next += 1;
            self.ring.clear();
        }
    }

    /// Changes how many records are kept.
    pub(crate) fn shrink(&mut self, capacity: usize) {
        self.capacity = capacity;
        while self.ring.len() > capacity {
            self.ring.pop_front();
        }
    }

    /// The records from `lsn` on, if none of them is gone; `lsn` may be the next one.
    pub(crate) fn since(&self, lsn: u64) -> Option<impl Iterator<Item = (u64, &Bytes)>> {
        let first = self.next - self.ring.len() as u64;
        let skip = lsn.checked_sub(first).filter(|_| lsn <= self.next)?;
        Some(self.ring.iter().enumerate().skip(skip as usize).map(move |(i, (_, r))| (first + i as u64, r)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(journal: &Journal, lsn: u64) -> Option<usize> {
        journal.since(lsn).map(Iterator::count)
    }

    #[tokio::test(start_paused = true)]
    async fn records_are_kept_by_their_number_or_by_their_age() {
        let mut by_number = Journal::new(2, None);
        let mut by_age = Journal::new(usize::MAX, Some(Duration::from_secs(5)));
        for _ in 0..3 {
            by_number.push(Bytes::from_static(b"r"));
            by_age.push(Bytes::from_static(b"r"));
            tokio::time::advance(Duration::from_secs(2)).await;
        }
        assert_eq!([1, 2, 3, 4, 5].map(|lsn| held(&by_number, lsn)), [None, Some(2), Some(1), Some(0), None]);
        by_age.forget_old();
        assert_eq!([1, 2, 4].map(|lsn| held(&by_age, lsn)), [None, Some(2), Some(0)]);
        tokio::time::advance(Duration::from_secs(60)).await;
        by_age.forget_old();
        assert_eq!([3, 4].map(|lsn| held(&by_age, lsn)), [None, Some(0)], "the next one is always there");
        let mut none = Journal::new(0, None);
        none.push(Bytes::from_static(b"r"));
        assert_eq!([1, 2].map(|lsn| held(&none, lsn)), [None, Some(0)]);
    }
}
