//! A source, the program, and how far it is.

use std::time::{Duration, Instant};

use scenarios::client::{Client, Endpoint};
use scenarios::program::Df2redis;
use scenarios::servers::next_lsns;
use scenarios::source::Source;
use scenarios::wait;
use serde_json::Value;
use simulator::Release;

/// How long the program may take to catch up.
pub const DEADLINE: Duration = Duration::from_secs(300);

/// The Dragonfly that `DRAGONFLY_BIN` names, else the simulator; two flows.
pub fn source(name: &str) -> Source {
    let real = Source::each(name, 2).last().filter(|source| matches!(source, Source::Real(_)));
    let source = real.unwrap_or_else(|| Source::simulated(Release::V1_40, 2));
    println!("\n{name} (source: {})", source.name());
    source
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A field of all flows of a status, added up.
pub fn sum(status: &Value, field: &str) -> u64 {
    let flows = status["flows"].as_array().map(Vec::as_slice).unwrap_or_default();
    flows.iter().filter_map(|flow| flow[field].as_u64()).sum()
}

/// The source's next LSNs, added up.
pub fn written(source: &Endpoint) -> u64 {
    let mut client = Client::open(source).unwrap_or_else(|e| panic!("{}: {e}", source.addr));
    next_lsns(&mut client).iter().sum()
}

/// Waits until a field of all flows is at least `lsns`, added up, and returns how long that took.
pub fn wait_for(program: &mut Df2redis, field: &str, lsns: u64) -> Duration {
    let begin = Instant::now();
    program.wait_until(DEADLINE, field, |status| sum(status, field) >= lsns);
    begin.elapsed()
}

/// Waits until no key is under repair, and returns how many were repaired since the program started.
pub fn repaired(program: &mut Df2redis) -> u64 {
    let quiet = |status: &Value| status["repair"]["keys"] == 0 && status["not_in_sync_count"] == 0;
    let status = program.wait_until(DEADLINE, "no key is under repair", quiet);
    status["repair"]["done"].as_u64().unwrap_or_default()
}

/// Lets something run for a while.
pub fn run_for(time: Duration) {
    wait::pace(time);
}
