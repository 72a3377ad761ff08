//! Clients of the source that write at a fixed rate and note how long each pipeline took.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use scenarios::client::{Client, Endpoint};
use scenarios::wait;

/// How much is written.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Connections, each with a thread of its own.
    pub connections: u64,
    /// Calls of the closure per second, over all connections; 0 for as many as go.
    pub per_second: u64,
    /// Calls of the closure per pipeline.
    pub pipeline: u64,
}

/// Writers at work.
#[derive(Debug)]
pub struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    took: Arc<Mutex<Vec<Duration>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Starts them. `queue` is called with a number that nobody else gets, and queues one or several commands.
    pub fn start(
        endpoint: &Endpoint,
        load: Load,
        queue: impl Fn(u64, &mut Client) + Clone + Send + 'static,
    ) -> Self {
        let writers = Writers {
            stop: Arc::default(),
            written: Arc::default(),
            took: Arc::default(),
            threads: Vec::new(),
        };
        let thread = |connection: u64| {
            let mut client = Client::open(endpoint).unwrap_or_else(|e| panic!("{}: {e}", endpoint.addr));
            let (stop, written, took) = (writers.stop.clone(), writers.written.clone(), writers.took.clone());
            let queue = queue.clone();
            std::thread::spawn(move || {
                let begin = Instant::now();
                let mut pipelines = 0;
                while !stop.load(Relaxed) {
                    // Open loop: a pipeline that comes late does not put off the next ones.
                    if let Some(due) = (pipelines * load.pipeline * load.connections * 1_000_000_000)
                        .checked_div(load.per_second)
                    {
                        wait::pace(Duration::from_nanos(due).saturating_sub(begin.elapsed()));
                    }
                    for call in 0..load.pipeline {
                        queue(
                            (pipelines * load.pipeline + call) * load.connections + connection,
                            &mut client,
                        );
                    }
                    pipelines += 1;
                    let sent = Instant::now();
                    client.flush().unwrap_or_else(|e| panic!("the source: {e}"));
                    took.lock().unwrap_or_else(PoisonError::into_inner).push(sent.elapsed());
                    written.fetch_add(load.pipeline, Relaxed);
                }
            })
        };
        let threads = (0..load.connections).map(thread).collect();
        Writers { threads, ..writers }
    }

    /// Calls of the closure that were written so far.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// How long the pipelines took since this was last asked.
    pub fn took(&self) -> Took {
        let mut took = std::mem::take(&mut *self.took.lock().unwrap_or_else(PoisonError::into_inner));
        took.sort_unstable();
        Took(took)
    }

    /// Ends them.
    ///
    /// # Panics
    /// A writer has failed.
    pub fn stop(self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads {
            thread.join().expect("a writer writes until it is told to stop");
        }
    }
}

/// How long pipelines took, in order.
#[derive(Debug)]
pub struct Took(Vec<Duration>);

impl Took {
    /// The time that this share (0 to 1) of them stayed within, in ms.
    pub fn ms(&self, share: f64) -> f64 {
        let Some(last) = self.0.len().checked_sub(1) else { return f64::NAN };
        self.0[(last as f64 * share) as usize].as_secs_f64() * 1e3
    }
}
