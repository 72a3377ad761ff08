//! The main job against live masters: snapshot under writes, journal, resume, restart of either side.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use scenarios::observe::wait_all_in_sync;
use scenarios::program::{Df2redis, number};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::workload::{Mode, Options, Workload, fill, seed};

const READY: Duration = Duration::from_secs(90);

#[test]
fn writes_during_and_after_the_snapshot_arrive() {
    let seed = seed();
    for source in Source::each("writes_during_and_after_the_snapshot_arrive", 2) {
        for target in Target::both() {
            source.client().call(&["FLUSHALL"]);
            fill(&source.endpoint(), 200_000, &[0, 1, 2], seed);
            let writer = Workload::start(&source.endpoint(), Options::new(Mode::Full, seed));
            let mut program = Df2redis::replicate(target.settings(&source));
            program.wait_ready(READY);
            writer.wait_for(10_000);
            writer.stop().assert_no_surprise();
            let keys = target.assert_equal(&source);
            assert!(keys > 150_000, "{keys} keys are too few to mean anything");
            wait_all_in_sync(&mut program, READY);
        }
    }
}

#[test]
fn sigterm_and_restart_under_writes_resumes_partially() {
    let seed = seed();
    for source in Source::each("sigterm_and_restart_under_writes_resumes_partially", 2) {
        for target in Target::both() {
            source.client().call(&["FLUSHALL"]);
            fill(&source.endpoint(), 20_000, &[0, 1, 2], seed);
            // Counters, appends and pops: a record that is applied twice, or lost, shows.
            let options = Options { rate: Some(3_000), ..Options::new(Mode::Full, seed) };
            let writer = Workload::start(&source.endpoint(), options);
            let mut program = Df2redis::replicate(target.settings(&source));
            for round in 0..3 {
                program.wait_ready(READY);
                writer.wait_for(2_000);
                if round == 0 {
                    assert_eq!(number(&program.status().unwrap(), "full_syncs"), 1);
                } else {
                    let status = program.status().unwrap();
                    assert_eq!(number(&status, "partial_syncs"), 1, "{status}");
                    assert_eq!(number(&status, "full_syncs"), 0, "{status}");
                }
                let asked = Instant::now();
                let output = program.terminate();
                assert_eq!(output.code(), 0, "{output:?}");
                assert!(asked.elapsed() < Duration::from_secs(10), "took {:?}", asked.elapsed());
                program.again();
            }
            program.wait_ready(READY);
            writer.stop().assert_no_surprise();
            target.assert_equal(&source);
        }
    }
}

#[test]
fn sigkill_and_restart_with_idempotent_writes_ends_equal() {
    let seed = seed();
    for source in Source::each("sigkill_and_restart_with_idempotent_writes_ends_equal", 2) {
        for target in Target::both() {
            source.client().call(&["FLUSHALL"]);
            fill(&source.endpoint(), 20_000, &[0, 1, 2], seed);
            let options = Options { rate: Some(3_000), ..Options::new(Mode::Idempotent, seed) };
            let writer = Workload::start(&source.endpoint(), options);
            let mut program = Df2redis::replicate(target.settings(&source));
            program.wait_ready(READY);
            for _ in 0..3 {
                writer.wait_for(1_500);
                program.kill();
                program.again();
                program.wait_ready(READY);
                let status = program.status().unwrap();
                assert_eq!(number(&status, "partial_syncs"), 1, "{status}");
            }
            writer.stop().assert_no_surprise();
            target.assert_equal(&source);
        }
    }
}

