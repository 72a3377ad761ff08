//! What can go wrong with the target as a whole.

use resp::Class;

/// A target that cannot be used. The text is one line: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A connection failed.
    #[error("target: {0}")]
    Connection(#[from] resp::Error),
    /// None of the seeds answered.
    #[error("{0}; none of the other addresses can be used either")]
    NoSeed(Box<Error>),
    /// `target.type: redis-cluster`, but the server is none.
    #[error("target {addr} is not a Redis Cluster (cluster_enabled:0); set target.type: redis-standalone")]
    NotACluster {
        /// The address that was asked.
        addr: String,
    },
    /// `target.type: redis-standalone`, but the server belongs to a cluster.
    #[error("target {addr} belongs to a Redis Cluster; set target.type: redis-cluster")]
    IsACluster {
        /// The address that was asked.
        addr: String,
    },
    /// The cluster does not serve every slot.
    #[error("target {addr}: {missing} of 16384 slots are not served; repair the cluster first")]
    SlotsMissing {
        /// The address that was asked.
        addr: String,
        /// Slots without a master.
        missing: usize,
    },
    /// A database number that the target does not have.
    #[error(
        "target {addr} has no database {db}: {message}; raise its `databases` setting or map the database"
    )]
    NoSuchDatabase {
        /// The address that was asked.
        addr: String,
        /// The number.
        db: u32,
        /// The server's own words.
        message: String,
    },
    /// Connections of an earlier process, or of a lane that broke, that are still open.
    #[error(
        "target {addr}: {count} earlier connection(s) of this replication are still open; let the user CLIENT KILL, or end them"
    )]
    StillConnected {
        /// The address that was asked.
        addr: String,
        /// How many.
        count: usize,
    },
    /// A node that should take writes follows another one.
    #[error("target {addr} is a replica at the moment")]
    IsReplica {
        /// The address that was asked.
        addr: String,
    },
    /// A command that must not fail was refused.
    #[error("target {addr} refused {command}: {message}")]
    Refused {
        /// The address that was asked.
        addr: String,
        /// Name of the command.
        command: String,
        /// The server's own words.
        message: String,
    },
    /// A reply of another shape than the command has.
    #[error("target {addr} answered {command} in an unexpected form")]
    Unexpected {
        /// The address that was asked.
        addr: String,
        /// Name of the command.
        command: String,
    },
}

impl Error {
    /// Who has to act.
    pub fn class(&self) -> Class {
        match self {
            Error::Connection(error) => error.class(),
            Error::NoSeed(error) => error.class(),
            Error::NotACluster { .. } | Error::IsACluster { .. } | Error::NoSuchDatabase { .. } => {
                Class::Mismatch
            }
            Error::SlotsMissing { .. } | Error::StillConnected { .. } | Error::IsReplica { .. } => {
                Class::Retry
            }
            Error::Refused { .. } => Class::AskOperator,
            Error::Unexpected { .. } => Class::Bug,
        }
    }
}
