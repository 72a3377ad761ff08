//! df2redis: replicates a Dragonfly master into Redis, Valkey or a Redis Cluster.
//!
//! | module | what it holds |
//! |---|---|
//! | [`arguments`] | the command line |
//! | [`configuration`] | a configuration from a file or from two URLs |
//! | [`failure`] | how a run ends that does not go well |
//! | [`run`] | `replicate`, `migrate` |
//! | [`plan`] | `replicate --dry-run` |
//! | [`progress`] | lines, or a bar, while a run goes on |
//! | [`comparison`] | `check`, `migrate --verify` |
//! | [`status`] | `status`, `dashboard` |
//! | [`service`] | the service manager, SIGHUP, and where `status` finds a daemon |
//! | [`checkpoints`] | `checkpoint show`, `checkpoint reset` |
//! | [`demo`] | `demo` |
//! | [`logging`], [`signals`], [`output`] | stderr, SIGTERM, stdout |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod arguments;
mod checkpoints;
mod comparison;
mod configuration;
mod demo;
mod failure;
mod logging;
mod output;
mod plan;
mod progress;
mod run;
mod service;
mod signals;
mod status;

use std::process::ExitCode;

use arguments::{CheckpointCommand, Command};
use replica::Goal;

use crate::failure::Failure;

fn main() -> ExitCode {
    let command = match arguments::parse() {
        Ok(Some(command)) => command,
        Ok(None) => return ExitCode::SUCCESS,
        Err(failure) => return failure.tell(),
    };
    match carry_out(command) {
        Ok(code) => code,
        Err(failure) => failure.tell(),
    }
}

fn carry_out(command: Command) -> Result<ExitCode, Failure> {
    let done: Result<(), Failure> = match command {
        Command::Replicate(options) => {
            let load = || {
                let config = configuration::load(&options.config, options.dashboard_addr.as_deref())?;
                configuration::named(config, options.task_name.as_deref())
            };
            if options.dry_run {
                plan::show(&load()?)
            } else {
                return run::run(load, Goal::Replicate, false);
            }
        }
        Command::Migrate(options) => {
            return run::run(|| configuration::load(&options.config, None), Goal::Migrate, options.verify);
        }
        Command::Check(options) => {
            return comparison::run(&configuration::load(&options.config, None)?, &options);
        }
        Command::Status(options) => status::show(&configuration::load(&options.config, None)?, options.json),
        Command::Checkpoint(CheckpointCommand::Show(from)) => {
            checkpoints::show(&configuration::load(&from, None)?)
        }
        Command::Checkpoint(CheckpointCommand::Reset(from)) => {
            checkpoints::reset(&configuration::load(&from, None)?)
        }
        Command::Demo => demo::run(),
        Command::Version => {
            output::say(concat!("df2redis ", env!("CARGO_PKG_VERSION"), "\n"));
            Ok(())
        }
        Command::Dashboard(options) => {
            let config = configuration::load(&options.config, None)?;
            let addr = options.addr.as_deref().map(|text| configuration::listening("--addr", text));
            status::serve(&config, addr.transpose()?.and_then(|dashboard| dashboard.addr))
        }
        Command::ColdImport(_) => Err(arguments::not_available()),
    };
    done.map(|()| ExitCode::SUCCESS)
}
