//! Writers with a seed, and quick filling.

pub mod every;
mod fill;
mod names;
mod operations;
mod rng;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis::Value;

pub use fill::fill;
pub use rng::Rng;

use crate::client::{Client, Endpoint, as_error};
use crate::wait;
use operations::Generator;

/// How long a writer may take to answer for the commands it was waited for.
const PROGRESS_DEADLINE: Duration = Duration::from_secs(60);

/// Which commands a writer uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only commands whose effect depends on nothing but themselves: a run of them may be repeated in order.
    Idempotent,
    /// All of them: counters, appends, pops, moves within a slot, keys that change their type.
    Full,
    /// Only commands whose effect shows when it comes twice, or not at all: INCR, APPEND, LPUSH, RPOP, HINCRBY, ZINCRBY,
    /// XADD, SPOP, LMOVE and the like; now and then a key is deleted, so that none grows without end.
    Counting,
}

/// What a writer does.
#[derive(Debug, Clone)]
pub struct Options {
    /// Seed; printed at the start.
    pub seed: u64,
    /// Keys per kind and database.
    pub keys: u32,
    /// Databases written to, one a pipeline.
    pub dbs: Vec<u32>,
    /// Which commands.
    pub mode: Mode,
    /// Commands per pipeline.
    pub depth: usize,
    /// Commands per second at most; `None` is as fast as it goes.
    pub rate: Option<u32>,
    /// Whether there are also keys, in `short:`, that expire within half a second. They are only ever set with
    /// an expiry, so that it does not matter whose clock removes them.
    pub short_ttls: bool,
}

impl Options {
    /// A writer over 2 000 keys per kind in databases 0 to 2, 5 000 commands a second in pipelines of 20.
    pub fn new(mode: Mode, seed: u64) -> Self {
        Self { seed, keys: 2_000, dbs: vec![0, 1, 2], mode, depth: 20, rate: Some(5_000), short_ttls: true }
    }
}

/// A seed: `SCENARIO_SEED` if it is set, else from the clock. Writers and fillings print theirs.
pub fn seed() -> u64 {
    match std::env::var("SCENARIO_SEED") {
        Ok(text) => text.parse().expect("SCENARIO_SEED is a number"),
        Err(_) => {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64 % 1_000_000_000)
        }
    }
}

/// What a writer did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Commands answered, refused ones included.
    pub commands: u64,
    /// Error replies by their text (`WRONGTYPE ...` is normal in [`Mode::Full`]), with how many there were.
    pub errors: BTreeMap<String, u64>,
    /// How often the connection had to be opened again.
    pub reconnects: u64,
}

impl Report {
    /// Panics if the source refused anything but what a random command may run into: the wrong type, no such
    /// key, an index out of range.
    pub fn assert_no_surprise(&self) {
        let expected = ["WRONGTYPE", "no such key", "out of range", "not an integer"];
        let surprising: Vec<_> =
            self.errors.keys().filter(|text| !expected.iter().any(|part| text.contains(part))).collect();
        assert!(surprising.is_empty(), "the source refused commands: {surprising:?}");
    }
}

/// A running writer; it stops on drop.
#[derive(Debug)]
pub struct Workload {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    thread: Option<JoinHandle<Report>>,
}

impl Workload {
    /// Starts a thread that writes to `endpoint` until it is stopped. When the connection breaks it opens
    /// another one and goes on; whether the commands in flight were executed, nobody knows.
    pub fn start(endpoint: &Endpoint, options: Options) -> Self {
        println!("writing to {}: {options:?}", endpoint.addr);
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            endpoint: endpoint.clone(),
            stop: Arc::clone(&stop),
            count: Arc::clone(&count),
            report: Report::default(),
        };
        let thread = std::thread::spawn(move || writer.run(options));
        Self { stop, count, thread: Some(thread) }
    }

    /// Commands answered so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until `more` further commands were answered.
    pub fn wait_for(&self, more: u64) {
        let goal = self.count() + more;
        wait::until(PROGRESS_DEADLINE, "the writer's commands to be answered", || self.count() >= goal);
    }

    /// Lets the pipeline under way finish, stops, and reports.
    pub fn stop(mut self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("a writer is stopped once");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A test may already be failing; its own panic is the one to show.
            let _ = thread.join();
        }
    }
}

struct Writer {
    endpoint: Endpoint,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    report: Report,
}

impl Writer {
    fn run(mut self, options: Options) -> Report {
        let begin = Instant::now();
        let (depth, rate) = (options.depth.max(1), options.rate);
        let mut generator = Generator::new(options);
        let mut client = None;
        while !self.stop.load(Ordering::Relaxed) {
            let Some(open) = client.as_mut() else {
                client = self.connect();
                continue;
            };
            let mut commands = vec![vec![b"SELECT".to_vec(), generator.database().to_string().into_bytes()]];
            while commands.len() <= depth {
                generator.next(&mut commands);
            }
            if !self.send(open, &commands) {
                client = None;
            }
            if let Some(rate) = rate {
                let due = Duration::from_secs_f64(self.report.commands as f64 / f64::from(rate));
                wait::pace(due.saturating_sub(begin.elapsed()));
            }
        }
        self.report
    }

    fn connect(&mut self) -> Option<Client> {
        let opened = Client::open(&self.endpoint).ok();
        match opened {
            Some(_) if self.report.commands > 0 => self.report.reconnects += 1,
            Some(_) => {}
            None => wait::pace(Duration::from_millis(20)),
        }
        opened
    }

    fn send(&mut self, client: &mut Client, commands: &[operations::Command]) -> bool {
        for command in commands {
            client.queue(command);
        }
        let Ok(replies) = client.flush() else { return false };
        self.report.commands += replies.len() as u64;
        self.count.fetch_add(replies.len() as u64, Ordering::Relaxed);
        for reply in &replies {
            self.note_errors(reply);
        }
        true
    }

    fn note_errors(&mut self, reply: &Value) {
        if let Some(line) = as_error(reply) {
            *self.report.errors.entry(line).or_default() += 1;
        }
        if let Value::Array(inner) = reply {
            for reply in inner {
                self.note_errors(reply);
            }
        }
    }
}

#[cfg(test)]
mod tests;
