//! A daemon that leaves out repair rules, so that tests can show that they notice: `without_rules 7 --config FILE`.
//!
//! The rest is the program's own engine. This is an example only so that it may use development dependencies: the
//! switches must not reach the program when the whole workspace is built.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use config::Config;
use dashboard::Dashboard;
use replica::{Goal, Replica, Settings, Status};
use rules::Rules;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let [_, numbers, option, file] = args.as_slice() else {
        eprintln!("usage: without_rules NUMBER[,NUMBER...] --config FILE");
        return ExitCode::from(64);
    };
    assert_eq!(option, "--config", "the only option");
    match run(numbers, Path::new(file)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(numbers: &str, file: &Path) -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let config = Config::load(file, &|name| std::env::var(name).ok())?;
    let mut settings = Settings::new(&config)?;
    for number in numbers.split(',') {
        settings.rules = settings.rules.without(number.parse()?);
    }
    assert_ne!(settings.rules, Rules::all(), "some rule is left out");
    let status = Status::new("the source".into(), "the target".into());
    if let Some(addr) = &config.dashboard.addr {
        let dashboard = Dashboard::listen(&addr.to_string()).await?;
        tokio::spawn(dashboard.serve(status.clone()));
    }
    // It is only ever killed.
    let (_never, stop) = watch::channel(false);
    Replica::new(settings, Goal::Replicate, status, stop).run().await?;
    Ok(())
}
