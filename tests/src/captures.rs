//! The recorded streams of real Dragonfly masters under `tests/captures/`.

use crate::logical::Contents;

/// What `meta.json` says about a recording.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Meta {
    /// Name of the scenario.
    pub scenario: String,
    /// As the master reported it, e.g. `df-v1.40.1`.
    pub dragonfly_version: String,
    /// Replication id.
    pub replid: String,
    /// Session id, e.g. `SYNC1`.
    pub sync_id: String,
    /// Number of flows.
    pub flows: usize,
    /// `FULL` or `PARTIAL` per flow.
    pub kinds: Vec<String>,
    /// Protocol version from the greeting.
    pub protocol_version: u32,
    /// EOF token per flow.
    pub eof_tokens: Vec<String>,
    /// Bytes of each flow before the live writes began.
    pub bytes_before_live_writes: Vec<u64>,
    /// The next LSN each flow must have reached at the end.
    pub next_lsn_at_end: Vec<u64>,
}

/// The LSNs a resume asked for (`first.json`).
#[derive(Debug, Clone, serde::Deserialize)]
pub struct First {
    /// Replication id of the first attachment.
    pub replid: String,
    /// LSN asked for per flow.
    pub next_lsns: Vec<u64>,
}

/// One recording.
#[derive(Debug, Clone)]
pub struct Capture {
    /// `v1.40.1`.
    pub version: String,
    /// `types`, `commands`, ...
    pub scenario: String,
    /// `meta.json`.
    pub meta: Meta,
    /// All bytes of each flow after the reply to `DFLY FLOW`.
    pub flows: Vec<Vec<u8>>,
    /// Contents when the snapshot started, if recorded.
    pub before: Option<Contents>,
    /// Contents at the end, if anything was written.
    pub after: Option<Contents>,
    /// The commands of the stable sync: database, then the words.
    pub journal: Vec<(u32, Vec<Vec<u8>>)>,
    /// Only for `resume`.
    pub first: Option<First>,
}

impl Capture {
    /// What a faithful replica holds at the end: `after`, else `before`, else nothing.
    pub fn expected(&self) -> Contents {
        self.after.clone().or_else(|| self.before.clone()).unwrap_or_default()
    }
}

/// Version and scenario of every capture there is, sorted.
pub fn all() -> Vec<(String, String)> {
    unimplemented!()
}

/// Loads one capture.
pub fn load(_version: &str, _scenario: &str) -> Capture {
    unimplemented!()
}
