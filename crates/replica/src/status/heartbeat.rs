//! Who is at work, and who is stuck.
//!
//! Every task that the replication cannot do without holds a [`Heart`] and lets it beat each time it is polled: at the
//! top of its loop, and through [`Heart::tick`] while it waits. A task that waits for a slow target or an absent source
//! is polled by its ticks and so goes on beating. One that computes without end, blocks its thread, or waits in a place
//! that has no tick falls silent, and after its deadline counts as stuck.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::lock;

/// Ticks a deadline has room for: that many polls may come late before a task counts as stuck.
const TICKS: u32 = 4;

/// The hearts of the tasks that live now.
#[derive(Debug, Clone)]
pub(crate) struct Hearts {
    origin: Instant,
    pulses: Arc<Mutex<Vec<Arc<Pulse>>>>,
}

#[derive(Debug)]
struct Pulse {
    task: String,
    deadline: Duration,
    /// Milliseconds since the origin.
    last: AtomicU64,
}

/// The right to say that a task is alive. Dropping it says that the task has ended, which is no harm.
#[derive(Debug)]
pub struct Heart {
    hearts: Hearts,
    pulse: Arc<Pulse>,
}

/// A task that did not beat in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// Its name.
    pub task: String,
    /// For how long it has been silent.
    pub silent: Duration,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: nothing for {} s", self.task, self.silent.as_secs())
    }
}

impl Hearts {
    pub(crate) fn new() -> Hearts {
        Hearts { origin: Instant::now(), pulses: Arc::default() }
    }

    pub(crate) fn heart(&self, task: String, deadline: Duration) -> Heart {
        let pulse = Arc::new(Pulse { task, deadline, last: AtomicU64::new(self.now()) });
        lock(&self.pulses).push(pulse.clone());
        Heart { hearts: self.clone(), pulse }
    }

    pub(crate) fn stuck(&self) -> Vec<Stuck> {
        let now = self.now();
        let silent = |pulse: &Pulse| Duration::from_millis(now.saturating_sub(pulse.last.load(Relaxed)));
        let pulses = lock(&self.pulses);
        let late = pulses.iter().filter(|pulse| silent(pulse) > pulse.deadline);
        late.map(|pulse| Stuck { task: pulse.task.clone(), silent: silent(pulse) }).collect()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Heart {
    /// The task is alive. Costs a look at the clock.
    pub fn beat(&self) {
        self.pulse.last.store(self.hearts.now(), Relaxed);
    }

    /// Waits until a beat is due, and beats: a branch for every `select!` in which the task waits. Nothing is lost when it
    /// is dropped.
    pub async fn tick(&self) {
        let last = Duration::from_millis(self.pulse.last.load(Relaxed));
        sleep_until(self.hearts.origin + last + self.pulse.deadline / TICKS).await;
        self.beat();
    }

    /// Beats as long as `wait` is waited for: for what may rightly take any time, such as an answer of the source. Where an
    /// end is certain unless something is broken, do without: that is what the deadline is for.
    pub async fn during<F: Future>(&self, wait: F) -> F::Output {
        tokio::pin!(wait);
        loop {
            tokio::select! {
                biased;
                output = &mut wait => {
                    self.beat();
                    return output;
                }
                () = self.tick() => {}
            }
        }
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        lock(&self.hearts.pulses).retain(|pulse| !Arc::ptr_eq(pulse, &self.pulse));
    }
}
