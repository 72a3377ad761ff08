//! A replica that takes over without its master's last writes, and one that takes over with them.

use std::time::Duration;

use super::Cluster;
use crate::client::Client;
use crate::source::Source;
use crate::wait;

const READY: Duration = Duration::from_secs(60);

/// A megabyte, to fill the buffers between a master and its replica.
const BIG: usize = 1 << 20;

/// Where a master's history ends.
pub fn replication_offset(master: &mut Client) -> i64 {
    offset(master, "master_repl_offset")
}

/// The first offset of its predecessor's history that a new master does not have.
pub fn shared_offset(master: &mut Client) -> i64 {
    offset(master, "second_repl_offset")
}

fn offset(client: &mut Client, field: &str) -> i64 {
    client.info("replication", field).and_then(|text| text.parse().ok()).unwrap_or(-1)
}

/// A master, its replica that gets nothing any more, and the key whose large values went before.
#[derive(Debug)]
pub struct Behind {
    /// Index of the master.
    pub master: usize,
    /// Index of its replica, which stands still.
    pub replica: usize,
    /// The key.
    pub filler: String,
}

impl Behind {
    /// Stops a replica, and fills what the kernel buffers on the way to it: what follows stays with the master alone. `to` the
    /// source, or to the master itself what only its replica will miss.
    pub fn leave(cluster: &Cluster, to: Option<&Source>) -> Behind {
        let node = cluster.masters().remove(0);
        let (master, replica) = (node.index, cluster.replica_of(node.index).expect("it has a replica"));
        let (first, last) = node.slots[0];
        let here = |key: &String| (first..=last).contains(&cluster.slot_of(key.as_bytes()));
        let filler = (0..).map(|n| format!("fill:{n}")).find(here).expect("each slot has names");
        cluster.nodes()[replica].pause();
        let mut on_master = cluster.nodes()[master].client();
        let before = replication_offset(&mut on_master);
        let mut client = to.map_or_else(|| cluster.nodes()[master].client(), Source::client);
        for n in 0..32u8 {
            client.call(&[b"SET".as_slice(), filler.as_bytes(), &vec![b'a' + n % 26; BIG]]);
        }
        wait::until(READY, "the master to have what no replica gets", || {
            replication_offset(&mut on_master) > before + 31 * BIG as i64
        });
        Behind { master, replica, filler }
    }

    /// Kills the master, and its replica takes over with what it has. Returns how many bytes of its history are lost.
    pub fn take_over(&self, cluster: &mut Cluster) -> i64 {
        let had = replication_offset(&mut cluster.nodes()[self.master].client());
        cluster.kill(self.master);
        cluster.nodes()[self.replica].resume();
        let mut client = cluster.nodes()[self.replica].client();
        // It may have been elected meanwhile.
        let _ = client.try_call(&["CLUSTER", "FAILOVER", "TAKEOVER"]);
        cluster.wait_master(self.replica);
        let shared = shared_offset(&mut client);
        wait::until(READY, "the dead master to be known as such", || cluster.masters().len() == 3);
        had - shared
    }
}

impl Cluster {
    /// The replica takes over with its master's consent. Asked again where the two gave up, as they do after 5 s.
    pub fn hand_over(&self, to: usize) {
        let mut client = self.nodes()[to].client();
        let leads = |client: &mut Client| client.info("replication", "role").as_deref() == Some("master");
        for _ in 0..6 {
            wait::until(READY, "the next leader to follow", || {
                leads(&mut client)
                    || client.info("replication", "master_link_status").as_deref() == Some("up")
            });
            // Refused to who leads already.
            let _ = client.try_call(&["CLUSTER", "FAILOVER"]);
            let led = wait::try_until_some(Duration::from_secs(7), &mut || leads(&mut client).then_some(()));
            if led.is_some() {
                return self.wait_ok();
            }
        }
        panic!("no handover to node {to}");
    }
}
