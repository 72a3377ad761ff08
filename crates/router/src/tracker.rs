//! Which records of a flow are settled on the target: the flow's applied LSN.
//!
//! Lanes acknowledge in any order. Only the oldest record with an open piece counts, over all pieces of a split
//! record (repair rule 2).

use std::collections::{BTreeMap, VecDeque};

/// Where a command comes from; the tracker's answer to "what may be called applied now".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Part of the snapshot: counted, without an LSN.
    Snapshot,
    /// A piece of the journal record with this LSN.
    Record(u64),
    /// Part of a repaired value, under the token of its repair: counted, without an LSN.
    Repair(u64),
    /// Sent for the lane's own sake (SELECT, ASKING): its acknowledgement means nothing.
    Lane,
}

/// Open pieces of the records of one flow.
#[derive(Debug, Default)]
pub struct Tracker {
    /// LSN of `open[0]`; everything below is applied.
    applied: u64,
    /// Open pieces by record, oldest first.
    open: VecDeque<u32>,
    /// Open commands of the snapshot.
    snapshot: u64,
    /// Repaired values on their way, by token.
    repairs: BTreeMap<u64, Placing>,
    settled_repairs: Vec<u64>,
}

/// A repaired value on its way.
#[derive(Debug)]
struct Placing {
    /// Open commands, and one until all are handed out.
    open: u32,
    /// One of them failed.
    failed: bool,
}

impl Tracker {
    /// A tracker whose flow expects `next` as its next LSN.
    pub fn starting_at(next: u64) -> Self {
        Tracker { applied: next, ..Tracker::default() }
    }

    /// Sets the LSN of the next record.
    ///
    /// # Panics
    /// When pieces of earlier records are open: the caller drains first.
    pub fn restart_at(&mut self, next: u64) {
        assert!(self.open.is_empty(), "an LSN space is only changed when every record before it is settled");
        self.applied = next;
    }

    /// The next LSN to hand out: everything below was dispatched.
    pub fn dispatched(&self) -> u64 {
        self.applied + self.open.len() as u64
    }

    /// Lowest LSN with an open piece, or the next LSN where nothing is open: everything below is applied.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Opens the record at [`Tracker::dispatched`] and returns its LSN. It holds back the applied LSN until
    /// [`Tracker::close_record`].
    pub fn open_record(&mut self) -> u64 {
        let lsn = self.dispatched();
        self.open.push_back(1);
        lsn
    }

    /// Ends what [`Tracker::open_record`] began: all pieces of the record are handed out.
    pub fn close_record(&mut self, lsn: u64) {
        self.settle(Origin::Record(lsn));
    }

    /// Opens a repaired value. It is settled when its pieces are, and [`Tracker::settle`] was called once more.
    pub fn open_repair(&mut self, token: u64) {
        self.repairs.insert(token, Placing { open: 1, failed: false });
    }

    /// A piece failed: a repaired value is not to be called settled any more. The piece itself stays open.
    pub fn fail(&mut self, origin: Origin) {
        if let Origin::Repair(token) = origin
            && let Some(placing) = self.repairs.get_mut(&token)
        {
            placing.failed = true;
        }
    }

    /// The repaired values that were settled since the last call.
    pub fn take_settled_repairs(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.settled_repairs)
    }

    /// One more piece is on its way.
    pub fn add(&mut self, origin: Origin) {
        match origin {
            Origin::Snapshot => self.snapshot += 1,
            Origin::Record(lsn) => {
                let index = self.index(lsn);
                self.open[index] += 1;
            }
            Origin::Repair(token) => {
                self.repairs.entry(token).or_insert(Placing { open: 0, failed: false }).open += 1;
            }
            Origin::Lane => {}
        }
    }

    /// One piece is settled.
    pub fn settle(&mut self, origin: Origin) {
        match origin {
            Origin::Snapshot => self.snapshot -= 1,
            Origin::Record(lsn) => {
                let index = self.index(lsn);
                self.open[index] -= 1;
                while self.open.front() == Some(&0) {
                    self.open.pop_front();
                    self.applied += 1;
                }
            }
            Origin::Repair(token) => {
                let Some(placing) = self.repairs.get_mut(&token) else { return };
                placing.open -= 1;
                if placing.open == 0 {
                    let failed = placing.failed;
                    self.repairs.remove(&token);
                    if !failed {
                        self.settled_repairs.push(token);
                    }
                }
            }
            Origin::Lane => {}
        }
    }

    /// Whether nothing is open.
    pub fn is_settled(&self) -> bool {
        self.snapshot == 0 && self.open.is_empty() && self.repairs.is_empty()
    }

    /// Whether a repaired value is on its way, or was settled and not taken yet.
    pub fn has_repairs(&self) -> bool {
        !self.repairs.is_empty() || !self.settled_repairs.is_empty()
    }

    /// Whether no command without an LSN ([`Origin::Snapshot`]) is open.
    pub fn is_snapshot_settled(&self) -> bool {
        self.snapshot == 0
    }

    fn index(&self, lsn: u64) -> usize {
        // A piece is settled once, and its record stays until then: the difference is the position in `open`.
        (lsn - self.applied) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_applied_lsn_waits_for_the_slowest_piece_of_the_oldest_record() {
        let mut tracker = Tracker::starting_at(10);
        let first = tracker.open_record();
        tracker.add(Origin::Record(first));
        tracker.add(Origin::Record(first));
        tracker.close_record(first);
        let second = tracker.open_record();
        tracker.add(Origin::Record(second));
        tracker.close_record(second);
        assert_eq!((first, second, tracker.dispatched()), (10, 11, 12));

        tracker.settle(Origin::Record(second));
        assert_eq!(tracker.applied(), 10, "a faster lane does not move the LSN past a slower one");
        tracker.settle(Origin::Record(first));
        assert_eq!(tracker.applied(), 10, "one piece of the split record is still open");
        tracker.settle(Origin::Record(first));
        assert_eq!(tracker.applied(), 12);
        assert!(tracker.is_settled());
    }

    #[test]
    fn a_record_without_pieces_is_applied_at_once_but_not_before_older_ones() {
        let mut tracker = Tracker::starting_at(1);
        let slow = tracker.open_record();
        tracker.add(Origin::Record(slow));
        tracker.close_record(slow);
        let empty = tracker.open_record();
        tracker.close_record(empty);
        assert_eq!(tracker.applied(), 1);
        tracker.settle(Origin::Record(slow));
        assert_eq!(tracker.applied(), 3);
    }

    #[test]
    fn snapshot_commands_do_not_touch_the_lsn() {
        let mut tracker = Tracker::starting_at(7);
        tracker.add(Origin::Snapshot);
        assert!(!tracker.is_settled());
        tracker.settle(Origin::Snapshot);
        assert!(tracker.is_settled());
        assert_eq!(tracker.applied(), 7);
    }
}
