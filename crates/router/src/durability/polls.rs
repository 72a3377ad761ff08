//! The polls of one node: when each was sent, and the replication offset it found.
//!
//! A write that was acknowledged while `n` polls had been sent carries the tag `n`. Poll `n + 1` was sent after its
//! reply, so the offset it finds covers the write: "poll `p` is settled" speaks of all tags below `p`.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Polls kept one by one; of those before, one a second.
const DENSE: usize = 128;
/// Polls kept at all.
const KEPT: usize = 1024;

#[derive(Debug, Clone, Copy)]
struct Poll {
    number: u64,
    sent: Instant,
    /// `None` where the node does not tell.
    offset: Option<u64>,
}

/// What is remembered of a node's polls in one incarnation.
#[derive(Debug, Default)]
pub(crate) struct Polls {
    list: VecDeque<Poll>,
}

impl Polls {
    pub(crate) fn add(&mut self, number: u64, sent: Instant, offset: Option<u64>) {
        // Answers on different connections arrive in any order.
        let later = self.list.iter().rev().take_while(|poll| poll.number > number).count();
        self.list.insert(self.list.len() - later, Poll { number, sent, offset });
        // Of two neighbours less than a second apart only the later one stays: it speaks of more writes.
        if self.list.len() > DENSE {
            let index = self.list.len() - 1 - DENSE;
            let b = self.list[index + 1];
            let dense =
                index > 0 && b.sent.duration_since(self.list[index - 1].sent) < Duration::from_secs(1);
            if dense {
                self.list.remove(index);
            }
        }
        if self.list.len() > KEPT {
            self.list.pop_front();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }

    /// The newest poll whose writes lie at or below `offset`; 0 if there is none.
    pub(crate) fn below(&self, offset: u64) -> u64 {
        let covered = |poll: &&Poll| poll.offset.is_some_and(|o| o <= offset);
        self.list.iter().rev().find(covered).map_or(0, |poll| poll.number)
    }

    /// The newest poll that was sent `age` ago or earlier; 0 if there is none.
    pub(crate) fn older_than(&self, age: Duration, now: Instant) -> u64 {
        let old = |poll: &&Poll| now.duration_since(poll.sent) >= age;
        self.list.iter().rev().find(old).map_or(0, |poll| poll.number)
    }

    /// The offset that the newest poll up to `number` found.
    pub(crate) fn offset_of(&self, number: u64) -> Option<u64> {
        self.list.iter().rev().find(|poll| poll.number <= number).and_then(|poll| poll.offset)
    }

    pub(crate) fn last(&self) -> u64 {
        self.list.back().map_or(0, |poll| poll.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn polls_are_found_by_offset_and_by_age() {
        let (mut polls, start) = (Polls::default(), Instant::now());
        for n in 1..=10 {
            polls.add(n, start + Duration::from_secs(n), Some(n * 100));
        }
        assert_eq!((polls.below(99), polls.below(350), polls.below(5000)), (0, 3, 10));
        let now = start + Duration::from_secs(12);
        assert_eq!(polls.older_than(Duration::from_secs(5), now), 7);
        assert_eq!(polls.older_than(Duration::from_secs(60), now), 0);
        assert_eq!((polls.offset_of(4), polls.offset_of(0), polls.last()), (Some(400), None, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn old_polls_thin_out_to_one_a_second() {
        let (mut polls, start) = (Polls::default(), Instant::now());
        for n in 1..=20_000 {
            polls.add(n, start + Duration::from_millis(50 * n), Some(n));
        }
        assert!(polls.list.len() <= KEPT);
        let now = start + Duration::from_millis(50 * 20_000);
        // A quarter of an hour back, and no coarser than a second.
        for back in [10, 100, 800] {
            let found = polls.older_than(Duration::from_secs(back), now);
            let wanted = 20_000 - 20 * back;
            assert!(found <= wanted && wanted - found <= 40, "{back} s back: {found} instead of {wanted}");
        }
        assert!(polls.list.iter().is_sorted_by_key(|poll| poll.number));
    }
}
