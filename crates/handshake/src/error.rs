//! Refusals of a source, told apart by what has to be done about them.

use resp::{Class, Reply, printable};

use crate::release::Release;

/// Why a source could not be greeted, or refused a request. The text is one line: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection failed, the login was refused, a permission is missing, or the source is loading.
    #[error(transparent)]
    Connection(#[from] resp::Error),
    /// The server speaks RESP but is no Dragonfly.
    #[error("{addr} is {found}, not a Dragonfly; point source.addr at a Dragonfly master")]
    NotDragonfly {
        /// host:port as configured.
        addr: String,
        /// What it says it is.
        found: String,
    },
    /// The Dragonfly replicates another one.
    #[error("{addr} is itself a replica; point source.addr at its master")]
    SourceIsReplica {
        /// host:port as configured.
        addr: String,
    },
    /// The release is too old to be followed.
    #[error(
        "{addr} is Dragonfly {release}, whose journal cannot be taken up where it was left; upgrade it to {} or later",
        Release::OLDEST
    )]
    UnsupportedRelease {
        /// host:port as configured.
        addr: String,
        /// What it says it is.
        release: String,
    },
    /// The server is one of several masters of a cluster, or not yet one.
    #[error(
        "{addr} has only {slots} of a Dragonfly cluster: keys would be missing, and be removed from a target that has them; \
         replicate from a master that has all slots, such as one with --cluster_mode=emulated"
    )]
    PartOfCluster {
        /// host:port as configured.
        addr: String,
        /// The slots it has, in words.
        slots: String,
    },
    /// The command is allowed on the admin port only.
    #[error("{addr} allows {request} on its admin port only; use the admin port as source.addr")]
    AdminOnly {
        /// host:port as configured.
        addr: String,
        /// The refused request.
        request: String,
    },
    /// The source is in a state of its own: shutting down, taken over.
    #[error("{addr} cannot do {request} now: {message}; it is tried again")]
    Busy {
        /// host:port as configured.
        addr: String,
        /// The refused request.
        request: String,
        /// The server's own words.
        message: String,
    },
    /// Another process answers than the one that was greeted.
    #[error("{addr} has another replication id than a moment ago; it was restarted, attach again")]
    BadMasterId {
        /// host:port as configured.
        addr: String,
    },
    /// The attachment is gone: one of its connections closed.
    #[error("{addr} has given up this attachment ({request}); attach again")]
    SyncIdNotFound {
        /// host:port as configured.
        addr: String,
        /// The refused request.
        request: String,
    },
    /// The request does not fit the state the attachment is in.
    #[error("{addr} is not in the state for {request}; attach again")]
    InvalidState {
        /// host:port as configured.
        addr: String,
        /// The refused request.
        request: String,
    },
    /// Any other error line.
    #[error("{addr} refused {request}: {message}; see whether this release of Dragonfly is supported")]
    Refused {
        /// host:port as configured.
        addr: String,
        /// The refused request.
        request: String,
        /// The server's own words.
        message: String,
    },
    /// A reply of a shape that no known release sends.
    #[error(
        "{addr} answered {request} in an unknown way: {reason}; see whether this release of Dragonfly is supported"
    )]
    UnknownReply {
        /// host:port as configured.
        addr: String,
        /// The request.
        request: String,
        /// What is odd about the reply.
        reason: String,
    },
}

impl Error {
    /// Who has to act.
    pub fn class(&self) -> Class {
        match self {
            Error::Connection(e) => e.class(),
            Error::NotDragonfly { .. } | Error::UnsupportedRelease { .. } | Error::PartOfCluster { .. } => {
                Class::Mismatch
            }
            Error::AdminOnly { .. } => Class::AskOperator,
            // A replica may be on its way to become the master.
            Error::SourceIsReplica { .. }
            | Error::Busy { .. }
            | Error::BadMasterId { .. }
            | Error::SyncIdNotFound { .. }
            | Error::InvalidState { .. } => Class::Retry,
            Error::Refused { .. } | Error::UnknownReply { .. } => Class::Bug,
        }
    }

    /// Whether the source is still loading its data set.
    pub fn is_loading(&self) -> bool {
        matches!(self, Error::Connection(resp::Error::Loading { .. }))
    }

    /// Whether the source replicates another one: that one, or a further address, is the master.
    pub fn is_replica(&self) -> bool {
        matches!(self, Error::SourceIsReplica { .. })
    }

    /// The error that an error line in answer to `request` stands for (texts of v1.40.1, observed).
    pub(crate) fn from_line(addr: &str, request: &str, line: &[u8]) -> Error {
        if let Some(error) = resp::Error::from_error_line(addr, line) {
            return error.into();
        }
        let (addr, request, message) = (addr.to_owned(), request.to_owned(), printable(line));
        let has = |words: &str| message.contains(words);
        if has("Replicating a replica") {
            Error::SourceIsReplica { addr }
        } else if has("bad master id") {
            Error::BadMasterId { addr }
        } else if has("syncid not found") {
            Error::SyncIdNotFound { addr, request }
        } else if has("invalid state") {
            Error::InvalidState { addr, request }
        } else if has("admin only") {
            Error::AdminOnly { addr, request }
        } else if has("Can not execute during") {
            Error::Busy { addr, request, message }
        } else {
            Error::Refused { addr, request, message }
        }
    }

    pub(crate) fn unknown(addr: &str, request: &str, reason: impl Into<String>) -> Error {
        Error::UnknownReply { addr: addr.to_owned(), request: request.to_owned(), reason: reason.into() }
    }
}

/// Demands `+OK`.
pub(crate) fn expect_ok(addr: &str, request: &str, reply: &Reply) -> Result<(), Error> {
    match reply {
        reply if reply.is_ok() => Ok(()),
        Reply::Error(line) => Err(Error::from_line(addr, request, line)),
        other => Err(Error::unknown(addr, request, format!("{other:?}"))),
    }
}
