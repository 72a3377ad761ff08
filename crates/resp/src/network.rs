//! How a connection's byte stream comes about: TCP, or whatever a test puts in its place.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

/// What a connection reads from and writes to.
pub trait Stream: AsyncRead + AsyncWrite + fmt::Debug + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + fmt::Debug + Send + Sync + Unpin> Stream for S {}

/// A stream on its way.
pub type Dialing = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Opens streams in place of TCP.
pub trait Dial: fmt::Debug + Send + Sync {
    /// A stream to `addr` (host:port as configured, or as a cluster names its node). The connection's own time limit
    /// holds for it, and TLS and AUTH follow as over TCP.
    fn dial(&self, addr: &str) -> Dialing;
}

/// Where streams come from. Clones share it, so that options handed on reach every connection made with them.
#[derive(Clone, Debug, Default)]
pub struct Network(Option<Arc<dyn Dial>>);

impl Network {
    /// The system's TCP, with keepalive and without delay.
    #[must_use]
    pub fn tcp() -> Network {
        Network(None)
    }

    /// Something else.
    #[must_use]
    pub fn custom(dial: Arc<dyn Dial>) -> Network {
        Network(Some(dial))
    }

    pub(crate) fn dialer(&self) -> Option<&dyn Dial> {
        self.0.as_deref()
    }
}
