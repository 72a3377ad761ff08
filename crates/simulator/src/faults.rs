//! Scripted misbehaviour.

use std::collections::{BTreeMap, BTreeSet};
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
    cuts: BTreeMap<usize, u64>,
    spoiled: BTreeSet<usize>,
    stalled: BTreeSet<usize>,
    all_stalled: bool,
    frozen: bool,
    refuses: bool,
    /// Connections with a lower number lead nowhere.
    dead_below: u64,
    refusals: BTreeMap<usize, usize>,
    scripted: Vec<(String, Scripted)>,
    denied: BTreeSet<String>,
    backlog: Option<usize>,
}

/// What happens to one request instead of the usual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scripted {
    /// These bytes are the answer; it is not executed.
    Raw(Bytes),
    /// Not executed, not answered.
    Swallow,
    /// Executed, not answered.
    Lose,
    /// Not executed; the connection is closed.
    HangUp,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.lock());
        self.resumed.notify_waiters();
    }

    /// Cuts flow `flow` of the current or next attachment after exactly `bytes` bytes were sent on it (counted after the
    /// reply to `DFLY FLOW`). A flow that is past that point is cut at its next byte. Happens once.
    pub fn cut_flow(&self, flow: usize, bytes: u64) {
        self.lock().cuts.insert(flow, bytes);
    }

    /// Forgets cuts that have not happened.
    pub fn cancel_cuts(&self) {
        self.lock().cuts.clear();
    }

    /// In place of the next bytes on flow `flow` come as many that are no journal. Happens once per call.
    pub fn spoil_flow(&self, flow: usize) {
        self.lock().spoiled.insert(flow);
    }

    pub(crate) fn take_spoiled(&self, flow: usize) -> bool {
        self.lock().spoiled.remove(&flow)
    }

    /// Stops sending on flow `flow` until [`Faults::resume_flow`]; the socket stays open. A master gives up an attachment
    /// whose flow cannot be written for `replication_timeout` in a snapshot, or in stable sync with more than
    /// `replication_stream_output_limit` pending.
    pub fn stall_flow(&self, flow: usize) {
        self.lock().stalled.insert(flow);
    }

    /// Ends a stall.
    pub fn resume_flow(&self, flow: usize) {
        self.change(|s| {
            s.stalled.remove(&flow);
        });
    }

    /// [`Faults::stall_flow`] for every flow, also of later attachments.
    pub fn stall_all_flows(&self) {
        self.lock().all_stalled = true;
    }

    /// Ends every stall of flows.
    pub fn resume_all_flows(&self) {
        self.change(|s| {
            s.all_stalled = false;
            s.stalled.clear();
        });
    }

    /// The process is stopped (SIGSTOP): connections open and nothing answers, no flow sends, no key expires.
    /// [`Handle::execute`](crate::Handle::execute) still writes, into flows that are not sent.
    pub fn freeze(&self) {
        self.lock().frozen = true;
    }

    /// Ends [`Faults::freeze`]: what came in meanwhile is answered.
    pub fn thaw(&self) {
        self.change(|s| s.frozen = false);
    }

    pub(crate) fn kill_links_below(&self, connection: u64) {
        self.lock().dead_below = connection;
    }

    /// Closes every new connection at once, as if nobody listened; existing ones stay.
    pub fn refuse_connections(&self, refuse: bool) {
        self.lock().refuses = refuse;
    }

    pub(crate) fn refuses(&self) -> bool {
        self.lock().refuses
    }

    /// Answers FULL to the next `times` `DFLY FLOW` requests for `flow` that could have been PARTIAL.
    pub fn refuse_partial(&self, flow: usize, times: usize) {
        self.lock().refusals.insert(flow, times);
    }

    fn script(&self, command: &str, what: Scripted) {
        self.lock().scripted.push((command.to_ascii_uppercase(), what));
    }

    /// The next command whose upper-cased words begin with `command` (for example `"DFLY SYNC"`) is answered
    /// with these raw bytes instead of being executed. Happens once per call.
    pub fn reply_once(&self, command: &str, raw: impl Into<Bytes>) {
        self.script(command, Scripted::Raw(raw.into()));
    }

    /// The next such command (see [`Faults::reply_once`]) is neither executed nor answered.
    pub fn swallow_once(&self, command: &str) {
        self.script(command, Scripted::Swallow);
    }

    /// The next such command (see [`Faults::reply_once`]) is executed, but its reply is lost.
    pub fn lose_reply_once(&self, command: &str) {
        self.script(command, Scripted::Lose);
    }

    /// The next such command (see [`Faults::reply_once`]) is not executed and its connection is closed.
    pub fn hang_up_once(&self, command: &str) {
        self.script(command, Scripted::HangUp);
    }

    /// Takes a command away from every user, from now on and on existing connections too: it answers `-NOPERM`. One word
    /// as ACLs know them (`"GET"`, `"DFLY"`), or more, for example `"DFLY REPLICAOFFSET"`. Without the right to REPLCONF
    /// the next ACK ends its attachment (v1.40.1 `main_service.cc` DispatchCommand).
    pub fn deny(&self, command: &str) {
        self.lock().denied.insert(command.to_ascii_uppercase());
    }

    /// Ends [`Faults::deny`] of the same words.
    pub fn allow(&self, command: &str) {
        self.lock().denied.remove(&command.to_ascii_uppercase());
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

    /// Waits while `flow`, carried by connection `link`, must not send.
    pub(crate) async fn stalled(&self, flow: usize, link: u64) {
        self.until(|s| !s.frozen && link >= s.dead_below && !s.all_stalled && !s.stalled.contains(&flow))
            .await;
    }

    /// Waits while connection `link` gets no answers.
    pub(crate) async fn unanswered(&self, link: u64) {
        self.until(|s| !s.frozen && link >= s.dead_below).await;
    }

    /// Waits while the process is stopped.
    pub(crate) async fn frozen(&self) {
        self.until(|s| !s.frozen).await;
    }

    pub(crate) fn is_dead(&self, link: u64) -> bool {
        link < self.lock().dead_below
    }

    async fn until(&self, free: impl Fn(&Script) -> bool) {
        loop {
            let resumed = self.resumed.notified();
            tokio::pin!(resumed);
            resumed.as_mut().enable();
            if free(&self.lock()) {
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

    pub(crate) fn denies(&self, args: &[Bytes]) -> bool {
        let script = self.lock();
        !script.denied.is_empty() && {
            let line = line(args);
            script.denied.iter().any(|c| line.starts_with(&format!("{c} ")))
        }
    }

    pub(crate) fn take_scripted(&self, args: &[Bytes]) -> Option<Scripted> {
        let mut script = self.lock();
        if script.scripted.is_empty() {
            return None;
        }
        let line = line(args);
        let i = script.scripted.iter().position(|(c, _)| line.starts_with(&format!("{c} ")))?;
        Some(script.scripted.remove(i).1)
    }
}

/// The first words in upper case, each with a space behind it.
fn line(args: &[Bytes]) -> String {
    let words: Vec<String> =
        args.iter().take(4).map(|a| String::from_utf8_lossy(a).to_ascii_uppercase()).collect();
    words.join(" ") + " "
}
