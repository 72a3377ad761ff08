//! What the checkpoint remembers about the nodes, and what it tells after a start.

/// One node as the checkpoint keeps it, taken in the same write as the applied LSNs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// `host:port`.
    pub address: String,
    /// The server process.
    pub run_id: String,
    /// The history that `offset` counts in.
    pub replid: String,
    /// Every write that counts as applied lies at or below it.
    pub offset: u64,
    /// When it was taken (Unix milliseconds).
    pub taken_ms: u64,
    /// `aof-always`, `aof-everysec`, `aof-kernel`, `rdb` or `none`.
    pub persistence: String,
    /// The start of the last snapshot that is certainly on the disk: nothing counted as applied came later. False where
    /// writes came since, or where it is not known.
    pub saved: bool,
}

/// What became of the target while nobody watched it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// Nothing that counted as applied is gone.
    Same,
    /// A node was restarted.
    Restarted {
        /// `host:port`.
        node: String,
        /// Why writes may be gone; `None` where none can be.
        may_have_lost: Option<String>,
    },
    /// Another node has taken over, or the node's history is another one.
    TookOver {
        /// `host:port` of the node that now serves.
        node: String,
        /// Why writes may be gone; `None` where none can be.
        may_have_lost: Option<String>,
    },
    /// It cannot be told.
    Unknown {
        /// Why not.
        reason: String,
    },
}
