//! A slot migrates while its keys are under repair: counters whose every ninth write is an `INCRBYFLOAT`, after which the key
//! is read again from the source, in one slot that goes to another node and back meanwhile. `ROUNDS` (default 3).

use std::time::{Duration, Instant};

use bench::median;
use bench::scene::{DEADLINE, repaired, run_for, setting, source, wait_for, written};
use bench::writers::{Load, Writers};
use scenarios::program::{Df2redis, Settings};
use scenarios::servers::{Cluster, ClusterOptions};

const KEYS: u64 = 2_000;

fn main() {
    let rounds = setting("ROUNDS", 3);
    let source = source("resharding during a repair");
    let cluster = Cluster::start(ClusterOptions::default());
    let settings = Settings::replicate(&source.addr(), "redis-cluster", &cluster.seeds());
    let mut program = Df2redis::replicate(settings);
    program.wait_ready(DEADLINE);
    let slot = cluster.slot_of(b"{slot}");
    for (what, moves) in [("the slot stays", false), ("the slot moves twice", true)] {
        let (mut took, mut repairs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let before = repaired(&mut program);
            let load = Load { connections: 2, per_second: 5_000, pipeline: 20 };
            let writers = Writers::start(&source.endpoint(), load, |n, client| {
                let key = format!("{{slot}}:{}", n % KEYS);
                // Of every key by turns: its length has no divisor in common with the distance.
                match n % 9 {
                    0 => client.queue(&["INCRBYFLOAT", &key, "1"]),
                    _ => client.queue(&["INCR", &key]),
                }
            });
            run_for(Duration::from_secs(1));
            for _ in 0..if moves { 2 } else { 0 } {
                let to = cluster.masters().iter().map(|m| m.index).find(|m| *m != cluster.master_of(slot));
                let to = to.expect("several masters");
                let from = cluster.begin_slot_migration(slot, to);
                while cluster.move_keys(slot, from, to, 50) > 0 {}
                cluster.finish_slot_migration(slot, from, to);
            }
            run_for(Duration::from_secs(1));
            writers.stop();
            let begin = Instant::now();
            wait_for(&mut program, "applied_lsn", written(&source.endpoint()));
            repairs.push((repaired(&mut program) - before) as f64);
            took.push(begin.elapsed().as_secs_f64());
        }
        println!(
            "{what:<22} {:>6.0} repairs, in sync {:.2} s after the last write (medians of {rounds})",
            median(repairs),
            median(took),
        );
    }
    let (mut client, mut target) = (source.client(), cluster.client_for(b"{slot}"));
    let unequal = (0..KEYS).filter(|n| {
        let key = format!("{{slot}}:{n}");
        client.text(&["GET", &key]) != target.text(&["GET", &key])
    });
    assert_eq!(unequal.count(), 0, "counters differ");
    println!("all {KEYS} counters are equal");
    assert_eq!(program.terminate().code(), 0);
}
