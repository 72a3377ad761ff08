//! A real Dragonfly, where the environment names one.

use crate::client::{Client, Endpoint};

/// What a test prints, after its name, when there is no Dragonfly.
pub const SKIP_WITHOUT_DRAGONFLY: &str = "DRAGONFLY_BIN is not set";

/// How a Dragonfly is started.
#[derive(Debug, Clone)]
pub struct DragonflyOptions {
    /// Shards, and so flows: `--proactor_threads`.
    pub threads: usize,
    /// `--requirepass`.
    pub password: Option<String>,
    /// Further flags, e.g. `--compression_mode=2`.
    pub flags: Vec<String>,
}

/// A running Dragonfly.
#[derive(Debug)]
pub struct Dragonfly {}

impl Dragonfly {
    /// Starts the Dragonfly that `DRAGONFLY_BIN` names; without it prints
    /// `SKIPPED <test name>: DRAGONFLY_BIN is not set` and returns `None`.
    pub fn start_or_skip(_test_name: &str, _options: DragonflyOptions) -> Option<Self> {
        unimplemented!()
    }
    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        unimplemented!()
    }
    /// The port with the login of the default user.
    pub fn endpoint(&self) -> Endpoint {
        unimplemented!()
    }
    /// A new connection, logged in.
    pub fn client(&self) -> Client {
        unimplemented!()
    }
    /// `DFLY REPLICAOFFSET`: the next LSN of every flow.
    pub fn next_lsns(&self) -> Vec<u64> {
        unimplemented!()
    }
    /// SIGKILL.
    pub fn kill(&mut self) {
        unimplemented!()
    }
    /// Kills it if it runs and starts it again, empty, on the same port.
    pub fn restart(&mut self) {
        unimplemented!()
    }
}
