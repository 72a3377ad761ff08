//! The source: the simulator, written to by nobody but the schedule.

use bytes::Bytes;
use simulator::{Clock, Handle, Release, Reply, Simulator, Standby};

use crate::faults::{self, Profile, Write};
use crate::node::data::{Data, Entry, Value};
use crate::random::Random;
use crate::world::World;

/// Where the master and its replica listen.
pub(crate) const ADDRS: [&str; 2] = ["source:6379", "source-b:6379"];

/// How long a master that is taken over from waits for its replicas.
const PATIENCE_MS: u64 = 1_500;
/// How often out of a hundred its replicas learn late that it is gone.
const LATE_ENDS: u64 = 40;

/// The master, and where the schedule has one its replica.
pub(crate) struct Source {
    world: World,
    random: Random,
    backlog: usize,
    release: Release,
    /// By address.
    servers: Vec<Handle>,
    /// Which of them is written to.
    master: usize,
    /// The one before waits until then that everybody has its last record.
    leaving: Option<u64>,
    /// What a replica had that is going to take over.
    behind: Option<Standby>,
}

impl Source {
    pub(crate) async fn start(world: &World, seed: u64, profile: &Profile) -> Source {
        let random = Random::new(seed);
        let mut source = Source {
            world: world.clone(),
            random,
            backlog: profile.backlog,
            release: profile.release,
            servers: Vec::new(),
            master: 0,
            leaving: None,
            behind: None,
        };
        source.servers.push(source.server(seed).await);
        if profile.standby {
            let seed = source.random.next();
            source.servers.push(source.server(seed).await);
            source.servers[1].become_replica();
        }
        source.tell();
        source
    }

    async fn server(&self, seed: u64) -> Handle {
        let clock = self.world.clock.clone();
        let builder = Simulator::builder().seed(seed).backlog(self.backlog).release(self.release);
        let builder = builder.clock(Clock::from_fn(move || clock.now_ms())).without_listener();
        builder.start().await.unwrap_or_else(|error| panic!("{error}"))
    }

    fn tell(&self) {
        self.world.with(|state| state.sources = self.servers.iter().map(Handle::acceptor).collect());
    }

    /// The server that is written to.
    pub(crate) fn master(&self) -> &Handle {
        &self.servers[self.master]
    }

    pub(crate) fn drop_connections(&self) {
        self.servers.iter().for_each(Handle::drop_connections);
    }

    fn is_changing(&self) -> bool {
        self.servers.len() < 2 || self.leaving.is_some() || self.behind.is_some()
    }

    /// The replica takes over with everything. Whether it does.
    pub(crate) fn take_over(&mut self, now: u64) -> bool {
        if self.is_changing() {
            return false;
        }
        let standby = self.master().begin_takeover();
        self.master = 1 - self.master;
        self.master().promote(standby);
        self.leaving = Some(now + PATIENCE_MS);
        true
    }

    /// Whether the former master is gone.
    pub(crate) fn has_left(&mut self, now: u64) -> bool {
        let former = &self.servers[1 - self.master];
        let left = former.acknowledged() || self.leaving.is_none_or(|until| until <= now);
        if left {
            if self.random.chance(LATE_ENDS) {
                let by = self.random.within(50..=2500);
                self.world.with(|state| faults::delay_replication(state, now, by));
            }
            self.servers[1 - self.master].shut_down();
        }
        left
    }

    /// The replica has no more than what there is now. Whether there is one.
    pub(crate) fn fall_behind(&mut self) -> bool {
        if self.is_changing() {
            return false;
        }
        self.behind = Some(self.master().standby());
        true
    }

    /// The master is gone, and its replica takes over with what it has.
    pub(crate) fn promote(&mut self) {
        let Some(standby) = self.behind.take() else { return };
        self.master().shut_down();
        self.master = 1 - self.master;
        self.master().promote(standby);
        self.leaving = Some(0);
    }

    /// A new replica listens where the former master was.
    pub(crate) async fn join(&mut self) {
        let seed = self.random.next();
        let former = 1 - self.master;
        self.servers[former] = self.server(seed).await;
        self.servers[former].become_replica();
        self.leaving = None;
        self.tell();
    }

