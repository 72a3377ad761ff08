//! Keys whose flow is not known (rule 19).
//!
//! Such a key is under repair in every flow at once. A coordinator reads it behind one fence over all flows, tells each
//! flow its components, and sends the value when every flow has reached its `R1`. Until the value is acknowledged each
//! flow holds the key's records: the lane of the value may be another than that of the next record.

use command::SourceKey;
use journal::Record;

use super::Repairs;
use crate::Cause;
use crate::key::{Repair, Stage};

/// How far a flow is with a key of which the coordinator holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reached {
    /// It has come to its `R1`.
    Yes,
    /// It has not.
    NotYet,
    /// A record lies in the window, or too much was held: the value is worth nothing, read it again.
    Again,
    /// The key is not under repair any more: a global command or a full sync ended it.
    Ended,
}

impl Repairs {
    /// Puts a key under repair whose flow is not known; to be called for every flow. A repair that is under way for
    /// this flow alone starts over.
    pub fn begin_unknown(&mut self, key: SourceKey, cause: Cause, at: u64) {
        if !self.rules.on(19) {
            // a guess
            if self.flow == 0 {
                self.begin(key, cause, at);
            }
            return;
        }
        self.seen = self.seen.max(at);
        if self.keys.get(&key).is_some_and(|repair| repair.unknown_flow) {
            return;
        }
        self.take_out(&key);
        self.enter(key, Repair { unknown_flow: true, ..Repair::new(cause, at) });
    }

    /// The coordinator begins to read it: from now on records are held.
    pub fn unknown_reading(&mut self, key: &SourceKey) {
        if let Some(repair) = self.unknown(key) {
            repair.stage = Stage::Reading { batch: None };
        }
    }

    /// The fence was read: this flow's components. Whether the window is untouched so far; otherwise the coordinator
    /// reads again.
    pub fn unknown_answer(&mut self, key: &SourceKey, r0: u64, r1: u64) -> bool {
        let Some(repair) = self.unknown(key) else { return false };
        if !matches!(repair.stage, Stage::Reading { .. }) || r0 > r1 || repair.touched(r0, r1) {
            self.read_again(key, true);
            return false;
        }
        self.ready(key, r0, r1, None);
        true
    }

    /// The fence came to nothing, or another flow's window was touched, or the value was refused: from the start.
    pub fn unknown_void(&mut self, key: &SourceKey) {
        if self.unknown(key).is_some() {
            self.read_again(key, true);
        }
    }

    /// Whether this flow has come to the key's `R1`. The lanes may still have older commands of the key, or that move it,
    /// and the value takes another lane: pass the flow's `applied`, or `disp` once its lanes are free of them. While frozen it has not (rule 25). The caller's durable `reserved`
    /// of every flow has to cover its `R1` as well (rule 6).
    #[must_use]
    pub fn reached(&self, key: &SourceKey, at: u64) -> Reached {
        match self.keys.get(key).filter(|repair| repair.unknown_flow).map(|repair| &repair.stage) {
            None => Reached::Ended,
            Some(Stage::Ready { r1, .. }) if at >= *r1 && !(self.frozen && self.rules.on(25)) => Reached::Yes,
            Some(Stage::Ready { .. }) => Reached::NotYet,
            Some(Stage::Waiting { .. } | Stage::Reading { .. }) => Reached::Again,
        }
    }

    /// The value has settled: the key leaves, and this flow's records that waited for it go through
    /// [`Repairs::record`] and on to routing. `None`: it left before.
    ///
    /// Only while [`Repairs::reached`] says yes for every flow: a record that moves the key may have come since the value
    /// was sent, and then the coordinator has to read again ([`Repairs::unknown_void`] for every flow).
    pub fn release(&mut self, key: &SourceKey) -> Option<Vec<(u64, Record)>> {
        let repair = self.unknown(key)?;
        assert!(matches!(repair.stage, Stage::Ready { .. }), "released although it has to be read again");
        let repair = self.take_out(key)?;
        self.listed.remove(key);
        self.counters.repaired += 1;
        Some(repair.held)
    }

    fn unknown(&mut self, key: &SourceKey) -> Option<&mut Repair> {
        self.keys.get_mut(key).filter(|repair| repair.unknown_flow).map(|repair| &mut **repair)
    }
}
