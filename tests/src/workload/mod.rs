//! Writers with a seed, and quick filling.

use std::collections::BTreeMap;

use crate::client::Endpoint;

/// Which commands a writer uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only commands that may be repeated in order without changing the result.
    Idempotent,
    /// All of them: counters, appends, pops, renames within a slot.
    Full,
}

/// What a writer does.
#[derive(Debug, Clone)]
pub struct Options {
    /// Seed; printed at the start.
    pub seed: u64,
    /// Keys per type and database.
    pub keys: u32,
    /// Databases written to.
    pub dbs: Vec<u32>,
    /// Which commands.
    pub mode: Mode,
    /// Commands per pipeline.
    pub depth: usize,
    /// Commands per second at most; `None` is as fast as it goes.
    pub rate: Option<u32>,
    /// Whether keys in `short:` expire within a few hundred milliseconds.
    pub short_ttls: bool,
}

/// What a writer did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Commands answered.
    pub commands: u64,
    /// Error replies by their first words, with how many there were.
    pub errors: BTreeMap<String, u64>,
}

/// A running writer; it stops on drop.
#[derive(Debug)]
pub struct Workload {}

impl Workload {
    /// Starts a thread that writes to `endpoint` until it is stopped.
    pub fn start(_endpoint: &Endpoint, _options: Options) -> Self {
        unimplemented!()
    }
    /// Commands answered so far.
    pub fn count(&self) -> u64 {
        unimplemented!()
    }
    /// Waits until `more` further commands were answered.
    pub fn wait_for(&self, _more: u64) {
        unimplemented!()
    }
    /// Lets the pipeline under way finish, stops, and reports.
    pub fn stop(self) -> Report {
        unimplemented!()
    }
}

/// Loads `n` keys of mixed types over the databases, pipelined; the same seed gives the same keys.
pub fn fill(_endpoint: &Endpoint, _n: u32, _dbs: &[u32], _seed: u64) {
    unimplemented!()
}
