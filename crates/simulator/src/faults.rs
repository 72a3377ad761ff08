//! Scripted misbehaviour.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// What a live master is told to do wrong. Cheap to clone; all clones script the same master.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    script: Arc<Mutex<Script>>,
    resumed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Script {
    cuts: HashMap<usize, u64>,
    stalled: HashSet<usize>,
    refusals: HashMap<usize, usize>,
    replies: Vec<(String, Bytes)>,
    backlog: Option<usize>,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts flow `flow` of the current or next attachment after exactly `bytes` bytes were sent on it (counted after the
    /// reply to `DFLY FLOW`). A flow that is past that point is cut at its next byte. Happens once.
    pub fn cut_flow(&self, flow: usize, bytes: u64) {
        self.lock().cuts.insert(flow, bytes);
    }

    /// Stops sending on flow `flow` until [`Faults::resume_flow`]; the socket stays open.
    pub fn stall_flow(&self, flow: usize) {
        self.lock().stalled.insert(flow);
    }

    /// Ends a stall.
    pub fn resume_flow(&self, flow: usize) {
        self.lock().stalled.remove(&flow);
        self.resumed.notify_waiters();
    }

    /// Answers FULL to the next `times` `DFLY FLOW` requests for `flow` that could have been PARTIAL.
    pub fn refuse_partial(&self, flow: usize, times: usize) {
        self.lock().refusals.insert(flow, times);
    }

    /// The next command whose upper-cased words begin with `command` (for example `"DFLY SYNC"`) is answered
    /// with these raw bytes instead of being executed. Happens once per call.
    pub fn reply_once(&self, command: &str, raw: impl Into<Bytes>) {
        self.lock().replies.push((command.to_ascii_uppercase(), raw.into()));
    }

    /// Keeps only the newest `records` records of every shard's backlog, from the next `DFLY FLOW` on.
    pub fn shrink_backlog(&self, records: usize) {
        self.lock().backlog = Some(records);
    }

    pub(crate) fn backlog(&self) -> Option<usize> {
        self.lock().backlog
    }

    /// How many of the next `n` bytes may go out when `sent` have; `true` when the flow is cut after them.
    pub(crate) fn allowance(&self, flow: usize, sent: u64, n: usize) -> (usize, bool) {
        let mut script = self.lock();
        match script.cuts.get(&flow) {
            Some(&at) if at <= sent + n as u64 => {
                script.cuts.remove(&flow);
                (at.saturating_sub(sent) as usize, true)
            }
            _ => (n, false),
        }
    }

    /// Waits while `flow` is stalled.
    pub(crate) async fn stalled(&self, flow: usize) {
        loop {
            let resumed = self.resumed.notified();
            tokio::pin!(resumed);
            resumed.as_mut().enable();
            if !self.lock().stalled.contains(&flow) {
                return;
            }
            resumed.await;
        }
    }

    pub(crate) fn take_refusal(&self, flow: usize) -> bool {
        match self.lock().refusals.get_mut(&flow) {
            Some(n) if *n > 0 => {
                *n -= 1;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn take_reply(&self, args: &[Bytes]) -> Option<Bytes> {
        let mut script = self.lock();
        if script.replies.is_empty() {
            return None;
        }
        let words: Vec<String> =
            args.iter().take(4).map(|a| String::from_utf8_lossy(a).to_ascii_uppercase()).collect();
        let line = words.join(" ") + " ";
        let i = script.replies.iter().position(|(c, _)| line.starts_with(&format!("{c} ")))?;
        Some(script.replies.remove(i).1)
    }
}
