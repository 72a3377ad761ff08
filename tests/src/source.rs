//! Masters to replicate from: the live simulator always, a real Dragonfly where the environment names one.

use simulator::{Handle, Release, Simulator};
use tokio::runtime::Runtime;

use crate::client::{Client, Endpoint};
use crate::servers::{Dragonfly, DragonflyOptions, next_lsns};

/// A master that ordinary clients can write to.
#[derive(Debug)]
pub enum Source {
    /// Our own; its runtime lives as long as it.
    Simulated {
        /// Faults, restarts, ACKs.
        handle: Option<Handle>,
        /// Runs it.
        runtime: Runtime,
    },
    /// The real one.
    Real(Box<Dragonfly>),
}

impl Source {
    /// A simulator with this many shards.
    pub fn simulated(release: Release, shards: usize) -> Source {
        Self::simulated_with(|builder| builder.release(release).shards(shards))
    }

    /// A simulator with settings of its own.
    pub fn simulated_with(settings: impl FnOnce(simulator::Builder) -> simulator::Builder) -> Source {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads for the simulator");
        let handle = runtime.block_on(settings(Simulator::builder()).start()).expect("a simulator");
        Source::Simulated { handle: Some(handle), runtime }
    }

    /// Every kind of source there is: release 1.40 simulated, and a real Dragonfly if `DRAGONFLY_BIN` names one;
    /// otherwise the test's name is printed as skipped for it.
    pub fn each(test: &str, shards: usize) -> impl Iterator<Item = Source> + use<> {
        let test = test.to_owned();
        (0..2).filter_map(move |kind| match kind {
            0 => Some(Self::simulated(Release::V1_40, shards)),
            _ => {
                let options = DragonflyOptions { threads: shards, ..DragonflyOptions::default() };
                let dragonfly = Dragonfly::start_or_skip(&format!("{test} with a real Dragonfly"), options)?;
                Some(Source::Real(Box::new(dragonfly)))
            }
        })
    }

    /// What it is, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Source::Simulated { .. } => "simulator",
            Source::Real(_) => "Dragonfly",
        }
    }

    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        match self {
            Source::Simulated { handle, .. } => {
                handle.as_ref().map(|h| h.addr().to_string()).unwrap_or_default()
            }
            Source::Real(dragonfly) => dragonfly.addr(),
        }
    }

    /// For ordinary clients.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.addr())
    }

    /// A new ordinary client.
    pub fn client(&self) -> Client {
        let endpoint = self.endpoint();
        Client::open(&endpoint).unwrap_or_else(|e| panic!("no connection to {}: {e}", endpoint.addr))
    }

    /// The next LSN of every flow.
    pub fn next_lsns(&self) -> Vec<u64> {
        next_lsns(&mut self.client())
    }

    /// The simulator's handle.
    ///
    /// # Panics
    /// For a real Dragonfly.
    pub fn handle(&self) -> &Handle {
        match self {
            Source::Simulated { handle: Some(handle), .. } => handle,
            _ => panic!("only a simulator has a handle"),
        }
    }

    /// Restarts it empty, under a new replication id, on the same port.
    pub fn restart_empty(&mut self) {
        match self {
            Source::Simulated { handle: Some(handle), runtime } => runtime.block_on(handle.restart(false)),
            Source::Simulated { handle: None, .. } => {}
            Source::Real(dragonfly) => dragonfly.restart(),
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Source::Simulated { handle, runtime } = self
            && let Some(handle) = handle.take()
        {
            runtime.block_on(handle.stop());
        }
    }
}
