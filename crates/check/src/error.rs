//! Why a check has no result.

use resp::Class;

/// What ends a check. The text is one line: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source cannot be reached, or broke off.
    #[error("source: {0}")]
    Source(#[from] resp::Error),
    /// The source does not answer a question that the check cannot do without.
    #[error("source {addr}: {command}: {message}; a check needs the reading commands, SCAN and INFO")]
    SourceRefused {
        /// host:port as configured.
        addr: String,
        /// The command's name.
        command: String,
        /// The server's own words, or what is wrong with them.
        message: String,
    },
    /// No configured source is a master.
    #[error("source: none of {addrs} is a master; name the master in source.addr")]
    NoMaster {
        /// The configured addresses.
        addrs: String,
    },
    /// The target cannot be used.
    #[error(transparent)]
    Target(#[from] router::Error),
    /// The target does not answer a question that the check cannot do without.
    #[error("target: {command}: {message}; a check needs the reading commands and SCAN")]
    TargetRefused {
        /// The command's name.
        command: String,
        /// The server's own words, or what is wrong with them.
        message: String,
    },
    /// The daemon that applies the journal does not get on: what differs may only be late.
    #[error("{0}; keys cannot be compared while the target is that far behind")]
    Behind(String),
    /// Suspected keys or the result cannot be written.
    #[error("{what}: {source}; check its directory and free space")]
    File {
        /// Which file.
        what: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A part of the program ended without saying why.
    #[error("a part of the check ended unexpectedly; this is a bug")]
    Ended,
}

impl Error {
    /// Who has to act.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Error::Source(error) => error.class(),
            Error::Target(error) => error.class(),
            Error::NoMaster { .. } | Error::Behind(_) => Class::Retry,
            Error::SourceRefused { .. } | Error::TargetRefused { .. } | Error::File { .. } => {
                Class::AskOperator
            }
            Error::Ended => Class::Bug,
        }
    }
}
