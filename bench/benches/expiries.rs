//! What rule 32 costs a rate limiter: `INCR` and `PEXPIRE` of the same key, over new keys, existing ones and ones that have
//! expired since, with and without knowing which keys ever had an expiry. `PAIRS` (default 50 000), `ROUNDS` (default 3).

use std::time::{Duration, Instant};

use bench::median;
use bench::process::cpu_seconds;
use bench::scene::{DEADLINE, repaired, run_for, setting, source, wait_for, written};
use bench::writers::{Load, Writers};
use scenarios::client::Client;
use scenarios::program::{Df2redis, Settings};
use scenarios::servers::{RedisOptions, RedisServer};

/// What is written, and to which keys.
const STEPS: [(&str, bool, &str); 8] = [
    ("INCR INCR, new keys", false, "a"),
    ("INCR PEXPIRE, new keys", true, "b"),
    ("INCR PEXPIRE, the same keys", true, "b"),
    ("after a restart: INCR INCR, new keys", false, "c"),
    ("  INCR PEXPIRE, new keys", true, "d"),
    ("  INCR PEXPIRE, the same keys", true, "d"),
    ("  INCR PEXPIRE, keys from before", true, "b"),
    ("  INCR PEXPIRE, keys from before that had no expiry", true, "a"),
];

fn main() {
    let pairs = setting("PAIRS", 50_000);
    let rounds = setting("ROUNDS", 3);
    let mut results: Vec<Vec<(f64, u64)>> = vec![Vec::new(); STEPS.len()];
    for round in 1..=rounds {
        let source = source(&format!("the cost of rule 32, round {round} of {rounds}"));
        let server = RedisServer::start(RedisOptions::default());
        let settings = Settings::replicate(&source.addr(), "redis-standalone", &[server.addr()]);
        let mut program = Df2redis::replicate(settings);
        program.wait_ready(DEADLINE);
        let mut done = 0;
        for (number, (what, expires, keys)) in STEPS.iter().enumerate() {
            if what.starts_with("after") {
                assert_eq!(program.terminate().code(), 0);
                program.again();
                program.wait_ready(DEADLINE);
                done = 0;
            }
            // Everything is in the spool before the target takes any of it: the source's speed does not matter.
            server.pause();
            write(&mut source.client(), pairs, *expires, keys);
            let lsns = written(&source.endpoint());
            wait_for(&mut program, "received_lsn", lsns);
            let begin = Instant::now();
            server.resume();
            wait_for(&mut program, "applied_lsn", lsns);
            let total = repaired(&mut program);
            let speed = (pairs * 2) as f64 / begin.elapsed().as_secs_f64();
            println!("{what:<52} {speed:>9.0} records/s {:>8} repairs", total - done);
            results[number].push((speed, total - done));
            done = total;
        }
        if round == rounds {
            println!("\nas it comes, 5 000 pairs a second for 10 s, every key again two seconds later:");
            again_after_expiry(&mut program, &source, 600_000, "PEXPIRE 10 min");
            again_after_expiry(&mut program, &source, 500, "PEXPIRE 0.5 s, expired since");
        }
        assert_eq!(program.terminate().code(), 0);
    }
    println!("\nmedians of {rounds} rounds, {pairs} pairs each");
    let speed = |step: usize| median(results[step].iter().map(|(speed, _)| *speed).collect());
    for (number, (what, ..)) in STEPS.iter().enumerate() {
        let base = if number < 3 { 0 } else { 3 };
        let repairs = median(results[number].iter().map(|(_, repairs)| *repairs as f64).collect());
        let part = speed(number) / speed(base);
        println!("{what:<52} {:>9.0} records/s, {part:.2} of without, {repairs:>8.0} repairs", speed(number));
    }
}

fn write(client: &mut Client, pairs: u64, expires: bool, keys: &str) {
    for n in 0..pairs {
        let key = format!("limit:{keys}:{n}");
        client.queue(&["INCR", &key]);
        match expires {
            true => client.queue(&["PEXPIRE", &key, "3600000"]),
            false => client.queue(&["INCR", &format!("{key}:2")]),
        }
        if client.queued() >= 1_000 {
            client.flush().unwrap_or_else(|e| panic!("the source: {e}"));
        }
    }
    client.flush().unwrap_or_else(|e| panic!("the source: {e}"));
}

fn again_after_expiry(program: &mut Df2redis, source: &scenarios::source::Source, ttl: u64, what: &str) {
    let before = repaired(program);
    let fences = |program: &Df2redis| {
        let status = program.status().expect("the program tells its status");
        status["repair"]["fences"].as_u64().unwrap_or_default()
    };
    let (read, used, begin) = (fences(program), cpu_seconds(program.pid()), Instant::now());
    let load = Load { connections: 2, per_second: 5_000, pipeline: 10 };
    let writers = Writers::start(&source.endpoint(), load, move |n, client| {
        let key = format!("limit:{ttl}:{}", n % 10_000);
        client.queue(&["INCR", &key]);
        client.queue(&["PEXPIRE", &key, &ttl.to_string()]);
    });
    run_for(Duration::from_secs(10));
    let pairs = writers.written();
    writers.stop();
    wait_for(program, "applied_lsn", written(&source.endpoint()));
    let core = (cpu_seconds(program.pid()) - used) / begin.elapsed().as_secs_f64();
    println!(
        "{what:<30} {pairs} pairs, {} repairs, {} fences, {:.0}% of a core",
        repaired(program) - before,
        fences(program) - read,
        core * 100.0
    );
}
