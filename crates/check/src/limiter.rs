//! At most so many commands per second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Shared by everybody who asks the source.
#[derive(Debug)]
pub(crate) struct Limiter {
    per_second: u64,
    /// When the commands that were let through are worked off.
    next: Mutex<Instant>,
}

impl Limiter {
    /// 0: no limit.
    pub(crate) fn new(per_second: u64) -> Limiter {
        Limiter { per_second, next: Mutex::new(Instant::now()) }
    }

    /// Waits until `commands` more may be sent.
    pub(crate) async fn take(&self, commands: usize) {
        if self.per_second == 0 {
            return;
        }
        let cost = Duration::from_secs_f64(commands as f64 / self.per_second as f64);
        let due = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let due = (*next).max(Instant::now());
            *next = due + cost;
            due
        };
        tokio::time::sleep_until(due).await;
    }

    /// Most commands of one round trip, so that a low limit does not come in bursts of seconds.
    pub(crate) fn burst(&self) -> usize {
        match self.per_second {
            0 => usize::MAX,
            n => usize::try_from(n / 2).unwrap_or(usize::MAX).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keeps_the_rate_over_all_who_ask() {
        let limiter = Limiter::new(1000);
        let begin = Instant::now();
        for _ in 0..20 {
            limiter.take(500).await;
        }
        assert_eq!(begin.elapsed(), Duration::from_millis(9_500), "the twentieth waits for nineteen");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let begin = Instant::now();
        limiter.take(1).await;
        assert_eq!(begin.elapsed(), Duration::ZERO, "a rest is not saved up, nor paid for");
        assert_eq!(Limiter::new(0).burst(), usize::MAX);
        assert_eq!(limiter.burst(), 500);
    }
}
