//! Two servers of which the second follows the first: a writer that sends everything to one and, some milliseconds
//! later, to the other. A replication of which nothing has to be believed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::client::{Client, Endpoint};
use crate::wait;
use crate::workload::Rng;

/// Commands per pipeline.
const DEPTH: u64 = 20;

/// A running writer; it stops on drop. Its keys begin with `moving:`.
#[derive(Debug)]
pub struct Mirrored {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Mirrored {
    /// Writes `rate` commands a second to `first`, and `lag` later to `second`.
    pub fn start(first: &Endpoint, second: &Endpoint, rate: u64, lag: Duration, seed: u64) -> Mirrored {
        println!("writing {rate}/s to {} and {lag:?} later to {}, seed {seed}", first.addr, second.addr);
        let open =
            |at: &Endpoint| Client::open(at).unwrap_or_else(|e| panic!("no connection to {}: {e}", at.addr));
        let (mut first, mut second) = (open(first), open(second));
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (stop.clone(), written.clone());
        let thread = std::thread::spawn(move || {
            let mut rng = Rng::new(seed);
            let begin = Instant::now();
            let mut behind: VecDeque<(Instant, Vec<Vec<Vec<u8>>>)> = VecDeque::new();
            loop {
                let ends = stopped.load(Ordering::Relaxed);
                if ends && behind.is_empty() {
                    return;
                }
                if !ends {
                    let commands: Vec<_> = (0..DEPTH).map(|_| command(&mut rng)).collect();
                    send(&mut first, &commands);
                    behind.push_back((Instant::now() + lag, commands));
                    let so_far = count.fetch_add(DEPTH, Ordering::Relaxed) + DEPTH;
                    wait::pace(
                        Duration::from_secs_f64(so_far as f64 / rate as f64).saturating_sub(begin.elapsed()),
                    );
                }
                while behind.front().is_some_and(|(due, _)| ends || *due <= Instant::now()) {
                    let (_, commands) = behind.pop_front().expect("just seen");
                    send(&mut second, &commands);
                }
            }
        });
        Mirrored { stop, written, thread: Some(thread) }
    }

    /// Commands written to the first so far.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Stops when both have everything.
    pub fn stop(mut self) -> u64 {
        self.end();
        self.written()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A test may already be failing; its own panic is the one to show.
            let _ = thread.join();
        }
    }
}

impl Drop for Mirrored {
    fn drop(&mut self) {
        self.end();
    }
}

fn send(client: &mut Client, commands: &[Vec<Vec<u8>>]) {
    commands.iter().for_each(|command| client.queue(command));
    client.flush().expect("both servers live");
}

/// Counters that never stand still, values that go to and fro, keys that come and go.
fn command(rng: &mut Rng) -> Vec<Vec<u8>> {
    let words = |line: String| line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    let (hot, many, two) = (rng.below(20), rng.below(5_000), rng.below(2));
    words(match rng.below(12) {
        0 => format!("INCR moving:hot:{hot}"),
        1 | 2 => format!("SET moving:flag:{hot} {two}"),
        3 => format!("LPUSH moving:list:{hot} {many}"),
        4 => format!("RPOP moving:list:{hot}"),
        5 => format!("HSET moving:hash:{hot} f{two} {many}"),
        6 => format!("SADD moving:set:{hot} {two}"),
        7 => format!("SREM moving:set:{hot} {two}"),
        8 => format!("SET moving:many:{many} {many}{two}"),
        9 => format!("DEL moving:many:{many}"),
        10 => format!("ZADD moving:zset:{hot} {many}.{two} m"),
        _ => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
            format!("SET moving:short:{many} {two} PXAT {}", now + 50 + u128::from(many) / 10)
        }
    })
}
