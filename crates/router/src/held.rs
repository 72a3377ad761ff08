//! Slots whose commands wait: redirected, refused for the moment, or without a connection.
//!
//! Every command of a flow has a sequence number, and a held slot keeps its commands sorted by it. So a command that
//! comes back from a node stands in front of those that were dispatched after it, whatever order they return in.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use command::Effect;
use rules::Rules;
use tokio::time::Instant;

use crate::lane::{COST, Parked};
use crate::outcome::Transient;
use crate::target::NodeId;
use crate::tracker::Origin;

/// Where the commands of a held slot go when they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the slot's new owner.
    Moved(NodeId),
    /// Those that were answered ASK to the node that imports the slot, each behind an ASKING; the others to the owner.
    Ask(NodeId),
    /// To the owner that the slot map names by then, after a while.
    Later(Transient),
}

/// One held slot.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) way: Way,
    /// Commands of the slot that still wait for a reply somewhere: until there are none, nothing is sent.
    pub(crate) in_flight: usize,
    pub(crate) retry_at: Instant,
    /// The first command was sent alone, to see whether the target takes it now.
    pub(crate) probing: bool,
    queue: BTreeMap<u64, Parked>,
    /// Which commands touch a key, by database and name.
    touching: HashMap<(u32, Bytes), BTreeSet<u64>>,
    /// Encoded bytes in the queue, and [`COST`] for each command.
    bytes: usize,
}

/// What a command that was executed too early means for those that wait.
#[derive(Debug, Default)]
pub(crate) struct Overtaken {
    /// Pointless now: all their keys were overwritten.
    pub(crate) pointless: Vec<Parked>,
    /// Not to be executed any more: the command that was executed has seen, or made, a state that they belong in front of.
    /// Their keys are doubtful, and so are those of the executed command.
    pub(crate) broken: Vec<Parked>,
}

impl Held {
    pub(crate) fn new(way: Way, in_flight: usize, retry_at: Instant) -> Self {
        Held {
            way,
            in_flight,
            retry_at,
            probing: false,
            queue: BTreeMap::new(),
            touching: HashMap::new(),
            bytes: 0,
        }
    }

