//! A simulated source, a real redis-server, and the program between them.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use scenarios::servers::{RedisOptions, RedisServer};
use scenarios::{program, wait};
use simulator::{Handle, Simulator};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::{Run, run};

/// For everything that happens by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// All of them.
pub(crate) struct Scene {
    // The source's tasks run on it.
    _runtime: Runtime,
    pub(crate) source: Handle,
    pub(crate) target: RedisServer,
    pub(crate) dir: TempDir,
    pub(crate) config: String,
    pub(crate) dashboard: String,
}

/// A source of two shards with some keys in databases 0 and 3, an empty target, and a configuration.
pub(crate) fn scene() -> Scene {
    let runtime = Runtime::new().unwrap();
    let source = runtime.block_on(Simulator::builder().shards(2).start()).unwrap();
    for n in 0..100 {
        source.execute(0, &["SET", &format!("key:{n}"), "value"]);
    }
    source.execute(3, &["RPUSH", "list", "a", "b"]);
    let target = RedisServer::start(RedisOptions::default());
    let dir = tempfile::tempdir().unwrap();
    let dashboard = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let file = dir.path().join("df2redis.yaml");
    let config = file.to_str().unwrap().to_owned();
    let scene = Scene { _runtime: runtime, source, target, dir, config, dashboard };
    scene.reconfigure("");
    scene
}

impl Scene {
    pub(crate) fn run(&self, command: &str, more: &[&str]) -> Run {
        let words: Vec<&str> = command.split(' ').chain(["--config", self.config.as_str()]).collect();
        run(&[&words, more].concat())
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.dir.path().join("stderr")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    pub(crate) fn start(&self, command: &str) -> Process {
        self.start_with(command, &[], &[])
    }

    /// With more arguments, and with these variables in the environment.
    pub(crate) fn start_with(&self, command: &str, more: &[&str], env: &[(&str, &str)]) -> Process {
        let mut program = Command::new(env!("CARGO_BIN_EXE_df2redis"));
        program.args([command, "--config", &self.config]).args(more).envs(env.iter().copied());
        program.stdin(Stdio::null()).stdout(Stdio::null());
        program.stderr(File::create(self.log_file()).unwrap());
        Process(program.spawn().unwrap())
    }

    /// Writes the configuration anew, with these lines behind it.
    pub(crate) fn reconfigure(&self, more: &str) {
        let text = format!(
            "source: {{addr: {}}}\ntarget: {{type: redis-standalone, addr: {}}}\ncheckpoint: {{dir: {:?}}}\ndashboard: {{addr: {:?}}}\n{more}",
            self.source.addr(),
            self.target.addr(),
            self.dir.path().join("checkpoint"),
            self.dashboard,
        );
        std::fs::write(&self.config, text).unwrap();
    }

    pub(crate) fn wait_log(&self, words: &str) {
        wait::until(PATIENCE, words, || self.log().contains(words));
    }

    pub(crate) fn wait_ready(&self) {
        wait::until(PATIENCE, "stable sync", || {
            program::get(&self.dashboard, "/readyz").is_ok_and(|(code, _)| code == 200)
        });
    }

    pub(crate) fn keys(&self, db: &str) -> i64 {
        let mut client = self.target.client();
        client.call(&["SELECT", db]);
        client.number(&["DBSIZE"])
    }
}

/// A child that never outlives its test.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([format!("-{name}"), self.0.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    pub(crate) fn ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Exit code.
    pub(crate) fn wait(&mut self) -> i32 {
        wait::until_some(PATIENCE, "the end of the program", || self.0.try_wait().unwrap()).code().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
