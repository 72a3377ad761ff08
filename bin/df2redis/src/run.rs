//! `replicate` and `migrate`: wires configuration, engine, dashboard, progress and signals together.

use std::sync::Arc;
use std::time::Duration;

use config::Config;
use dashboard::Dashboard;
use replica::{Finished, Goal, Replica, Settings, Status};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::configuration;
use crate::failure::Failure;
use crate::logging::{self, Terminal};
use crate::progress;
use crate::signals::Signals;

/// Runs until the goal is reached, the operator stops it, or it cannot go on.
pub(crate) fn run(config: &Config, goal: Goal) -> Result<(), Failure> {
    let terminal = logging::init(&config.logging);
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let settings = Settings::new(config)?;
    let runtime = runtime()?;
    let result = runtime.block_on(replicate(config, settings, goal, &terminal));
    // What still runs belongs to no one; a name that is being resolved must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

/// A runtime for all the machine's cores.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Runtime::new()
        .map_err(|error| Failure::failed(format!("no threads: {error}; see the limits of this user")))
}

async fn replicate(
    config: &Config,
    settings: Settings,
    goal: Goal,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let status = Status::new(configuration::source(config), configuration::target(config));
    serve(config, &status).await?;
    let (stop_in, stop) = watch::channel(false);
    let signals = Signals::new().map_err(|error| Failure::failed(format!("no signals: {error}")))?;
    tokio::spawn(signals.stop(stop_in));
    let shown = tokio::spawn(progress::show(status.clone(), terminal.clone()));
    let finished = Replica::new(settings, goal, status.clone(), stop).run().await;
    shown.abort();
    // It takes the bar away before anything else is written.
    let _ = shown.await;
    match (finished?, goal) {
        (Finished::Stopped, Goal::Replicate) => info!("stopped"),
        (Finished::Stopped, Goal::Migrate) => {
            return Err(Failure::failed("stopped before the snapshot was complete; start it again"));
        }
        (Finished::Migrated, _) => {
            let report = status.report();
            info!(
                keys = report.keys,
                bytes = report.bytes,
                not_in_sync = report.not_in_sync_count,
                "migrated"
            );
        }
    }
    Ok(())
}

/// Listens before anything else is done: a taken port is better known now than when somebody wants to look.
async fn serve(config: &Config, status: &Arc<Status>) -> Result<(), Failure> {
    let Some(addr) = &config.dashboard.addr else { return Ok(()) };
    let dashboard = match Dashboard::listen(&addr.to_string()).await {
        Ok(dashboard) => dashboard,
        Err(error) => {
            // The same configuration started twice: the checkpoint says it better than the port.
            if let Err(in_use @ checkpoint::Error::InUse { .. }) =
                checkpoint::inspect(&config.checkpoint.dir, 0)
            {
                return Err(in_use.into());
            }
            return Err(error.into());
        }
    };
    info!(addr = %dashboard.addr(), "dashboard");
    let status = status.clone();
    tokio::spawn(async move {
        if let Err(error) = dashboard.serve(status).await {
            error!(%error, "no dashboard any more");
        }
    });
    Ok(())
}
