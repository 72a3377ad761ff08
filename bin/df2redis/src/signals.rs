//! SIGTERM and SIGINT: the first one asks the run to stop, the second one ends the process.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::service::Notifier;

/// A stop takes at most this long: 10 s are promised.
const PATIENCE: Duration = Duration::from_millis(9_500);

/// The signals that stop a run.
#[derive(Debug)]
pub(crate) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// From here on the signals no longer end the process by themselves.
    pub(crate) fn new() -> io::Result<Signals> {
        Ok(Signals { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one; its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }

    /// Passes the first signal on as `true`. A second one, or a run that does not stop in time, ends the process.
    pub(crate) async fn stop(mut self, stop: watch::Sender<bool>, notifier: Arc<Notifier>) {
        let signal = self.next().await;
        info!(signal, "stopping");
        notifier.stopping();
        stop.send_replace(true);
        let reason = tokio::select! {
            signal = self.next() => format!("{signal} came again"),
            () = tokio::time::sleep(PATIENCE) => "it did not stop within 10 s".to_owned(),
        };
        eprintln!("df2redis: ended at once: {reason}; the next start goes on from the last checkpoint");
        std::process::exit(1);
    }
}
