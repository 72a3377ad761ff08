//! One key under repair in routing.

use bytes::Bytes;
use journal::Record;

use crate::{Cause, Value};

/// Where it stands. Drawn with the events that lead on:
///
/// ```text
/// begin -> Waiting --wants_fence--> Reading --answer, window untouched--> Ready --due--> (leaves routing)
///             ^                        |                                    |
///             +---- void, touched -----+------- record in [R0, R1) ---------+
/// ```
#[derive(Debug)]
pub(crate) enum Stage {
    /// No fence is under way. May be asked for from this time on (ms).
    Waiting { not_before: u64 },
    /// A fence is under way; `None` for the coordinator's (rule 19).
    Reading { batch: Option<u64> },
    /// Read. The value is `None` where the coordinator holds it (rule 19).
    Ready { r0: u64, r1: u64, value: Option<Value> },
}

/// A key under repair in routing.
#[derive(Debug)]
pub(crate) struct Repair {
    pub(crate) stage: Stage,
    pub(crate) cause: Cause,
    /// The flow's next LSN at the begin.
    pub(crate) since_lsn: u64,
    /// Vain reads.
    pub(crate) tries: u32,
    /// Values that the target refused, one after the other.
    pub(crate) refusals: u32,
    pub(crate) refusal: Option<String>,
    /// To be read by itself.
    pub(crate) big: bool,
    /// Its flow is not known (rule 19).
    pub(crate) unknown_flow: bool,
    /// A record of it was dropped: it is this flow's key.
    pub(crate) met: bool,
    /// What had been received when the coordinator began to read it: its `R0` cannot be below (rule 13).
    pub(crate) received: u64,
    /// Records that wait, in order.
    pub(crate) held: Vec<(u64, Record)>,
    /// The highest LSN of a record that cannot be held and makes this fence void from `R0` on (rule 15).
    pub(crate) moved_at: Option<u64>,
}

impl Repair {
    pub(crate) fn new(cause: Cause, since_lsn: u64) -> Repair {
        Repair {
            stage: Stage::Waiting { not_before: 0 },
            cause,
            since_lsn,
            tries: 0,
            refusals: 0,
            refusal: None,
            big: false,
            unknown_flow: false,
            met: false,
            received: 0,
            held: Vec::new(),
            moved_at: None,
        }
    }

    /// Whether a fence with these bounds says nothing about the key: some record lies inside.
    pub(crate) fn touched(&self, r0: u64, r1: u64) -> bool {
        self.held.iter().any(|(lsn, _)| (r0..r1).contains(lsn)) || self.moved_at.is_some_and(|lsn| lsn >= r0)
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.held.iter().map(|(_, record)| record_bytes(record)).sum()
    }
}

/// Bytes that a record takes while it waits, roughly.
pub(crate) fn record_bytes(record: &Record) -> usize {
    64 + record.args.iter().map(|arg| arg.len() + 32).sum::<usize>()
}

/// The record in memory of its own: its arguments are slices of large buffers, which would stay as long as it waits.
pub(crate) fn detached(mut record: Record) -> Record {
    for arg in &mut record.args {
        *arg = Bytes::copy_from_slice(arg);
    }
    record
}
