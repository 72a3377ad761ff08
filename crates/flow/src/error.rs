//! Why an attachment could not be made, or not be carried on.

use resp::Class;

/// A failed attachment. Nothing of it is left open. The text is one line.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The control connection failed or was refused.
    #[error(transparent)]
    Control(#[from] handshake::Error),
    /// A flow failed or was refused.
    #[error("flow {flow}: {source}")]
    Flow {
        /// Number of the flow.
        flow: usize,
        /// Why.
        source: handshake::Error,
    },
    /// The master granted a partial sync and then did not accept the request that starts it: it is of a release that
    /// resumes in another way than its version says. Attach again without LSNs.
    #[error("{addr} granted a partial sync but does not start it; a full sync follows")]
    ResumeStyle {
        /// host:port as configured.
        addr: String,
    },
    /// The master granted a partial sync to flows that asked for a snapshot.
    #[error(
        "{addr} answered PARTIAL where a snapshot was asked for; see whether this release of Dragonfly is supported"
    )]
    UnaskedPartial {
        /// host:port as configured.
        addr: String,
    },
}

impl AttachError {
    /// Who has to act.
    pub fn class(&self) -> Class {
        match self {
            AttachError::Control(e) | AttachError::Flow { source: e, .. } => e.class(),
            AttachError::ResumeStyle { .. } => Class::Retry,
            AttachError::UnaskedPartial { .. } => Class::Bug,
        }
    }

    /// Whether the next attempt must not ask for a resume.
    pub fn needs_full_sync(&self) -> bool {
        matches!(self, AttachError::ResumeStyle { .. })
    }

    /// Whether the source is still loading its data set.
    pub fn is_loading(&self) -> bool {
        matches!(self, AttachError::Control(e) | AttachError::Flow { source: e, .. } if e.is_loading())
    }

    /// Whether the server is a replica: another address may be the master, and this one may become it.
    pub fn is_replica(&self) -> bool {
        self.cause().is_some_and(handshake::Error::is_replica)
    }

    pub(crate) fn cause(&self) -> Option<&handshake::Error> {
        match self {
            AttachError::Control(e) | AttachError::Flow { source: e, .. } => Some(e),
            _ => None,
        }
    }
}
