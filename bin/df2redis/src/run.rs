//! `replicate` and `migrate`: wires configuration, engine, dashboard, progress and signals together.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use dashboard::Dashboard;
use replica::{Finished, Goal, Replica, Settings, Status};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use crate::comparison;
use crate::configuration;
use crate::failure::Failure;
use crate::logging::{self, Terminal};
use crate::progress;
use crate::service::{self, Notifier, Published, Reload};
use crate::signals::Signals;

/// Runs until the goal is reached, the operator stops it, or it cannot go on. `load` reads the configuration, now and
/// whenever a SIGHUP asks for it. `verify`: everything is compared when the goal is reached.
pub(crate) fn run(
    load: impl Fn() -> Result<Config, Failure>,
    goal: Goal,
    verify: bool,
) -> Result<ExitCode, Failure> {
    let config = load()?;
    let terminal = logging::init(&config.logging, config.task_name.as_deref())?;
    let result = supervised(&config, load, goal, verify, &terminal);
    if let Err(failure) = &result {
        terminal.last_words(failure.text());
    }
    result
}

fn supervised(
    config: &Config,
    load: impl Fn() -> Result<Config, Failure>,
    goal: Goal,
    verify: bool,
    terminal: &Terminal,
) -> Result<ExitCode, Failure> {
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let settings = Settings::new(config)?;
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let hangups =
            signal(SignalKind::hangup()).map_err(|error| Failure::failed(format!("no signals: {error}")))?;
        let throttle = settings.throttle.clone();
        let passwords = settings.passwords.clone();
        let reload = Reload { config: config.clone(), load, terminal: terminal.clone(), throttle, passwords };
        tokio::select! {
            biased;
            result = async {
                replicate(config, settings.clone(), goal, terminal).await?;
                match verify {
                    true => comparison::verify(&settings, terminal).await,
                    false => Ok(ExitCode::SUCCESS),
                }
            } => result,
            // It ends with the program's signals.
            () = reload.run(hangups) => Err(Failure::failed("no signals any more")),
        }
    });
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
    if let Some(name) = &config.task_name {
        status.set_task_name(name.clone());
    }
    let notifier = Arc::new(Notifier::new(&|name| std::env::var(name).ok()));
    let addr = serve(config, &status).await?;
    let (stop_in, stop) = watch::channel(false);
    let signals = Signals::new().map_err(|error| Failure::failed(format!("no signals: {error}")))?;
    tokio::spawn(signals.stop(stop_in, notifier.clone()));
    let shown = tokio::spawn(progress::show(status.clone(), terminal.clone()));
    let watched = tokio::spawn(service::watch(status.clone(), notifier.clone()));
    let dir = config.checkpoint.dir.clone();
    let of = status.clone();
    let published = tokio::spawn(async move {
        let _published = Published::publish(&dir, addr, &of).await;
        // Until it is aborted.
        std::future::pending::<()>().await;
    });
    let file = config.status_file.clone();
    let kept = file.clone().map(|file| tokio::spawn(service::status_file::keep(status.clone(), file)));
    let finished = Replica::new(settings, goal, status.clone(), stop).run().await;
    notifier.stopping();
    for task in [shown, watched, published].into_iter().chain(kept) {
        task.abort();
        // It takes its bar or its file away before anything else is done.
        let _ = task.await;
    }
    if let Some(file) = file.filter(|_| status.owns_checkpoint())
        && let Err(error) = service::status_file::write(&file, &status)
    {
        warn!(file = %file.display(), %error, "the last status is not written");
    }
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

/// Listens before anything else is done: a taken port is better known now than when somebody wants to look. Where.
async fn serve(config: &Config, status: &Arc<Status>) -> Result<Option<SocketAddr>, Failure> {
    let Some(addr) = &config.dashboard.addr else { return Ok(None) };
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
    let addr = dashboard.addr();
    info!(%addr, "dashboard");
    let status = status.clone();
    tokio::spawn(async move {
        if let Err(error) = dashboard.serve(status).await {
            error!(%error, "no dashboard any more");
        }
    });
    Ok(Some(addr))
}
