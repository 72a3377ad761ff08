//! A master that sends what a real one sent: the recorded bytes, flow by flow, with pacing and cuts.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use crate::Error;

/// A recorded attachment: `meta.json` and the bytes of every flow.
#[derive(Debug, Clone)]
pub struct Capture {}

impl Capture {
    /// From `meta.json` and the contents of `flow-0.bin`, `flow-1.bin`, ... (already decompressed).
    ///
    /// # Errors
    /// [`Error::Capture`] when the description does not fit the flows.
    pub fn from_parts(_meta: &[u8], _flows: Vec<Bytes>) -> Result<Capture, Error> {
        Err(Error::Setting("not built yet"))
    }

    /// From a directory with `meta.json` and uncompressed `flow-N.bin` files.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::Capture`].
    pub fn read_dir(_dir: &Path) -> Result<Capture, Error> {
        Err(Error::Setting("not built yet"))
    }

    /// Contents of `before.jsonl`, used for `INFO keyspace`.
    pub fn with_before(self, _jsonl: &[u8]) -> Result<Capture, Error> {
        Ok(self)
    }
}

/// How fast a flow's bytes go out.
#[derive(Debug, Clone, Copy)]
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
        ReplayBuilder { capture }
    }
}

/// Settings of a replaying master.
#[derive(Debug, Clone)]
pub struct ReplayBuilder {
    #[allow(dead_code)]
    capture: Capture,
}

impl ReplayBuilder {
    /// Address to listen on.
    pub fn bind(self, _addr: impl Into<String>) -> Self {
        self
    }

    /// How fast bytes go out, on every flow.
    pub fn pacing(self, _pacing: Pacing) -> Self {
        self
    }

    /// Closes the attachment after exactly `bytes` bytes of flow `flow`, the first `times` times.
    pub fn cut(self, _flow: usize, _bytes: u64, _times: usize) -> Self {
        self
    }

    /// Stops sending on `flow` after `bytes` bytes, without closing it, until [`ReplayHandle::resume`].
    pub fn stall(self, _flow: usize, _bytes: u64) -> Self {
        self
    }

    /// Starts listening.
    ///
    /// # Errors
    /// [`Error::Bind`] when the address is taken.
    pub async fn start(self) -> Result<ReplayHandle, Error> {
        Err(Error::Setting("not built yet"))
    }
}

/// A running replaying or prepared master. Dropping it stops it.
#[derive(Debug)]
pub struct ReplayHandle {
    addr: SocketAddr,
}

impl ReplayHandle {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The replication id it answers with.
    pub fn replication_id(&self) -> String {
        String::new()
    }

    /// Bytes sent so far on `flow` of the newest attachment.
    pub fn sent(&self, _flow: usize) -> u64 {
        0
    }

    /// The last ACK received on `flow`, 0 if none.
    pub fn acked(&self, _flow: usize) -> u64 {
        0
    }

    /// Ends all stalls.
    pub fn resume(&self) {}

    /// Number of attachments that reached DFLY SYNC.
    pub fn syncs(&self) -> u64 {
        0
    }

    /// Stops listening and closes everything.
    pub async fn stop(self) {}
}
