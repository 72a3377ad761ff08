//! SIGHUP: the configuration is read again, and what can change safely changes.

use std::sync::Arc;

use config::Config;
use replica::settings::Passwords;
use replica::throttle::Throttle;
use tokio::signal::unix::Signal;
use tracing::{error, info, warn};

use crate::failure::Failure;
use crate::logging::Terminal;

/// The settings that are applied at once. Everything else is built into connections, checkpoint and spool.
const APPLIED: [&str; 4] = ["logging.level", "limits.qps", "source.password", "target.password"];

/// A run that can read its configuration again.
pub(crate) struct Reload<F> {
    /// What is in force.
    pub(crate) config: Config,
    /// Reads it again, from where it came.
    pub(crate) load: F,
    /// The log.
    pub(crate) terminal: Terminal,
    /// How many commands a second.
    pub(crate) throttle: Arc<Throttle>,
    /// For connections to come.
    pub(crate) passwords: Passwords,
}

impl<F: Fn() -> Result<Config, Failure>> Reload<F> {
    /// Reloads at every signal.
    pub(crate) async fn run(mut self, mut hangups: Signal) {
        while hangups.recv().await.is_some() {
            self.reload();
        }
    }

    fn reload(&mut self) {
        // Whatever becomes of the configuration: whoever moved the log away sends a signal for it.
        if let Err(error) = self.terminal.reopen() {
            error!(%error, "the log file is not opened again; the old one is written to");
        }
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
        let (applied, later): (Vec<&str>, Vec<&str>) =
            changed.into_iter().partition(|path| APPLIED.contains(path));
        if let Err(error) = self.terminal.set_level(new.logging.level) {
            error!(%error, "configuration not reloaded; the log level cannot be changed");
            return;
        }
        self.config.logging.level = new.logging.level;
        if self.config.limits != new.limits {
            self.throttle.set(new.limits.qps);
            self.config.limits = new.limits;
        }
        if applied.contains(&"source.password") {
            self.passwords.source.change(new.source.password.clone());
            self.config.source.password = new.source.password;
        }
        if applied.contains(&"target.password") {
            self.passwords.target.change(new.target.password.clone());
            self.config.target.password = new.target.password;
        }
        info!(applied = list(&applied), "configuration reloaded");
        if !later.is_empty() {
            warn!(settings = list(&later), "changed settings that need a restart");
        }
    }
}

fn list(paths: &[&str]) -> String {
    if paths.is_empty() { "nothing".to_owned() } else { paths.join(", ") }
}
