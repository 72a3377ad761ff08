//! The df2redis binary as an operator runs it.

mod binary;
mod http;
mod settings;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

pub use binary::{Output, binary, run, without_rules};
pub use http::get;
pub use settings::Settings;

use crate::servers::{Network, Process, free_port};
use crate::wait;

/// How long the program may take after SIGTERM: 10 s are promised, the rest is for a loaded machine.
const TERMINATE_DEADLINE: Duration = Duration::from_secs(15);

/// A running `df2redis`. It gets SIGKILL on drop and its directory goes with it.
#[derive(Debug)]
pub struct Df2redis {
    binary: PathBuf,
    args: Vec<String>,
    config_file: PathBuf,
    checkpoint_dir: PathBuf,
    dashboard_addr: String,
    /// How often it was started; each start has its own output files.
    starts: usize,
    process: Process,
    dir: TempDir,
}

impl Df2redis {
    /// Starts `df2redis replicate` with these settings. A `dashboard.addr` on a free port and a
    /// `checkpoint.dir` in a temporary directory are added where the settings have none.
    pub fn replicate(settings: Settings) -> Self {
        Self::spawn("replicate", settings, &[])
    }

    /// [`Df2redis::replicate`] at the program's end of a network.
    pub fn replicate_in(network: &Network, settings: Settings) -> Self {
        let [ip, words @ ..] = network.entrance();
        let program = binary().to_str().expect("the path of the program is text");
        let words: Vec<&str> = words.into_iter().chain([program, "replicate"]).collect();
        let settings = settings.set("dashboard.addr", format!("{}:8080", network.program()));
        Self::spawn_binary(Path::new(ip), &words, settings, &[])
    }

    /// Starts a daemon that lacks some of the repair rules, to show that a test notices.
    pub fn without_rules(rules: &[u8], settings: Settings) -> Self {
        let numbers: Vec<String> = rules.iter().map(u8::to_string).collect();
        Self::spawn_binary(without_rules(), &[&numbers.join(",")], settings, &[])
    }

    /// Starts any command with `--config` of these settings, completed as by [`Df2redis::replicate`].
    pub fn spawn(command: &str, settings: Settings, extra_args: &[&str]) -> Self {
        Self::spawn_binary(binary(), &[command], settings, extra_args)
    }

    fn spawn_binary(binary: &Path, words: &[&str], mut settings: Settings, extra_args: &[&str]) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        if settings.get("dashboard.addr").is_none() {
            settings = settings.set("dashboard.addr", format!("127.0.0.1:{}", free_port()));
        }
        if settings.get("checkpoint.dir").is_none() {
            settings = settings.set("checkpoint.dir", dir.path().join("checkpoint").to_string_lossy());
        }
        let text = |path: &str| settings.get(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (dashboard_addr, checkpoint_dir) = (text("dashboard.addr"), text("checkpoint.dir").into());
        let config_file = dir.path().join("df2redis.yaml");
        std::fs::write(&config_file, settings.to_yaml()).expect("a file in the temporary directory");
        let mut args: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        args.extend(["--config".to_owned(), config_file.to_string_lossy().into_owned()]);
        args.extend(extra_args.iter().map(|arg| (*arg).to_owned()));
        let process = start(binary, &args, dir.path(), 1);
        let binary = binary.to_owned();
        Self { binary, args, config_file, checkpoint_dir, dashboard_addr, starts: 1, process, dir }
    }

    /// Starts the same command with the same configuration file again; the old process must have ended.
    pub fn again(&mut self) {
        assert!(self.process.ended().is_some(), "df2redis still runs");
        self.starts += 1;
        self.process = start(&self.binary, &self.args, self.dir.path(), self.starts);
    }

    /// Writes another configuration for the next [`Df2redis::again`]; it is taken as it is.
    pub fn reconfigure(&mut self, settings: &Settings) {
        std::fs::write(&self.config_file, settings.to_yaml()).expect("a file in the temporary directory");
    }

    /// The configuration file.
    pub fn config_file(&self) -> &Path {
        &self.config_file
    }

    /// The directory of the checkpoint.
    pub fn checkpoint_dir(&self) -> &Path {
        &self.checkpoint_dir
    }

    /// `host:port` of the dashboard.
    pub fn dashboard_addr(&self) -> &str {
        &self.dashboard_addr
    }

    /// Process id of the process started last.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Resident memory in bytes (`VmRSS`), or `None` when the process has ended.
    pub fn resident_bytes(&self) -> Option<u64> {
        self.memory("VmRSS:")
    }

