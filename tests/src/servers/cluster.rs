//! A real Redis Cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::Value;

use super::{RedisOptions, RedisServer};
use crate::client::{Client, Endpoint, as_text};
use crate::wait;

/// How long the cluster may take to form or to agree on a change.
const DEADLINE: Duration = Duration::from_secs(40);

/// Number of hash slots of a cluster.
const SLOTS: usize = 16_384;

/// How a cluster is formed. The default has three masters without replicas.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Masters; the slots are dealt evenly in ranges, in order.
    pub masters: usize,
    /// Replicas of each master.
    pub replicas_per_master: usize,
    /// Options of every node.
    pub node: RedisOptions,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self { masters: 3, replicas_per_master: 0, node: RedisOptions::default() }
    }
}

/// What `CLUSTER NODES` says about one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// Index into [`Cluster::nodes`].
    pub index: usize,
    /// Node id, 40 hex digits.
    pub id: String,
    /// `127.0.0.1:port`.
    pub addr: String,
    /// `None` for a master, else the id of the master it follows.
    pub master_id: Option<String>,
    /// Slot ranges it owns, both ends included.
    pub slots: Vec<(u16, u16)>,
    /// Whether the asked node considers it failed.
    pub failed: bool,
}

/// By node id: the master it follows, the slots it owns.
type Roles = BTreeMap<String, (Option<String>, Vec<(u16, u16)>)>;

/// A running cluster; all nodes end with it.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<RedisServer>,
}

impl Cluster {
    /// Starts the nodes, joins them, waits until every node says `cluster_state:ok` and every replica is linked.
    pub fn start(options: ClusterOptions) -> Self {
        let count = options.masters * (1 + options.replicas_per_master);
        let node = RedisOptions { cluster: true, ..options.node };
        let mut nodes: Vec<_> = (0..count).map(|_| RedisServer::launch(node.clone())).collect();
        for node in &mut nodes {
            node.wait_answering();
        }
        let cluster = Self { nodes };
        cluster.join(options.masters);
        cluster.wait_ok();
        cluster
    }

    /// Three masters with one replica each: what failover tests need.
    pub fn with_replicas() -> Self {
        Self::start(ClusterOptions { replicas_per_master: 1, ..ClusterOptions::default() })
    }