#[test]
fn a_crash_inside_the_first_snapshot_is_not_mistaken_for_foreign_data() {
    let seed = seed();
    for source in Source::each("a_crash_inside_the_first_snapshot_is_not_mistaken_for_foreign_data", 2) {
        for target in Target::both() {
            source.client().call(&["FLUSHALL"]);
            fill(&source.endpoint(), 100_000, &[0, 1], seed);
            let mut program = Df2redis::replicate(target.settings(&source));
            program.wait_until(READY, "some keys to be copied", |s| number(s, "keys") > 1_000);
            program.kill();
            // What the source deletes meanwhile must not stay.
            source.client().call(&["FLUSHDB"]);
            source.client().call(&["SET", "after", "the crash"]);
            program.again();
            program.wait_ready(READY);
            target.assert_equal(&source);
        }
    }
}

#[test]
fn a_restarted_source_leads_to_a_full_sync_and_vanished_keys_go() {
    let seed = seed();
    for mut source in Source::each("a_restarted_source_leads_to_a_full_sync_and_vanished_keys_go", 2) {
        for target in Target::both() {
            source.client().call(&["FLUSHALL"]);
            fill(&source.endpoint(), 20_000, &[0, 1, 2], seed);
            let mut program = Df2redis::replicate(target.settings(&source));
            program.wait_ready(READY);
            let before = target.assert_equal(&source);
            source.restart_empty();
            // Written while the second sync runs: these meet what the target still has of the first life.
            let writer = Workload::start(&source.endpoint(), Options::new(Mode::Full, seed));
            fill(&source.endpoint(), 5_000, &[0, 2], seed + 1);
            program.wait_until(READY, "a second full sync", |s| number(s, "full_syncs") >= 2);
            program.wait_ready(READY);
            writer.wait_for(2_000);
            writer.stop().assert_no_surprise();
            let after = target.assert_equal(&source);
            assert!(after < before, "{before} keys before, {after} after");
            program.wait_until(READY, "the removal to end", |s| s["reconciling"] == false);
            assert!(number(&program.status().unwrap(), "removed_keys") > 0);
        }
    }
}

#[test]
fn flushes_under_writes_are_executed_once_for_all_flows() {
    let seed = seed();
    for source in Source::each("flushes_under_writes_are_executed_once_for_all_flows", 3) {
        for target in Target::both() {
            source.client().call(&["FLUSHALL"]);
            fill(&source.endpoint(), 5_000, &[0, 1, 2], seed);
            let mut program = Df2redis::replicate(target.settings(&source));
            program.wait_ready(READY);
            let options = Options { rate: Some(4_000), ..Options::new(Mode::Full, seed) };
            let writer = Workload::start(&source.endpoint(), options);
            let mut client = source.client();
            for round in 0..6 {
                writer.wait_for(800);
                match round % 3 {
                    0 => client.call(&["FLUSHALL"]),
                    1 => {
                        client.call(&["SELECT", "0"]);
                        client.call(&["FLUSHDB"])
                    }
                    _ => {
                        client.call(&["SELECT", "2"]);
                        client.call(&["FLUSHDB"])
                    }
                };
            }
            writer.wait_for(800);
            writer.stop().assert_no_surprise();
            target.assert_equal(&source);
            assert_eq!(number(&program.status().unwrap(), "full_syncs"), 1);
        }
    }
}

#[test]
fn a_flush_after_a_restart_touches_no_other_database() {
    for source in Source::each("a_flush_after_a_restart_touches_no_other_database", 2) {
        for target in Target::both() {
            let mut client = source.client();
            client.call(&["FLUSHALL"]);
            fill(&source.endpoint(), 2_000, &[0, 3], seed());
            let mut program = Df2redis::replicate(target.settings(&source));
            program.wait_ready(READY);
            target.assert_equal(&source);
            assert_eq!(program.terminate().code(), 0);
            program.again();
            program.wait_ready(READY);
            // Nothing has told this process of database 3 but the source itself.
            client.call(&["FLUSHDB"]);
            client.call(&["SET", "marker", "1"]);
            let keys = target.assert_equal(&source);
            assert!(keys > 900, "{keys} keys are left");
            let status = program.status().unwrap();
            assert_eq!((number(&status, "partial_syncs"), number(&status, "full_syncs")), (1, 0), "{status}");
        }
    }
}
