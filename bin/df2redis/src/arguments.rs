//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use ::check::{Globs, Mode, Options};
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
    /// Compares source and target; exit code 2 if they differ.
    Check(Check),
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
    ColdImport(Later),
    /// Serves the status page of a replication: what the running daemon says, else the checkpoint.
    Dashboard(Dashboard),
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
    /// What this replication is called in logs, status, metrics and connections; comes before task_name.
    #[arg(long, value_name = "NAME")]
    pub(crate) task_name: Option<String>,
}

/// `migrate`
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    pub(crate) config: ConfigFrom,
    /// Compares everything afterwards; exit code 2 if something differs.
    #[arg(long)]
    pub(crate) verify: bool,
}

/// `check`
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) config: ConfigFrom,
    /// How values are compared: full (to the last byte), outline (lengths, small values, ends of strings), length, or
    /// smart (full, but big keys by outline).
    #[arg(long, value_name = "MODE", default_value = "outline")]
    mode: Mode,
    /// Commands per second that the source is sent at most; 0: as many as it takes.
    #[arg(long, value_name = "N", default_value_t = 0)]
    qps: u64,
    /// Pages of 1000 keys under way at the same time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,
    /// Only keys whose name at the source fits one of these patterns.
    #[arg(long, value_name = "GLOB|GLOB")]
    filter: Option<Globs>,
    /// Look at no more keys than this on each side; 0: all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_keys: u64,
    /// Keys of more bytes are big in mode smart.
    #[arg(long, value_name = "BYTES", default_value_t = 512 << 10)]
    big_key_threshold: u64,
    /// How often a difference has to be seen, the first time included.
    #[arg(long, value_name = "N", default_value_t = 3, alias = "compare-times",
        value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Pause between two rounds where no daemon runs that tells how far it is.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(..=3600))]
    interval: u32,
    /// How far two expiries may be apart.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    ttl_tolerance: u64,
    /// Repairs what differs, through the running daemon or alone where the source is at rest, and compares it again.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Writes every difference as JSON to a file, or to stdout.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) json: Option<PathBuf>,
}

impl Check {
    /// What is compared, and how.
    pub(crate) fn options(&self) -> Options {
        Options {
            mode: self.mode,
            qps: self.qps,
            parallel: usize::from(self.parallel),
            filter: self.filter.clone().unwrap_or_default(),
            max_keys: self.max_keys,
            big_key_bytes: self.big_key_threshold,
            rounds: self.rounds,
            interval: Duration::from_secs(self.interval.into()),
            pause: Options::default().pause,
            ttl_tolerance: Duration::from_millis(self.ttl_tolerance),
            ..Options::default()
        }
    }
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

/// `dashboard`
#[derive(Debug, Args)]
pub(crate) struct Dashboard {
    #[command(flatten)]
    pub(crate) config: ConfigFrom,
    /// Where to serve it; dashboard.addr without it, which is the daemon's while that runs.
    #[arg(long, value_name = "ADDR")]
    pub(crate) addr: Option<String>,
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
    Ok(Some(command))
}

/// The end of a command that this version does not have.
pub(crate) fn not_available() -> Failure {
    Failure::usage(
        "`cold-import` is not available in this version; `df2redis migrate` copies from a running source",
    )
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
