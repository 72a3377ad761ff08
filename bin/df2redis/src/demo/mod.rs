//! `demo`: everything on this machine, nothing to configure.
//!
//! | module | what it holds |
//! |---|---|
//! | [`story`] | what happens, in order |
//! | [`cluster`] | a real Redis Cluster of three masters |
//! | [`data`] | what is in the source, and what the client writes |
//! | [`client`] | an ordinary client that writes without a pause |
//! | [`replicator`] | this program, started as an operator starts it |
//! | [`compare`] | both sides by ordinary commands |

mod client;
mod cluster;
mod compare;
mod data;
mod ports;
mod replicator;
mod story;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::failure::Failure;
use crate::output::say;
use crate::run::runtime;
use crate::signals::Signals;
use story::Stage;

/// Runs the demonstration; well only if both sides are equal in the end.
pub(crate) fn run() -> Result<(), Failure> {
    let runtime = runtime()?;
    let result = runtime.block_on(play());
    runtime.shutdown_timeout(Duration::from_millis(200));
    result.map_err(|error| Failure::failed(format!("demo: {error:#}")))
}

async fn play() -> Result<()> {
    let told = Told { began: Instant::now() };
    say(
        "df2redis demo: all of it runs on this machine, in processes and a directory that are gone at the end\n",
    );
    let mut signals = Signals::new().context("no signals")?;
    let mut stage = Stage::new()?;
    let result = tokio::select! {
        result = story::tell(&told, &mut stage) => result,
        signal = signals.next() => Err(anyhow!("interrupted by {signal}")),
    };
    if result.is_err()
        && let Some(log) = stage.log()
    {
        say(&format!("the end of the replicator's log:\n{}", indented(&log)));
    }
    stage.clean_up().await;
    if result.is_ok() {
        told.line("stopped everything and removed the directory");
    }
    result
}

/// Says what happens, and when.
#[derive(Debug)]
pub(crate) struct Told {
    began: Instant,
}

impl Told {
    /// One line.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        say(&format!("[{:>5.1} s] {}\n", self.began.elapsed().as_secs_f64(), text.as_ref()));
    }
}

/// A text of several lines below a line.
pub(crate) fn indented(text: &str) -> String {
    text.lines().map(|line| format!("            {line}\n")).collect()
}
