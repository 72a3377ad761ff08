//! What a test watches while something else goes on: fields of the status, conditions that must hold all along, and how
//! long the source's clients wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Client, Endpoint, as_error};
use crate::program::{Df2redis, number};
use crate::wait;

/// A field of every flow, added up.
pub fn sum(status: &Value, field: &str) -> u64 {
    status["flows"].as_array().map_or(0, |flows| flows.iter().map(|flow| number(flow, field)).sum())
}

/// Whether the status names this key as not in sync.
pub fn is_listed(status: &Value, key: &str) -> bool {
    status["not_in_sync"].as_array().is_some_and(|keys| keys.iter().any(|entry| entry["key"] == key))
}

/// Waits until no key is listed as not in sync, and returns that status.
pub fn wait_all_in_sync(program: &mut Df2redis, deadline: Duration) -> Value {
    program.wait_until(deadline, "the list of keys not in sync to empty", |status| {
        number(status, "not_in_sync_count") == 0
    })
}

/// A condition that is looked at all the time on a thread of its own.
#[derive(Debug)]
pub struct Always {
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    thread: Option<JoinHandle<Option<String>>>,
}

impl Always {
    /// Looks again and again; what `violated` returns is what was wrong, and ends the looking.
    pub fn watch(mut violated: impl FnMut() -> Option<String> + Send + 'static) -> Always {
        let (stop, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, count) = (stop.clone(), looks.clone());
        let thread = std::thread::spawn(move || {
            while !told.load(Relaxed) {
                if let Some(what) = violated() {
                    return Some(what);
                }
                count.fetch_add(1, Relaxed);
                wait::pace(Duration::from_millis(1));
            }
            None
        });
        Always { stop, looks, thread: Some(thread) }
    }

    /// Ends it and returns how often it looked; panics if the condition did not hold once.
    pub fn stop(mut self) -> u64 {
        self.stop.store(true, Relaxed);
        let thread = self.thread.take().expect("a watch is stopped once");
        let violation = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if let Some(what) = violation {
            panic!("{what}");
        }
        self.looks.load(Relaxed)
    }
}

impl Drop for Always {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A test may already be failing; its own panic is the one to show.
            let _ = thread.join();
        }
    }
}

/// What a crowd of writers saw.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// Commands answered.
    pub commands: u64,
    /// The longest time that a pipeline waited for its replies.
    pub longest: Duration,
    /// From the first pipeline to the last.
    pub time: Duration,
}

/// Several clients that write commands that may not be repeated, and note how long they wait.
#[derive(Debug)]
pub struct Crowd {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    threads: Vec<JoinHandle<(u64, Duration)>>,
    began: Instant,
}

/// What a crowd writes: counters, and strings.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Connections.
    pub clients: u64,
    /// Commands per second, all of them together.
    pub rate: u64,
    /// Bytes of a string.
    pub value: usize,
    /// Names that each of them writes to, one after the other.
    pub names: u64,
}

/// Commands per pipeline.
const DEPTH: u64 = 20;

impl Crowd {
    /// `load.clients` connections that write together what `load` says, as far as the machine can.
    pub fn start(endpoint: &Endpoint, load: Load) -> Crowd {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..load.clients).map(|id| {
            let (endpoint, stop, count) = (endpoint.clone(), stop.clone(), count.clone());
            std::thread::spawn(move || write(&endpoint, id, load, &stop, &count))
        });
        Crowd { threads: threads.collect(), stop, count, began: Instant::now() }
    }

    /// Commands answered so far.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Ends it.
    pub fn stop(mut self) -> Waits {
        self.stop.store(true, Relaxed);
        let time = self.began.elapsed();
        let mut waits = Waits { commands: 0, longest: Duration::ZERO, time };
        for thread in std::mem::take(&mut self.threads) {
            let (commands, longest) = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            waits.commands += commands;
            waits.longest = waits.longest.max(longest);
        }
        println!("{waits:?}, {:.0} commands/s", waits.commands as f64 / time.as_secs_f64());
        waits
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in std::mem::take(&mut self.threads) {
            // A test may already be failing; its own panic is the one to show.
            let _ = thread.join();
        }
    }
}

fn write(endpoint: &Endpoint, id: u64, load: Load, stop: &AtomicBool, count: &AtomicU64) -> (u64, Duration) {
    let mut client = Client::open(endpoint).unwrap_or_else(|e| panic!("{}: {e}", endpoint.addr));
    let Load { clients, rate, value, names } = load;
    let pause = Duration::from_secs_f64((DEPTH * clients) as f64 / rate as f64);
    let (mut commands, mut longest, mut due) = (0, Duration::ZERO, Instant::now());
    while !stop.load(Relaxed) {
        for _ in 0..DEPTH {
            let key = format!("{id}:{}", commands % names);
            match commands % 4 {
                0 => client.queue(&["INCR", &format!("counter:{key}")]),
                _ => client.queue(&["SET", &format!("text:{key}"), &format!("{commands:0value$}")]),
            }
            commands += 1;
        }
        let sent = Instant::now();
        let replies = client.flush().unwrap_or_else(|e| panic!("a writer of {}: {e}", endpoint.addr));
        longest = longest.max(sent.elapsed());
        if let Some(error) = replies.iter().find_map(as_error) {
            panic!("a writer of {}: {error}", endpoint.addr);
        }
        count.fetch_add(DEPTH, Relaxed);
        due += pause;
        wait::pace(due.saturating_duration_since(Instant::now()));
    }
    (commands, longest)
}
