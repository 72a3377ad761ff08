//! The df2redis binary as an operator runs it.

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::Value;

/// A configuration file in the making: dotted paths to values.
///
/// ```
/// # use scenarios::program::Settings;
/// let settings = Settings::new().set("source.addr", "127.0.0.1:6379").set("target.type", "redis-standalone");
/// assert_eq!(settings.get("source.addr"), Some(&"127.0.0.1:6379".into()));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings(serde_json::Map<String, Value>);

impl Settings {
    /// An empty configuration.
    pub fn new() -> Self {
        Self::default()
    }
    /// Sets the value at a dotted path; maps on the way are made.
    pub fn set(self, _path: &str, _value: impl Into<Value>) -> Self {
        unimplemented!()
    }
    /// Takes a path away.
    pub fn unset(self, _path: &str) -> Self {
        unimplemented!()
    }
    /// The value at a dotted path.
    pub fn get(&self, _path: &str) -> Option<&Value> {
        unimplemented!()
    }
    /// The YAML text.
    pub fn to_yaml(&self) -> String {
        unimplemented!()
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit status.
    pub status: ExitStatus,
    /// Everything written to stdout.
    pub stdout: String,
    /// Everything written to stderr.
    pub stderr: String,
}

impl Output {
    /// The exit code; panics if a signal ended the program.
    pub fn code(&self) -> i32 {
        unimplemented!()
    }
}

/// Path of the program, built on the first call (`DF2REDIS_BIN` names another one instead).
pub fn binary() -> &'static Path {
    unimplemented!()
}

/// Runs the program to its end, at most `deadline` long.
pub fn run(_args: &[&str], _deadline: Duration) -> Output {
    unimplemented!()
}

/// A running `df2redis`.
#[derive(Debug)]
pub struct Df2redis {}

impl Df2redis {
    /// Starts `df2redis replicate` with these settings. A `dashboard.addr` on a free port and a
    /// `checkpoint.dir` in a temporary directory are added where the settings have none.
    pub fn replicate(_settings: Settings) -> Self {
        unimplemented!()
    }
    /// Starts any command with `--config` of these settings.
    pub fn spawn(_command: &str, _settings: Settings, _extra_args: &[&str]) -> Self {
        unimplemented!()
    }
    /// Starts the same command with the same configuration file again; the old process must have ended.
    pub fn again(&mut self) {
        unimplemented!()
    }
    /// The configuration file.
    pub fn config_file(&self) -> &Path {
        unimplemented!()
    }
    /// The directory of the checkpoint.
    pub fn checkpoint_dir(&self) -> &Path {
        unimplemented!()
    }
    /// `host:port` of the dashboard.
    pub fn dashboard_addr(&self) -> &str {
        unimplemented!()
    }
    /// Process id of the running process.
    pub fn pid(&self) -> u32 {
        unimplemented!()
    }
    /// Everything written to stdout and stderr by the process started last.
    pub fn output(&self) -> String {
        unimplemented!()
    }
    /// Waits for a line of the process started last that contains `pattern`, and returns it.
    pub fn wait_for_line(&self, _pattern: &str, _deadline: Duration) -> String {
        unimplemented!()
    }
    /// SIGTERM; waits up to 15 s for the end.
    pub fn terminate(&mut self) -> Output {
        unimplemented!()
    }
    /// SIGKILL; waits for the end.
    pub fn kill(&mut self) -> Output {
        unimplemented!()
    }
    /// Waits until the program ends by itself.
    pub fn wait_exit(&mut self, _deadline: Duration) -> Output {
        unimplemented!()
    }
    /// GET on the dashboard: HTTP status and body.
    pub fn http(&self, _path: &str) -> Result<(u16, String), std::io::Error> {
        unimplemented!()
    }
    /// `/api/status`.
    pub fn status(&self) -> Result<Value, std::io::Error> {
        unimplemented!()
    }
    /// Waits until the status satisfies `condition`, and returns it. Panics early, with the output, when the program ends.
    pub fn wait_until(
        &mut self,
        _deadline: Duration,
        _what: &str,
        _condition: impl Fn(&Value) -> bool,
    ) -> Value {
        unimplemented!()
    }
    /// Waits until `/readyz` says 200: stable sync.
    pub fn wait_ready(&mut self, _deadline: Duration) {
        unimplemented!()
    }
}
