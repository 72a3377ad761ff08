//! Values on their way to the target.

use command::SourceKey;
use journal::Record;

use super::Repairs;
use crate::key::{Repair, Stage};
use crate::{Cause, Failed, Value};

/// A value whose place in the stream has come.
#[derive(Debug)]
pub struct Placement {
    /// Names it in [`Repairs::settled`] and [`Repairs::failed`].
    pub token: u64,
    /// The key.
    pub key: SourceKey,
    /// Replaces the key's value, in the key's own lane.
    pub value: Value,
    /// Records that follow it, in order, with their LSNs. They were counted as handed over; each goes through
    /// [`Repairs::record`] and the translation again, because one of them may put the key under repair anew.
    pub held: Vec<(u64, Record)>,
}

/// The last value of a key that was handed out and has not settled.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) token: u64,
    pub(super) cause: Cause,
    pub(super) since_lsn: u64,
    pub(super) tries: u32,
    refusals: u32,
    pub(super) refusal: Option<String>,
    big: bool,
}

impl Repairs {
    /// The lowest `R1` of the values that wait: the flow's next LSN has to reach it, and so has its durable `reserved`.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.ready.first().map(|(r1, _)| *r1)
    }

    /// A value to be sent now. `disp`: the flow's next LSN to be handed to routing; `reserved`: its durable `reserved`.
    /// With this the key is no longer under repair in routing.
    pub fn due(&mut self, disp: u64, reserved: u64) -> Option<Placement> {
        // rule 25
        if self.frozen && self.rules.on(25) {
            return None;
        }
        let (r1, key) = self.ready.first()?;
        // rules 17 and 6
        if disp < *r1 && self.rules.on(17) || reserved < *r1 && self.rules.on(6) {
            return None;
        }
        let key = key.clone();
        let mut repair = self.take_out(&key).expect("ready keys are under repair");
        let Stage::Ready { value: Some(value), .. } = std::mem::replace(&mut repair.stage, WAITING) else {
            unreachable!("ready keys have a value")
        };
        let token = self.id();
        self.tokens.insert(token, key.clone());
        let Repair { cause, since_lsn, tries, refusals, refusal, big, held, .. } = repair;
        self.sent.insert(key.clone(), Sent { token, cause, since_lsn, tries, refusals, refusal, big });
        if !self.rules.on(4) {
            self.listed.remove(&key);
        }
        Some(Placement { token, key, value, held })
    }

    /// Why the key of a value that was handed out is under repair.
    #[must_use]
    pub fn cause_of(&self, token: u64) -> Option<Cause> {
        self.sent.get(self.tokens.get(&token)?).map(|sent| sent.cause)
    }

    /// A value has settled. The key to be taken off the durable list (rule 4), unless it has to stay: it went under
    /// repair anew, or another value of it is on its way.
    pub fn settled(&mut self, token: u64) -> Option<SourceKey> {
        let key = self.tokens.remove(&token)?;
        if self.sent.get(&key).is_none_or(|sent| sent.token != token) {
            return None;
        }
        self.sent.remove(&key);
        if self.keys.contains_key(&key) {
            return None;
        }
        self.listed.remove(&key);
        self.counters.repaired += 1;
        Some(key)
    }

    /// A value was refused, or its reply never came: the key is read again, after a pause if it was refused.
    pub fn failed(&mut self, token: u64, why: Failed) {
        let Some(key) = self.tokens.remove(&token) else { return };
        if self.sent.get(&key).is_none_or(|sent| sent.token != token) {
            return; // a later value decides
        }
        let sent = self.sent.remove(&key).expect("looked up above");
        if let Some(repair) = self.keys.get_mut(&key) {
            return repair.failed(why); // it is being read again for another cause
        }
        let mut repair = Repair::new(sent.cause, sent.since_lsn);
        repair.tries = sent.tries.saturating_add(1);
        repair.refusals = sent.refusals;
        repair.refusal = sent.refusal;
        repair.big = sent.big;
        repair.failed(why);
        let pause = super::fence::pause(0, repair.refusals);
        repair.stage = Stage::Waiting { not_before: self.now_ms.saturating_add(pause) };
        self.counters.read_again += 1;
        self.enter(key, repair);
    }
}

const WAITING: Stage = Stage::Waiting { not_before: 0 };
