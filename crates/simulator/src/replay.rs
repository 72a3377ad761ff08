//! A master that sends what a real one sent: the recorded bytes, flow by flow, with pacing and cuts.
//!
//! A flow's bytes are sent in two parts. At DFLY SYNC goes out everything before JOURNAL_OFFSET, and with it
//! FULLSYNC_END; at DFLY STARTSTABLE the rest. What came behind FULLSYNC_END and before STARTSTABLE in the recording
//! (journal blobs) is thereby sent before, as then. Where a compressed blob holds JOURNAL_OFFSET the whole blob goes
//! out in the first part: a replica is told the LSN a little earlier than by a real master, which changes nothing,
//! because the stable stream begins behind the EOF token. A recording without a token (a partial sync of v1.35 or
//! later) is sent at STARTSTABLE as a whole.
//!
//! A recorded journal can be resumed as on a master of v1.35 or later: a flow asked for with the LSN of one of its
//! records, or of the next one, is answered PARTIAL and goes on with that record. Positions for cuts, stalls and
//! [`ReplayHandle::sent`] are places in the recording, wherever an attachment began. On recordings of older masters,
//! which would wrap the missed records into a new snapshot stream, only the recorded attachment can be had.
//!
//! `DFLY REPLICAOFFSET` answers with the LSNs of the end of the recording, however far it was sent, and commands that
//! read with what the master held there (`contents`).

mod attachment;
mod capture;
mod connection;
mod contents;
mod handle;
mod master;
mod records;
mod script;

use std::time::Duration;

pub use capture::Capture;
pub use handle::ReplayHandle;
pub(crate) use master::Plan;
pub(crate) use script::{FlowScript, Held, Script, Style};

use crate::Error;

/// How fast a flow's bytes go out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pacing {
    /// Bytes per write; 0 writes everything at once.
    pub piece: usize,
    /// Pause after each write.
    pub pause: Duration,
}

/// A replaying master; see [`ReplayBuilder`].
#[derive(Debug)]
pub struct Replay;

impl Replay {
    /// Replays `capture` without pauses or cuts on a free port of the loopback interface.
    pub fn builder(capture: Capture) -> ReplayBuilder {
        ReplayBuilder { capture, bind: "127.0.0.1:0".to_owned(), plan: Plan::default() }
    }
}

/// Settings of a replaying master.
#[derive(Debug, Clone)]
pub struct ReplayBuilder {
    capture: Capture,
    bind: String,
    plan: Plan,
}

impl ReplayBuilder {
    /// Address to listen on, `host:port`; port 0 takes a free one.
    pub fn bind(mut self, addr: impl Into<String>) -> Self {
        self.bind = addr.into();
        self
    }

    /// How fast bytes go out, on every flow.
    pub fn pacing(mut self, pacing: Pacing) -> Self {
        self.plan.pacing = pacing;
        self
    }

    /// Closes the attachment after exactly `bytes` bytes of flow `flow`, the first `times` times that it comes so
    /// far (it may also begin there). Several cuts may be planned.
    pub fn cut(mut self, flow: usize, bytes: u64, times: usize) -> Self {
        self.plan.cuts.push(master::Cut { flow, bytes, times });
        self
    }

    /// Stops sending on `flow` after `bytes` bytes, without closing it, until [`ReplayHandle::resume`].
    pub fn stall(mut self, flow: usize, bytes: u64) -> Self {
        self.plan.stalls.push((flow, bytes));
        self
    }

    /// Starts listening.
    ///
    /// # Errors
    /// [`Error::Bind`] when the address is taken, [`Error::Setting`] when a cut or stall names a flow that is not
    /// there.
    pub async fn start(self) -> Result<ReplayHandle, Error> {
        let script = self.capture.into_script();
        let flows = script.flows.len();
        let mut named = self.plan.cuts.iter().map(|c| c.flow).chain(self.plan.stalls.iter().map(|s| s.0));
        if named.any(|flow| flow >= flows) {
            return Err(Error::Setting("a cut or stall names a flow that is not recorded"));
        }
        ReplayHandle::start(script, self.plan, &self.bind).await
    }
}
