//! Targets of either kind, and what they must hold of a source.

use std::time::Duration;

use crate::client::Endpoint;
use crate::logical::{Contents, mapped, prefixed, read_cluster, read_server, wait_equal};
use crate::program::Settings;
use crate::servers::{Cluster, ClusterOptions, RedisOptions, RedisServer};
use crate::source::Source;

const EQUAL: Duration = Duration::from_secs(60);

/// A target of either kind.
#[derive(Debug)]
pub enum Target {
    /// One server; databases are kept.
    Standalone(RedisServer),
    /// A cluster; databases above 0 become prefixes.
    Cluster(Cluster),
}

impl Target {
    /// One of each kind.
    pub fn both() -> impl Iterator<Item = Target> {
        (0..2).map(|kind| match kind {
            0 => Target::Standalone(RedisServer::start(RedisOptions::default())),
            _ => Target::Cluster(Cluster::start(ClusterOptions::default())),
        })
    }

    /// A configuration from `source` to this target, with a checkpoint every second.
    pub fn settings(&self, source: &Source) -> Settings {
        let settings = match self {
            Target::Standalone(server) => {
                Settings::replicate(&source.addr(), "redis-standalone", &[server.addr()])
            }
            Target::Cluster(cluster) => {
                Settings::replicate(&source.addr(), "redis-cluster", &cluster.seeds())
            }
        };
        settings.set("checkpoint.interval", 1)
    }

    /// What it holds.
    pub fn read(&self) -> Contents {
        match self {
            Target::Standalone(server) => read_server(&server.endpoint()),
            Target::Cluster(cluster) => read_cluster(&cluster.master_endpoints()),
        }
    }

    /// What it must hold of what the source has.
    pub fn expected(&self, source: &Endpoint) -> Contents {
        let contents = read_server(source);
        match self {
            Target::Standalone(_) => contents,
            Target::Cluster(_) => mapped(&contents, prefixed),
        }
    }

    /// Waits until it holds what the source has, and returns how many keys that are.
    pub fn assert_equal(&self, source: &Source) -> usize {
        let endpoint = source.endpoint();
        let keys = wait_equal(EQUAL, || self.expected(&endpoint), || self.read());
        println!("{}: {keys} keys equal", source.name());
        keys
    }
}
