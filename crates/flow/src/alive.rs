//! Waiting for a reply that may take long, as long as the other side lives.

use std::future::Future;
use std::time::Duration;

use handshake::Error;
use resp::{ConnectOptions, Connection};
use tracing::debug;

/// Waits for `reply`, and asks on a connection of its own every `liveness` whether the server still answers anything: a
/// process that is stopped, or a host that is gone, says nothing on the connection that waits.
pub(crate) async fn while_alive<T>(
    connect: &ConnectOptions,
    liveness: Duration,
    reply: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::pin!(reply);
    loop {
        tokio::select! {
            biased;
            reply = &mut reply => return reply,
            () = tokio::time::sleep(liveness) => {}
        }
        tokio::select! {
            biased;
            reply = &mut reply => return reply,
            silent = silence(connect, liveness) => if let Some(error) = silent {
                return Err(error.into());
            },
        }
    }
}

/// That nothing answers, or nothing.
async fn silence(connect: &ConnectOptions, limit: Duration) -> Option<resp::Error> {
    let asked = async { Connection::open(connect).await?.call(&["PING"]).await };
    match tokio::time::timeout(limit, asked).await {
        Err(_) => {
            let (addr, what) = (connect.addr.clone(), "a liveness check");
            Some(resp::Error::Timeout { addr, what, after: limit })
        }
        Ok(Err(error @ (resp::Error::Unreachable { .. } | resp::Error::Timeout { .. }))) => Some(error),
        // Whatever is wrong with this connection, somebody answered it.
        Ok(Err(error)) => {
            debug!(%error, "liveness check");
            None
        }
        Ok(Ok(_)) => None,
    }
}
