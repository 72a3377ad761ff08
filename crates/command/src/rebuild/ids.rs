//! The ids of a stream's entries, kept small: needed at the end to tell which pending entries are deleted.

use std::collections::BTreeSet;

use rdb::StreamId;

/// Most bytes kept: about five million entries with ids that grow evenly.
const BUDGET: usize = 16 << 20;

/// Ascending ids, as the differences of one to the next in groups of seven bits.
#[derive(Debug, Default)]
pub(super) struct Ids {
    bytes: Vec<u8>,
    last: StreamId,
    overflow: bool,
}

impl Ids {
    /// Notes the next id.
    pub(super) fn push(&mut self, id: StreamId) {
        if self.bytes.len() >= BUDGET {
            self.overflow = true;
            self.bytes = Vec::new();
        }
        if self.overflow {
            return;
        }
        let ms = id.ms.wrapping_sub(self.last.ms);
        let seq = if ms == 0 { id.seq.wrapping_sub(self.last.seq) } else { id.seq };
        put(&mut self.bytes, ms);
        put(&mut self.bytes, seq);
        self.last = id;
    }

    /// Whether one of these is no entry of the stream. Without room for all ids: whether one may be none.
    pub(super) fn lack(&self, mut wanted: BTreeSet<StreamId>) -> bool {
        if self.overflow {
            return !wanted.is_empty();
        }
        let mut bytes = self.bytes.iter();
        let mut id = StreamId::default();
        while let (false, Some(ms), Some(seq)) = (wanted.is_empty(), take(&mut bytes), take(&mut bytes)) {
            let base = if ms == 0 { id.seq } else { 0 };
            id = StreamId { ms: id.ms.wrapping_add(ms), seq: base.wrapping_add(seq) };
            wanted.remove(&id);
        }
        !wanted.is_empty()
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut std::slice::Iter<'_, u8>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.next()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    #[test]
    fn tells_entries_from_others() {
        let all = [id(0, 1), id(0, 9), id(5, 0), id(5, 7), id(1_700_000_000_000, 3), id(u64::MAX, u64::MAX)];
        let mut ids = Ids::default();
        all.into_iter().for_each(|id| ids.push(id));
        assert!(!ids.lack(BTreeSet::from(all)));
        assert!(!ids.lack(BTreeSet::new()));
        for other in [id(0, 0), id(0, 2), id(4, 7), id(5, 1), id(6, 0), id(u64::MAX, 0)] {
            assert!(ids.lack(BTreeSet::from([other])), "{other} is none");
            assert!(ids.lack(all.into_iter().chain([other]).collect()));
        }
    }

    #[test]
    fn gives_up_when_there_are_too_many() {
        let mut ids = Ids::default();
        (1..(BUDGET as u64)).for_each(|ms| ids.push(id(ms, 0)));
        assert!(ids.bytes.capacity() <= 2 * BUDGET);
        assert!(ids.lack(BTreeSet::from([id(1, 0)])), "may be none");
        assert!(!ids.lack(BTreeSet::new()));
    }
}
