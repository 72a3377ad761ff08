//! The daemon is killed at random moments, over and over, under writes of which none may be lost and none repeated.
//!
//! `SCENARIO_SEED` repeats the choices of a run: what is written, when the daemon and its connections are killed.
//! `KILL_LOOP_SECONDS` makes each loop go on for its share of that time; `make soak` runs those that are ignored too.
#![allow(clippy::unwrap_used)]

mod faults;
mod scene;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use faults::Variant;
use scenarios::logical::diff;
use scenarios::program::{Df2redis, number};
use scenarios::servers::next_lsns;
use scenarios::source::Source;
use scenarios::wait;
use scenarios::workload::seed;
use scene::{READY, SHARDS, Scene, Timing};
use simulator::Release;

/// Loops that a soak runs, per source.
const LOOPS: u64 = 5;

/// Runs of this file take turns: they are about rates.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a soak goes on, per loop and source.
fn soak() -> Option<Duration> {
    let text = std::env::var("KILL_LOOP_SECONDS").ok()?;
    let seconds: u64 = text.parse().expect("KILL_LOOP_SECONDS is a number");
    let sources = if std::env::var_os("DRAGONFLY_BIN").is_some() { 2 } else { 1 };
    Some(Duration::from_secs(seconds / sources / LOOPS))
}

#[test]
fn killed_over_and_over_nothing_is_lost_and_nothing_doubled() {
    run("killed_over_and_over_nothing_is_lost_and_nothing_doubled", Variant::Plain);
}

#[test]
#[ignore = "takes minutes: make soak"]
fn killed_while_the_source_is_flushed() {
    run("killed_while_the_source_is_flushed", Variant::Flushes);
}

#[test]
#[ignore = "takes minutes: make soak"]
fn killed_while_links_to_the_source_break() {
    run("killed_while_links_to_the_source_break", Variant::Links);
}

#[test]
#[ignore = "takes minutes: make soak"]
fn killed_while_nodes_of_the_target_fail_over() {
    run("killed_while_nodes_of_the_target_fail_over", Variant::Failovers);
}

#[test]
#[ignore = "takes minutes: make soak"]
fn killed_while_everything_goes_wrong() {
    run("killed_while_everything_goes_wrong", Variant::Everything);
}

fn run(name: &str, variant: Variant) {
    let _alone = alone();
    let seed = seed();
    println!("SCENARIO_SEED={seed}");
    for source in Source::each(name, SHARDS) {
        let mut scene = Scene::new(source, variant, seed, Df2redis::replicate);
        scene.program.wait_ready(READY);
        assert_eq!(number(&scene.program.status().unwrap(), "full_syncs"), 1);
        let (began, soak) = (Instant::now(), soak());
        for round in 0.. {
            let timing = match variant {
                // With anything else in the way a restart may take longer than that backlog lasts.
                Variant::Plain if round % 3 == 2 => Timing::DefaultBacklog,
                _ => Timing::Any,
            };
            scene.round(timing);
            let (source, tally) = (scene.source.name(), &scene.tally);
            println!("{source}: {variant:?}, round {round} ({timing:?}), {:?}: {tally:?}", began.elapsed());
            if round >= 2 && soak.is_none_or(|soak| began.elapsed() > soak) {
                break;
            }
        }
        let tally = &scene.tally;
        println!(
            "{}: killed {} times, {} resumes were partial, target connections cut {} times, {} keys repaired",
            scene.source.name(),
            tally.kills,
            tally.partial_syncs,
            tally.cuts,
            tally.repaired
        );
        assert!(tally.kills >= 30);
        // Each that lived long enough to be asked; a full sync has ended the test already.
        assert!(tally.partial_syncs >= tally.kills / 2, "{} resumes of {}", tally.partial_syncs, tally.kills);
        assert!(tally.repaired > 0, "nothing was ever in doubt: the kills came at the wrong moments");
    }
}

#[test]
fn without_reservation_the_kill_loop_fails() {
    // What may have been sent before is sent again.
    fails_without(7, |scene| {
        scene.cut();
        scene.program.kill();
        scene.program.again();
    });
}

#[test]
fn without_repair_of_what_was_in_flight_the_kill_loop_fails() {
    fails_without(9, Scene::cut);
}

/// The same loop with a daemon that leaves out a rule ends with another value in some key.
fn fails_without(rule: u8, mut disturb: impl FnMut(&mut Scene)) {
    let _alone = alone();
    let seed = seed();
    println!("SCENARIO_SEED={seed}");
    let source = Source::simulated(Release::V1_40, SHARDS);
    let start = |settings| Df2redis::without_rules(&[rule], settings);
    let mut scene = Scene::new(source, Variant::Plain, seed, start);
    let writers = scene.writers(Timing::Any.rate());
    for _ in 0..8 {
        scene.program.wait_ready(READY);
        wait::pace(Duration::from_millis(100 + scene.rng.below(200)));
        disturb(&mut scene);
    }
    for writer in writers {
        writer.stop();
    }
    scene.program.wait_ready(READY);
    let ends = next_lsns(&mut scene.source.client());
    scene.program.wait_until(READY, "everything to be applied", |status| {
        scene::applied(status, &ends) && number(status, "not_in_sync_count") == 0
    });
    let differences = diff(&scene.target.expected(&scene.source.endpoint()), &scene.target.read());
    println!("without rule {rule}: {} differences", differences.len());
    assert!(!differences.is_empty(), "rule {rule} makes no difference: the loop shows nothing");
}
