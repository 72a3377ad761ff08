//! This program, started as an operator starts it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use config::Config;
use replica::Report;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::status::{Answer, ask};

const LOOK: Duration = Duration::from_millis(100);
/// Lines of a log that are shown when something fails.
const SHOWN: usize = 20;

/// `df2redis replicate` in a process of its own. It is killed with it.
#[derive(Debug)]
pub(crate) struct Replicator {
    file: PathBuf,
    config: Config,
    log: PathBuf,
    child: Option<Child>,
}

impl Replicator {
    /// Writes a configuration into `dir`.
    pub(crate) fn new(dir: &Path, source: &str, masters: &[String], dashboard: u16) -> Result<Replicator> {
        let file = dir.join("replicate.yaml");
        // Debug of a path is a YAML string in double quotes.
        let text = format!(
            "source:\n  addr: {source}\ntarget:\n  type: redis-cluster\n  addr: [{}]\ncheckpoint:\n  dir: {:?}\n  interval: 1\ndashboard:\n  addr: 127.0.0.1:{dashboard}\n",
            masters.join(", "),
            dir.join("checkpoint"),
        );
        std::fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
        let config = Config::parse("the demo's configuration", &text, &|_| None)?;
        Ok(Replicator { file, config, log: dir.join("replicate.log"), child: None })
    }

    /// The command that an operator would type.
    pub(crate) fn command(&self, command: &str) -> String {
        format!("df2redis {command} --config {}", self.file.display())
    }

    /// Starts the process; the log begins anew.
    pub(crate) fn start(&mut self) -> Result<()> {
        let log = File::create(&self.log).with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut command = self.program("replicate")?;
        command.stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        self.child = Some(command.spawn().context("the replicator does not start")?);
        Ok(())
    }

    fn program(&self, command: &str) -> Result<Command> {
        let mut program = Command::new(std::env::current_exe().context("this program's file is not known")?);
        program.arg(command).arg("--config").arg(&self.file).stdin(Stdio::null());
        // The servers of the demo have no passwords.
        program.env_remove("DF2REDIS_SOURCE_PASSWORD").env_remove("DF2REDIS_TARGET_PASSWORD");
        Ok(program)
    }

    /// SIGKILL; waits for the end.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that has ended by itself is as good.
            let _ = child.kill().await;
        }
    }

    /// SIGTERM; waits for the end and wants it to be a good one.
    pub(crate) async fn terminate(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let pid = child.id().context("the replicator has ended by itself")?;
        Command::new("kill")
            .args(["-TERM", &pid.to_string()])
            .status()
            .await
            .context("kill does not start")?;
        let ended = tokio::time::timeout(Duration::from_secs(10), child.wait()).await;
        let status = ended.context("the replicator did not stop within 10 s")??;
        if !status.success() {
            bail!("the replicator ended badly: {status}");
        }
        Ok(())
    }

    /// What `df2redis status` prints.
    pub(crate) async fn status_page(&self) -> Result<String> {
        let output = self.program("status")?.output().await?;
        if !output.status.success() {
            bail!("df2redis status: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until the report satisfies `condition`, and returns it.
    pub(crate) async fn wait(
        &mut self,
        what: &str,
        patience: Duration,
        condition: impl Fn(&Report) -> bool,
    ) -> Result<Report> {
        let deadline = Instant::now() + patience;
        loop {
            let config = self.config.clone();
            if let Answer::Report { report, .. } = tokio::task::spawn_blocking(move || ask(&config)).await?
                && condition(&report)
            {
                return Ok(*report);
            }
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("the replicator ended ({status}) before {what}");
            }
            if Instant::now() >= deadline {
                bail!("waited {patience:?} in vain for {what}");
            }
            sleep(LOOK).await;
        }
    }

    /// The last lines of the log.
    pub(crate) fn log(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }
}
