//! Which keys of the target may have, or may have had, an expiry (rule 32).
//!
//! A key that expired at the target before its record came may have been made again by that record, without an expiry.
//! A `PEXPIREAT` that finds a key without one therefore means either this or simply a key that never had any. Two
//! memories of fixed size tell most of the harmless cases: a filter of the keys that were ever given an expiry, and the
//! keys that were lately overwritten or removed, after which both sides have no expiry for certain.

use bytes::Bytes;
use command::Deadline;
use twox_hash::XxHash64;

/// Bits of the filter: 1 MiB for each flow. It is set aside when the first expiry is given.
const BITS: usize = 1 << 23;
/// Bits of the filter that one key can be found in: a cache line.
const BLOCK: usize = 512;
/// Places in the memory of keys without an expiry, 512 KiB for each flow.
const PLACES: usize = 1 << 16;

/// What is known about the expiry of this flow's keys. Wrong only in one direction: a key said to have had none has had
/// none.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// Every expiry on the target was given by commands that were noted here.
    known: bool,
    /// Whether keys without an expiry are remembered.
    remembering: bool,
    /// Keys ever given an expiry; empty as long as there was none.
    given: Vec<u64>,
    /// Hashes of keys that were overwritten or removed since they were last given one, each at its only place.
    cleared: Vec<u64>,
}

impl Deadlines {
    /// Says whether expiries exist only that are noted here.
    pub(crate) fn set_known(&mut self, known: bool) {
        self.known = known;
    }

    /// Says whether anybody will ask.
    pub(crate) fn set_remembering(&mut self, remembering: bool) {
        // What happened while nobody wrote it down is missing in it.
        self.cleared.clear();
        self.remembering = remembering;
    }

    /// A command was handed to the target: what it does to the expiry of its keys.
    pub(crate) fn note(&mut self, db: u32, args: &[Bytes], deadline: Deadline) {
        match deadline {
            Deadline::Kept => {}
            Deadline::Given => {
                if let Some(key) = args.get(1) {
                    self.give(hash(db, key));
                }
            }
            // As long as there was no expiry there is nothing to remember the absence of.
            Deadline::Cleared { .. } if !self.remembering || (self.known && self.given.is_empty()) => {}
            Deadline::Cleared { step: 0 } => {
                if let Some(key) = args.get(1) {
                    self.clear(hash(db, key));
                }
            }
            Deadline::Cleared { step } => {
                args.iter().skip(1).step_by(step).for_each(|key| self.clear(hash(db, key)));
            }
            Deadline::Shared => self.share(db, args),
        }
    }

    /// Whether the key may have, or have had, an expiry on the target.
    pub(crate) fn possible(&self, db: u32, key: &[u8]) -> bool {
        if self.known && self.given.is_empty() {
            return false;
        }
        let hash = hash(db, key);
        !self.is_cleared(hash) && (!self.known || self.is_given(hash))
    }

    fn give(&mut self, hash: u64) {
        if self.given.is_empty() {
            self.given = vec![0; BITS / 64];
        }
        for bit in bits(hash) {
            self.given[bit / 64] |= 1 << (bit % 64);
        }
        if self.is_cleared(hash) {
            self.cleared[place(hash)] = 0;
        }
    }

    fn is_given(&self, hash: u64) -> bool {
        !self.given.is_empty() && bits(hash).all(|bit| self.given[bit / 64] & 1 << (bit % 64) != 0)
    }

    fn clear(&mut self, hash: u64) {
        if self.cleared.is_empty() {
            self.cleared = vec![0; PLACES];
        }
        self.cleared[place(hash)] = hash;
    }

    fn is_cleared(&self, hash: u64) -> bool {
        !self.cleared.is_empty() && self.cleared[place(hash)] == hash
    }

    /// `RENAME`, `COPY` and `MOVE`: the expiry goes with the value.
    fn share(&mut self, db: u32, args: &[Bytes]) {
        let [name, from, to, ..] = args else { return };
        // Only `MOVE` reaches another database, under the same name.
        let other = match &name[..] {
            b"MOVE" => match std::str::from_utf8(to).ok().and_then(|db| db.parse().ok()) {
                Some(other) => hash(other, from),
                None => return,
            },
            _ => hash(db, to),
        };
        if self.possible(db, from) {
            self.give(other);
        }
    }
}

