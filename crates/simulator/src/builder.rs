//! How a live master is put together.

use std::time::Duration;

use crate::engine::journal::Journal;
use crate::{Clock, Error, Handle, Profile, Release};

/// A live Dragonfly master; see [`Builder`].
#[derive(Debug)]
pub struct Simulator;

impl Simulator {
    /// Two shards, release 1.40, no password, a free port of the loopback interface.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// Settings of a live master.
#[derive(Debug, Clone)]
pub struct Builder {
    pub(crate) shards: usize,
    pub(crate) release: Release,
    pub(crate) password: Option<String>,
    pub(crate) replication_user: Option<(String, String)>,
    pub(crate) backlog: Option<usize>,
    pub(crate) bind: String,
    pub(crate) seed: u64,
    pub(crate) output_limit: usize,
    pub(crate) replication_timeout: Duration,
    pub(crate) lsn_interval: Duration,
    pub(crate) journal_omit: bool,
    pub(crate) listen: bool,
    pub(crate) tells_backlog: bool,
    pub(crate) clock: Clock,
    pub(crate) cluster: Option<Cluster>,
}

/// A master in cluster mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cluster {
    /// `--cluster_mode=emulated`: one server that calls itself the whole cluster.
    Emulated,
    /// `--cluster_mode=yes`, before it was told its slots.
    Unconfigured,
    /// `--cluster_mode=yes`, with the slots from 0 up to this one; another master has the rest.
    UpTo(u16),
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            shards: 2,
            release: Release::default(),
            password: None,
            replication_user: None,
            backlog: None,
            bind: "127.0.0.1:0".to_owned(),
            seed: 1,
            output_limit: 1 << 20,
            replication_timeout: Duration::from_secs(30),
            lsn_interval: Duration::from_secs(3),
            journal_omit: true,
            listen: true,
            tells_backlog: false,
            clock: Clock::system(),
            cluster: None,
        }
    }
}

impl Builder {
    pub(crate) fn profile(&self) -> &'static Profile {
        self.release.profile()
    }

    pub(crate) fn backlog_records(&self) -> usize {
        let usual = self.profile().backlog;
        if usual == 0 { 0 } else { self.backlog.unwrap_or(usual) }
    }

    /// An empty journal that keeps as much as the release does.
    pub(crate) fn journal(&self) -> Journal {
        Journal::new(self.backlog_records(), self.profile().backlog_ms.map(Duration::from_millis))
    }

    /// Number of shards, and so of flows: 1 to 1024.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }

    /// Which release to behave like.
    pub fn release(mut self, release: Release) -> Self {
        self.release = release;
        self
    }

    /// `requirepass`: every connection must AUTH first.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// An ACL user that may only run PING, REPLCONF and DFLY; everything else answers `-NOPERM`.
    pub fn replication_user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.replication_user = Some((name.into(), password.into()));
        self
    }

    /// Records kept per shard for partial sync (`shard_repl_backlog_len`); if not said, as many as the release keeps. A
    /// release that keeps none keeps none.
    pub fn backlog(mut self, records: usize) -> Self {
        self.backlog = Some(records);
        self
    }

    /// Answers `CONFIG GET shard_repl_backlog_len`. A real v1.40.1 does not: the flag is not among those that CONFIG
    /// knows.
    pub fn tells_backlog(mut self, tells: bool) -> Self {
        self.tells_backlog = tells;
        self
    }

    /// Address to listen on, `host:port`; port 0 takes a free one.
    pub fn bind(mut self, addr: impl Into<String>) -> Self {
        self.bind = addr.into();
        self
    }

    /// Seed of everything random: SPOP, SRANDMEMBER, tokens, replication ids.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Bytes that may be pending on a flow before writing commands wait (`replication_stream_output_limit`,
    /// 1 MiB in v1.34 and later).
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// How long a flow may stay above the limit, or block a snapshot write, before its attachment is
    /// cancelled (`replication_timeout`, 30 s).
    pub fn replication_timeout(mut self, timeout: Duration) -> Self {
        self.replication_timeout = timeout;
        self
    }

    /// Least time between two LSN ops of a flow (3 s in Dragonfly).
    pub fn lsn_interval(mut self, interval: Duration) -> Self {
        self.lsn_interval = interval;
        self
    }

    /// Whether SET and DEL of a key whose bucket the snapshot has not reached are left out of the journal
    /// (`journal_omit_redundant_writes`, on by default; only where the release does so: [`Profile::omits`]).
    pub fn journal_omit(mut self, on: bool) -> Self {
        self.journal_omit = on;
        self
    }

    /// In cluster mode, where keys of one tag share a shard.
    pub fn cluster(mut self, cluster: Cluster) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// The wall clock; this machine's if not said otherwise.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Opens no socket: connections come through [`Handle::serve`] or an [`Acceptor`](crate::Acceptor) only. With
    /// [`Clock::starting_at`], a current-thread runtime whose clock is paused, and the same seed, every run is the
    /// same.
    pub fn without_listener(mut self) -> Self {
        self.listen = false;
        self
    }

    /// Starts listening, unless [`Builder::without_listener`].
    ///
    /// # Errors
    /// [`Error::Setting`] for an impossible number of shards, [`Error::Bind`] when the address is taken.
    pub async fn start(self) -> Result<Handle, Error> {
        if self.shards == 0 || self.shards > 1024 {
            return Err(Error::Setting("shards must be between 1 and 1024"));
        }
        Handle::start(self).await
    }
}