    fn join(&self, masters: usize) {
        for (index, node) in self.nodes.iter().enumerate() {
            let mut client = node.client();
            // Distinct epochs from the start spare the nodes their collision resolution.
            client.call(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            if index < masters {
                let first = SLOTS * index / masters;
                let last = SLOTS * (index + 1) / masters - 1;
                client.call(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            }
        }
        let mut first = self.nodes[0].client();
        for node in &self.nodes[1..] {
            let bus = node.bus_port().expect("a cluster node has a bus port");
            first.call(&["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string(), &bus.to_string()]);
        }
        wait::until(DEADLINE, "every node knows every other", || {
            self.nodes.iter().all(|node| {
                let text = node.client().text(&["CLUSTER", "NODES"]);
                text.lines().count() == self.nodes.len() && !text.contains("handshake")
            })
        });
        for (index, node) in self.nodes.iter().enumerate().skip(masters) {
            let master = self.nodes[(index - masters) % masters].client().text(&["CLUSTER", "MYID"]);
            node.client().call(&["CLUSTER", "REPLICATE", &master]);
        }
    }

    /// Waits until every running node says `cluster_state:ok`, all of them agree on the slots' owners and
    /// on who follows whom, and the replicas that run are linked to their masters.
    pub fn wait_ok(&self) {
        wait::until(DEADLINE, "cluster_state:ok and linked replicas on every node", || {
            let mut views = Vec::new();
            for node in &self.nodes {
                let Ok(mut client) = Client::open(&node.endpoint()) else { continue };
                let Ok(state) = client.try_call(&["CLUSTER", "INFO"]) else { return false };
                if !as_text(&state).is_some_and(|text| text.contains("cluster_state:ok")) {
                    return false;
                }
                if client.info("replication", "master_link_status").is_some_and(|link| link != "up") {
                    return false;
                }
                views.push(self.view(&mut client));
            }
            let roles = |view: &[NodeInfo]| -> Roles {
                let alive = view.iter().filter(|node| !node.failed);
                alive.map(|node| (node.id.clone(), (node.master_id.clone(), node.slots.clone()))).collect()
            };
            let Some(first) = views.first() else { return false };
            let covered: usize =
                first.iter().flat_map(|n| &n.slots).map(|(a, b)| usize::from(b - a) + 1).sum();
            covered == SLOTS && views.iter().all(|view| roles(view) == roles(first))
        });
    }

    /// All servers; the masters of the start come first, then the replicas in the order of their masters.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// One server, to kill, pause or restart it.
    pub fn node_mut(&mut self, index: usize) -> &mut RedisServer {
        &mut self.nodes[index]
    }

    /// SIGKILL to one node.
    pub fn kill(&mut self, index: usize) {
        self.nodes[index].kill();
    }

    /// `host:port` of every node.
    pub fn seeds(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::addr).collect()
    }

    /// All nodes as the first node that answers sees them now.
    pub fn infos(&self) -> Vec<NodeInfo> {
        let mut client = self.nodes.iter().find_map(|node| Client::open(&node.endpoint()).ok());
        self.view(client.as_mut().expect("a node of the cluster answers"))
    }

    /// The masters as the cluster sees them now, failed ones left out.
    pub fn masters(&self) -> Vec<NodeInfo> {
        self.infos().into_iter().filter(|node| node.master_id.is_none() && !node.failed).collect()
    }

    /// The replicas as the cluster sees them now, failed ones left out.
    pub fn replicas(&self) -> Vec<NodeInfo> {
        self.infos().into_iter().filter(|node| node.master_id.is_some() && !node.failed).collect()
    }

    /// Index of a replica of the master with this index.
    pub fn replica_of(&self, master: usize) -> Option<usize> {
        let infos = self.infos();
        let id = infos.iter().find(|node| node.index == master)?.id.clone();
        infos.iter().find(|node| node.master_id.as_ref() == Some(&id) && !node.failed).map(|node| node.index)
    }

    /// Endpoints of the masters as the cluster sees them now.
    pub fn master_endpoints(&self) -> Vec<Endpoint> {
        self.masters().iter().map(|node| self.nodes[node.index].endpoint()).collect()
    }

    /// Index of the master that owns `slot` now.
    pub fn master_of(&self, slot: u16) -> usize {
        let owner = |node: &NodeInfo| node.slots.iter().any(|&(first, last)| (first..=last).contains(&slot));
        self.masters().iter().find(|node| owner(node)).expect("every slot has an owner").index
    }

    /// The slot of a key, as a node computes it.
    pub fn slot_of(&self, key: &[u8]) -> u16 {
        let slot = self.any_client().number(&[b"CLUSTER".as_slice(), b"KEYSLOT", key]);
        u16::try_from(slot).expect("a slot is below 16384")
    }

    /// A connection to the master that owns `key`.
    pub fn client_for(&self, key: &[u8]) -> Client {
        self.nodes[self.master_of(self.slot_of(key))].client()
    }

    /// Moves a slot with its keys to the master `to`: [`Cluster::begin_slot_migration`],
    /// [`Cluster::move_keys`] until none is left, [`Cluster::finish_slot_migration`].
    pub fn migrate_slot(&self, slot: u16, to: usize) {
        let from = self.begin_slot_migration(slot, to);
        while self.move_keys(slot, from, to, 100) > 0 {}
        self.finish_slot_migration(slot, from, to);
    }

    /// Marks the slot MIGRATING at its owner and IMPORTING at `to`, and returns the owner: what it no longer
    /// has now answers ASK, a command over keys on both sides TRYAGAIN.
    pub fn begin_slot_migration(&self, slot: u16, to: usize) -> usize {
        let from = self.master_of(slot);
        assert_ne!(from, to, "slot {slot} is already there");
        let slot = slot.to_string();
        self.nodes[to].client().call(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.id_of(from)]);
        self.nodes[from].client().call(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.id_of(to)]);
        from
    }

    /// Moves up to `count` keys of the slot and returns how many there were.
    pub fn move_keys(&self, slot: u16, from: usize, to: usize, count: usize) -> usize {
        let mut source = self.nodes[from].client();
        let listed = source.call(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &count.to_string()]);
        let Value::Array(keys) = listed else { panic!("GETKEYSINSLOT: {listed:?}") };
        if keys.is_empty() {
            return 0;
        }
        let target = self.nodes[to].port().to_string();
        let mut command: Vec<Vec<u8>> =
            ["MIGRATE", "127.0.0.1", &target, "", "0", "5000"].map(|word| word.as_bytes().to_vec()).into();
        if let Some(password) = self.nodes[to].endpoint().password {
            command.extend([b"AUTH".to_vec(), password.into_bytes()]);
        }
        command.push(b"KEYS".to_vec());
        let moved = keys.len();
        for key in keys {
            let Value::BulkString(key) = key else { panic!("not a key: {key:?}") };
            command.push(key);
        }
        source.call(&command);
        moved
    }

