//! What a checkpoint says.

/// Where an attachment stands. All fields are written together, atomically.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// How far the replication is.
    pub phase: Phase,
    /// Replication id of the source; the LSNs mean nothing without it. Empty while none is known.
    pub replication_id: String,
    /// Per flow: everything below this LSN is acknowledged by the target.
    pub applied: Vec<u64>,
    /// Per flow: nothing at or above this LSN was ever sent (repair rule 5). Same length as `applied`.
    pub reserved: Vec<u64>,
    /// After this full sync the keys the source lacks must be removed from the target.
    pub reconcile: bool,
    /// Which target the data went to.
    pub target: TargetIdentity,
    /// When this was decided, in milliseconds since the Unix epoch (the caller's clock).
    pub updated_at_ms: u64,
    /// The target's nodes as they were last seen: a node that comes back older while nobody watched is noticed by it.
    pub nodes: Vec<NodeMark>,
}

/// A node of the target as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeMark {
    /// `host:port`.
    pub address: String,
    /// `run_id` of `INFO server`; another one after every restart.
    pub run_id: String,
    /// `master_replid` of `INFO replication`; another one after a failover, or after a restart that did not keep it.
    pub replication_id: String,
    /// `master_repl_offset` of `INFO replication`, in bytes; 0: unknown.
    pub offset: u64,
    /// What of its data the node finds again after a restart.
    pub kept: Kept,
    /// Its keys in all databases, about.
    pub keys: u64,
    /// When it was looked at, in milliseconds since the Unix epoch (the caller's clock).
    pub taken_ms: u64,
}

/// What of its data a node finds again after a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kept {
    /// Not everything that counted as applied, or nothing is known.
    #[default]
    Part,
    /// Everything that counted as applied when it was looked at.
    All,
    /// Everything: it reaches the disk before the reply.
    Always,
}

/// How far a replication is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The target is named, nothing was written to it yet.
    None,
    /// A snapshot is being applied; its LSNs cannot be resumed from.
    FullSync,
    /// `applied` can be resumed from.
    Stable,
}

/// Which target the data went to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetIdentity {
    /// One server.
    Standalone {
        /// The configured `host:port`.
        address: String,
        /// `run_id` of the server when it was last seen.
        run_id: String,
    },
    /// A cluster.
    Cluster {
        /// Node ids of the masters and replicas last seen.
        node_ids: Vec<String>,
    },
}

impl TargetIdentity {
    /// Whether `seen`, found on connecting, is the target this identity names. A cluster is the same while one stored
    /// master is still present; a standalone server while its configured address is the same (its run id changes with
    /// every restart).
    pub fn same_target(&self, seen: &TargetIdentity) -> bool {
        match (self, seen) {
            (
                TargetIdentity::Standalone { address: a, .. },
                TargetIdentity::Standalone { address: b, .. },
            ) => a == b,
            (TargetIdentity::Cluster { node_ids: a }, TargetIdentity::Cluster { node_ids: b }) => {
                a.iter().any(|id| b.contains(id))
            }
            _ => false,
        }
    }
}

/// A key of which the target may hold another value than the source: its repair is under way, or nothing repairs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotInSync {
    /// Database at the source.
    pub db: u32,
    /// Name at the source.
    pub key: Vec<u8>,
    /// What the target answered, why nothing was sent, or why the key is repaired.
    pub reason: String,
    /// Flow of the record.
    pub flow: u32,
    /// LSN of the record.
    pub lsn: u64,
    /// When, in milliseconds since the Unix epoch (the caller's clock).
    pub at_ms: u64,
}
