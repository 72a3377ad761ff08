//! A real Dragonfly, where the environment names one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::Value;
use tempfile::TempDir;

use super::free_port;
use super::process::Process;
use crate::client::{Client, Endpoint, as_number};
use crate::wait;

const START_DEADLINE: Duration = Duration::from_secs(30);

/// What a test prints after its name when there is no Dragonfly.
pub const SKIP_WITHOUT_DRAGONFLY: &str = "DRAGONFLY_BIN is not set";

/// How a Dragonfly is started. The default has two threads.
#[derive(Debug, Clone)]
pub struct DragonflyOptions {
    /// Shards, and so flows: `--proactor_threads`.
    pub threads: usize,
    /// `--requirepass`.
    pub password: Option<String>,
    /// Further flags, e.g. `--compression_mode=2`.
    pub flags: Vec<String>,
}

impl Default for DragonflyOptions {
    fn default() -> Self {
        Self { threads: 2, password: None, flags: Vec::new() }
    }
}

/// A running Dragonfly. It gets SIGKILL on drop and its directory goes with it.
#[derive(Debug)]
pub struct Dragonfly {
    binary: PathBuf,
    options: DragonflyOptions,
    dir: TempDir,
    port: u16,
    process: Process,
}

impl Dragonfly {
    /// Starts the Dragonfly that `DRAGONFLY_BIN` names; without it prints
    /// `SKIPPED <test name>: DRAGONFLY_BIN is not set` and returns `None`.
    pub fn start_or_skip(test_name: &str, options: DragonflyOptions) -> Option<Self> {
        let Some(binary) = std::env::var_os("DRAGONFLY_BIN").filter(|value| !value.is_empty()) else {
            eprintln!("SKIPPED {test_name}: {SKIP_WITHOUT_DRAGONFLY}");
            return None;
        };
        let binary = PathBuf::from(binary);
        let dir = TempDir::new().expect("a temporary directory");
        let port = free_port();
        let process = spawn(&binary, &options, dir.path(), port);
        let mut dragonfly = Self { binary, options, dir, port, process };
        dragonfly.wait_answering();
        Some(dragonfly)
    }

    fn wait_answering(&mut self) {
        let up = wait::try_until_some(START_DEADLINE, &mut || {
            assert!(self.process.ended().is_none(), "Dragonfly ended at its start:\n{}", self.log());
            Client::open(&self.endpoint()).ok()?.try_call(&["PING"]).ok()
        });
        assert!(up.is_some(), "Dragonfly does not answer on {}:\n{}", self.addr(), self.log());
    }

    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port with the login of the default user.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { password: self.options.password.clone(), ..Endpoint::new(self.addr()) }
    }

    /// A new connection, logged in.
    pub fn client(&self) -> Client {
        let endpoint = self.endpoint();
        Client::open(&endpoint).unwrap_or_else(|e| panic!("no connection to {}: {e}", endpoint.addr))
    }

    /// `DFLY REPLICAOFFSET`: the next LSN of every flow.
    pub fn next_lsns(&self) -> Vec<u64> {
        next_lsns(&mut self.client())
    }

    /// Everything it logged since it was last started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGSTOP: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.process.signal("STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.signal("CONT");
    }

    /// Kills it if it runs and starts it again, empty, on the same port.
    pub fn restart(&mut self) {
        self.kill();
        self.process = spawn(&self.binary, &self.options, self.dir.path(), self.port);
        self.wait_answering();
    }
}

/// `DFLY REPLICAOFFSET` of any master that speaks it: the next LSN of every flow.
pub fn next_lsns(client: &mut Client) -> Vec<u64> {
    let reply = client.call(&["DFLY", "REPLICAOFFSET"]);
    let Value::Array(offsets) = &reply else { panic!("DFLY REPLICAOFFSET: {reply:?}") };
    let lsn = |value: &Value| as_number(value).and_then(|number| u64::try_from(number).ok());
    offsets.iter().map(|offset| lsn(offset).unwrap_or_else(|| panic!("no LSN: {reply:?}"))).collect()
}

fn spawn(binary: &Path, options: &DragonflyOptions, dir: &Path, port: u16) -> Process {
    let mut args = vec![
        format!("--port={port}"),
        "--bind=127.0.0.1".to_owned(),
        format!("--proactor_threads={}", options.threads),
        // No snapshot file: a restarted Dragonfly is an empty one.
        "--dbfilename=".to_owned(),
        format!("--dir={}", dir.display()),
        "--logtostderr".to_owned(),
        // The default wants 256 MiB per thread of the memory that is free at the start.
        format!("--maxmemory={}mb", 512 * options.threads.max(1)),
        "--version_check=false".to_owned(),
    ];
    if let Some(password) = &options.password {
        args.push(format!("--requirepass={password}"));
    }
    args.extend(options.flags.iter().cloned());
    let log = dir.join("log");
    Process::spawn(binary, args, dir, &log, &log)
}
