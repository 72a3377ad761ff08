//! Targets of either kind, and what they must hold of a source.

use std::cell::RefCell;
use std::time::Duration;

use crate::client::{Client, Endpoint};
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
            Target::Cluster(cluster) => {
                // A node may be named a master for a moment after it died. Left out, its keys are missing, and whoever
                // waits for equality looks again.
                let mut masters = cluster.master_endpoints();
                masters.retain(|endpoint| Client::open(endpoint).is_ok());
                read_cluster(&masters)
            }
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

    /// [`Target::assert_equal`] after Redis's own MIGRATE: it hands over the time that is left, and so moves an expiry by
    /// a millisecond or two. Within ten they count as equal here.
    pub fn assert_nearly_equal(&self, source: &Source) -> usize {
        let endpoint = source.endpoint();
        let expected = RefCell::new(Contents::new());
        let read_expected = || {
            expected.replace(self.expected(&endpoint));
            expected.borrow().clone()
        };
        let keys = wait_equal(EQUAL, read_expected, || near_expiries(self.read(), &expected.borrow()));
        println!("{}: {keys} keys nearly equal", source.name());
        keys
    }
}

fn near_expiries(mut actual: Contents, expected: &Contents) -> Contents {
    for (name, logical) in &mut actual {
        let Some(wanted) = expected.get(name).and_then(|e| e.expire_at_ms) else { continue };
        if logical.expire_at_ms.is_some_and(|at| at.abs_diff(wanted) <= 10) {
            logical.expire_at_ms = Some(wanted);
        }
    }
    actual
}
