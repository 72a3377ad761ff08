//! Slots whose commands wait: redirected, refused for the moment, or without a connection.
//!
//! Every command of a flow has a sequence number, and a held slot keeps its commands sorted by it. So a command that
//! comes back from a node stands in front of those that were dispatched after it, whatever order they return in.

use std::collections::BTreeMap;

use command::Effect;
use tokio::time::Instant;

use crate::lane::{Meta, Parked};
use crate::outcome::Transient;
use crate::target::NodeId;

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
    /// Encoded bytes in the queue.
    bytes: usize,
}

impl Held {
    pub(crate) fn new(way: Way, in_flight: usize, retry_at: Instant) -> Self {
        Held { way, in_flight, retry_at, probing: false, queue: BTreeMap::new(), bytes: 0 }
    }

    pub(crate) fn insert(&mut self, parked: Parked) {
        self.bytes += parked.bytes.len();
        self.queue.insert(parked.meta.seq, parked);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn pop_first(&mut self) -> Option<Parked> {
        let (_, parked) = self.queue.pop_first()?;
        self.bytes -= parked.bytes.len();
        Some(parked)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// A command of the slot was executed although earlier ones of the same key may wait here: which of those are
    /// pointless now, and whether the order was broken for good.
    ///
    /// A command that overwrites its key makes the earlier ones pointless. Anything else was executed on a state that it
    /// must not have seen: the key has to be reported.
    pub(crate) fn overtaken_by(&mut self, executed: &Meta) -> (Vec<Parked>, bool) {
        let earlier: Vec<u64> = self
            .queue
            .range(..executed.seq)
            .filter(|(_, parked)| parked.meta.key == executed.key && parked.meta.db == executed.db)
            .map(|(seq, _)| *seq)
            .collect();
        if earlier.is_empty() {
            return (Vec::new(), false);
        }
        if executed.effect != Effect::Overwrite {
            return (Vec::new(), true);
        }
        let gone: Vec<Parked> = earlier.iter().filter_map(|seq| self.queue.remove(seq)).collect();
        self.bytes -= gone.iter().map(|parked| parked.bytes.len()).sum::<usize>();
        (gone, false)
    }
}

/// The unanswered commands of a broken connection, sorted out: what may be sent again, and what may not.
///
/// A command that was sent and not answered may or may not have been executed. Sending it again is right when it
/// gives the same result twice. A command that would give another result is not sent again; its keys are reported.
pub(crate) fn sort_unanswered(unanswered: Vec<Parked>) -> (Vec<Parked>, Vec<Parked>) {
    unanswered
        .into_iter()
        .partition(|parked| matches!(parked.meta.effect, Effect::Overwrite | Effect::Repeatable))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::tracker::Origin;

    fn parked(seq: u64, key: &'static str, effect: Effect) -> Parked {
        let meta = Meta::new(seq, 7, 0, effect, Origin::Record(seq), Bytes::from_static(key.as_bytes()));
        Parked { meta, bytes: Bytes::from_static(b"12345"), asked: false }
    }

    fn held(commands: impl IntoIterator<Item = Parked>) -> Held {
        let mut held = Held::new(Way::Later(Transient::OutOfMemory), 0, Instant::now());
        commands.into_iter().for_each(|c| held.insert(c));
        held
    }

    #[test]
    fn returned_commands_stand_in_front_of_later_ones() {
        let mut slot = held([parked(9, "a", Effect::Overwrite), parked(3, "a", Effect::Overwrite)]);
        assert_eq!(slot.bytes(), 10);
        assert_eq!(slot.pop_first().unwrap().meta.seq, 3);
        assert_eq!(slot.pop_first().unwrap().meta.seq, 9);
        assert!(slot.is_empty() && slot.bytes() == 0);
    }

    #[test]
    fn an_overwrite_that_overtook_makes_earlier_commands_of_its_key_pointless() {
        let mut slot = held([
            parked(1, "a", Effect::Overwrite),
            parked(2, "b", Effect::Overwrite),
            parked(8, "a", Effect::Overwrite),
        ]);
        let (gone, broken) = slot.overtaken_by(&parked(5, "a", Effect::Overwrite).meta);
        assert_eq!(gone.iter().map(|p| p.meta.seq).collect::<Vec<_>>(), [1]);
        assert!(!broken);
        assert_eq!(slot.bytes(), 10);
    }

    #[test]
    fn anything_else_that_overtook_is_reported() {
        let mut slot = held([parked(1, "a", Effect::NotRepeatable)]);
        let (gone, broken) = slot.overtaken_by(&parked(5, "a", Effect::NotRepeatable).meta);
        assert!(gone.is_empty() && broken);
        let (_, broken) = slot.overtaken_by(&parked(6, "other", Effect::NotRepeatable).meta);
        assert!(!broken);
    }

    #[test]
    fn unanswered_commands_that_must_not_be_doubled_are_not_sent_again() {
        let (again, never) = sort_unanswered(vec![
            parked(1, "a", Effect::Overwrite),
            parked(2, "n", Effect::NotRepeatable),
            parked(3, "h", Effect::Repeatable),
        ]);
        assert_eq!(again.iter().map(|p| p.meta.seq).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(never.iter().map(|p| p.meta.seq).collect::<Vec<_>>(), [2]);
    }
}
