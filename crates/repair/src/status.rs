//! What an operator is told about repairs.

use command::SourceKey;

use crate::Cause;

/// Where a repair stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Waits for its turn to be read, possibly after a pause.
    Waiting,
    /// Is being read.
    Reading,
    /// Was read; the stream has not come to its place, or holds it back.
    Ready,
    /// The value was sent and has not settled.
    Sent,
}

impl Phase {
    /// The phase in an operator's words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Phase::Waiting => "waiting",
            Phase::Reading => "reading",
            Phase::Ready => "ready",
            Phase::Sent => "sent",
        }
    }
}

/// One key under repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatus {
    /// The key.
    pub key: SourceKey,
    /// Where it stands.
    pub phase: Phase,
    /// Why it is under repair: the first cause.
    pub cause: Cause,
    /// The flow's next LSN when it was put under repair.
    pub since_lsn: u64,
    /// How often it was read in vain.
    pub tries: u32,
    /// What the target or the source last said against it.
    pub refusal: Option<String>,
}

/// Totals since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Keys put under repair.
    pub begun: u64,
    /// Keys whose value settled.
    pub repaired: u64,
    /// Keys that a global command or a full sync ended.
    pub ended: u64,
    /// Times that a key had to be read again: a record in the window, or a value that did not settle.
    pub read_again: u64,
    /// Fences that came to nothing.
    pub voided: u64,
    /// Records dropped because a value contains them or will.
    pub dropped: u64,
    /// Bytes of records that wait at the moment.
    pub held_bytes: usize,
    /// Bytes of values that wait at the moment.
    pub value_bytes: usize,
}
