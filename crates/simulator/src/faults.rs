//! Scripted misbehaviour.

use bytes::Bytes;

/// What a live master is told to do wrong. Cheap to clone; all clones script the same master.
#[derive(Debug, Clone, Default)]
pub struct Faults {}

impl Faults {
    /// Cuts flow `flow` of the current or next attachment after exactly `bytes` bytes were sent on it (counted after the
    /// reply to `DFLY FLOW`). Happens once.
    pub fn cut_flow(&self, _flow: usize, _bytes: u64) {}

    /// Stops sending on flow `flow` until [`Faults::resume_flow`]; the socket stays open.
    pub fn stall_flow(&self, _flow: usize) {}

    /// Ends a stall.
    pub fn resume_flow(&self, _flow: usize) {}

    /// Answers FULL to the next `times` `DFLY FLOW` requests for `flow` that could have been PARTIAL.
    pub fn refuse_partial(&self, _flow: usize, _times: usize) {}

    /// The next command whose upper-cased words begin with `command` (for example `"DFLY SYNC"`) is answered
    /// with these raw bytes instead of being executed. Happens once.
    pub fn reply_once(&self, _command: &str, _raw: impl Into<Bytes>) {}

    /// Keeps only the newest `records` records of every shard's backlog, now and from now on.
    pub fn shrink_backlog(&self, _records: usize) {}
}
