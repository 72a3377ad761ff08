//! How far `applied` is behind what was received, where it waits until the target's replicas have it, and what asking the
//! target for that costs. `MEASURE_SECONDS` (default 5) for each kind of target.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bench::median;
use bench::scene::{DEADLINE, run_for, setting, source, sum, wait_for, written};
use bench::writers::{Load, Writers};
use scenarios::client::Client;
use scenarios::program::{Df2redis, Settings};
use scenarios::servers::{RedisOptions, RedisServer};
use scenarios::wait;

const PER_SECOND: u64 = 5_000;

fn main() {
    let seconds = setting("MEASURE_SECONDS", 5);
    println!("{PER_SECOND} SET/s for {seconds} s");
    println!(
        "target                      behind p50    p99    max (ms)  records p50     max  INFO/s  WAIT/s  us/s for both"
    );
    for (what, replicas, everysec, stop) in [
        ("alone", 0, false, false),
        ("alone, AOF everysec", 0, true, false),
        ("one replica", 1, false, false),
        ("two replicas", 2, false, false),
        ("one replica that stands still", 1, false, true),
    ] {
        let source = source(what);
        let aof = ["--appendonly", "yes", "--appendfsync", "everysec"].map(str::to_owned);
        let extra = if everysec { aof.to_vec() } else { Vec::new() };
        let server = RedisServer::start(RedisOptions { extra, ..RedisOptions::default() });
        let replicas: Vec<RedisServer> = (0..replicas).map(|_| replica(&server)).collect();
        let settings = Settings::replicate(&source.addr(), "redis-standalone", &[server.addr()]);
        let mut program = Df2redis::replicate(settings.set("target.loss_window", 3));
        program.wait_ready(DEADLINE);
        let load = Load { connections: 2, per_second: PER_SECOND, pipeline: 5 };
        let writers = Writers::start(&source.endpoint(), load, |n, client| {
            client.queue(&["SET", &format!("key:{}", n % 50_000), "0123456789"]);
        });
        run_for(Duration::from_secs(1));
        if stop {
            replicas.iter().for_each(RedisServer::pause);
        }
        let mut client = server.client();
        let (before, begin) = (asked(&mut client), Instant::now());
        let behind = sample(&program, Duration::from_secs(seconds));
        let (after, took) = (asked(&mut client), begin.elapsed().as_secs_f64());
        writers.stop();
        let ms = |share: f64| at(behind.iter().map(|(ms, _)| *ms).collect(), share);
        let records = |share: f64| at(behind.iter().map(|(_, records)| *records).collect(), share);
        let per_second = |n: usize| (after[n] - before[n]) / took;
        println!(
            "{what:<29} {:>7.0} {:>6.0} {:>6.0} {:>17.0} {:>7.0} {:>7.1} {:>7.1} {:>10.0}",
            ms(0.5),
            ms(0.99),
            ms(1.0),
            records(0.5),
            records(1.0),
            per_second(0),
            per_second(1),
            per_second(2),
        );
        if stop {
            replicas.iter().for_each(RedisServer::resume);
        }
        wait_for(&mut program, "applied_lsn", written(&source.endpoint()));
        assert_eq!(program.terminate().code(), 0);
    }
}

fn replica(master: &RedisServer) -> RedisServer {
    let extra = ["--replicaof", "127.0.0.1", &master.port().to_string()].map(str::to_owned).to_vec();
    let server = RedisServer::start(RedisOptions { extra, ..RedisOptions::default() });
    wait::until(DEADLINE, "the replica is linked", || {
        server.client().info("replication", "master_link_status").as_deref() == Some("up")
    });
    server
}

/// Calls of INFO and WAIT so far, and the microseconds they took.
fn asked(client: &mut Client) -> [f64; 3] {
    let text = client.text(&["INFO", "commandstats"]);
    let field = |command: &str, name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(command)).unwrap_or_default();
        let value = line.split(',').find_map(|field| field.strip_prefix(name));
        value.and_then(|value| value.parse().ok()).unwrap_or_default()
    };
    let calls = |command| field(command, "calls=");
    let us = |command| field(command, "usec=");
    [calls("cmdstat_info:"), calls("cmdstat_wait:"), us("cmdstat_info:") + us("cmdstat_wait:")]
}

/// How long ago (ms) the first record was received that is not applied, and how many are not; looked at every 20 ms or so.
fn sample(program: &Df2redis, time: Duration) -> Vec<(f64, f64)> {
    let begin = Instant::now();
    let mut received: VecDeque<(Instant, u64)> = VecDeque::new();
    let mut found = Vec::new();
    while begin.elapsed() < time {
        let status = program.status().expect("the program tells its status");
        let (now, applied) = (Instant::now(), sum(&status, "applied_lsn"));
        received.push_back((now, sum(&status, "received_lsn")));
        while received.front().is_some_and(|(_, received)| *received <= applied) {
            received.pop_front();
        }
        let since = received.front().map_or(0.0, |(at, _)| now.duration_since(*at).as_secs_f64() * 1e3);
        let records = received.back().map_or(0, |(_, received)| received - applied);
        found.push((since, records as f64));
        run_for(Duration::from_millis(20));
    }
    found
}

fn at(mut numbers: Vec<f64>, share: f64) -> f64 {
    if share == 0.5 {
        return median(numbers);
    }
    numbers.sort_by(f64::total_cmp);
    numbers.last().map_or(f64::NAN, |_| numbers[((numbers.len() - 1) as f64 * share) as usize])
}
