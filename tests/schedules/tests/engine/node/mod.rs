//! The target: a server or a small cluster, with replicas that lag, files that are written now and then, and clocks that
//! are wrong.
//!
//! | module | what it holds |
//! |---|---|
//! | [`data`] | keys and the commands on them |
//! | `serve` | connections: requests in, replies out, redirects, refusals |
//! | `texts` | INFO, CLUSTER, CLIENT, COMMAND |
//! | `mishaps` | restarts, failovers, slots that move at once |
//! | `migration` | slots that move key by key |

pub(crate) mod data;
mod migration;
mod mishaps;
mod serve;
mod texts;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use resp::RequestDecoder;

pub(crate) use migration::{Migration, migrate_slot};
pub(crate) use mishaps::{failover, move_slot, restart};
pub(crate) use serve::serve;

use crate::faults::{Keeping, Profile};
use crate::network::ConnId;
use crate::random::Random;
use crate::world::State;
use data::Data;

/// How often what happens by itself happens.
pub(crate) const TICK_MS: u64 = 20;

/// Slots of a cluster.
pub(crate) const SLOTS: u16 = 16384;

/// What a connection to a server has agreed on.
#[derive(Debug)]
pub(crate) struct Session {
    decoder: RequestDecoder,
    name: String,
    asking: bool,
    queue: Option<Vec<Vec<Bytes>>>,
}

/// A process.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) addr: String,
    pub(crate) id: String,
    pub(crate) shard: usize,
    pub(crate) run_id: String,
    pub(crate) started: u64,
    /// It does not run before this time.
    pub(crate) down_until: u64,
    /// It runs, and executes nothing before this time.
    pub(crate) stopped_until: u64,
    pub(crate) clients: BTreeMap<ConnId, Session>,
}

/// Data at one position of a shard's history.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    offset: u64,
    at: u64,
    data: Data,
}

/// What one server, and its replica if it has one, keep.
#[derive(Debug)]
pub(crate) struct Shard {
    /// The server that is the master, and the other one.
    pub(crate) master: usize,
    pub(crate) replica: Option<usize>,
    pub(crate) data: Data,
    pub(crate) replid: String,
    pub(crate) former: Option<(String, u64)>,
    pub(crate) offset: u64,
    /// What the replica will have, in order.
    behind: VecDeque<Version>,
    replicated: Version,
    /// What the master knows of it.
    acknowledged: u64,
    next_ack: u64,
    /// The replica is connected.
    pub(crate) online: bool,
    /// How far behind the replica is.
    pub(crate) lag_ms: u64,
    /// What a restart brings back: versions not yet on the disk, and the last one that is.
    unwritten: VecDeque<Version>,
    on_disk: Version,
    pub(crate) last_save: u64,
    next_save: u64,
    /// A file being written, and when it is complete.
    pub(crate) saving: Option<(Version, u64)>,
    /// Clock of its servers minus the world's.
    pub(crate) skew_ms: i64,
    /// Until when commands are refused, how many out of a hundred, and with what.
    pub(crate) refusing: Option<(u64, u64, &'static str)>,
    /// The next write is refused.
    pub(crate) refuse_next: bool,
}

/// All of the target.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) cluster: bool,
    pub(crate) servers: Vec<Server>,
    pub(crate) shards: Vec<Shard>,
    /// Slots that moved away from where they were at first.
    pub(crate) moved: BTreeMap<u16, usize>,
    /// Slots on their way.
    pub(crate) migrating: BTreeMap<u16, Migration>,
    pub(crate) keeping: Keeping,
    /// Addresses that a configuration names.
    pub(crate) seeds: Vec<String>,
    random: Random,
}

impl Target {
    pub(crate) fn new(profile: &Profile, now: u64, mut random: Random) -> Self {
        let mut target = Target {
            cluster: profile.shards > 0,
            servers: Vec::new(),
            shards: Vec::new(),
            moved: BTreeMap::new(),
            migrating: BTreeMap::new(),
            keeping: profile.keeping,
            seeds: Vec::new(),
            random: random.fork(),
        };
        for index in 0..profile.shards.max(1) {
            let master = target.server(format!("target-{index}:7000"), index, now);
            let replica = profile.replicas.then(|| target.server(format!("target-{index}:7001"), index, now));
            let empty = Version { offset: 0, at: now, data: Data::new() };
            let skew = profile.skew_ms;
            target.shards.push(Shard {
                master,
                replica,
                data: Data::new(),
                replid: random.hex40(),
                former: None,
                offset: 0,
                behind: VecDeque::new(),
                replicated: empty.clone(),
                acknowledged: 0,
                next_ack: now,
                online: replica.is_some(),
                lag_ms: random.within(0..=profile.replica_lag_ms),
                unwritten: VecDeque::new(),
                on_disk: empty,
                last_save: now / 1000,
                next_save: now + 1000,
                saving: None,
                skew_ms: random.within(0..=2 * skew) as i64 - skew as i64,
                refusing: None,
                refuse_next: false,
            });
        }
        target.seeds = target.servers.iter().map(|server| server.addr.clone()).collect();
        target
    }

