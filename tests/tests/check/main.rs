//! `df2redis check`: finds what differs, all of it, and nothing that only moves.
#![allow(clippy::unwrap_used)]

mod checked;
mod healing;
mod refused;
mod values;

use std::time::Duration;

use scenarios::client::Endpoint;
use scenarios::injuries::injure;
use scenarios::mirrored::Mirrored;
use scenarios::program::{Settings, binary};
use scenarios::servers::{RedisOptions, RedisServer};
use scenarios::workload::{fill, seed};
use tempfile::TempDir;

use checked::Checked;

fn redis() -> RedisServer {
    RedisServer::start(RedisOptions::default())
}

fn between(source: &str, target: &str, dir: &TempDir) -> Settings {
    Settings::replicate(source, "redis-standalone", &[target.to_owned()])
        .set("checkpoint.dir", dir.path().join("checkpoint").to_string_lossy())
        .set("dashboard.addr", "")
}

fn same_name(db: u32, key: &str) -> (u32, String) {
    (db, key.to_owned())
}

/// A source and a target with the same keys; redis-server stands for the source, of which only reads are asked.
struct Twins {
    source: RedisServer,
    target: RedisServer,
    settings: Settings,
    _dir: TempDir,
}

impl Twins {
    fn filled(keys: u64, dbs: &[u32], seed: u64) -> Twins {
        let (source, target, dir) = (redis(), redis(), TempDir::new().unwrap());
        for server in [&source, &target] {
            fill(&server.endpoint(), keys, dbs, seed);
        }
        let settings = between(&source.addr(), &target.addr(), &dir);
        Twins { source, target, settings, _dir: dir }
    }

    fn targets(&self) -> [Endpoint; 1] {
        [self.target.endpoint()]
    }
}

/// Differences of all kinds are injected into `keys` keys while a writer goes on.
fn finds_all_and_no_other(keys: u64, injuries: u64, writes: u64) {
    let (seed, dbs) = (seed(), [0, 1]);
    let twins = Twins::filled(keys, &dbs, seed);
    // Built now, if it is not yet.
    binary();
    let injuries = injure(&twins.targets(), keys, &dbs, injuries, same_name, seed);
    let writer = Mirrored::start(
        &twins.source.endpoint(),
        &twins.target.endpoint(),
        writes,
        Duration::from_millis(5),
        seed,
    );
    let begin = std::time::Instant::now();
    let (checked, memory) = Checked::measured(&twins.settings, &["--mode", "full", "--interval", "1"]);
    let took = begin.elapsed();
    let written = writer.stop();
    let rate = written as f64 / took.as_secs_f64();
    println!("{} MiB at most", memory >> 20);
    println!("{keys} keys in {took:?}, {written} written meanwhile ({rate:.0}/s)");
    println!("{}", checked.output.stdout);
    checked.assert_found(&injuries);
    assert!(memory > 0 && memory < 256 << 20, "{memory} bytes");
    assert!(checked.number("ok") >= keys - injuries.len() as u64, "{:?}", checked.output);
    assert!(rate > writes as f64 / 4.0, "{rate:.0} writes a second are too few to mean anything");
}

#[test]
fn finds_every_injected_difference_and_no_other_under_writes() {
    finds_all_and_no_other(50_000, 200, 5_000);
}

/// `cargo test --release -p scenarios --test check -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes: a million keys"]
fn finds_a_thousand_differences_in_a_million_keys() {
    finds_all_and_no_other(1_000_000, 1_000, 5_000);
}
