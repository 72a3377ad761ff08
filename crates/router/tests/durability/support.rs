//! A router with a watch, counters that it increments, and what it reports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use command::{Effect, TargetCommand};
use resp::ConnectOptions;
use router::durability::{Event, NodeStatus, NodeWatch, Settings};
use router::{Cause, Expected, FlowRouter, Origin, RouterOptions, Target, TargetOptions};
use scenarios::client::Client;
use tokio::time::{Instant, timeout};

const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) async fn connect(seeds: &[String]) -> Arc<Target> {
    let seeds = seeds.iter().map(ConnectOptions::new).collect();
    Target::connect(&TargetOptions { expected: Expected::Either, seeds }).await.unwrap()
}

pub(crate) fn options(watch: Option<Arc<NodeWatch>>) -> RouterOptions {
    RouterOptions { repair: true, durability: watch, ..RouterOptions::default() }
}

pub(crate) fn incr(cluster: bool, key: &str) -> TargetCommand {
    let key = Bytes::copy_from_slice(key.as_bytes());
    TargetCommand {
        db: 0,
        slot: if cluster { command::slot(&key) } else { 0 },
        args: vec![Bytes::from_static(b"INCR"), key.clone()],
        key,
        effect: Effect::NotRepeatable,
    }
}

pub(crate) struct Bed {
    pub(crate) router: FlowRouter,
    pub(crate) watch: Arc<NodeWatch>,
    cluster: bool,
    /// How often each counter was incremented.
    pub(crate) written: BTreeMap<String, u64>,
    /// Acknowledged, and reported as lost.
    pub(crate) lost: BTreeSet<String>,
    /// Not acknowledged: reported for another reason.
    pub(crate) doubtful: BTreeSet<String>,
    pub(crate) events: Vec<Event>,
}

impl Bed {
    pub(crate) async fn on(seeds: &[String]) -> Bed {
        Bed::with(connect(seeds).await, Settings::default())
    }

    pub(crate) fn with(target: Arc<Target>, settings: Settings) -> Bed {
        let watch = NodeWatch::start(target.clone(), settings);
        let cluster = target.is_cluster();
        let mut router = FlowRouter::with(target, 0, usize::MAX, options(Some(watch.clone())));
        router.tracker().restart_at(1);
        Bed {
            router,
            watch,
            cluster,
            written: BTreeMap::new(),
            lost: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            events: Vec::new(),
        }
    }

    /// Increments counters `prefix:0` to `prefix:<count - 1>`, a record each.
    pub(crate) fn write(&mut self, prefix: &str, count: usize) {
        for n in 0..count {
            let key = format!("{prefix}:{n}");
            let lsn = self.router.tracker().open_record();
            self.router.send(incr(self.cluster, &key), Origin::Record(lsn));
            self.router.tracker().close_record(lsn);
            *self.written.entry(key).or_default() += 1;
        }
        self.router.flush();
    }

    /// Lets the router work until `done`.
    pub(crate) async fn until(&mut self, what: &str, mut done: impl FnMut(&mut Bed) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            self.report();
            if done(self) {
                return;
            }
            let _ = timeout(Duration::from_millis(20), self.router.next_event()).await;
            assert!(Instant::now() < deadline, "waited in vain for {what}; {self:?}");
        }
    }

    pub(crate) async fn settle(&mut self) {
        self.until("everything to be settled", |bed| bed.router.is_settled()).await;
    }

    /// Every command is answered, whether settled or not.
    pub(crate) async fn answered(&mut self) {
        let all: u64 = self.written.values().sum();
        self.until("every command to be answered", |bed| {
            let counters = bed.router.counters();
            counters.executed + counters.failures >= all
        })
        .await;
    }

    fn report(&mut self) {
        let failures = self.router.take_failures();
        for failure in &failures {
            let keys = failure.keys.iter().map(|key| String::from_utf8(key.to_vec()).unwrap());
            match failure.cause {
                Cause::Lost => self.lost.extend(keys),
                _ => self.doubtful.extend(keys),
            }
        }
        self.router.settle_failures(failures);
        self.events.extend(self.router.take_target_events());
    }

    pub(crate) fn nodes(&self) -> Vec<NodeStatus> {
        self.watch.nodes().into_iter().map(|(_, status)| status).collect()
    }

    /// Waits until every node was asked twice: what was answered before is in what they say now.
    pub(crate) async fn polled(&mut self) {
        let before: BTreeMap<String, u64> =
            self.nodes().into_iter().map(|node| (node.address, node.polls)).collect();
        self.until("two polls", |bed| {
            bed.nodes().iter().all(|node| node.polls >= before.get(&node.address).unwrap_or(&0) + 2)
        })
        .await;
    }

    /// Counters whose value is not what was written, and that nobody was told of.
    pub(crate) fn wrong(&self, mut client_of: impl FnMut(&str) -> Client) -> Vec<String> {
        let unreported =
            self.written.iter().filter(|(k, _)| !self.lost.contains(*k) && !self.doubtful.contains(*k));
        let wrong = unreported.filter_map(|(key, count)| {
            let found = client_of(key).call(&["GET", key]);
            let found = scenarios::client::as_text(&found).unwrap_or_default();
            (found != count.to_string()).then(|| format!("{key}: {found} instead of {count}"))
        });
        wrong.collect()
    }

    pub(crate) fn lost_of(&self, prefix: &str) -> usize {
        self.lost.iter().filter(|key| key.starts_with(prefix)).count()
    }
}

impl std::fmt::Debug for Bed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (lost, doubtful) = (self.lost.len(), self.doubtful.len());
        write!(f, "lost {lost}, doubtful {doubtful}, events {:?}, ", self.events)?;
        write!(f, "applied {}, unsettled {}, ", self.router.applied(), self.router.unsettled())?;
        write!(f, "counters {:?}, nodes {:#?}", self.router.counters(), self.nodes())
    }
}
