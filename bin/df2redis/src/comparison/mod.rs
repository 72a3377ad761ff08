//! `check`, and the end of `migrate --verify`: compares source and target.

mod applied;
mod bar;
mod repair;
mod result;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ::check::{Check, Fence, Mode, Options, Outcome, Pause, Progress};
use config::Config;
use replica::Settings;
use router::Target;
use tracing::{info, warn};

use crate::arguments;
use crate::failure::Failure;
use crate::logging::{self, Terminal};
use crate::output::{number, say};
use crate::run;
use crate::status::{Answer, ask};

use applied::Applied;
pub(crate) use result::Json;

/// What the exit code says of a run that found differences.
const DIFFERENT: u8 = 2;
/// How long a server that cannot be reached at the start is tried.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pause between two rounds where members expire through the daemon: twice as long as it takes one that is past its time.
const MEMBERS: Duration = Duration::from_secs(5);

/// Compares as the command line says.
pub(crate) fn run(config: &Config, arguments: &arguments::Check) -> Result<ExitCode, Failure> {
    // The log file is the daemon's; who compares sits in front of it.
    let on_stderr = config::Logging { file: None, console: true, ..config.logging.clone() };
    let terminal = logging::init(&on_stderr, config.task_name.as_deref())?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let settings = Settings::new(config)?;
    let runtime = run::runtime()?;
    let json = Json::open(arguments.json.as_deref())?;
    let mut options = arguments.options();
    let types = &config.types;
    if [types.set_member_ttl, types.hash_field_ttl].contains(&config::MemberTtl::Expire) {
        options.pause = MEMBERS;
    }
    let fence = fence(config, options.interval);
    let repair = arguments.repair.then_some(config);
    runtime.block_on(compare(&settings, options, fence, json, &terminal, repair))
}

/// At the end of a migration: everything, to the last byte.
pub(crate) async fn verify(settings: &Settings, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let options = Options { mode: Mode::Full, ..Options::default() };
    // Nothing is applied any more.
    let fence = Arc::new(Pause(options.interval));
    compare(settings, options, fence, Json::none(), terminal, None).await
}

/// `repair`: the configuration whose daemon, if one runs, repairs what differs.
async fn compare(
    settings: &Settings,
    options: Options,
    fence: Arc<dyn Fence>,
    json: Json,
    terminal: &Terminal,
    repair: Option<&Config>,
) -> Result<ExitCode, Failure> {
    let target = connect(settings).await?;
    let mapping = settings.mapping(target.is_cluster())?;
    let progress = Arc::new(Progress::default());
    let sources = settings.sources.iter().map(|source| source.connect.clone()).collect();
    let check = Check::prepare(::check::Settings {
        sources,
        target: target.clone(),
        mapping: mapping.clone(),
        options: Options { json: settings.json, ..options },
        fence,
        progress: progress.clone(),
    })
    .await?;
    let shown = tokio::spawn(bar::show(progress, terminal.clone()));
    let outcome = async {
        let mut outcome = check.run().await?;
        if let Some(config) = repair.filter(|_| !outcome.differences.is_empty()) {
            info!(found = %outcome.summary, "before the repair");
            match repair::repair(config, settings, check.source(), &target, &mapping, &mut outcome).await {
                Ok(()) => outcome = check.again(outcome).await?,
                // What was found is told all the same.
                Err(failure) => return Ok((outcome, Some(failure))),
            }
        }
        Ok::<_, Failure>((outcome, None))
    };
    let outcome = outcome.await;
    shown.abort();
    // It takes its bar away before anything else is printed.
    let _ = shown.await;
    let (mut outcome, failed) = outcome?;
    tell(&mut outcome, json)?;
    if let Some(failure) = failed {
        return Err(failure);
    }
    Ok(ExitCode::from(if outcome.summary.differences() > 0 { DIFFERENT } else { 0 }))
}

/// The target, once it answers.
async fn connect(settings: &Settings) -> Result<Arc<Target>, Failure> {
    let begin = std::time::Instant::now();
    loop {
        match Target::connect(&settings.target).await {
            Ok(target) => return Ok(target),
            Err(error) if error.class() == resp::Class::Retry && begin.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(error) => return Err(replica::Error::from(error).into()),
        }
    }
}

/// A running daemon tells how far the target is; without one a pause has to do.
fn fence(config: &Config, interval: Duration) -> Arc<dyn Fence> {
    match ask(config) {
        Answer::Report { addr, .. } => {
            info!(daemon = %addr, "rounds wait until the daemon has applied what the source had");
            Arc::new(Applied::new(config.clone(), interval))
        }
        Answer::Nothing { .. } | Answer::Other { .. } => Arc::new(Pause(interval)),
    }
}

/// The result: for people on stdout, or as JSON.
fn tell(outcome: &mut Outcome, json: Json) -> Result<(), Failure> {
    let to_stdout = json.is_stdout();
    json.write(outcome)?;
    let text = result::text(outcome)?;
    if to_stdout {
        eprint!("{text}")
    } else {
        say(&text)
    }
    if outcome.summary.is_empty() {
        warn!("nothing was compared: there are no keys, or none fits the filters");
    }
    if outcome.summary.in_motion > 0 {
        warn!(
            keys = number(outcome.summary.in_motion),
            "in motion: they changed at the source whenever they were looked at"
        );
    }
    Ok(())
}
