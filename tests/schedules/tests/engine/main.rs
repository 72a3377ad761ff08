//! Random schedules.
#![allow(clippy::unwrap_used)]

mod clock;
mod faults;
mod life;
mod network;
mod node;
mod random;
mod schedule;
mod source;
mod trace;
mod world;

use faults::Profile;
use random::Random;
use schedule::{Outcome, Plan};
use trace::Telling;

fn any(seed: u64, telling: Telling) -> Outcome {
    let profile = Profile::any(&mut Random::new(!seed));
    schedule::run(&Plan { seed, profile, telling })
}

#[test]
fn one_seed_is_one_run() {
    for seed in 0..10 {
        let (first, again) = (any(seed, Telling::Kept), any(seed, Telling::Kept));
        for (before, after) in first.lines.iter().zip(&again.lines) {
            assert_eq!(before, after, "seed {seed} did something else when it was repeated");
        }
        assert_eq!(first.hash, again.hash, "seed {seed} did something else when it was repeated");
    }
}

#[test]
fn schedules() {
    let seed = std::env::var("SCHEDULE_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    if let Some(seed) = seed {
        tracing_subscriber::fmt().with_env_filter("debug").with_test_writer().without_time().init();
        let outcome = any(seed, Telling::Printed);
        println!("{outcome:?}");
        assert_eq!(outcome.failure, None);
        return;
    }
    let count = std::env::var("SCHEDULES").map_or(100, |count| count.parse::<u64>().unwrap());
    let mut failed = 0;
    for seed in 0..count {
        let outcome = any(seed, Telling::Nothing);
        if let Some(failure) = outcome.failure {
            failed += 1;
            println!("SCHEDULE_SEED={seed}: {}", &failure[..failure.len().min(600)]);
        }
    }
    println!("{failed} of {count} failed");
}
