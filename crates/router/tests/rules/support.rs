//! A router on a real server, and what it reports.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use command::{Effect, TargetCommand, table};
use resp::ConnectOptions;
use router::{Cause, Expected, Failure, FlowRouter, Origin, RouterOptions, Target, TargetOptions};
use rules::Rules;
use scenarios::servers::{RedisOptions, RedisServer};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn server() -> RedisServer {
    RedisServer::start(RedisOptions::default())
}

pub(crate) async fn connect(addr: &str) -> Arc<Target> {
    connect_as(ConnectOptions::new(addr)).await
}

pub(crate) async fn connect_as(seed: ConnectOptions) -> Arc<Target> {
    Target::connect(&TargetOptions { expected: Expected::Either, seeds: vec![seed] }).await.unwrap()
}

/// A command as the translator would make it.
pub(crate) fn command(cluster: bool, line: &str) -> TargetCommand {
    command_of(cluster, line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect())
}

pub(crate) fn command_of(cluster: bool, args: Vec<Bytes>) -> TargetCommand {
    let effect = table::find(&args[0]).map_or(Effect::NotRepeatable, |spec| spec.effect);
    let key = table::keys(&args).first().cloned().unwrap_or_default();
    let slot = if cluster { command::slot(&key) } else { 0 };
    TargetCommand { db: 0, slot, args, key, effect }
}

pub(crate) fn repairing(rules: Rules) -> RouterOptions {
    RouterOptions { rules, repair: true, ..RouterOptions::default() }
}

/// What a failure said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) keys: Vec<String>,
    pub(crate) contaminated: Vec<String>,
    pub(crate) cause: Cause,
    pub(crate) seq: u64,
    pub(crate) origin: Origin,
}

impl Report {
    fn of(failure: &Failure) -> Report {
        Report {
            keys: failure.keys.iter().map(text).collect(),
            contaminated: failure.contaminated.iter().map(|(_, name)| text(name)).collect(),
            cause: failure.cause,
            seq: failure.seq,
            origin: failure.origin(),
        }
    }
}

pub(crate) fn text(name: &Bytes) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// A router with what it has reported.
pub(crate) struct Bed {
    pub(crate) router: FlowRouter,
    pub(crate) reports: Vec<Report>,
    cluster: bool,
}

impl Bed {
    pub(crate) async fn on(addr: &str, options: RouterOptions) -> Bed {
        Bed::with(connect(addr).await, options)
    }

    pub(crate) fn with(target: Arc<Target>, options: RouterOptions) -> Bed {
        let cluster = target.is_cluster();
        Bed { router: FlowRouter::with(target, 0, usize::MAX, options), reports: Vec::new(), cluster }
    }

    /// Hands out a record that became these commands.
    pub(crate) fn record(&mut self, lines: &[&str]) {
        self.record_of(lines.iter().map(|line| command(self.cluster, line)).collect());
    }

    pub(crate) fn record_of(&mut self, commands: Vec<TargetCommand>) {
        let lsn = self.router.tracker().open_record();
        commands.into_iter().for_each(|command| self.router.send(command, Origin::Record(lsn)));
        self.router.tracker().close_record(lsn);
    }

    /// Hands out a repaired value that is one command.
    pub(crate) fn repair(&mut self, token: u64, line: &str) {
        self.router.repair_open(token);
        self.router.send(command(self.cluster, line), Origin::Repair(token));
        self.router.repair_close(token);
    }

    /// Writes down what failed so far.
    pub(crate) fn report(&mut self) {
        let failures = self.router.take_failures();
        self.reports.extend(failures.iter().map(Report::of));
        self.router.settle_failures(failures);
    }

    /// Waits until everything is answered.
    pub(crate) async fn settle(&mut self) {
        self.router.flush();
        let settled = async {
            loop {
                self.report();
                if self.router.is_settled() {
                    return;
                }
                self.router.next_event().await;
            }
        };
        tokio::time::timeout(DEADLINE, settled).await.expect("everything is answered");
    }

    /// The causes and keys of what failed, in order, which are forgotten then.
    pub(crate) fn failed(&mut self) -> Vec<(Cause, String)> {
        self.reports.drain(..).map(|report| (report.cause, report.keys.join(" "))).collect()
    }
}
