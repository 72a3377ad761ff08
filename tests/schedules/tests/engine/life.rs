//! One life of the engine's process: what it is given, and its end.

use std::sync::Arc;

use config::Config;
use replica::{Finished, Goal, Replica, Settings, Status};
use resp::Network;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::network::Dialer;
use crate::world::World;

/// A running engine.
pub(crate) struct Life {
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) task: JoinHandle<Result<Finished, replica::Error>>,
    pub(crate) status: Arc<Status>,
}

/// Starts the engine as the world's life number `life`.
pub(crate) fn start(world: &World, life: u64, dir: &std::path::Path) -> Life {
    let (seeds, cluster, existing) = world.with(|state| {
        state.living = life;
        (state.target.seeds(), state.target.cluster, if state.profile.stale { "reconcile" } else { "refuse" })
    });
    let kind = if cluster { "redis-cluster" } else { "redis-standalone" };
    let seeds: Vec<String> = if cluster { seeds } else { seeds.into_iter().take(1).collect() };
    let text = format!(
        "source:\n  addr: source:6379\ntarget:\n  addr: [\"{}\"]\n  type: {kind}\n  on_existing_data: {existing}\n\
         checkpoint:\n  dir: {}\n  interval: 1s\n",
        seeds.join("\", \""),
        dir.display(),
    );
    let config = Config::parse("schedule", &text, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    let mut settings = Settings::new(&config).unwrap_or_else(|error| panic!("{error}"));
    let network = Network::custom(Arc::new(Dialer { world: world.clone(), life }));
    for source in &mut settings.sources {
        source.connect.network = network.clone();
    }
    for seed in &mut settings.target.seeds {
        seed.network = network.clone();
    }
    let status = Status::new("source".into(), "target".into());
    let (stop, stopped) = watch::channel(false);
    let replica = Replica::new(settings, Goal::Replicate, status.clone(), stopped);
    Life { stop, task: tokio::spawn(replica.run()), status }
}
