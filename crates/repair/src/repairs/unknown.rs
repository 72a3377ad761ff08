//! Keys whose flow is not known (rule 19).
//!
//! Such a key is under repair in every flow at once. A coordinator reads it behind one fence over all flows, tells each
//! flow its components, and sends the value when every flow has reached its `R1`. Until the value is acknowledged each
//! flow holds the key's records: the lane of the value may be another than that of the next record. A flow that has held
//! one then knows that the key is its own, and repairs it like any other.

use command::SourceKey;

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
        let seen = self.seen;
        if let Some(repair) = self.unknown(key) {
            (repair.stage, repair.received) = (Stage::Reading { batch: None }, seen);
        }
    }

    /// The fence was read: this flow's components. Whether the window is untouched so far; otherwise the coordinator
    /// reads again.
    pub fn unknown_answer(&mut self, key: &SourceKey, r0: u64, r1: u64) -> bool {
        let backwards = self.rules.on(13);
        let Some(repair) = self.unknown(key) else { return false };
        let backwards = backwards && (r0 > r1 || r0 < repair.received);
        if !matches!(repair.stage, Stage::Reading { .. }) || backwards || repair.touched(r0, r1) {
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

    /// The value has settled. [`Reached::Yes`]: the key has left this flow, to which no record of it came since it was
    /// read. [`Reached::Again`]: one came, so the key is this flow's, which repairs it by itself from now on.
    pub fn leave(&mut self, key: &SourceKey) -> Reached {
        let Some(repair) = self.unknown(key) else { return Reached::Ended };
        let untouched = matches!(repair.stage, Stage::Ready { .. }) && repair.held.is_empty();
        self.part(key, untouched)
    }

    /// The key turned out to belong to another flow, which repairs it by itself. What is returned is as for
    /// [`Repairs::leave`].
    pub fn withdraw(&mut self, key: &SourceKey) -> Reached {
        let Some(repair) = self.unknown(key) else { return Reached::Ended };
        let untouched = !repair.met && repair.held.is_empty() && repair.moved_at.is_none();
        self.part(key, untouched)
    }

    fn part(&mut self, key: &SourceKey, untouched: bool) -> Reached {
        if untouched {
            self.take_out(key);
            self.listed.remove(key);
            return Reached::Yes;
        }
        if let Some(repair) = self.unknown(key) {
            repair.unknown_flow = false;
            self.read_again(key, false);
        }
        Reached::Again
    }

    /// Whether this flow repairs the key by itself.
    #[must_use]
    pub fn is_own(&self, key: &SourceKey) -> bool {
        self.listed.contains(key) && !self.is_unknown(key)
    }

    /// Whether the key is under repair in all flows.
    #[must_use]
    pub fn is_unknown(&self, key: &SourceKey) -> bool {
        self.keys.get(key).is_some_and(|repair| repair.unknown_flow)
    }

    /// Names the value of such a key on its way through this flow's lanes.
    pub fn token(&mut self) -> u64 {
        self.id()
    }

    fn unknown(&mut self, key: &SourceKey) -> Option<&mut Repair> {
        self.keys.get_mut(key).filter(|repair| repair.unknown_flow).map(|repair| &mut **repair)
    }
}
