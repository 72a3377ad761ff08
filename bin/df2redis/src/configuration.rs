//! A configuration from a file or from two URLs.

use config::{Config, Dashboard, Problem, Problems};

use crate::arguments::ConfigFrom;
use crate::failure::Failure;

/// Loads and validates. `dashboard_addr` is the command line's word on it, if it has one.
pub(crate) fn load(from: &ConfigFrom, dashboard_addr: Option<&str>) -> Result<Config, Failure> {
    let env = |name: &str| std::env::var(name).ok();
    let mut config = match (&from.config, &from.source, &from.target) {
        (Some(file), ..) => Config::load(file, &env)?,
        (None, Some(source), Some(target)) => Config::from_urls(source, target, &env)?,
        // The command line's rules leave no other case.
        _ => return Err(Failure::usage("--config FILE, or --source URL and --target URL are required")),
    };
    if let Some(text) = dashboard_addr {
        config.dashboard = listening("--dashboard-addr", text)?;
    }
    Ok(config)
}

/// Where the command line says to listen.
pub(crate) fn listening(argument: &str, text: &str) -> Result<Dashboard, Failure> {
    let parsed = text.parse::<Dashboard>().map_err(|message| Problems {
        file: "command line".into(),
        problems: vec![Problem {
            path: argument.into(),
            line: None,
            message,
            hint: Some("write host:port, or \"\" for none".into()),
        }],
    });
    Ok(parsed?)
}

/// The command line's word on the task's name, if it has one. A log file that is named after the task keeps its name.
pub(crate) fn named(config: Config, name: Option<&str>) -> Result<Config, Failure> {
    let Some(name) = name else { return Ok(config) };
    config::check_task_name(name).map_err(|problem| Problems {
        file: "command line".into(),
        problems: vec![Problem { path: "--task-name".into(), ..problem }],
    })?;
    Ok(Config { task_name: Some(name.to_owned()), ..config })
}

/// The addresses of the source, as they are shown.
pub(crate) fn source(config: &Config) -> String {
    join(&config.source.addrs)
}

/// The addresses of the target, as they are shown.
pub(crate) fn target(config: &Config) -> String {
    join(&config.target.addrs)
}

fn join(addrs: &[config::Address]) -> String {
    addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
