//! The target: one server or a cluster.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::Duration;

use command::{Dialect, Restore};
use resp::{ConnectOptions, Connection, Reply};
use tracing::{debug, warn};

use crate::error::Error;
use crate::probe;
use crate::topology::{Range, address, info_field, ranges};

/// Slots of a Redis Cluster.
pub const SLOTS: usize = command::slot::SLOTS as usize;

/// What kind of server the configuration expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A Redis Cluster.
    Cluster,
    /// One server without cluster mode.
    Standalone,
    /// Whatever answers.
    Either,
}

/// How the target is reached.
#[derive(Debug, Clone)]
pub struct TargetOptions {
    /// What kind it must be.
    pub expected: Expected,
    /// At least one address; login and TLS are the same for every node.
    pub seeds: Vec<ConnectOptions>,
}

/// Number of a node, given in the order in which nodes were met; never given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u16);

impl NodeId {
    /// No node.
    pub const NONE: NodeId = NodeId(u16::MAX);

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which target this is, for the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// One server.
    Standalone {
        /// The configured `host:port`.
        address: String,
        /// Its `run_id` when it was last asked.
        run_id: String,
    },
    /// A cluster.
    Cluster {
        /// Node ids of the masters and their replicas, sorted: each of them may be a master later.
        node_ids: Vec<String>,
    },
}

#[derive(Debug)]
struct Node {
    addr: String,
}

/// The target's servers, shared by all flows.
#[derive(Debug)]
pub struct Target {
    seeds: Vec<ConnectOptions>,
    cluster: bool,
    dialect: Dialect,
    nodes: RwLock<Vec<Node>>,
    owners: Box<[AtomicU16]>,
    identity: Mutex<Identity>,
    refreshing: AtomicBool,
    databases: Mutex<BTreeSet<u32>>,
    /// What connections that write are called.
    name: Mutex<Option<String>>,
    /// A node did not take the name.
    name_refused: AtomicBool,
}