    /// Gives the slot to `to`: the old owner now answers MOVED.
    pub fn finish_slot_migration(&self, slot: u16, from: usize, to: usize) {
        let id = self.id_of(to);
        let slot_text = slot.to_string();
        // The new owner first: if the old one forgot the slot before, nobody would own it for a moment.
        for index in [to, from] {
            self.nodes[index].client().call(&["CLUSTER", "SETSLOT", &slot_text, "NODE", &id]);
        }
        self.wait_ok();
        assert_eq!(self.master_of(slot), to);
    }

    /// Makes the replica `index` the master by `CLUSTER FAILOVER` (its master agrees and loses nothing), and
    /// waits until all nodes agree.
    pub fn failover(&self, index: usize) {
        self.nodes[index].client().call(&["CLUSTER", "FAILOVER"]);
        self.wait_master(index);
        self.wait_ok();
    }

    /// Waits until the node says of itself that it is a master, as after its master was killed.
    pub fn wait_master(&self, index: usize) {
        wait::until(DEADLINE, "the replica has become a master", || {
            self.nodes[index].client().info("replication", "role").as_deref() == Some("master")
        });
    }

    fn id_of(&self, index: usize) -> String {
        self.nodes[index].client().text(&["CLUSTER", "MYID"])
    }

    fn any_client(&self) -> Client {
        let found = self.nodes.iter().find_map(|node| Client::open(&node.endpoint()).ok());
        found.expect("a node of the cluster answers")
    }

    fn view(&self, client: &mut Client) -> Vec<NodeInfo> {
        let text = client.text(&["CLUSTER", "NODES"]);
        text.lines().filter_map(|line| self.parse_node(line)).collect()
    }

    /// One line of `CLUSTER NODES`: id, address@bus, flags, master or `-`, three counters, link state, slots.
    fn parse_node(&self, line: &str) -> Option<NodeInfo> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let addr = words.get(1)?.split('@').next()?.to_owned();
        let index = self.nodes.iter().position(|node| node.addr() == addr)?;
        let slots = words.iter().skip(8).filter(|word| !word.starts_with('[')).map(|word| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            (first.parse().expect("a slot"), last.parse().expect("a slot"))
        });
        Some(NodeInfo {
            index,
            id: words[0].to_owned(),
            addr,
            master_id: (words[3] != "-").then(|| words[3].to_owned()),
            slots: slots.collect(),
            failed: words[2].split(',').any(|flag| flag == "fail"),
        })
    }
}
