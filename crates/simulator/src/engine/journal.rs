//! The journal of one shard: the LSN counter and the ring of recent records.

use std::collections::VecDeque;

use bytes::Bytes;

/// LSNs begin at 1 and advance only once journaling is on, which the first attach does for good.
#[derive(Debug)]
pub(crate) struct Journal {
    on: bool,
    next: u64,
    ring: VecDeque<Bytes>,
    capacity: usize,
}

impl Journal {
    pub(crate) fn new(capacity: usize) -> Self {
        Journal { on: false, next: 1, ring: VecDeque::new(), capacity }
    }

    /// One that is on and goes on from another master's LSNs (`StartInThreadAtLsn`, v1.34 and later).
    pub(crate) fn starting_at(next: u64, capacity: usize) -> Self {
        Journal { on: true, next, ..Journal::new(capacity) }
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
            self.ring.push_back(record);
        }
        self.next += 1;
        self.next - 1
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
        Some(self.ring.iter().enumerate().skip(skip as usize).map(move |(i, r)| (first + i as u64, r)))
    }
}
