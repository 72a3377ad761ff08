//! "SIGTERM: checkpoint exact, partial resume, nothing uncertain." And what it costs to have the checkpoint always near.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use checkpoint::Phase;
use scenarios::observe::{Crowd, Load};
use scenarios::program::{Df2redis, number, run};
use scenarios::servers::{RedisOptions, RedisServer};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;
use scenarios::workload::{fill, seed};
use simulator::Release;

const READY: Duration = Duration::from_secs(60);

#[test]
fn sigterm_leaves_an_exact_checkpoint_and_nothing_uncertain() {
    let seed = seed();
    for source in Source::each("sigterm_leaves_an_exact_checkpoint_and_nothing_uncertain", 2) {
        for target in Target::both() {
            source.client().call(&["FLUSHALL"]);
            fill(&source.endpoint(), 2_000, &[0, 1], seed);
            // Counters and plain values, so that nothing but the stop could make a key doubtful.
            let writers =
                Crowd::start(&source.endpoint(), Load { clients: 2, rate: 4_000, value: 50, names: 1_009 });
            let more = |count: u64| {
                let goal = writers.count() + count;
                wait::until(READY, "the writers to go on", || writers.count() >= goal);
            };
            let mut program = Df2redis::replicate(target.settings(&source));
            program.wait_ready(READY);
            more(2_000);
            assert_eq!(program.terminate().code(), 0);
            // What is stored: nothing was sent that is not applied, and no key is in doubt.
            let stored = checkpoint::inspect(program.checkpoint_dir(), 10).unwrap().unwrap();
            let state = stored.state.unwrap();
            assert_eq!(state.phase, Phase::Stable);
            assert_eq!(state.applied, state.reserved, "records in doubt after SIGTERM");
            assert_eq!(stored.not_in_sync_count, 0, "{:?}", stored.not_in_sync);
            // The operator sees the same.
            let config = program.config_file().to_string_lossy().into_owned();
            let shown = run(&["checkpoint", "show", "--config", &config], READY).stdout;
            for (flow, line) in shown.lines().filter(|line| line.starts_with("flow ")).enumerate() {
                // Thousands are set apart.
                let number = |text: &str| -> u64 {
                    text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
                };
                let lsns: Vec<u64> = line.split("LSN").skip(1).map(number).collect();
                assert_eq!(lsns, [state.applied[flow], state.reserved[flow]], "{line}");
            }
            // The source goes on, and nothing of what it did before comes again.
            more(1_000);
            program.again();
            program.wait_ready(READY);
            program.wait_for_line("uncertain_records=0 keys_under_repair=0", READY);
            more(1_000);
            writers.stop();
            target.assert_equal(&source);
            let status = program.status().unwrap();
            assert_eq!((number(&status, "partial_syncs"), number(&status, "full_syncs")), (1, 0), "{status}");
            assert_eq!(number(&status["repair"], "done"), 0, "a key was repaired: {status}");
            assert_eq!(number(&status, "not_in_sync_count"), 0, "{status}");
            if let Source::Simulated(simulated) = &source {
                // By the source's own count as well: one for each target.
                assert!(simulated.handle().full_syncs() <= 2, "{}", simulated.handle().full_syncs());
            }
        }
    }
}

/// Each write of the checkpoint is one fsync (a test of the crate `checkpoint` counts them); here is how many there are.
#[test]
fn the_checkpoint_is_written_once_for_a_few_thousand_records_of_all_flows() {
    let source = Source::simulated(Release::V1_40, 2);
    let target = Target::Standalone(RedisServer::start(RedisOptions::default()));
    let mut program = Df2redis::replicate(target.settings(&source).unset("checkpoint.interval"));
    program.wait_ready(READY);
    let began = Instant::now();
    let load = Load { clients: 4, rate: 10_000, value: 50, names: 1_009 };
    let crowd = Crowd::start(&source.endpoint(), load);
    // How far behind it falls meanwhile is not left out either.
    let mut behind = 0;
    wait::until(READY, "the writers to go on", || {
        let status = program.status().unwrap();
        behind = behind.max(number(&status["crash"], "records_behind"));
        crowd.count() >= 60_000
    });
    let records = crowd.stop().commands;
    target.assert_equal(&source);
    let seconds = began.elapsed().as_secs();
    assert_eq!(program.terminate().code(), 0);
    let writes = checkpoint::inspect(program.checkpoint_dir(), 0).unwrap().unwrap().generation;
    println!("{writes} writes for {records} records in {seconds} s; {behind} records behind at most");
    // The start, the stop, and the one every few seconds come on top.
    assert!(
        writes <= records / 1_250 + seconds / 2 + 6,
        "{writes} writes for {records} records in {seconds} s"
    );
    assert!(
        writes >= records / 4_000,
        "{writes} writes for {records} records: more would be lost than is said"
    );
}
