//! One million strings of 100 bytes: full sync and journal replay into one Redis, against `redis-cli --pipe` loading the
//! same data. `ROUNDS` (default 5) rounds. The program is built in release mode with the benchmark.

use std::time::{Duration, Instant};

use bench::process::cpu_seconds;
use bench::{median, pipe, write_commands};
use scenarios::program::{Df2redis, Settings};
use scenarios::servers::{RedisOptions, RedisServer, on_runtime};
use simulator::Prepared;

const KEYS: usize = 1_000_000;
const FLOWS: usize = 2;
const DEADLINE: Duration = Duration::from_secs(120);

struct Round {
    pipe: Duration,
    full_sync: Duration,
    journal: Duration,
    resident: u64,
    /// Processor seconds for the full sync, and for the journal.
    cpu: [f64; 2],
}

fn main() {
    let rounds: usize = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    // Built now, not inside the first round.
    scenarios::program::binary();
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let commands = dir.path().join("commands");
    let prepared = || Prepared::builder().flows(FLOWS).keys(KEYS).journal(KEYS).compressible(true);
    write_commands(&commands, prepared().pairs()).expect("the commands can be written");
    println!("{KEYS} strings of 100 bytes, {FLOWS} flows, {rounds} rounds");
    println!("round   --pipe  full sync  ratio    cpu  journal  ratio    cpu  resident");
    let mut all = Vec::new();
    for number in 1..=rounds {
        let server = RedisServer::start(RedisOptions::default());
        let piped = pipe(server.port(), &commands);
        drop(server);
        let round = Round { pipe: piped, ..replicate(prepared()) };
        println!(
            "{number:>5} {:>7.2}s {:>9.2}s {:>6.2} {:>5.2}s {:>7.2}s {:>6.2} {:>5.2}s {:>5} MiB",
            round.pipe.as_secs_f64(),
            round.full_sync.as_secs_f64(),
            round.pipe.as_secs_f64() / round.full_sync.as_secs_f64(),
            round.cpu[0],
            round.journal.as_secs_f64(),
            round.pipe.as_secs_f64() / round.journal.as_secs_f64(),
            round.cpu[1],
            round.resident >> 20,
        );
        all.push(round);
    }
    let of = |f: &dyn Fn(&Round) -> f64| median(all.iter().map(f).collect());
    println!(
        "median speed as a part of redis-cli --pipe: full sync {:.2} (goal 0.70), journal {:.2} (goal 0.50)",
        of(&|r| r.pipe.as_secs_f64() / r.full_sync.as_secs_f64()),
        of(&|r| r.pipe.as_secs_f64() / r.journal.as_secs_f64()),
    );
    println!(
        "median processor time for a million: full sync {:.2} s, journal {:.2} s",
        of(&|r| r.cpu[0]),
        of(&|r| r.cpu[1])
    );
    let most = all.iter().map(|r| r.resident >> 20).max().unwrap_or_default();
    println!("largest resident memory: {most} MiB (goal: below 200)");
}

/// A full sync and a journal replay by the program.
fn replicate(prepared: simulator::PreparedBuilder) -> Round {
    let master = on_runtime(prepared.start()).expect("a prepared master");
    let server = RedisServer::start(RedisOptions::default());
    let settings = Settings::replicate(&master.addr().to_string(), "redis-standalone", &[server.addr()]);
    // From the start of the process to stable sync: connecting and the checkpoint included.
    let begin = Instant::now();
    let mut program = Df2redis::replicate(settings);
    program.wait_ready(DEADLINE);
    let full_sync = begin.elapsed();
    let used = cpu_seconds(program.pid());
    let mut client = server.client();
    assert_eq!(client.number(&["DBSIZE"]), KEYS as i64, "not everything arrived");
    let begin = Instant::now();
    master.release_journal();
    let applied = |status: &serde_json::Value| -> u64 {
        let flows = status["flows"].as_array().map(Vec::as_slice).unwrap_or_default();
        flows.iter().filter_map(|flow| flow["applied_lsn"].as_u64()).sum()
    };
    // Every flow's LSNs begin at 1.
    program.wait_until(DEADLINE, "the journal", |status| applied(status) >= (KEYS + FLOWS) as u64);
    let journal = begin.elapsed();
    let cpu = [used, cpu_seconds(program.pid()) - used];
    let resident = program.peak_resident_bytes().unwrap_or_default();
    assert_eq!(program.terminate().code(), 0);
    Round { pipe: Duration::ZERO, full_sync, journal, resident, cpu }
}
