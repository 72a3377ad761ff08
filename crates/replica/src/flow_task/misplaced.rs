//! Keys on a flow that is not theirs: copies that PFMERGE left behind at the source (rule 12).
//!
//! Such a copy is not the key's value, and nothing orders it against the records of the key's own flow. What comes of it
//! is passed over or overwritten: the key is read by the flow that it belongs to.

use command::SourceKey;

use super::{End, FlowTask, Notice, keys_touched};
use crate::apply::Doubt;

/// Most keys of a snapshot that are remembered as strangers. With more of them it is the sharding that is not understood.
const STRANGERS: usize = 10_000;

const REASON: &str = "came on another flow than its own";

impl FlowTask {
    /// An entry of the snapshot came on this flow.
    pub(crate) fn saw_entry(&mut self, db: u32, key: &bytes::Bytes) {
        self.shared.sharding.saw(key, self.flow);
        if self.shared.repair
            && self.shared.sharding.flow_of(key) != Some(self.flow)
            && self.strangers.len() < STRANGERS
        {
            self.strangers.push(SourceKey { db, key: key.clone() });
        }
    }

    /// A record among the snapshot's entries. Whether it certainly came on a wrong flow: it is not applied then.
    pub(crate) fn is_stranger(&mut self, record: &journal::Record) -> bool {
        let keys = keys_touched(record.db, &record.args);
        let sharding = &self.shared.sharding;
        let misplaced = self.shared.repair
            && self.strangers.len() < STRANGERS
            && !keys.is_empty()
            && keys.iter().all(|key| sharding.is_misplaced(&key.key, self.flow));
        if misplaced {
            self.strangers.extend(keys);
        }
        misplaced
    }

    /// The snapshot is through: what certainly came on a wrong flow is read again by the right one. The entries were
    /// applied, and are settled.
    pub(super) async fn repair_misplaced_entries(&mut self) -> Result<(), End> {
        let mut keys = std::mem::take(&mut self.strangers);
        keys.retain(|key| self.shared.sharding.is_misplaced(&key.key, self.flow));
        if keys.is_empty() {
            return Ok(());
        }
        self.doubts.push(Doubt { keys: keys.clone(), reason: REASON.into(), origin: None });
        self.record_doubts().await?;
        self.notify(Notice::Misplaced { keys });
        Ok(())
    }

    /// A record of a key that belongs to another flow is not applied. Returns whether it is one.
    pub(super) fn passes_misplaced(&mut self, record: &journal::Record) -> bool {
        let Some(first) = record.args.get(1) else { return false };
        if !self.shared.sharding.is_misplaced(first, self.flow) {
            return false;
        }
        let keys = keys_touched(record.db, &record.args);
        if keys.is_empty() || keys.iter().any(|key| !self.shared.sharding.is_misplaced(&key.key, self.flow)) {
            return false;
        }
        let origin = self.open_handed_over();
        self.doubts.push(Doubt { keys: keys.clone(), reason: REASON.into(), origin: Some(origin) });
        self.notify(Notice::Misplaced { keys });
        true
    }
}
