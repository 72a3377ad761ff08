//! What reservation costs: durable writes per second and processor time, at several rates of records.
//! `MEASURE_SECONDS` (default 5) for each rate.

use std::time::{Duration, Instant};

use bench::process::{commits, cpu_seconds};
use bench::scene::{run_for, setting, source, sum, wait_for, written};
use bench::writers::{Load, Writers};
use checkpoint::{Phase, State, Store, TargetIdentity};
use scenarios::program::{Df2redis, Settings};
use scenarios::servers::{RedisOptions, RedisServer};

fn main() {
    let seconds = setting("MEASURE_SECONDS", 5);
    let (wall, cpu) = one_commit();
    println!(
        "one durable write: {:.2} ms, {:.2} ms of them processor time",
        wall.as_secs_f64() * 1e3,
        cpu * 1e3
    );
    let source = source("the cost of reservation");
    let server = RedisServer::start(RedisOptions::default());
    let mut program =
        Df2redis::replicate(Settings::replicate(&source.addr(), "redis-standalone", &[server.addr()]));
    program.wait_ready(Duration::from_secs(60));
    println!("  wanted/s  applied/s  writes/s  records/write  of a core  for the writes  lag afterwards");
    for rate in [1_000, 10_000, 50_000, 100_000] {
        let load = Load { connections: 4, per_second: rate, pipeline: (rate / 1_000).clamp(1, 100) };
        let value = [b'x'; 100];
        let writers = Writers::start(&source.endpoint(), load, move |n, client| {
            let key = format!("key:{:07}", n % 500_000);
            client.queue(&[b"SET".as_slice(), key.as_bytes(), &value]);
        });
        run_for(Duration::from_secs(1));
        let status = || program.status().expect("the program tells its status");
        let before =
            (sum(&status(), "applied_lsn"), commits(program.checkpoint_dir()), cpu_seconds(program.pid()));
        let begin = Instant::now();
        run_for(Duration::from_secs(seconds));
        let took = begin.elapsed().as_secs_f64();
        let applied = (sum(&status(), "applied_lsn") - before.0) as f64 / took;
        let writes = (commits(program.checkpoint_dir()) - before.1) as f64 / took;
        let core = (cpu_seconds(program.pid()) - before.2) / took;
        writers.stop();
        let lag = wait_for(&mut program, "applied_lsn", written(&source.endpoint()));
        println!(
            "{rate:>10} {applied:>10.0} {writes:>9.1} {:>14.0} {:>9.1}% {:>14.1}% {:>13.2}s",
            applied / writes,
            core * 100.0,
            writes * cpu * 100.0,
            lag.as_secs_f64(),
        );
    }
    assert_eq!(program.terminate().code(), 0);
}

/// Time and processor time of one durable write of two flows.
fn one_commit() -> (Duration, f64) {
    const WRITES: u32 = 1_000;
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let store = Store::open(dir.path()).expect("a fresh checkpoint");
    let state = |n: u64| State {
        phase: Phase::Stable,
        replication_id: "b8c1f7a05d0e4c1b9a2f3e4d5c6b7a8990abcdef".into(),
        applied: vec![n; 2],
        reserved: vec![n + 8_192; 2],
        reconcile: false,
        target: TargetIdentity::Standalone { address: "127.0.0.1:6379".into(), run_id: "0".repeat(40) },
        updated_at_ms: 1,
        nodes: Vec::new(),
    };
    let pid = std::process::id();
    let (begin, used) = (Instant::now(), cpu_seconds(pid));
    for n in 1..=u64::from(WRITES) {
        store.write(&state(n)).expect("the checkpoint can be written");
    }
    (begin.elapsed() / WRITES, (cpu_seconds(pid) - used) / f64::from(WRITES))
}
