//! The daemon is killed at random moments, over and over, under writes of which none may be lost and none repeated.
//!
//! `SCENARIO_SEED` repeats the choices of a run: what is written, when the daemon and its connections are killed.
//! `KILL_LOOP_SECONDS` makes the loop go on for that long (`make soak`).
#![allow(clippy::unwrap_used)]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use scenarios::logical::diff;
use scenarios::program::{Df2redis, Settings, number};
use scenarios::servers::{Cluster, ClusterOptions, next_lsns};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;
use scenarios::workload::{Mode, Options, Rng, Workload, seed};
use simulator::Release;

const READY: Duration = Duration::from_secs(60);

/// Shards of the source.
const SHARDS: usize = 2;

/// Clients that write at the same time, to the same keys.
const WRITERS: u64 = 4;

/// How soon the service manager starts it again (`RestartSec` of the unit).
const RESTART: Duration = Duration::from_secs(1);

/// How often it is killed in a round. Three rounds make a run in CI, a soak has more.
const KILLS: u32 = 10;

/// Memory that no run may need; what waits in the spool is far less.
const MEMORY: u64 = 400 << 20;

/// The checkpoint is at most this many records behind when the daemon is killed at the full rate. With 5 000 more in the
/// second until it is started again that leaves a quarter of the default backlog, 8 192, for the start itself.
const NEAR: u64 = 1_200;

/// How the kills of a round are timed.
#[derive(Debug, Clone, Copy)]
enum Timing {
    /// At any moment, while it starts as well, and started again after up to a second.
    Any,
    /// As often as the master's default backlog allows: down for a full second each time, at 5 000 writes a second and
    /// shard, whenever the status says that the source still holds what a new process would ask for.
    DefaultBacklog,
}

impl Timing {
    /// Writes a second, all clients.
    fn rate(self) -> u32 {
        match self {
            Timing::Any => 2_000,
            Timing::DefaultBacklog => 5_000 * SHARDS as u32,
        }
    }
}

/// What happened, over all rounds.
#[derive(Debug, Default)]
struct Tally {
    kills: u32,
    cuts: u32,
    partial_syncs: u32,
    repaired: u64,
    peak: u64,
    records: u64,
}

/// Runs of this file take turns: they are about rates.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a soak goes on, per source.
fn soak() -> Option<Duration> {
    let text = std::env::var("KILL_LOOP_SECONDS").ok()?;
    let seconds: u64 = text.parse().expect("KILL_LOOP_SECONDS is a number");
    let sources = if std::env::var_os("DRAGONFLY_BIN").is_some() { 2 } else { 1 };
    Some(Duration::from_secs(seconds / sources))
}

#[test]
fn killed_over_and_over_nothing_is_lost_and_nothing_doubled() {
    let _alone = alone();
    let seed = seed();
    println!("SCENARIO_SEED={seed}");
    for source in Source::each("killed_over_and_over_nothing_is_lost_and_nothing_doubled", SHARDS) {
        let target = Target::Cluster(Cluster::start(ClusterOptions::default()));
        let mut program = Df2redis::replicate(settings(&target, &source));
        program.wait_ready(READY);
        assert_eq!(number(&program.status().unwrap(), "full_syncs"), 1);
        let mut rng = Rng::new(seed);
        let mut tally = Tally::default();
        let (began, soak) = (Instant::now(), soak());
        for round in 0.. {
            let timing = if round % 3 == 2 { Timing::DefaultBacklog } else { Timing::Any };
            kill_round(&source, &target, &mut program, &mut rng, timing, &mut tally);
            println!("{}: round {round} ({timing:?}), {:?}: {tally:?}", source.name(), began.elapsed());
            if round >= 2 && soak.is_none_or(|soak| began.elapsed() > soak) {
                break;
            }
        }
        println!(
            "{}: killed {} times, {} resumes were partial, target connections cut {} times, {} keys repaired",
            source.name(),
            tally.kills,
            tally.partial_syncs,
            tally.cuts,
            tally.repaired
        );
        assert!(tally.kills >= 30);
        assert!(tally.repaired > 0, "nothing was ever in doubt: the kills came at the wrong moments");
    }
}

fn settings(target: &Target, source: &Source) -> Settings {
    // The interval of the default configuration: nothing is made easier for the checkpoint.
    let level = std::env::var("KILL_LOOP_LOG").unwrap_or_else(|_| "info".into());
    target.settings(source).unset("checkpoint.interval").set("logging.level", level)
}

/// Writers with their own seeds, which together keep a rate.
fn writers(source: &Source, rng: &mut Rng, rate: u32) -> Vec<Workload> {
    let writer = |number| {
        let options = Options::new(Mode::Counting, rng.bits());
        let rate = Some(rate / WRITERS as u32);
        // Few keys that are in doubt all the time, and many that are in doubt once: there no later repair hides what an
        // earlier one has missed.
        let keys = if number == 0 { 100 } else { 3_000 };
        Workload::start(&source.endpoint(), Options { keys, dbs: vec![0, 1], rate, ..options })
    };
    (0..WRITERS).map(writer).collect()
}