    /// Highest resident memory so far in bytes (`VmHWM`), or `None` when the process has ended.
    pub fn peak_resident_bytes(&self) -> Option<u64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let value = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    }

    /// Everything written to stdout and then to stderr by the process started last.
    pub fn output(&self) -> String {
        self.stdout() + &self.stderr()
    }

    fn stdout(&self) -> String {
        binary::read(&self.dir.path().join(format!("stdout-{}", self.starts)))
    }

    fn stderr(&self) -> String {
        binary::read(&self.dir.path().join(format!("stderr-{}", self.starts)))
    }

    /// Waits for a line of the process started last that contains `pattern`, and returns it. Panics with the
    /// whole output when the deadline has passed or the program has ended without it.
    pub fn wait_for_line(&mut self, pattern: &str, deadline: Duration) -> String {
        let line = wait::try_until_some(deadline, &mut || {
            let ended = self.process.ended();
            let output = self.output();
            let line = output.lines().find(|line| line.contains(pattern)).map(str::to_owned);
            assert!(line.is_some() || ended.is_none(), "df2redis ended without {pattern:?}:\n{output}");
            line
        });
        line.unwrap_or_else(|| panic!("no {pattern:?} after {deadline:?}:\n{}", self.output()))
    }

    /// SIGTERM; waits up to 15 s for the end.
    pub fn terminate(&mut self) -> Output {
        assert!(self.process.ended().is_none(), "df2redis has already ended:\n{}", self.output());
        self.process.signal("TERM");
        self.wait_exit(TERMINATE_DEADLINE)
    }

    /// Any signal by its name: `INT`, `STOP`, `CONT`, `HUP`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// SIGKILL; waits for the end.
    pub fn kill(&mut self) -> Output {
        let status = self.process.kill();
        Output { status, stdout: self.stdout(), stderr: self.stderr() }
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Waits until the program ends by itself.
    pub fn wait_exit(&mut self, deadline: Duration) -> Output {
        let ended = wait::try_until_some(deadline, &mut || self.process.ended());
        let status =
            ended.unwrap_or_else(|| panic!("df2redis still runs after {deadline:?}:\n{}", self.output()));
        Output { status, stdout: self.stdout(), stderr: self.stderr() }
    }

    /// GET on the dashboard: HTTP status and body.
    pub fn http(&self, path: &str) -> std::io::Result<(u16, String)> {
        http::get(&self.dashboard_addr, path)
    }

    /// `/api/status`.
    pub fn status(&self) -> std::io::Result<Value> {
        let (code, body) = self.http("/api/status")?;
        let wrong = |reason: String| std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
        if code != 200 {
            return Err(wrong(format!("/api/status says {code}: {body}")));
        }
        serde_json::from_str(&body).map_err(|e| wrong(format!("/api/status: {e}: {body}")))
    }

    /// Waits until the status satisfies `condition`, and returns it. Panics with the last status and the output
    /// when the deadline has passed, and at once when the program ends.
    pub fn wait_until(
        &mut self,
        deadline: Duration,
        what: &str,
        mut condition: impl FnMut(&Value) -> bool,
    ) -> Value {
        let mut last = String::from("no status");
        let found = wait::try_until_some(deadline, &mut || {
            self.assert_running(what);
            match self.status() {
                Ok(status) if condition(&status) => Some(status),
                Ok(status) => {
                    last = status.to_string();
                    None
                }
                Err(error) => {
                    last = error.to_string();
                    None
                }
            }
        });
        found.unwrap_or_else(|| {
            panic!("waited {deadline:?} in vain for: {what}; status: {last}\n{}", self.output())
        })
    }

    /// Waits until `/readyz` says 200: stable sync.
    pub fn wait_ready(&mut self, deadline: Duration) {
        let ready = wait::try_until_some(deadline, &mut || {
            self.assert_running("stable sync");
            self.http("/readyz").ok().filter(|(code, _)| *code == 200)
        });
        assert!(
            ready.is_some(),
            "not in stable sync after {deadline:?}: {:?}\n{}",
            self.status(),
            self.output()
        );
    }

    fn assert_running(&mut self, what: &str) {
        if let Some(status) = self.process.ended() {
            panic!("df2redis ended ({status}) before: {what}\n{}", self.output());
        }
    }
}

fn start(binary: &Path, args: &[String], dir: &Path, number: usize) -> Process {
    let (stdout, stderr) = (dir.join(format!("stdout-{number}")), dir.join(format!("stderr-{number}")));
    Process::spawn(binary, args, dir, &stdout, &stderr)
}

/// A number in a status.
pub fn number(status: &Value, field: &str) -> u64 {
    status[field].as_u64().unwrap_or_else(|| panic!("no number {field} in {status}"))
}
