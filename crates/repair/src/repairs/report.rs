//! What can be asked.

use command::SourceKey;

use super::Repairs;
use crate::key::Stage;
use crate::{Counters, KeyStatus, Phase};

impl Repairs {
    /// The keys that have to be on the durable list, in order.
    pub fn repairing(&self) -> impl Iterator<Item = &SourceKey> {
        self.listed.iter()
    }

    /// How many keys that are.
    #[must_use]
    pub fn repairing_len(&self) -> usize {
        self.listed.len()
    }

    /// Totals since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The keys with where they stand, in order.
    pub fn status(&self) -> impl Iterator<Item = KeyStatus> {
        self.listed.iter().filter_map(|key| self.key_status(key))
    }

    fn key_status(&self, key: &SourceKey) -> Option<KeyStatus> {
        let key = key.clone();
        if let Some(repair) = self.keys.get(&key) {
            let phase = match repair.stage {
                Stage::Waiting { .. } => Phase::Waiting,
                Stage::Reading { .. } => Phase::Reading,
                Stage::Ready { .. } => Phase::Ready,
            };
            let refusal = repair.refusal.clone();
            let (cause, since_lsn, tries) = (repair.cause, repair.since_lsn, repair.tries);
            return Some(KeyStatus { key, phase, cause, since_lsn, tries, refusal });
        }
        let sent = self.sent.get(&key)?;
        let refusal = sent.refusal.clone();
        let (cause, since_lsn, tries) = (sent.cause, sent.since_lsn, sent.tries);
        Some(KeyStatus { key, phase: Phase::Sent, cause, since_lsn, tries, refusal })
    }
}