/// The database is the seed, so that equal names of several databases have nothing to do with each other. 0 stands for
/// an empty place.
fn hash(db: u32, key: &[u8]) -> u64 {
    XxHash64::oneshot(u64::from(db), key).max(1)
}

fn place(hash: u64) -> usize {
    hash as usize % PLACES
}

fn bits(hash: u64) -> impl Iterator<Item = usize> {
    let block = (hash >> 32) as usize % (BITS / BLOCK) * BLOCK;
    (0..3).map(move |n| block + (hash >> (9 * n)) as usize % BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(deadlines: &mut Deadlines, db: u32, line: &str) {
        let args: Vec<Bytes> = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        deadlines.note(db, &args, command::deadline(&args));
    }

    fn fresh(known: bool) -> Deadlines {
        let mut deadlines = Deadlines::default();
        deadlines.set_known(known);
        deadlines.set_remembering(true);
        deadlines
    }

    #[test]
    fn a_key_that_never_had_an_expiry() {
        let mut deadlines = fresh(true);
        noted(&mut deadlines, 0, "SET a 1");
        assert!(!deadlines.possible(0, b"a"));
        noted(&mut deadlines, 0, "SET b 1 PXAT 5");
        assert!(deadlines.possible(0, b"b") && !deadlines.possible(0, b"a") && !deadlines.possible(1, b"b"));
    }

    #[test]
    fn any_key_may_have_one_after_a_start_on_existing_data() {
        let mut deadlines = fresh(false);
        assert!(deadlines.possible(0, b"a"));
        noted(&mut deadlines, 0, "DEL x a");
        assert!(!deadlines.possible(0, b"a"), "what was removed has none");
        noted(&mut deadlines, 0, "INCR a");
        assert!(!deadlines.possible(0, b"a"));
        noted(&mut deadlines, 0, "PEXPIREAT a 5");
        assert!(deadlines.possible(0, b"a"));
    }

    #[test]
    fn an_expiry_is_forgotten_with_the_value() {
        for end in ["SET a 2", "DEL a", "GETDEL a", "PERSIST a", "MSET x 1 a 2", "RESTORE a 0 p REPLACE"] {
            let mut deadlines = fresh(true);
            noted(&mut deadlines, 0, "SET a 1 PXAT 5");
            noted(&mut deadlines, 0, "APPEND a x");
            assert!(deadlines.possible(0, b"a"));
            noted(&mut deadlines, 0, end);
            assert!(!deadlines.possible(0, b"a"), "{end}");
            noted(&mut deadlines, 0, "PEXPIREAT a 9");
            assert!(deadlines.possible(0, b"a"), "{end}");
        }
    }

    #[test]
    fn an_expiry_goes_with_a_value_that_is_moved() {
        let mut deadlines = fresh(true);
        noted(&mut deadlines, 0, "SET a 1 PXAT 5");
        noted(&mut deadlines, 0, "RENAME a b");
        noted(&mut deadlines, 0, "MOVE b 3");
        assert!(deadlines.possible(0, b"b") && deadlines.possible(3, b"b") && !deadlines.possible(3, b"a"));
        noted(&mut deadlines, 0, "RENAME c d");
        assert!(!deadlines.possible(0, b"d"));
    }

    #[test]
    fn what_was_not_written_down_is_not_known() {
        let mut deadlines = fresh(false);
        noted(&mut deadlines, 0, "SET a 1");
        deadlines.set_remembering(false);
        deadlines.set_remembering(true);
        assert!(deadlines.possible(0, b"a"));
    }

    #[test]
    fn false_alarms_stay_rare_with_many_keys() {
        let mut deadlines = fresh(true);
        (0..200_000).for_each(|n| noted(&mut deadlines, 0, &format!("SET key:{n} 1 PXAT 5")));
        assert!((0..200_000).all(|n| deadlines.possible(0, format!("key:{n}").as_bytes())));
        let wrong = (0..100_000).filter(|n| deadlines.possible(0, format!("other:{n}").as_bytes())).count();
        assert!(wrong < 1000, "{wrong} of 100000");
    }
}
