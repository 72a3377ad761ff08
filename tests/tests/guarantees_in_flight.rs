//! "Commands in flight when the target connection broke": repaired, neither lost nor doubled.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use scenarios::client::Client;
use scenarios::observe::{sum, wait_all_in_sync};
use scenarios::program::{Df2redis, number};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::workload::{Mode, Options, Rng, Workload, fill, seed};

const READY: Duration = Duration::from_secs(60);

fn nodes(target: &Target) -> Vec<Client> {
    match target {
        Target::Standalone(server) => vec![server.client()],
        Target::Cluster(cluster) => {
            cluster.master_endpoints().iter().map(|e| Client::open(e).unwrap()).collect()
        }
    }
}

#[test]
fn connections_cut_under_commands_that_may_not_be_repeated() {
    let seed = seed();
    let mut rng = Rng::new(seed);
    for source in Source::each("connections_cut_under_commands_that_may_not_be_repeated", 2) {
        for target in Target::both() {
            source.client().call(&["FLUSHALL"]);
            fill(&source.endpoint(), 1_000, &[0, 1], seed);
            // Few keys, deep pipelines: there is always something on its way.
            let options =
                Options { rate: Some(6_000), keys: 60, depth: 60, ..Options::new(Mode::Full, seed) };
            let writer = Workload::start(&source.endpoint(), options);
            let mut program = Df2redis::replicate(target.settings(&source));
            program.wait_ready(READY);
            let mut nodes = nodes(&target);
            for _ in 0..12 {
                writer.wait_for(200 + rng.below(400));
                let node = rng.below(nodes.len() as u64) as usize;
                nodes[node].call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
            }
            writer.wait_for(500);
            writer.stop().assert_no_surprise();
            target.assert_equal(&source);
            let status = wait_all_in_sync(&mut program, READY);
            assert!(sum(&status, "disconnects") > 0, "nothing was cut: {status}");
            println!(
                "seed {seed}: {} cut, {} keys repaired",
                sum(&status, "disconnects"),
                status["repair"]["done"]
            );
            assert!(number(&status["repair"], "done") > 0, "nothing was in flight at any cut: {status}");
            // Once more, now that the list is empty: nothing moved since.
            target.assert_equal(&source);
        }
    }
}

/// One counter, and the connection cut in the middle of its INCRs: the sharpest form.
#[test]
fn a_counter_whose_connection_broke_is_exact() {
    for source in Source::each("a_counter_whose_connection_broke_is_exact", 2) {
        for target in Target::both() {
            let mut client = source.client();
            client.call(&["FLUSHALL"]);
            let mut program = Df2redis::replicate(target.settings(&source));
            program.wait_ready(READY);
            let mut nodes = nodes(&target);
            for _ in 0..20 {
                for _ in 0..300 {
                    client.queue(&["INCR", "counter"]);
                    client.queue(&["RPUSH", "list", "element"]);
                }
                client.flush().unwrap();
                for node in &mut nodes {
                    node.call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
                }
            }
            target.assert_equal(&source);
            let status = wait_all_in_sync(&mut program, READY);
            assert!(sum(&status, "disconnects") > 0, "nothing was cut: {status}");
        }
    }
}