    /// It starts again, unless it is about to be replaced.
    pub(crate) async fn restart(&self, keep_data: bool) {
        if self.leaving.is_none() && self.behind.is_none() {
            self.master().restart(keep_data).await;
        }
    }
}

fn word(text: impl Into<Bytes>) -> Bytes {
    text.into()
}

/// One write to `key`, of a kind that fits what it holds at the moment. Says what it was.
pub(crate) fn write(
    source: &Handle,
    now: u64,
    key: &'static str,
    keys: &[&'static str],
    write: Write,
    random: &mut Random,
) -> Vec<Bytes> {
    let others: Vec<&'static str> = keys.iter().copied().filter(|other| *other != key).collect();
    let is_list = matches!(source.execute(0, &["TYPE", key]), Reply::Simple("list"))
        || matches!(source.execute(0, &["TYPE", key]), Reply::Status(kind) if kind == "list");
    let exists = matches!(source.execute(0, &["EXISTS", key]), Reply::Int(1));
    let digit = Bytes::from((1 + random.below(9)).to_string());
    let side = |left: bool| word(if left { "LEFT" } else { "RIGHT" });
    let args: Vec<Bytes> = match write {
        Write::Push | Write::Append | Write::Incr if is_list || (!exists && write == Write::Push) => {
            let verb = if random.chance(70) { "RPUSH" } else { "LPUSH" };
            vec![word(verb), word(key), Bytes::from(format!("e{}", random.below(1000)))]
        }
        Write::Append | Write::Push => vec![word("APPEND"), word(key), digit],
        Write::Incr => vec![word("INCR"), word(key)],
        Write::Pop if is_list => vec![word(if random.chance(50) { "LPOP" } else { "RPOP" }), word(key)],
        Write::Pop | Write::Set => vec![word("SET"), word(key), digit],
        Write::SetKeepingTtl => vec![word("SET"), word(key), digit, word("KEEPTTL")],
        Write::Mset => {
            let mut args = vec![word("MSET"), word(key), digit.clone()];
            args.extend(others.first().into_iter().flat_map(|other| [word(*other), digit.clone()]));
            args
        }
        Write::Rename | Write::Lmove if others.is_empty() => vec![word("INCR"), word(key)],
        Write::Lmove if is_list => {
            let to = *random.pick(&others);
            let (from_left, to_left) = (random.chance(50), random.chance(50));
            vec![word("LMOVE"), word(key), word(to), side(from_left), side(to_left)]
        }
        Write::Rename | Write::Lmove => vec![word("RENAME"), word(key), word(*random.pick(&others))],
        Write::Del => vec![word("DEL"), word(key)],
        Write::ExpireSoon => {
            let at = now + random.within(5..=600);
            vec![word("PEXPIREAT"), word(key), Bytes::from(at.to_string())]
        }
        Write::ExpireLate => {
            let at = now + 3_600_000 + random.within(0..=1000);
            vec![word("PEXPIREAT"), word(key), Bytes::from(at.to_string())]
        }
        Write::Persist => vec![word("PERSIST"), word(key)],
        Write::FlushAll => vec![word("FLUSHALL")],
    };
    source.execute(0, &args);
    args
}

/// Everything that the source holds under these names. Keys that have expired are removed by it.
pub(crate) fn all(source: &Handle, keys: &[&'static str]) -> Data {
    let mut all = Data::new();
    for key in keys {
        let value = match source.execute(0, &["GET", key]) {
            Reply::Bulk(text) => Value::Text(text),
            Reply::Nil => continue,
            _ => match source.execute(0, &["LRANGE", key, "0", "-1"]) {
                Reply::Array(items) => Value::List(items.into_iter().map(element).collect()),
                other => panic!("{key} is neither a string nor a list: {other:?}"),
            },
        };
        let expire_at = match source.execute(0, &["PEXPIRETIME", key]) {
            Reply::Int(at) => u64::try_from(at).ok(),
            other => panic!("PEXPIRETIME {key}: {other:?}"),
        };
        all.insert(Bytes::from_static(key.as_bytes()), Entry { value, expire_at });
    }
    all
}

fn element(reply: Reply) -> Bytes {
    match reply {
        Reply::Bulk(bytes) => bytes,
        other => panic!("an element of a list: {other:?}"),
    }
}