fn kill_round(
    source: &Source,
    target: &Target,
    program: &mut Df2redis,
    rng: &mut Rng,
    timing: Timing,
    tally: &mut Tally,
) {
    let writers = writers(source, rng, timing.rate());
    let until = tally.kills + KILLS;
    while tally.kills < until {
        // Half-way through the time that it lives, some nodes lose their connections.
        let before = Duration::from_millis(rng.below(400));
        let live = Duration::from_millis(rng.below(800));
        let down = match timing {
            Timing::Any => Duration::from_millis(rng.below(1_000)),
            Timing::DefaultBacklog => RESTART,
        };
        match timing {
            // It is still about to start.
            Timing::Any if rng.chance(25) => wait::pace(live),
            _ => {
                resumed(program, tally);
                settled(program);
                wait::pace(before);
                if rng.chance(60) {
                    cut(target, rng, tally);
                }
                wait::pace(live.saturating_sub(before));
                settled(program);
                note(program, tally);
            }
        }
        program.kill();
        tally.kills += 1;
        wait::pace(down);
        program.again();
    }
    resumed(program, tally);
    cut(target, rng, tally);
    for writer in writers {
        let report = writer.stop();
        report.assert_no_surprise();
        tally.records += report.commands;
    }
    target.assert_equal(source);
    program.wait_until(READY, "the last repair to end", |status| {
        number(status, "not_in_sync_count") == 0 && number(&status["repair"], "keys") == 0
    });
    note(program, tally);
}

/// It runs again, and has resumed where the one before ended.
fn resumed(program: &mut Df2redis, tally: &mut Tally) {
    program.wait_ready(READY);
    let status = program.status().unwrap();
    if number(&status, "full_syncs") > 0 && tally.kills > 0 {
        panic!("kill {}: a full sync: {status}\n{}", tally.kills, program.output());
    }
    tally.partial_syncs += u32::from(number(&status, "partial_syncs") > 0);
}

/// What a new process would ask for is near enough that the source still holds it after a restart.
fn settled(program: &mut Df2redis) {
    program.wait_until(READY, "the checkpoint to come near the source", |status| {
        number(&status["crash"], "records_behind") < NEAR
    });
}

fn note(program: &Df2redis, tally: &mut Tally) {
    let status = program.status().unwrap();
    tally.repaired += number(&status["repair"], "done");
    tally.peak = tally.peak.max(program.peak_resident_bytes().unwrap_or(0));
    assert!(tally.peak < MEMORY, "{} bytes resident: {status}", tally.peak);
}

/// Kills the connections that clients have to a node of the target.
fn cut(target: &Target, rng: &mut Rng, tally: &mut Tally) {
    let Target::Cluster(cluster) = target else { unreachable!("the target is a cluster") };
    let node = rng.pick(cluster.nodes());
    let mut killer = node.client();
    killer.queue(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    // So near, replies come at once. In a node that stands still for a moment, many commands are caught.
    let still = rng.chance(50);
    if still {
        node.pause();
        wait::pace(Duration::from_millis(20 + rng.below(100)));
    }
    let killed = std::thread::scope(|scope| {
        let killed = scope.spawn(|| killer.flush());
        if still {
            // Sooner or later than the node goes on: both are moments to be cut at.
            node.resume();
        }
        killed.join().unwrap()
    });
    killed.unwrap();
    tally.cuts += 1;
}

#[test]
fn without_reservation_the_kill_loop_fails() {
    // What may have been sent before is sent again.
    fails_without(7, |target, program, rng, tally| {
        cut(target, rng, tally);
        program.kill();
        program.again();
    });
}

#[test]
fn without_repair_of_what_was_in_flight_the_kill_loop_fails() {
    fails_without(9, |target, _, rng, tally| cut(target, rng, tally));
}

/// The same loop with a daemon that leaves out a rule ends with another value in some key.
fn fails_without(rule: u8, mut disturb: impl FnMut(&Target, &mut Df2redis, &mut Rng, &mut Tally)) {
    let _alone = alone();
    let seed = seed();
    println!("SCENARIO_SEED={seed}");
    let source = Source::simulated(Release::V1_40, SHARDS);
    let target = Target::Cluster(Cluster::start(ClusterOptions::default()));
    let mut program = Df2redis::without_rules(&[rule], settings(&target, &source));
    let mut rng = Rng::new(seed);
    let mut tally = Tally::default();
    let writers = writers(&source, &mut rng, 2_000);
    for _ in 0..8 {
        program.wait_ready(READY);
        wait::pace(Duration::from_millis(100 + rng.below(200)));
        disturb(&target, &mut program, &mut rng, &mut tally);
    }
    for writer in writers {
        writer.stop();
    }
    program.wait_ready(READY);
    let ends = next_lsns(&mut source.client());
    program.wait_until(READY, "everything to be applied", |status| {
        let flows = status["flows"].as_array().unwrap();
        flows.iter().zip(&ends).all(|(flow, end)| number(flow, "applied_lsn") >= *end)
            && number(status, "not_in_sync_count") == 0
    });
    let differences = diff(&target.expected(&source.endpoint()), &target.read());
    println!("without rule {rule}: {} differences", differences.len());
    assert!(!differences.is_empty(), "rule {rule} makes no difference: the loop shows nothing");
}