    fn server(&mut self, addr: String, shard: usize, now: u64) -> usize {
        let (id, run_id) = (self.random.hex40(), self.random.hex40());
        self.servers.push(Server {
            addr,
            id,
            shard,
            run_id,
            started: now,
            down_until: 0,
            stopped_until: 0,
            clients: BTreeMap::new(),
        });
        self.servers.len() - 1
    }

    /// Who listens at `addr`, if its process runs.
    pub(crate) fn listening(&self, addr: &str) -> Option<usize> {
        self.servers.iter().position(|server| server.addr == addr && server.down_until == 0)
    }

    pub(crate) fn stopped_until(&self, server: usize) -> u64 {
        self.servers[server].stopped_until
    }

    pub(crate) fn accept(&mut self, server: usize, conn: ConnId) {
        let session =
            Session { decoder: RequestDecoder::default(), name: String::new(), asking: false, queue: None };
        self.servers[server].clients.insert(conn, session);
    }

    pub(crate) fn leave(&mut self, server: usize, conn: ConnId) {
        self.servers[server].clients.remove(&conn);
    }

    pub(crate) fn is_master(&self, server: usize) -> bool {
        self.shards[self.servers[server].shard].master == server
    }

    /// The shard that owns a slot.
    pub(crate) fn owner(&self, slot: u16) -> usize {
        let first = || usize::from(slot) * self.shards.len() / usize::from(SLOTS);
        self.moved.get(&slot).copied().unwrap_or_else(first)
    }

    /// All keys that clients are served, as of `now` on the servers' own clocks. A server that came back from an old file
    /// may hold keys of slots that have moved away since: nobody is served those.
    pub(crate) fn all(&self, now: u64) -> Data {
        let mut all = Data::new();
        for (index, shard) in self.shards.iter().enumerate() {
            let mut data = shard.data.clone();
            data::expire(&mut data, shard.clock(now));
            all.extend(data.into_iter().filter(|(key, _)| self.serves(index, command::slot(key))));
        }
        all
    }
}

impl Shard {
    /// What its servers' clocks show.
    pub(crate) fn clock(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.skew_ms)
    }

    /// Data changed: the replica gets it, and the disk.
    fn wrote(&mut self, now: u64, bytes: u64, keeping: Keeping) {
        self.offset += bytes;
        let version = Version { offset: self.offset, at: now, data: self.data.clone() };
        if self.online {
            self.behind.push_back(version.clone());
        }
        if keeping == Keeping::AppendOnly {
            self.unwritten.push_back(version);
        }
    }

    fn catch_up(&mut self, now: u64) {
        while self.behind.front().is_some_and(|version| version.at + self.lag_ms <= now)
            && let Some(version) = self.behind.pop_front()
        {
            self.replicated = version;
        }
        if self.next_ack <= now {
            self.acknowledged = self.replicated.offset;
            self.next_ack = now + 200;
        }
    }

    fn save(&mut self, now: u64, keeping: Keeping) {
        match keeping {
            // Written at once, on the disk within two seconds.
            Keeping::AppendOnly => {
                while self.unwritten.front().is_some_and(|version| version.at + 1500 <= now)
                    && let Some(version) = self.unwritten.pop_front()
                {
                    self.on_disk = version;
                }
            }
            // A file has what there was when it was begun, and counts from when it is complete.
            Keeping::Snapshots(every) => {
                if let Some((version, _)) = self.saving.take_if(|(_, done)| *done <= now) {
                    self.on_disk = version;
                    self.last_save = self.clock(now) / 1000;
                }
                if self.next_save <= now {
                    self.next_save = now + every;
                    let version = Version { offset: self.offset, at: now, data: self.data.clone() };
                    self.saving = Some((version, now + every / 5));
                }
            }
            Keeping::Nothing => {}
        }
    }
}

/// What happens by itself: keys expire, replicas catch up, files are written, processes come back.
pub(crate) fn tick(state: &mut State, now: u64) {
    mishaps::come_back(state, now);
    migration::go_on(state, now);
    let keeping = state.target.keeping;
    for shard in &mut state.target.shards {
        let clock = shard.clock(now);
        if data::expire(&mut shard.data, clock) {
            shard.wrote(now, 30, keeping);
        }
        shard.catch_up(now);
        shard.save(now, keeping);
    }
}
