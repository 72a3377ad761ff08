//! What can go wrong when a simulated master is started.

use std::io;

/// Why a simulated master could not be started or a capture could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address could not be bound.
    #[error("cannot listen on {addr}")]
    Bind {
        /// The address asked for.
        addr: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The builder was given something that cannot work.
    #[error("invalid setting: {0}")]
    Setting(&'static str),
    /// A capture's `meta.json` is not what `record.py` writes.
    #[error("capture description is unusable: {0}")]
    Capture(String),
    /// A file of the capture could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}
