//! The target stops for `STOP_SECONDS` (default 10) while 20 000 writes a second arrive: how long the writers at the source
//! wait, before and during the stop.

use std::time::Duration;

use bench::scene::{run_for, setting, source, wait_for, written};
use bench::writers::{Load, Writers};
use scenarios::program::{Df2redis, Settings};
use scenarios::servers::{RedisOptions, RedisServer};

const PER_SECOND: u64 = 20_000;

fn main() {
    let seconds = setting("STOP_SECONDS", 10);
    let source = source("the target stopped under writes");
    let server = RedisServer::start(RedisOptions::default());
    let mut program =
        Df2redis::replicate(Settings::replicate(&source.addr(), "redis-standalone", &[server.addr()]));
    program.wait_ready(Duration::from_secs(60));
    // Pipelines of ten: as many round trips as the machine has time for beside everything else.
    let load = Load { connections: 8, per_second: PER_SECOND, pipeline: 10 };
    let value = [b'x'; 100];
    let writers = Writers::start(&source.endpoint(), load, move |n, client| {
        let key = format!("key:{:07}", n % 100_000);
        client.queue(&[b"SET".as_slice(), key.as_bytes(), &value]);
    });
    run_for(Duration::from_secs(2));
    println!("          writes/s       p50       p99     p99.9       max  (ms for a pipeline of ten)");
    let measure = |what: &str, seconds: u64| {
        writers.took();
        let before = writers.written();
        run_for(Duration::from_secs(seconds));
        let took = writers.took();
        println!(
            "{what:>8} {:>9} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
            (writers.written() - before) / seconds,
            took.ms(0.5),
            took.ms(0.99),
            took.ms(0.999),
            took.ms(1.0),
        );
        took.ms(1.0)
    };
    measure("before", seconds.min(10));
    server.pause();
    let longest = measure("stopped", seconds);
    let spool = program.status().expect("the program tells its status")["spool"].clone();
    let mib = |bytes: u64| bytes >> 20;
    println!(
        "          in the spool: {} MiB in memory, {} MiB on disk; resident {} MiB",
        mib(spool["memory_bytes"].as_u64().unwrap_or_default()),
        mib(spool["disk_bytes"].as_u64().unwrap_or_default()),
        mib(program.resident_bytes().unwrap_or_default()),
    );
    server.resume();
    measure("behind", seconds.min(10));
    writers.stop();
    let lag = wait_for(&mut program, "applied_lsn", written(&source.endpoint()));
    let peak = program.peak_resident_bytes().unwrap_or_default() >> 20;
    println!("caught up {:.1} s after the last write; largest resident memory {peak} MiB", lag.as_secs_f64());
    assert!(longest < 1_000.0, "a writer at the source was held up for {longest:.0} ms");
    assert_eq!(program.terminate().code(), 0);
}
