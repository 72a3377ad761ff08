//! What a flow does for a key that may belong to any flow (repair rule 19).

use command::SourceKey;
use repair::{Cause, Placement, Reached, Value};
use tokio::sync::oneshot;

use super::{End, FlowTask};
use crate::apply::Doubt;

/// The flow that carries the values of such keys, and lists them.
pub(crate) const CARRIER: usize = 0;

/// One step that every flow takes with the same keys. Each answers for each of them.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// They are under repair. [`Reached::Again`]: this flow repairs the key by itself already.
    Begin(Cause, &'static str),
    /// They are about to be read.
    Read,
    /// They were read between these LSNs of the flow. [`Reached::Yes`]: no record lies in between.
    Answer {
        /// The flow's next LSN before.
        r0: u64,
        /// The flow's next LSN after.
        r1: u64,
    },
    /// How far the flow is.
    Look,
    /// What was read is worth nothing.
    Void,
    /// The value has settled. [`Reached::Again`]: the flow has seen a record of the key, and repairs it by itself.
    Leave,
    /// Another flow repairs it by itself. [`Reached::Again`]: so does this one.
    Withdraw,
}

impl FlowTask {
    pub(super) async fn step(&mut self, keys: &[SourceKey], step: Step) -> Result<Vec<Reached>, End> {
        if let Step::Begin(cause, reason) = step {
            return self.begin_unclear(keys, cause, reason).await;
        }
        // By what is applied: an older command of the key may still be on its way in this flow's lane, and its value takes
        // another one.
        let applied = self.router.applied();
        let one = |key: &SourceKey| match step {
            Step::Begin(..) => unreachable!("dealt with above"),
            Step::Read => {
                self.repairs.unknown_reading(key);
                Reached::NotYet
            }
            Step::Answer { r0, r1 } if self.repairs.unknown_answer(key, r0, r1) => Reached::Yes,
            Step::Answer { .. } => Reached::Again,
            Step::Look => self.repairs.reached(key, applied),
            Step::Void => {
                self.repairs.unknown_void(key);
                Reached::NotYet
            }
            Step::Leave => {
                if let Some((db, name)) = self.shared.mapping.target_name(key.db, &key.key) {
                    // Its value may have come with one, through another flow's lanes.
                    self.router.note_expiry(db, &name);
                }
                self.repairs.leave(key)
            }
            Step::Withdraw => self.repairs.withdraw(key),
        };
        let answers: Vec<Reached> = keys.iter().map(one).collect();
        if matches!(step, Step::Leave | Step::Withdraw) {
            for (key, answer) in keys.iter().zip(&answers) {
                match answer {
                    // It turned out to be this flow's: whatever becomes of its value is for this flow to mend.
                    Reached::Again => drop(self.carried.remove(key)),
                    _ => self.tell_left(std::slice::from_ref(key)),
                }
            }
        }
        Ok(answers)
    }

    async fn begin_unclear(
        &mut self,
        keys: &[SourceKey],
        cause: Cause,
        reason: &str,
    ) -> Result<Vec<Reached>, End> {
        let mut answers = Vec::new();
        let mut begun = Vec::new();
        for key in keys {
            if !self.repairs.is_own(key) {
                self.repairs.begin_unknown(key.clone(), cause, self.next);
            }
            answers.push(if self.repairs.is_own(key) { Reached::Again } else { Reached::NotYet });
            begun.extend(self.repairs.is_unknown(key).then(|| key.clone()));
        }
        // Rule 11: what is on its way in this flow's lanes makes keys of this flow of them.
        let contaminated: Vec<SourceKey> =
            self.contaminated(&begun).into_iter().filter(|key| !begun.contains(key)).collect();
        for key in &contaminated {
            self.repairs.begin(key.clone(), Cause::Contaminated, self.next);
        }
        let mut listed = contaminated;
        if self.flow == CARRIER {
            listed.extend(begun);
        }
        if !listed.is_empty() {
            self.doubts.push(Doubt { keys: listed, reason: reason.into(), origin: None });
            self.record_doubts().await?;
        }
        Ok(answers)
    }

    /// The value of a key that every flow has reached. Told whether it has settled.
    pub(super) async fn carry(
        &mut self,
        key: SourceKey,
        value: Value,
        done: oneshot::Sender<bool>,
    ) -> Result<(), End> {
        if self.repairs.reached(&key, self.router.applied()) != Reached::Yes {
            let _ = done.send(false);
            return Ok(());
        }
        let token = self.repairs.token();
        self.carrying.insert(token, done);
        self.carried.insert(key.detached());
        self.place(Placement { token, key, value, held: Vec::new() }).await
    }

    /// A value did not settle.
    pub(crate) fn repair_failed(&mut self, token: u64, why: repair::Failed) {
        match self.carrying.remove(&token) {
            // Whoever does not wait any more has ended.
            Some(done) => drop(done.send(false)),
            None => self.repairs.failed(token, why),
        }
    }
}
