//! Keys of which members expire at the source and not on the target: when each has to be looked at next.
//!
//! Two records for each key, written together: `m`, database, name -> when it is due; and `t`, that time, database, name,
//! so that the next ones are found without looking at all. Count and digest of both stand in the head record.

use std::collections::BTreeMap;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::listed;

/// What the records of the keys begin with.
pub(crate) const KEYS: &[u8] = b"m";
/// What the records of the times begin with.
pub(crate) const TIMES: &[u8] = b"t";
const VERSION: u8 = 1;

/// One change of the schedule. Times are milliseconds since the Unix epoch, by one clock, which is the caller's choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Database at the source.
    pub db: u32,
    /// Name at the source.
    pub key: Vec<u8>,
    /// What changes.
    pub plan: Plan,
}

/// What changes about one key of the schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// It is due at this time, or earlier if it was before; the pause that [`Plan::At`] gave it stays.
    By(u64),
    /// It is due at `due_ms`, and not before `not_before_ms` whatever comes meanwhile.
    At {
        /// When one of its members expires.
        due_ms: u64,
        /// Until then it is left alone.
        not_before_ms: u64,
    },
    /// It is due when this other key is, if it is not due earlier.
    With {
        /// Database of the other key.
        db: u32,
        /// Its name.
        key: Vec<u8>,
    },
    /// It was taken up by somebody who looked at what is due at this time; what was planned for later meanwhile stays.
    Taken(u64),
    /// None of its members expires.
    Never,
}

/// A key that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// Database at the source.
    pub db: u32,
    /// Name at the source.
    pub key: Vec<u8>,
    /// Since when, in milliseconds.
    pub at_ms: u64,
}

/// When a key is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) due_ms: u64,
    pub(crate) not_before_ms: u64,
}

impl Times {
    pub(crate) fn at_ms(self) -> u64 {
        self.due_ms.max(self.not_before_ms)
    }

    fn by(before: Option<Times>, ms: u64) -> Times {
        match before {
            None => Times { due_ms: ms, not_before_ms: 0 },
            Some(times) => Times { due_ms: times.due_ms.min(ms), ..times },
        }
    }
}

/// What a plan makes of a key's times; `other` tells those of another key.
pub(crate) fn planned<E>(
    before: Option<Times>,
    plan: &Plan,
    other: impl FnOnce(u32, &[u8]) -> Result<Option<Times>, E>,
) -> Result<Option<Times>, E> {
    Ok(match plan {
        Plan::By(ms) => Some(Times::by(before, *ms)),
        Plan::At { due_ms, not_before_ms } => Some(Times { due_ms: *due_ms, not_before_ms: *not_before_ms }),
        Plan::With { db, key } => match other(*db, key)? {
            Some(times) => Some(Times::by(before, times.at_ms())),
            None => before,
        },
        Plan::Taken(ms) => before.filter(|times| times.at_ms() > *ms),
        Plan::Never => None,
    })
}

/// The key of a key's record.
pub(crate) fn key(db: u32, name: &[u8]) -> Vec<u8> {
    [KEYS, &db.to_be_bytes(), name].concat()
}

/// The value of a key's record; its checksum also covers its key.
pub(crate) fn encode(key: &[u8], times: Times) -> Vec<u8> {
    let mut out = Encoder::new(VERSION);
    out.u64(times.due_ms);
    out.u64(times.not_before_ms);
    out.finish(key)
}

/// Times from a key's record.
pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Times, DecodeError> {
    let (_, mut body) = Decoder::open(value, key, VERSION)?;
    let times = Times { due_ms: body.u64()?, not_before_ms: body.u64()? };
    body.end()?;
    Ok(times)
}

/// The key of a time's record, which has no value. `key`: that of the key's record.
pub(crate) fn time(at_ms: u64, key: &[u8]) -> Vec<u8> {
    [TIMES, &at_ms.to_be_bytes(), &key[KEYS.len()..]].concat()
}

/// A key that is due, from the key of a time's record.
pub(crate) fn decode_time(record: &[u8]) -> Result<Scheduled, DecodeError> {
    let short = DecodeError::Damaged("a time of the schedule is too short");
    let rest = record.strip_prefix(TIMES).and_then(|rest| rest.split_first_chunk::<8>());
    let (at_ms, rest) = rest.ok_or(short.clone())?;
    let (db, name) = rest.split_first_chunk::<4>().ok_or(short)?;
    Ok(Scheduled { db: u32::from_be_bytes(*db), key: name.to_vec(), at_ms: u64::from_be_bytes(*at_ms) })
}

/// Count and digest of the schedule, as the head record keeps them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    /// Keys.
    pub(crate) keys: u64,
    /// Sum of the digests of both records of each.
    pub(crate) digest: u64,
}

impl Sum {
    pub(crate) fn gains(&mut self, key: &[u8], times: Times) {
        self.keys = self.keys.wrapping_add(1);
        self.digest = self.digest.wrapping_add(both(key, times));
    }

    pub(crate) fn loses(&mut self, key: &[u8], times: Times) {
        self.keys = self.keys.wrapping_sub(1);
        self.digest = self.digest.wrapping_sub(both(key, times));
    }

    /// One record as it was found; those of keys count.
    pub(crate) fn found(&mut self, record: &[u8], value: &[u8]) {
        self.keys = self.keys.wrapping_add(u64::from(record.starts_with(KEYS)));
        self.digest = self.digest.wrapping_add(listed::digest(record, value));
    }
}

fn both(key: &[u8], times: Times) -> u64 {
    listed::digest(key, &encode(key, times)).wrapping_add(listed::digest(&time(times.at_ms(), key), &[]))
}

/// What changes make of the keys they touch: before and after, by the key of the key's record.
pub(crate) type Changes = BTreeMap<Vec<u8>, (Option<Times>, Option<Times>)>;

/// Carries out the changes in order. `read` tells what is stored of a key.
pub(crate) fn changes<E>(
    plans: &[Planned],
    mut read: impl FnMut(&[u8]) -> Result<Option<Times>, E>,
) -> Result<Changes, E> {
    let mut changes = Changes::new();
    for Planned { db, key: name, plan } in plans {
        let record = key(*db, name);
        let stored = match changes.get(&record) {
            Some(change) => *change,
            None => {
                let before = read(&record)?;
                (before, before)
            }
        };
        let after = planned(stored.1, plan, |db, name| {
            let other = key(db, name);
            match changes.get(&other) {
                Some((_, now)) => Ok(*now),
                None => read(&other),
            }
        })?;
        changes.insert(record, (stored.0, after));
    }
    changes.retain(|_, (before, after)| before != after);
    Ok(changes)
}
