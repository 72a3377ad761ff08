//! FLUSHALL, FLUSHDB, FLUSHSLOTS: executed once, when every flow stands at its copy and everything before is settled.

use bytes::Bytes;
use command::{Global, Mapping, SourceKey, ValueType};
use router::side::Side;
use router::sweep::{remove_matching, used_databases};
use tracing::info;

/// The flows that stand at a global command.
#[derive(Debug, Default)]
pub struct Barrier {
    arrived: Vec<Option<Arrival>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Arrival {
    lsn: u64,
    txid: u64,
    global: Global,
}

/// A barrier that every flow has reached.
#[derive(Debug, PartialEq)]
pub struct Reached {
    /// What to execute.
    pub global: Global,
    /// LSN of the flow's copy, by flow.
    pub lsns: Vec<u64>,
}

/// The copies of the flows do not belong together: the stream cannot be trusted any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("flow {flow} stands at another global command than the flows before it")]
pub struct Mixed {
    /// The flow that differs.
    pub flow: usize,
}

impl Barrier {
    /// A barrier for this many flows.
    pub fn new(flows: usize) -> Self {
        Barrier { arrived: vec![None; flows] }
    }

    /// Whether some flow waits.
    pub fn is_waited_for(&self) -> bool {
        self.arrived.iter().any(Option::is_some)
    }

    /// A flow has arrived. Returns the command once all have, and is empty again.
    ///
    /// # Errors
    /// [`Mixed`].
    pub fn arrive(
        &mut self,
        flow: usize,
        lsn: u64,
        txid: u64,
        global: Global,
    ) -> Result<Option<Reached>, Mixed> {
        // FLUSHSLOTS carries no txid (v1.40.1, seen on the wire), so the command itself has to match as well.
        if self.arrived.iter().flatten().any(|other| other.txid != txid || other.global != global) {
            return Err(Mixed { flow });
        }
        self.arrived[flow] = Some(Arrival { lsn, txid, global });
        if self.arrived.iter().any(Option::is_none) {
            return Ok(None);
        }
        let arrivals: Vec<Arrival> = self.arrived.iter_mut().filter_map(Option::take).collect();
        let lsns = arrivals.iter().map(|a| a.lsn).collect();
        Ok(arrivals.into_iter().next().map(|first| Reached { global: first.global, lsns }))
    }
}

/// Executes a global command on the target: exactly the names that the mapping gives to the databases concerned.
///
/// # Errors
/// The target's; executing it again is right.
pub async fn execute(side: &mut Side, mapping: &Mapping, global: &Global) -> Result<(), router::Error> {
    // What has a type that is left out did not come from us.
    let of_type = |word: &str| carried(mapping, word);
    let of_type: Option<&(dyn Fn(&str) -> bool + Sync)> =
        mapping.filter().chooses_types().then_some(&of_type as _);
    let mut removed = 0;
    for (target_db, pattern) in scans(side, mapping, global).await? {
        let belongs =
            |name: &Bytes| mapping.source_name(target_db, name).is_some_and(|key| concerns(global, &key));
        removed += remove_matching(side, target_db, pattern, belongs, of_type).await?;
    }
    info!(command = ?global, removed, "global command executed");
    Ok(())
}

/// Whether values are carried of the type that the source's or the target's `TYPE` names. A type that nobody knows is.
pub fn carried(mapping: &Mapping, word: &str) -> bool {
    match ValueType::from_type_reply(word) {
        Some(kind) => mapping.filter().allows_type(kind),
        None => word != "none",
    }
}

/// What to scan: databases of the target, with a pattern where only a prefix matters.
async fn scans(
    side: &mut Side,
    mapping: &Mapping,
    global: &Global,
) -> Result<Vec<(u32, Option<Bytes>)>, router::Error> {
    match global {
        Global::FlushDb(db) => Ok(mapping.scan(*db).into_iter().collect()),
        // All that is there; the mapping decides about every name.
        Global::FlushAll | Global::FlushSlots(_) => {
            Ok(used_databases(side).await?.into_iter().map(|db| (db, None)).collect())
        }
    }
}

/// Whether a key is in the scope of a global command.
pub fn concerns(global: &Global, key: &SourceKey) -> bool {
    match global {
        Global::FlushAll => true,
        Global::FlushDb(db) => key.db == *db,
        // Slots of the source are those of its own names.
        Global::FlushSlots(ranges) => {
            let slot = command::slot(&key.key);
            ranges.iter().any(|(first, last)| (*first..=*last).contains(&slot))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_happens_before_the_last_flow() {
        let mut barrier = Barrier::new(3);
        assert_eq!(barrier.arrive(2, 9, 37, Global::FlushAll), Ok(None));
        assert_eq!(barrier.arrive(0, 5, 37, Global::FlushAll), Ok(None));
        assert!(barrier.is_waited_for());
        let reached = Reached { global: Global::FlushAll, lsns: vec![5, 7, 9] };
        assert_eq!(barrier.arrive(1, 7, 37, Global::FlushAll), Ok(Some(reached)));
        assert!(!barrier.is_waited_for());
    }

    #[test]
    fn copies_that_do_not_belong_together_are_noticed() {
        let mut barrier = Barrier::new(2);
        assert_eq!(barrier.arrive(0, 1, 36, Global::FlushDb(5)), Ok(None));
        assert_eq!(barrier.arrive(1, 1, 36, Global::FlushDb(4)), Err(Mixed { flow: 1 }));
        assert_eq!(barrier.arrive(1, 1, 37, Global::FlushDb(5)), Err(Mixed { flow: 1 }));
    }

    #[test]
    fn flushslots_is_about_the_slots_of_source_names() {
        let flush = Global::FlushSlots(vec![(0, 100), (12182, 12182)]);
        assert!(concerns(&flush, &SourceKey { db: 0, key: "foo".into() }));
        assert!(!concerns(&flush, &SourceKey { db: 0, key: "bar".into() }));
    }
}
