//! SIGHUP: the configuration is read again, and what can change safely changes.

use config::Config;
use tokio::signal::unix::Signal;
use tracing::{error, info, warn};

use crate::failure::Failure;
use crate::logging::Terminal;

/// The setting that is applied at once. Everything else is built into connections, checkpoint and spool.
const APPLIED: &str = "logging.level";

/// A run that can read its configuration again.
pub(crate) struct Reload<F> {
    /// What is in force.
    pub(crate) config: Config,
    /// Reads it again, from where it came.
    pub(crate) load: F,
    /// The log.
    pub(crate) terminal: Terminal,
}

impl<F: Fn() -> Result<Config, Failure>> Reload<F> {
    /// Reloads at every signal.
    pub(crate) async fn run(mut self, mut hangups: Signal) {
        while hangups.recv().await.is_some() {
            self.reload();
        }
    }

    fn reload(&mut self) {
        let new = match (self.load)() {
            Ok(new) => new,
            Err(failure) => {
                error!(error = failure.text(), "configuration not reloaded; the one in force stays");
                return;
            }
        };
        for warning in &new.warnings {
            warn!("{warning}");
        }
        let changed = self.config.differences(&new);
        let (applied, later): (Vec<&str>, Vec<&str>) = changed.into_iter().partition(|path| *path == APPLIED);
        if let Err(error) = self.terminal.set_level(new.logging.level) {
            error!(%error, "configuration not reloaded; the log level cannot be changed");
            return;
        }
        self.config.logging.level = new.logging.level;
        info!(applied = list(&applied), "configuration reloaded");
        if !later.is_empty() {
            warn!(settings = list(&later), "changed settings that need a restart");
        }
    }
}

fn list(paths: &[&str]) -> String {
    if paths.is_empty() { "nothing".to_owned() } else { paths.join(", ") }
}
