//! What knowing "settled" costs. Numbers are printed; the limits are far above what a quiet machine shows.

use std::time::Duration;

use router::durability::NodeWatch;
use router::{FlowRouter, Origin};
use scenarios::servers::Cluster;
use tokio::time::Instant;

use crate::support::{Bed, connect, incr, options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settling_takes_a_poll_or_two() {
    let cluster = Cluster::with_replicas();
    let mut bed = Bed::on(&cluster.seeds()).await;
    bed.write("key", 600);
    bed.settle().await;
    let mut times = Vec::new();
    for n in 0..200u64 {
        bed.write("key", 1 + (n as usize % 7));
        let start = Instant::now();
        bed.settle().await;
        times.push(start.elapsed());
        // Another moment of the poller's rhythm each time.
        tokio::time::sleep(Duration::from_millis(n * 13 % 97)).await;
    }
    times.sort();
    let (half, most) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("time to settle: p50 {half:?}, p99 {most:?}");
    assert!(half < Duration::from_millis(500), "{half:?}");
    assert_eq!((bed.lost.len(), bed.events.len()), (0, 0), "{bed:?}");
}

/// CPU seconds that this process has used.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// `cargo test --release -p router --test durability -- --ignored --nocapture overhead`
#[ignore = "a measurement"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overhead_at_50_000_writes_a_second() {
    let cluster = Cluster::with_replicas();
    for watched in [false, true, false, true] {
        let target = connect(&cluster.seeds()).await;
        let watch = watched.then(|| NodeWatch::start(target.clone(), Default::default()));
        let mut router = FlowRouter::with(target, 0, usize::MAX, options(watch.clone()));
        router.tracker().restart_at(1);
        let (start, used) = (Instant::now(), cpu());
        let (mut sent, mut behind) = (0u64, 0u64);
        while start.elapsed() < Duration::from_secs(5) {
            let due = start.elapsed().as_millis() as u64 * 50;
            while sent < due {
                let lsn = router.tracker().open_record();
                router.send(incr(true, &format!("key:{}", sent * 7919 % 1_000_000)), Origin::Record(lsn));
                router.tracker().close_record(lsn);
                sent += 1;
            }
            router.flush();
            let _ = tokio::time::timeout(Duration::from_millis(2), router.next_event()).await;
            let failures = router.take_failures();
            assert!(failures.is_empty());
            behind = behind.max(sent + 1 - router.applied());
        }
        let rate = sent as f64 / start.elapsed().as_secs_f64();
        let share = (cpu() - used) / start.elapsed().as_secs_f64() * 100.0;
        let kept = watch.map_or(0, |watch| watch.retained_bytes());
        println!(
            "watched {watched}: {rate:.0} writes/s, {share:.1} % CPU, applied at most {behind} records behind, {kept} bytes kept"
        );
    }
}
