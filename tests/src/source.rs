//! Masters to replicate from: the live simulator always, a real Dragonfly where the environment names one.

use simulator::{Release, Simulator};

use crate::client::{Client, Endpoint};
use crate::servers::{Dragonfly, DragonflyOptions, Simulated};

/// A master that ordinary clients can write to.
#[derive(Debug)]
pub enum Source {
    /// Our own.
    Simulated(Simulated),
    /// The real one.
    Real(Box<Dragonfly>),
}

impl Source {
    /// A simulator with this many shards.
    pub fn simulated(release: Release, shards: usize) -> Source {
        Source::Simulated(Simulated::start_with(Simulator::builder().release(release).shards(shards)))
    }

    /// Every kind of source there is: release 1.40 simulated, and a real Dragonfly if `DRAGONFLY_BIN` names one;
    /// otherwise the test's name is printed as skipped for it.
    pub fn each(test: &str, shards: usize) -> impl Iterator<Item = Source> + use<> {
        let test = test.to_owned();
        (0..2).filter_map(move |kind| match kind {
            0 => Some(Self::simulated(Release::V1_40, shards)),
            _ => {
                // Left on, v1.40.1 loses deletions to every replica, its own included: during a full sync GETSET of a key
                // that the snapshot has not reached is journaled, and a DEL of it afterwards is left out.
                let flags = vec!["--journal_omit_redundant_writes=false".to_owned()];
                let options = DragonflyOptions { threads: shards, flags, ..DragonflyOptions::default() };
                let dragonfly = Dragonfly::start_or_skip(&format!("{test} with a real Dragonfly"), options)?;
                Some(Source::Real(Box::new(dragonfly)))
            }
        })
    }

    /// What it is, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Source::Simulated(_) => "simulator",
            Source::Real(_) => "Dragonfly",
        }
    }

    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        match self {
            Source::Simulated(simulated) => simulated.addr(),
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

    /// Restarts it empty, under a new replication id, on the same port.
    pub fn restart_empty(&mut self) {
        match self {
            Source::Simulated(simulated) => simulated.restart(false),
            Source::Real(dragonfly) => dragonfly.restart(),
        }
    }
}
