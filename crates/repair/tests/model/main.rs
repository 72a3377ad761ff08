//! The rules against a toy source and a toy target: every interleaving of records, fences, values, refusals and broken
//! connections that thousands of seeds make, and the target compared with the source when everything has come to rest.
//!
//! `SEED=n cargo test -p repair --test model` replays one.
#![allow(clippy::unwrap_used)]

mod source;
mod target;
mod world;

use repair::Rules;
use world::World;

const SEEDS: u64 = 8_000;

fn run(seed: u64, rules: Rules) -> Result<World, String> {
    let mut world = World::new(seed, rules);
    for _ in 0..120 {
        world.step();
    }
    world.come_to_rest()?;
    Ok(world)
}

fn seeds() -> std::ops::Range<u64> {
    match std::env::var("SEED") {
        Ok(seed) => {
            let seed = seed.parse().unwrap();
            seed..seed + 1
        }
        Err(_) => 0..SEEDS,
    }
}

#[test]
fn the_target_equals_the_source_at_rest() {
    let mut repaired = 0;
    let mut again = 0;
    for seed in seeds() {
        match run(seed, Rules::all()) {
            Ok(world) => {
                repaired += world.repaired();
                again += world.read_again();
            }
            Err(difference) => panic!("SEED={seed}: {difference}"),
        }
    }
    println!("{repaired} keys repaired, {again} read again");
    assert!(repaired > 0 && again > 0, "the schedules cause nothing");
}

#[test]
fn each_rule_is_needed() {
    for rule in [12, 13, 14, 15, 16, 17, 19] {
        let failing = (0..SEEDS).find_map(|seed| Some((seed, run(seed, Rules::all().without(rule)).err()?)));
        match failing {
            Some((seed, difference)) => println!("without rule {rule}, SEED={seed}: {difference}"),
            None => panic!("nothing fails without rule {rule} in {SEEDS} seeds"),
        }
    }
}
