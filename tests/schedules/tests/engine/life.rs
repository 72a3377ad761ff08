//! One life of the engine's process: what it is given, and its end.

use std::sync::Arc;
use std::time::Duration;

use checkpoint::{Commit, Durable, Error, Memory, NotInSync, Scheduled, State};
use config::Config;
use replica::clock::Clock;
use replica::{Finished, Goal, Replica, Settings, Status};
use resp::Network;
use rules::Rules;
use tokio::task::JoinHandle;

use crate::network::Dialer;
use crate::world::World;

/// A running engine.
pub(crate) struct Life {
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) task: JoinHandle<Result<Finished, replica::Error>>,
    pub(crate) status: Arc<Status>,
}

/// The checkpoint of one life: what a process writes that has died is not written.
struct Store {
    memory: Memory,
    world: World,
    life: u64,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.life)
    }
}

impl Store {
    fn gone() -> Error {
        Error::Io {
            dir: "memory".into(),
            what: "writing",
            source: std::io::Error::other("the process is dead"),
        }
    }
}

impl Durable for Store {
    fn commit(&self, commit: &Commit) -> Result<(), Error> {
        let before = self.memory.state().map(|state| state.reserved).unwrap_or_default();
        let Some(kept) = self.world.commits(self.life, commit, &before) else { return Err(Self::gone()) };
        if kept.is_kept() {
            self.memory.commit(commit)?;
        }
        if kept.is_last() {
            self.world.die();
            return Err(Self::gone());
        }
        Ok(())
    }

    fn delay(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.world.commit_latency()))
    }

    fn state(&self) -> Option<State> {
        self.memory.state()
    }

    fn listed(&self, limit: usize) -> Result<Vec<NotInSync>, Error> {
        self.memory.listed(limit)
    }

    fn listed_count(&self) -> u64 {
        self.memory.listed_count()
    }

    fn due(&self, at_ms: u64, limit: usize) -> Result<Vec<Scheduled>, Error> {
        self.memory.due(at_ms, limit)
    }

    fn next_due(&self) -> Option<u64> {
        self.memory.next_due()
    }

    fn scheduled_count(&self) -> u64 {
        self.memory.scheduled_count()
    }

    fn forget_schedule(&self, db: Option<u32>) -> Result<(), Error> {
        self.memory.forget_schedule(db)
    }

    fn name(&self) -> String {
        self.memory.name()
    }
}

/// Starts the engine as the world's life number `life`.
pub(crate) fn start(world: &World, life: u64, rules: Rules, memory: &Memory) -> Life {
    let (sources, seeds, cluster, existing, backlog) = world.with(|state| {
        state.living = life;
        (
            crate::source::ADDRS[..state.sources.len()].join("\", \""),
            state.target.seeds.clone(),
            state.target.cluster,
            if state.profile.stale { "reconcile" } else { "refuse" },
            state.profile.backlog_told.then_some(state.profile.backlog),
        )
    });
    let kind = if cluster { "redis-cluster" } else { "redis-standalone" };
    let seeds: Vec<String> = if cluster { seeds } else { seeds.into_iter().take(1).collect() };
    let backlog = backlog.map(|records| format!("  backlog_records: {records}\n")).unwrap_or_default();
    let text = format!(
        "source:\n  addr: [\"{sources}\"]\n{backlog}target:\n  addr: [\"{}\"]\n  type: {kind}\n  on_existing_data: {existing}\n\
         checkpoint:\n  dir: /nowhere\n  interval: 1s\n",
        seeds.join("\", \""),
    );
    let config = Config::parse("schedule", &text, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    let mut settings = Settings::new(&config).unwrap_or_else(|error| panic!("{error}"));
    let network = Network::custom(Arc::new(Dialer { world: world.clone(), life }));
    for source in &mut settings.sources {
        source.connect.network = network.clone();
        source.rules = rules;
    }
    for seed in &mut settings.target.seeds {
        seed.network = network.clone();
    }
    let (start, at_ms) = world.clock.origin();
    settings.clock = Clock::Runtime { start, at_ms };
    settings.rules = rules;
    settings.seed = life;
    settings.window = world.with(|state| state.profile.window);
    settings.store = Some(Arc::new(Store { memory: memory.reopen(), world: world.clone(), life }));
    let status = Status::new("source".into(), "target".into());
    let (stop, stopped) = watch::channel(false);
    let replica = Replica::new(settings, Goal::Replicate, status.clone(), stopped);
    Life { stop, task: tokio::spawn(replica.run()), status }
}
