//! "SIGTERM: checkpoint exact, partial resume, nothing uncertain."
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use checkpoint::Phase;
use scenarios::observe::{Crowd, Load};
use scenarios::program::{Df2redis, number, run};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;
use scenarios::workload::{fill, seed};

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
