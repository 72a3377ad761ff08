//! The command line.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::failure::Failure;
use crate::output;

/// Replicates a Dragonfly master into Redis, Valkey or a Redis Cluster.
#[derive(Debug, Parser)]
#[command(name = "df2redis", version, arg_required_else_help = false)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Takes a snapshot, then follows the source until it is stopped.
    Replicate(Replicate),
    /// Takes a snapshot, then exits.
    Migrate(Migrate),
    /// Shows how a replication stands: asks the running daemon, else the checkpoint.
    Status(Status),
    /// Shows or removes the checkpoint.
    #[command(subcommand, arg_required_else_help = false)]
    Checkpoint(CheckpointCommand),
    /// Replicates a simulated Dragonfly into a Redis Cluster on this machine, and compares.
    Demo,
    /// Prints the version.
    Version,
    /// Not in this version.
    #[command(hide = true, disable_help_flag = true)]
    Check(Later),
    /// Not in this version.
    #[command(hide = true, disable_help_flag = true)]
    ColdImport(Later),
    /// Not in this version.
    #[command(hide = true, disable_help_flag = true)]
    Dashboard(Later),
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub(crate) struct ConfigFrom {
    /// The configuration, a YAML file.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["source", "target"],
        conflicts_with_all = ["source", "target"])]
    pub(crate) config: Option<PathBuf>,
    /// The source instead of a file: redis://user:password@host:port, rediss:// for TLS.
    #[arg(long, value_name = "URL", requires = "target")]
    pub(crate) source: Option<String>,
    /// The target instead of a file: redis://, rediss://, redis+cluster://.
    #[arg(long, value_name = "URL", requires = "source")]
    pub(crate) target: Option<String>,
}

/// `replicate`
#[derive(Debug, Args)]
pub(crate) struct Replicate {
    #[command(flatten)]
    pub(crate) config: ConfigFrom,
    /// Connects to both sides and prints what would be done; writes nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Where to serve the status page; comes before dashboard.addr. "" for none.
    #[arg(long, value_name = "ADDR")]
    pub(crate) dashboard_addr: Option<String>,
    #[arg(long, value_name = "NAME", hide = true)]
    task_name: Option<String>,
}

/// `migrate`
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    pub(crate) config: ConfigFrom,
}

/// `status`
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) config: ConfigFrom,
    /// Prints everything as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `checkpoint`
#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointCommand {
    /// Prints what the checkpoint says.
    Show(ConfigFrom),
    /// Removes the checkpoint: the next start takes a full sync.
    Reset(ConfigFrom),
}

/// A command of a later version; its arguments are not looked at.
#[derive(Debug, Args)]
pub(crate) struct Later {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<std::ffi::OsString>,
}

/// The command, or nothing where help or version was asked for and printed.
pub(crate) fn parse() -> Result<Option<Command>, Failure> {
    let command = match Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(asked) if matches!(asked.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            output::say(&asked.to_string());
            return Ok(None);
        }
        Err(error) => return Err(Failure::usage(one_line(&error))),
    };
    match &command {
        Command::Replicate(Replicate { task_name: Some(_), .. }) => {
            Err(Failure::usage("--task-name is not available in this version; leave it out"))
        }
        _ => Ok(Some(command)),
    }
}

/// The end of a command that this version does not have.
pub(crate) fn not_available(command: &Command) -> Failure {
    let (name, instead) = match command {
        Command::Check(_) => ("check", "see `df2redis help` for the commands that are"),
        Command::ColdImport(_) => ("cold-import", "`df2redis migrate` copies from a running source"),
        _ => ("dashboard", "`df2redis replicate` serves the status page at dashboard.addr"),
    };
    Failure::usage(format!("`{name}` is not available in this version; {instead}"))
}

/// clap's message is a page; the part above the usage says what is wrong.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text
        .lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let what = lines.fold(String::new(), |what, line| match what.as_str() {
        "" => line.to_owned(),
        before if before.ends_with(':') => format!("{before} {line}"),
        before => format!("{before}; {line}"),
    });
    let what = without_passwords(what.trim_start_matches("error: "));
    let what = match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "a command is missing".to_owned()
        }
        _ => what,
    };
    // The usage names the command that was recognised.
    let command: Vec<&str> = text
        .lines()
        .find_map(|line| line.strip_prefix("Usage: "))
        .map(|usage| {
            usage.split(' ').skip(1).take_while(|word| word.starts_with(char::is_alphabetic)).collect()
        })
        .unwrap_or_default();
    let help = ["df2redis", "help"].into_iter().chain(command).collect::<Vec<_>>().join(" ");
    format!("{what}; see `{help}`")
}

/// A URL among the words may have a password in it: everything up to its `@` goes.
fn without_passwords(text: &str) -> String {
    let words = text.split(' ').map(|word| match (word.find("://"), word.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => format!("{}***{}", &word[..scheme + 3], &word[at..]),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn passwords_in_urls_are_not_repeated() {
        let text = "unexpected argument 'rediss://user:p@ss@host:1' found";
        assert_eq!(without_passwords(text), "unexpected argument 'rediss://***@host:1' found");
        assert_eq!(without_passwords("a@b redis://host:1"), "a@b redis://host:1");
    }
}