impl Target {
    /// Connects to the first seed that answers and learns what it is.
    ///
    /// # Errors
    /// The wrong kind of server ([`Error::NotACluster`], [`Error::IsACluster`]), missing slots, or the error of the last
    /// seed.
    pub async fn connect(options: &TargetOptions) -> Result<Arc<Target>, Error> {
        let mut last = None;
        for seed in &options.seeds {
            match Self::probe(options, seed).await {
                Ok(target) => return Ok(target),
                Err(error @ (Error::NotACluster { .. } | Error::IsACluster { .. })) => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        let last = last.expect("the configuration names at least one address");
        Err(if options.seeds.len() == 1 { last } else { Error::NoSeed(Box::new(last)) })
    }

    async fn probe(options: &TargetOptions, seed: &ConnectOptions) -> Result<Arc<Target>, Error> {
        let mut connection = Connection::open(seed).await?;
        let reply = ask(&mut connection, &["INFO"]).await?;
        let info = reply.as_str().unwrap_or_default();
        let cluster = info_field(info, "cluster_enabled") == Some("1");
        let addr = seed.addr.clone();
        match (options.expected, cluster) {
            (Expected::Cluster, false) => return Err(Error::NotACluster { addr }),
            (Expected::Standalone, true) => return Err(Error::IsACluster { addr }),
            _ => {}
        }
        let dialect = probe::dialect(&mut connection, info, cluster).await?;
        let run_id = info_field(info, "run_id").unwrap_or_default().to_owned();
        let mut target = Target {
            seeds: options.seeds.clone(),
            cluster,
            dialect,
            nodes: RwLock::new(vec![Node { addr: addr.clone() }]),
            owners: (0..SLOTS).map(|_| AtomicU16::new(if cluster { NodeId::NONE.0 } else { 0 })).collect(),
            // The first configured address names the target, whichever of them answered.
            identity: Mutex::new(Identity::Standalone { address: options.seeds[0].addr.clone(), run_id }),
            refreshing: AtomicBool::new(false),
            databases: Mutex::new(BTreeSet::from([0])),
            name: Mutex::new(None),
            name_refused: AtomicBool::new(false),
        };
        if cluster {
            target.adopt(&slots(&mut connection).await?);
            let missing =
                target.owners.iter().filter(|o| o.load(Ordering::Relaxed) == NodeId::NONE.0).count();
            if missing > 0 {
                return Err(Error::SlotsMissing { addr, missing });
            }
        }
        let restore = target.restore().await?;
        target.dialect = target.dialect.restoring(restore);
        probe::tell(&addr, &target.dialect);
        Ok(Arc::new(target))
    }

    /// What `RESTORE` takes on every node; `None` where one does not tell.
    async fn restore(&self) -> Result<Option<Restore>, Error> {
        let mut all: Option<Restore> = None;
        for node in self.masters() {
            let mut connection = self.open_addr(&self.address(node)).await?;
            let is_here = |name: &str| !self.cluster || self.owner(command::slot(name.as_bytes())) == node;
            let Some(found) = probe::restore(&mut connection, is_here).await? else { return Ok(None) };
            all = Some(match all {
                None => found,
                Some(all) => Restore {
                    kinds: all.kinds.intersection(&found.kinds).copied().collect(),
                    version: all.version.min(found.version),
                },
            });
        }
        Ok(all)
    }

    /// Whether the target is a cluster.
    pub fn is_cluster(&self) -> bool {
        self.cluster
    }

    /// What the target understands.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Which target this is, as last seen.
    pub fn identity(&self) -> Identity {
        lock(&self.identity).clone()
    }

    /// What every connection that writes is called from now on (`CLIENT SETNAME`); without blanks. The process that
    /// comes after a crash ends them by it: [`Target::retire`].
    pub fn set_name(&self, name: impl Into<String>) {
        *lock(&self.name) = Some(name.into());
    }

    /// Whether a node did not let its connections be named: [`Target::retire`] will not find them there.
    pub fn name_refused(&self) -> bool {
        self.name_refused.load(Ordering::Relaxed)
    }

    /// A connection to `node`, logged in, on database 0, called as [`Target::set_name`] says.
    pub async fn open(&self, node: NodeId) -> Result<Connection, Error> {
        let name = lock(&self.name).clone();
        self.open_as(node, name.as_deref()).await
    }

    /// [`Target::open`] under a name of its own. The name is answered before anything else is written (rule 8).
    pub(crate) async fn open_as(&self, node: NodeId, name: Option<&str>) -> Result<Connection, Error> {
        let mut connection = self.open_addr(&self.address(node)).await?;
        let own = lock(&self.name).clone();
        let Some(name) = name.or(own.as_deref()) else { return Ok(connection) };
        if let Reply::Error(line) = connection.call(&["CLIENT", "SETNAME", name]).await? {
            match resp::Error::from_error_line(connection.addr(), &line) {
                None | Some(resp::Error::NoPermission { .. }) => {
                    if !self.name_refused.swap(true, Ordering::Relaxed) {
                        let (addr, message) = (connection.addr(), resp::printable(&line));
                        warn!(
                            addr,
                            message, "CLIENT SETNAME refused: a crash leaves connections that nobody finds"
                        );
                    }
                }
                Some(error) => return Err(error.into()),
            }
        }
        Ok(connection)
    }

    /// A connection without a name.
    pub(crate) async fn open_addr(&self, addr: &str) -> Result<Connection, Error> {
        let mut options = self.seeds[0].clone();
        options.addr = addr.to_owned();
        Ok(Connection::open(&options).await?)
    }

    /// `host:port` of a node.
    pub fn address(&self, node: NodeId) -> String {
        let nodes = self.nodes.read().unwrap_or_else(|p| p.into_inner());
        nodes.get(node.index()).map(|n| n.addr.clone()).unwrap_or_else(|| "unknown node".into())
    }

    /// The nodes that own slots; on a standalone target the server.
    pub fn masters(&self) -> Vec<NodeId> {
        // Slots come in long ranges.
        let (mut masters, mut last) = (Vec::new(), NodeId::NONE.0);
        for owner in &self.owners {
            let owner = owner.load(Ordering::Relaxed);
            if owner != last {
                last = owner;
                masters.push(owner);
            }
        }
        masters.sort_unstable();
        masters.dedup();
        masters.into_iter().map(NodeId).filter(|node| *node != NodeId::NONE).collect()
    }

    /// The owner of a slot, as far as is known; the server on a standalone target.
    pub fn owner(&self, slot: u16) -> NodeId {
        NodeId(self.owners[slot as usize].load(Ordering::Relaxed))
    }

    pub(crate) fn owners(&self) -> Vec<NodeId> {
        self.owners.iter().map(|o| NodeId(o.load(Ordering::Relaxed))).collect()
    }

    /// The node at `addr`, as a redirect from `asked` names it.
    pub(crate) fn node_at(&self, addr: &str, asked: NodeId) -> NodeId {
        let (host, port) = addr.rsplit_once(':').unwrap_or((addr, ""));
        let port = port.parse().unwrap_or(0);
        self.intern(&address(host, port, &self.address(asked)))
    }

    fn intern(&self, addr: &str) -> NodeId {
        let mut nodes = self.nodes.write().unwrap_or_else(|p| p.into_inner());
        if let Some(index) = nodes.iter().position(|n| n.addr == addr) {
            return NodeId(index as u16);
        }
        nodes.push(Node { addr: addr.to_owned() });
        NodeId((nodes.len() - 1) as u16)
    }

    /// A redirect told who owns a slot.
    pub(crate) fn learn(self: &Arc<Self>, slot: u16, owner: NodeId) {
        if self.owners[slot as usize].swap(owner.0, Ordering::Relaxed) != owner.0 {
            self.refresh_soon();
        }
    }

    fn adopt(&self, ranges: &[Range]) {
        let mut ids = Vec::new();
        for range in ranges {
            let node = self.intern(&range.master);
            ids.extend(range.ids.iter().cloned());
            for slot in range.first..=range.last {
                self.owners[slot as usize].store(node.0, Ordering::Relaxed);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        *lock(&self.identity) = Identity::Cluster { node_ids: ids };
    }

    /// Reads the slot map again in the background, unless that is under way.
    pub(crate) fn refresh_soon(self: &Arc<Self>) {
        if !self.cluster || self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let target = self.clone();
        tokio::spawn(async move {
            // Many slots move together, and many flows notice: one look for all of them.
            tokio::time::sleep(Duration::from_millis(20)).await;
            target.refreshing.store(false, Ordering::Release);
            if let Err(error) = target.refresh().await {
                debug!(%error, "slot map not read");
            }
        });
    }

    /// Reads the slot map again, from whichever node answers.
    pub async fn refresh(&self) -> Result<(), Error> {
        if !self.cluster {
            return Ok(());
        }
        let known: Vec<String> = {
            let nodes = self.nodes.read().unwrap_or_else(|p| p.into_inner());
            nodes.iter().map(|n| n.addr.clone()).collect()
        };
        let seeds = self.seeds.iter().map(|s| s.addr.clone());
        let mut last = None;
        for addr in known.into_iter().chain(seeds) {
            let mut options = self.seeds[0].clone();
            options.addr = addr;
            options.connect_timeout = Duration::from_secs(1);
            options.reply_timeout = Duration::from_secs(2);
            let asked = async {
                let mut connection = Connection::open(&options).await?;
                slots(&mut connection).await
            };
            match asked.await {
                Ok(ranges) if !ranges.is_empty() => {
                    self.adopt(&ranges);
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) => Err(Error::NoSeed(Box::new(error))),
            None => Ok(()),
        }
    }

    /// Makes sure that a standalone target has database `db`. A SELECT that failed inside a pipeline would let the commands
    /// behind it run in the database before.
    ///
    /// # Errors
    /// [`Error::NoSuchDatabase`].
    pub async fn check_database(&self, db: u32) -> Result<(), Error> {
        if self.cluster || lock(&self.databases).contains(&db) {
            return Ok(());
        }
        let mut connection = self.open(NodeId(0)).await?;
        let number = db.to_string();
        match connection.call(&["SELECT", &number]).await? {
            Reply::Error(message) => {
                let addr = self.address(NodeId(0));
                let message = resp::printable(&message);
                Err(Error::NoSuchDatabase { addr, db, message })
            }
            _ => {
                lock(&self.databases).insert(db);
                Ok(())
            }
        }
    }

    /// Whether database `db` was found by [`Target::check_database`] already.
    pub fn knows_database(&self, db: u32) -> bool {
        self.cluster || lock(&self.databases).contains(&db)
    }
}

/// One call whose error reply is an error.
pub(crate) async fn ask(connection: &mut Connection, args: &[&str]) -> Result<Reply, Error> {
    match connection.call(args).await? {
        Reply::Error(line) => {
            let addr = connection.addr().to_owned();
            Err(match resp::Error::from_error_line(&addr, &line) {
                Some(error) => Error::Connection(error),
                None => Error::Refused { addr, command: args.join(" "), message: resp::printable(&line) },
            })
        }
        reply => Ok(reply),
    }
}

async fn slots(connection: &mut Connection) -> Result<Vec<Range>, Error> {
    let addr = connection.addr().to_owned();
    let reply = ask(connection, &["CLUSTER", "SLOTS"]).await?;
    ranges(&reply, &addr).ok_or(Error::Unexpected { addr, command: "CLUSTER SLOTS".into() })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only whole values are replaced under these locks.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
