//! A master with a prepared snapshot and journal, for benchmarks: both are built before the first replica
//! attaches, so that a measurement contains no time of the source.

use crate::{Error, ReplayHandle};

/// A prepared master; see [`PreparedBuilder`].
#[derive(Debug)]
pub struct Prepared;

impl Prepared {
    /// 1 000 000 strings of 100 bytes in LZ4 blobs over two flows, no journal.
    pub fn builder() -> PreparedBuilder {
        PreparedBuilder { flows: 2, keys: 1_000_000, value_len: 100, journal: 0 }
    }
}

/// Settings of a prepared master.
#[derive(Debug, Clone)]
pub struct PreparedBuilder {
    #[allow(dead_code)]
    flows: usize,
    #[allow(dead_code)]
    keys: usize,
    #[allow(dead_code)]
    value_len: usize,
    #[allow(dead_code)]
    journal: usize,
}

impl PreparedBuilder {
    /// Number of flows; keys are split over them by Dragonfly's shard function.
    pub fn flows(mut self, flows: usize) -> Self {
        self.flows = flows;
        self
    }

    /// Number of strings in the snapshot, named `key:000000000000` and so on.
    pub fn keys(mut self, keys: usize) -> Self {
        self.keys = keys;
        self
    }

    /// Length of every value in bytes.
    pub fn value_len(mut self, len: usize) -> Self {
        self.value_len = len;
        self
    }

    /// Number of SET records sent after STARTSTABLE, over all flows.
    pub fn journal(mut self, records: usize) -> Self {
        self.journal = records;
        self
    }

    /// Builds the streams in memory and starts listening on a free port of the loopback interface.
    ///
    /// # Errors
    /// [`Error::Setting`] for an impossible number of flows, [`Error::Bind`].
    pub async fn start(self) -> Result<ReplayHandle, Error> {
        Err(Error::Setting("not built yet"))
    }
}
