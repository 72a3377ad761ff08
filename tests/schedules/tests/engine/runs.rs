//! Many schedules, on two threads.

use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::schedule::{self, Outcome, Plan};

/// What CI has.
const THREADS: usize = 2;
/// Failures that are told in full.
const SHOWN: usize = 12;

/// A schedule that takes longer stands still: some task runs in a circle, and its clock with it.
const STUCK: Duration = Duration::from_secs(30);

/// What came of many schedules.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) runs: u64,
    pub(crate) lives: u64,
    pub(crate) virtual_ms: u64,
    pub(crate) took: Duration,
    /// Seed and reason.
    pub(crate) failures: Vec<(u64, String)>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} schedules failed; {} lives of the engine, {} s of virtual time, {:?}",
            self.failures.len(),
            self.runs,
            self.lives,
            self.virtual_ms / 1000,
            self.took
        )?;
        for (seed, failure) in self.failures.iter().take(SHOWN) {
            let failure: String = failure.chars().take(600).collect();
            writeln!(f, "SCHEDULE_SEED={seed}: {failure}")?;
        }
        Ok(())
    }
}

/// Runs the plans of all these seeds, as long as `go_on` says after each.
pub(crate) fn all(
    seeds: Range<u64>,
    plan: impl Fn(u64) -> Plan + Sync,
    go_on: impl Fn(u64, &Outcome) -> bool + Sync,
) -> Summary {
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let summary = Mutex::new(Summary::default());
    let running: [Mutex<Option<(u64, Instant)>>; THREADS] = Default::default();
    let working = AtomicUsize::new(THREADS);
    let worker = |slot: &Mutex<Option<(u64, Instant)>>| {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end {
                *slot.lock().unwrap() = None;
                working.fetch_sub(1, Relaxed);
                return;
            }
            *slot.lock().unwrap() = Some((seed, Instant::now()));
            let outcome = schedule::run(&plan(seed));
            if !go_on(seed, &outcome) {
                next.store(seeds.end, Relaxed);
            }
            let mut summary = summary.lock().unwrap();
            summary.runs += 1;
            summary.lives += outcome.lives;
            summary.virtual_ms += outcome.virtual_ms;
            summary.failures.extend(outcome.failure.map(|failure| (seed, failure)));
        }
    };
    std::thread::scope(|scope| {
        for slot in &running {
            scope.spawn(|| worker(slot));
        }
        while working.load(Relaxed) > 0 {
            std::thread::sleep(Duration::from_millis(20));
            for slot in &running {
                if let Some((seed, began)) = *slot.lock().unwrap()
                    && began.elapsed() > STUCK
                {
                    // There is no way to end a thread from outside.
                    eprintln!("SCHEDULE_SEED={seed} stands still");
                    std::process::abort();
                }
            }
        }
    });
    let mut summary = summary.into_inner().unwrap();
    summary.failures.sort();
    summary.took = began.elapsed();
    summary
}

/// A number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Other schedules every time; what fails is told with its seed.
pub(crate) fn seed_of_today() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs() % 1_000_000 * 1_000_000
}
