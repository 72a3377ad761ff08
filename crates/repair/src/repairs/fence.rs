//! Asking for fences, and their answers.

use std::collections::BTreeMap;

use command::SourceKey;

use super::Repairs;
use crate::key::Stage;
use crate::{Failed, Value};

/// Keys to be read behind one fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Names it in [`Repairs::fence_answer`] and [`Repairs::fence_void`].
    pub id: u64,
    /// The keys.
    pub keys: Vec<SourceKey>,
    /// A single key, to be read in pages.
    pub big: bool,
    /// Most vain reads among its keys: from some number on the reader may pause the source's writes.
    pub tries: u32,
}

/// A fence under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    keys: Vec<SourceKey>,
    big: bool,
    /// `R0` cannot be below this: the source had sent these records before it was asked.
    received: u64,
}

/// Vain reads before a key has to wait.
const AT_ONCE: u32 = 3;
/// Longest pause after vain reads, in ms.
const LONGEST_VAIN_MS: u64 = 1_000;
/// Longest pause after refusals, in ms.
const LONGEST_REFUSED_MS: u64 = 60_000;

/// Pause before a key is read again, in ms.
pub(super) fn pause(tries: u32, refusals: u32) -> u64 {
    let vain = tries.checked_sub(AT_ONCE + 1).map_or(0, |n| 2u64 << n.min(16)).min(LONGEST_VAIN_MS);
    let refused = refusals.checked_sub(2).map_or(0, |n| 100u64 << n.min(16)).min(LONGEST_REFUSED_MS);
    vain.max(refused)
}

impl Repairs {
    /// The next fence to be read; many keys share one (rule 13). At most one of many keys and one of a single big key
    /// are under way at a time, and none while the values that wait fill their memory.
    pub fn wants_fence(&mut self, now_ms: u64) -> Option<Batch> {
        self.now_ms = self.now_ms.max(now_ms);
        // rule 35
        if self.suspended && self.rules.on(35) || self.counters.value_bytes >= self.limits.value_bytes {
            return None;
        }
        let free = |big: bool| !self.fences.values().any(|fence| fence.big == big);
        let small = if free(false) { self.limits.keys_per_fence.max(1) } else { 0 };
        let due = |big: bool, most| {
            let waiting = self.waiting[usize::from(big)].iter().take(most);
            let due = waiting.take_while(|(not_before, _)| *not_before <= self.now_ms);
            due.map(|(_, key)| key.clone()).collect::<Vec<_>>()
        };
        let mut keys = due(false, small);
        let big = keys.is_empty() && free(true);
        if big {
            keys = due(true, 1);
        }
        if keys.is_empty() {
            return None;
        }
        let id = self.id();
        let mut tries = 0;
        for key in &keys {
            let repair = self.keys.get_mut(key).expect("waiting keys are under repair");
            let Stage::Waiting { not_before } = repair.stage else { unreachable!("it waits") };
            self.waiting[usize::from(big)].remove(&(not_before, key.clone()));
            assert!(repair.held.is_empty(), "records before the fence are dropped");
            repair.stage = Stage::Reading { batch: Some(id) };
            tries = tries.max(repair.tries);
        }
        self.fences.insert(id, UnderWay { keys: keys.clone(), big, received: self.seen });
        Some(Batch { id, keys, big, tries })
    }

    /// When [`Repairs::wants_fence`] may have something that it does not have now, in the caller's ms.
    #[must_use]
    pub fn next_fence_at(&self) -> Option<u64> {
        self.waiting.iter().filter_map(|waiting| waiting.first()).map(|(not_before, _)| *not_before).min()
    }

    /// A fence was read: this flow's components of `R0` and `R1`, and the values between them. Keys of the batch that
    /// are missing among `values` are asked for again at once.
    pub fn fence_answer(&mut self, id: u64, r0: u64, r1: u64, values: Vec<(SourceKey, Value)>) {
        let Some(fence) = self.fences.get(&id) else { return };
        // rule 13: nothing of the incarnation that the flows read has such positions
        if self.rules.on(13) && (r0 > r1 || r0 < fence.received) {
            return self.fence_void(id);
        }
        let fence = self.fences.remove(&id).expect("looked up above");
        let mut values: BTreeMap<SourceKey, Value> = values.into_iter().collect();
        for key in fence.keys {
            if self.reads(&key, id) {
                let value = values.remove(&key);
                self.answer(&key, r0, r1, value);
            }
        }
    }

    /// A fence came to nothing: the connection broke, or the source is another than before (rules 13 and 14b).
    pub fn fence_void(&mut self, id: u64) {
        let Some(fence) = self.fences.remove(&id) else { return };
        self.counters.voided += 1;
        for key in fence.keys {
            if self.reads(&key, id) {
                self.read_again(&key, true);
            }
        }
    }

    /// Whether a key waits for just this fence, and was not ended and begun anew meanwhile.
    fn reads(&self, key: &SourceKey, id: u64) -> bool {
        self.keys
            .get(key)
            .is_some_and(|r| matches!(r.stage, Stage::Reading { batch: Some(batch) } if batch == id))
    }

    fn answer(&mut self, key: &SourceKey, r0: u64, r1: u64, value: Option<Value>) {
        let repair = self.keys.get_mut(key).expect("it waits for the fence");
        match value {
            None => self.read_again(key, false),
            Some(Value::TooBig) => {
                repair.big = true;
                self.read_again(key, false);
            }
            Some(Value::Unreadable(reason)) => {
                repair.refused(reason);
                self.read_again(key, true);
            }
            // rule 14b: what was read may be from before or behind the record
            Some(_) if repair.touched(r0, r1) && self.rules.on(14) => self.read_again(key, true),
            Some(value) => self.ready(key, r0, r1, Some(value)),
        }
    }

    /// The value at `r1` is known: records below it are in it.
    pub(super) fn ready(&mut self, key: &SourceKey, r0: u64, r1: u64, value: Option<Value>) {
        let repair = self.keys.get_mut(key).expect("it waits for the fence");
        self.counters.held_bytes -= repair.held_bytes();
        let held = repair.held.len();
        repair.held.retain(|(lsn, _)| *lsn >= r1);
        self.counters.dropped += (held - repair.held.len()) as u64;
        self.counters.held_bytes += repair.held_bytes();
        self.counters.value_bytes += value.as_ref().map_or(0, Value::bytes);
        repair.moved_at = None;
        if value.is_some() {
            self.ready.insert((r1, key.clone()));
        }
        repair.stage = Stage::Ready { r0, r1, value };
    }
}

impl crate::key::Repair {
    /// The target or the source says no: the pauses grow.
    pub(crate) fn refused(&mut self, reason: String) {
        self.refusals = self.refusals.saturating_add(1);
        self.refusal = Some(reason);
    }

    /// Takes over what is known from the value that failed.
    pub(crate) fn failed(&mut self, why: Failed) {
        if let Failed::Refused(reason) = why {
            self.refused(reason);
        }
    }
}
