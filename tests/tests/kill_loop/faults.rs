//! What goes wrong besides the kills.

use std::time::Duration;

use scenarios::client::Client;
use scenarios::servers::{Cluster, Link};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;
use scenarios::workload::Rng;

/// Which faults a loop has. Connections to nodes of the target are cut in each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// No others; few keys too, so that some are in doubt all the time.
    Plain,
    /// FLUSHALL and FLUSHDB among the writes.
    Flushes,
    /// The connections to the source break.
    Links,
    /// Replicas of the target take over, with and without their master's last writes.
    Failovers,
    /// All of these.
    Everything,
}

impl Variant {
    pub(crate) fn flushes(self) -> bool {
        matches!(self, Variant::Flushes | Variant::Everything)
    }

    pub(crate) fn links(self) -> bool {
        matches!(self, Variant::Links | Variant::Everything)
    }

    pub(crate) fn failovers(self) -> bool {
        matches!(self, Variant::Failovers | Variant::Everything)
    }

    /// The target that it needs.
    pub(crate) fn target(self) -> Target {
        Target::Cluster(match self.failovers() {
            true => Cluster::with_replicas(),
            false => Cluster::start(Default::default()),
        })
    }
}

/// Empties the source, or one of its databases.
pub(crate) fn flush(source: &Source, rng: &mut Rng) {
    let mut client = source.client();
    if rng.chance(50) {
        client.call(&["FLUSHALL"]);
    } else {
        client.call(&["SELECT", "1"]);
        client.call(&["FLUSHDB"]);
    }
}

/// Breaks the connections to the source, once or several times in a row.
pub(crate) fn break_links(link: &Link, rng: &mut Rng) {
    for _ in 0..=rng.below(3) {
        link.cut();
        wait::pace(Duration::from_millis(rng.below(150)));
    }
}

/// A replica of the target becomes the master of its slots.
pub(crate) fn fail_over(target: &Target, rng: &mut Rng) {
    let cluster = cluster(target);
    let masters = cluster.masters();
    let Some(replica) = cluster.replica_of(rng.pick(&masters).index) else { return };
    if rng.chance(30) {
        cluster.hand_over(replica);
        return;
    }
    // It stands still for a moment, and takes over before it has heard of what its master did meanwhile.
    let node = &cluster.nodes()[replica];
    let mut client = node.client();
    node.pause();
    wait::pace(Duration::from_millis(rng.below(150)));
    client.queue(&["CLUSTER", "FAILOVER", "TAKEOVER"]);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| client.flush());
        wait::pace(Duration::from_millis(3));
        node.resume();
        asked.join().unwrap().unwrap();
    });
    cluster.wait_master(replica);
    cluster.wait_ok();
}

/// Kills the connections that clients have to a node of the target.
pub(crate) fn cut(target: &Target, rng: &mut Rng) {
    let node = rng.pick(cluster(target).nodes());
    let mut killer: Client = node.client();
    killer.queue(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    // So near, replies come at once. In a node that stands still for a moment, many commands are caught.
    let still = rng.chance(50);
    if still {
        node.pause();
        wait::pace(Duration::from_millis(20 + rng.below(100)));
    }
    let killed = std::thread::scope(|scope| {
        let killed = scope.spawn(|| killer.flush());
        if still {
            // Sooner or later than the node goes on: both are moments to be cut at.
            node.resume();
        }
        killed.join().unwrap()
    });
    killed.unwrap();
}

fn cluster(target: &Target) -> &Cluster {
    let Target::Cluster(cluster) = target else { unreachable!("the target is a cluster") };
    cluster
}