    pub(crate) fn insert(&mut self, parked: Parked) {
        self.bytes += parked.bytes.len() + COST;
        for place in parked.places() {
            self.touching.entry(place).or_default().insert(parked.meta.seq);
        }
        self.queue.insert(parked.meta.seq, parked);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn pop_first(&mut self) -> Option<Parked> {
        let seq = *self.queue.keys().next()?;
        self.remove(seq)
    }

    fn remove(&mut self, seq: u64) -> Option<Parked> {
        let parked = self.queue.remove(&seq)?;
        self.bytes -= parked.bytes.len() + COST;
        for key in parked.places() {
            if let Some(list) = self.touching.get_mut(&key) {
                list.remove(&seq);
                if list.is_empty() {
                    self.touching.remove(&key);
                }
            }
        }
        Some(parked)
    }

    /// Commands in the queue.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// A command of the slot was executed although earlier ones that touch its keys may wait here.
    ///
    /// A command that overwrites all keys of an earlier one makes that one pointless. Anything else was executed on a
    /// state that it must not have seen, or leaves one in which the earlier one would do harm.
    pub(crate) fn overtaken_by(&mut self, executed: &Parked) -> Overtaken {
        let places = executed.places();
        let mut earlier = BTreeSet::new();
        for place in &places {
            if let Some(list) = self.touching.get(place) {
                earlier.extend(list.range(..executed.meta.seq));
            }
        }
        let mut overtaken = Overtaken::default();
        for parked in earlier.into_iter().filter_map(|seq| self.remove(seq)) {
            let covered = parked.places().iter().all(|place| places.contains(place));
            match executed.meta.effect {
                Effect::Overwrite if covered => overtaken.pointless.push(parked),
                _ => overtaken.broken.push(parked),
            }
        }
        overtaken
    }
}

/// The unanswered commands of a broken connection, sorted out: what may be sent again, and what may not. Both keep
/// their order; what the lane sent for its own sake is in neither.
///
/// A command that was sent and not answered may or may not have been executed. Where its keys can be read from the
/// source again, nothing is sent twice (rule 9). Otherwise sending it again is right when it gives the same result
/// twice; a command that would give another result is not sent again.
pub(crate) fn sort_unanswered(
    unanswered: Vec<Parked>,
    repair: bool,
    rules: Rules,
) -> (Vec<Parked>, Vec<Parked>) {
    let ours = unanswered.into_iter().filter(|parked| parked.meta.origin != Origin::Lane);
    ours.partition(|parked| match parked.meta.origin {
        Origin::Record(_) | Origin::Repair(_) if repair => !rules.on(9),
        _ => matches!(parked.meta.effect, Effect::Overwrite | Effect::Repeatable),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::Meta;

    fn parked(seq: u64, command: &str, effect: Effect) -> Parked {
        let args: Vec<&str> = command.split(' ').collect();
        let key = Bytes::copy_from_slice(args[1].as_bytes());
        Parked::new(Meta::new(seq, 7, 0, effect, Origin::Record(seq), key), &args)
    }

    fn held(commands: impl IntoIterator<Item = Parked>) -> Held {
        let mut held = Held::new(Way::Later(Transient::OutOfMemory), 0, Instant::now());
        commands.into_iter().for_each(|c| held.insert(c));
        held
    }

    fn seqs(list: &[Parked]) -> Vec<u64> {
        list.iter().map(|parked| parked.meta.seq).collect()
    }

    #[test]
    fn returned_commands_stand_in_front_of_later_ones() {
        let mut slot =
            held([parked(9, "SET a 1", Effect::Overwrite), parked(3, "SET a 2", Effect::Overwrite)]);
        assert_eq!(slot.pop_first().unwrap().meta.seq, 3);
        assert_eq!(slot.pop_first().unwrap().meta.seq, 9);
        assert!(slot.is_empty() && slot.bytes() == 0 && slot.touching.is_empty());
    }

    #[test]
    fn an_overwrite_that_overtook_makes_earlier_commands_of_its_key_pointless() {
        let mut slot = held([
            parked(1, "SET a 1", Effect::Overwrite),
            parked(2, "SET b 1", Effect::Overwrite),
            parked(8, "SET a 2", Effect::Overwrite),
        ]);
        let overtaken = slot.overtaken_by(&parked(5, "DEL a", Effect::Overwrite));
        assert_eq!((seqs(&overtaken.pointless), overtaken.broken.len()), (vec![1], 0));
        assert_eq!(slot.pop_first().unwrap().meta.seq, 2);
        assert_eq!(slot.pop_first().unwrap().meta.seq, 8);
    }

    #[test]
    fn every_key_of_a_command_counts() {
        let mut slot = held([parked(1, "MSET a 1 b 2", Effect::Overwrite)]);
        let overtaken = slot.overtaken_by(&parked(5, "DEL a", Effect::Overwrite));
        assert_eq!(seqs(&overtaken.broken), [1], "b must not be lost with a");

        let mut slot = held([parked(1, "SET b 1", Effect::Overwrite)]);
        let overtaken = slot.overtaken_by(&parked(5, "DEL a b", Effect::Overwrite));
        assert_eq!(seqs(&overtaken.pointless), [1], "b must not come back");

        let mut slot = held([parked(1, "SET b 1", Effect::Overwrite)]);
        let overtaken = slot.overtaken_by(&parked(5, "RENAME a b", Effect::Moving));
        assert_eq!(seqs(&overtaken.broken), [1], "what was renamed must not be overwritten");
    }

    #[test]
    fn anything_else_that_overtook_is_reported() {
        let mut slot = held([parked(1, "RPUSH a x", Effect::NotRepeatable)]);
        let other = slot.overtaken_by(&parked(6, "LPOP other", Effect::NotRepeatable));
        assert!(other.broken.is_empty() && other.pointless.is_empty());
        let overtaken = slot.overtaken_by(&parked(5, "LPOP a", Effect::NotRepeatable));
        assert_eq!(seqs(&overtaken.broken), [1]);
        assert!(slot.is_empty());
    }

    fn of_every_effect() -> Vec<Parked> {
        vec![
            parked(1, "SET a 1", Effect::Overwrite),
            parked(2, "INCR n", Effect::NotRepeatable),
            parked(3, "HSET h f 1", Effect::Repeatable),
            parked(4, "RENAME a b", Effect::Moving),
        ]
    }

    #[test]
    fn unanswered_commands_that_must_not_be_doubled_are_not_sent_again() {
        let (again, never) = sort_unanswered(of_every_effect(), false, Rules::all());
        assert_eq!((seqs(&again), seqs(&never)), (vec![1, 3], vec![2, 4]));
    }

    #[test]
    fn rule_9_sends_no_unanswered_record_again() {
        let (again, never) = sort_unanswered(of_every_effect(), true, Rules::all());
        assert_eq!((seqs(&again), seqs(&never)), (vec![], vec![1, 2, 3, 4]));

        let mut snapshot = of_every_effect();
        snapshot.iter_mut().for_each(|parked| parked.meta.origin = Origin::Snapshot);
        snapshot[0].meta.origin = Origin::Repair(7);
        snapshot[2].meta.origin = Origin::Lane;
        let (again, never) = sort_unanswered(snapshot, true, Rules::all());
        assert_eq!((seqs(&again), seqs(&never)), (vec![], vec![1, 2, 4]));
    }

    #[test]
    fn a_move_touches_two_databases() {
        let mut other = parked(1, "SET k 1", Effect::Overwrite);
        other.meta.db = 3;
        let overtaken = held([other]).overtaken_by(&parked(5, "MOVE k 3", Effect::Moving));
        assert_eq!(seqs(&overtaken.broken), [1]);
    }
}
