//! Commands that the table does not have: their keys, by what the source says of the command.

use bytes::Bytes;

use crate::{SourceKey, touches::row};

/// Most keys of one record: a record cut to its keys may have any number of them.
const MOST: usize = 1_024;

/// Where a command's keys stand, as `COMMAND INFO` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPositions {
    /// Index of the first key; 0: the command has none.
    pub first: i64,
    /// Index of the last; below 0 it counts from the end, -1 being the last argument.
    pub last: i64,
    /// Distance of two keys.
    pub step: i64,
}

/// Whether the table has no such command. Its keys are not to be guessed.
#[must_use]
pub fn is_unknown(args: &[Bytes]) -> bool {
    !args.is_empty() && row(args).is_none()
}

impl KeyPositions {
    /// The keys of a record. Rather too many than too few: a key that is read again without need does no harm.
    ///
    /// Of a command with a number of keys, Dragonfly tells the first of those that are counted (`ZUNIONSTORE`: 3 3 1): the
    /// number stands in front of it, and a destination in front of that. A record whose arguments do not reach the first key
    /// was cut to the keys of one shard (v1.40.1 `transaction.cc` `LogAutoJournalOnShard`): all its arguments are keys.
    #[must_use]
    pub fn keys(&self, db: u32, args: &[Bytes]) -> Vec<SourceKey> {
        let all = i64::try_from(args.len()).unwrap_or(i64::MAX);
        if self.first <= 0 {
            return Vec::new();
        }
        let number = |at: i64| -> Option<i64> {
            std::str::from_utf8(args.get(usize::try_from(at).ok()?)?).ok()?.parse().ok()
        };
        let counted = match self.first == self.last && self.first >= 2 {
            true => number(self.first - 1).filter(|n| *n > 0),
            false => None,
        };
        let positions: Vec<i64> = match counted {
            _ if self.first >= all => (1..all).collect(),
            Some(n) => (1..self.first - 1).chain(self.first..all.min(self.first.saturating_add(n))).collect(),
            None => {
                let last = if self.last < 0 { all.saturating_add(self.last) } else { self.last.min(all - 1) };
                let step = usize::try_from(self.step).unwrap_or(1).max(1);
                (self.first..=last).step_by(step).collect()
            }
        };
        let key = |at: i64| {
            let key = args.get(usize::try_from(at).ok()?)?.clone();
            Some(SourceKey { db, key })
        };
        positions.into_iter().take(MOST).filter_map(key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(positions: (i64, i64, i64), line: &str) -> String {
        let args: Vec<Bytes> = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        let (first, last, step) = positions;
        let keys = KeyPositions { first, last, step }.keys(0, &args);
        keys.iter().map(|key| String::from_utf8_lossy(&key.key).into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn keys_by_positions() {
        let cases = [
            ((1, 1, 1), "NEW a v", "a"),
            ((1, 2, 1), "NEW a b LEFT", "a b"),
            ((1, -1, 1), "NEW a b c", "a b c"),
            ((1, -1, 2), "NEW a 1 b 2", "a b"),
            ((1, -2, 1), "NEW a b 0.1", "a b"),
            ((2, 2, 1), "NEW SUB a v", "a"),
            ((3, 3, 1), "NEW d 2 a b WEIGHTS 1 1", "d a b"),
            ((2, 2, 1), "NEW 2 a b MAX", "a b"),
            ((3, 3, 1), "NEW d a", "d a"),
            ((3, 3, 1), "NEW d 9223372036854775807 a", "d a"),
            ((0, 0, 1), "NEW a", ""),
            ((1, 1, 0), "NEW", ""),
            ((5, -9, -3), "NEW a b", "a b"),
        ];
        for (positions, line, expected) in cases {
            assert_eq!(keys(positions, line), expected, "{line}");
        }
    }

    #[test]
    fn what_the_table_has_is_known() {
        assert!(!is_unknown(&[Bytes::from_static(b"SET")]));
        assert!(is_unknown(&[Bytes::from_static(b"NEW")]));
        assert!(!is_unknown(&[]));
    }
}
