//! `limits.qps`: how many commands a second go to the target, over all flows and nodes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// One command in the units of the account.
const COMMAND: i64 = 1_000_000_000;
/// What may be sent at once after a pause: the commands of this time.
const BURST: Duration = Duration::from_millis(50);
/// Looked at again at least this often: the limit may have been changed.
const LOOK: Duration = Duration::from_millis(250);

/// A bucket of tokens. It may be overdrawn by what belongs together, and nobody sends until that is made good.
#[derive(Debug)]
pub struct Throttle {
    /// Commands per second; 0: no limit.
    qps: AtomicU64,
    account: Mutex<Account>,
}

#[derive(Debug)]
struct Account {
    /// In billionths of a command.
    credit: i64,
    at: Instant,
}

impl Throttle {
    /// A full bucket; 0: no limit.
    pub fn new(qps: u64) -> Throttle {
        let account = Account { credit: burst(qps), at: Instant::now() };
        Throttle { qps: AtomicU64::new(qps), account: Mutex::new(account) }
    }

    /// Changes the limit from now on.
    pub fn set(&self, qps: u64) {
        self.set_at(qps, Instant::now());
    }

    fn set_at(&self, qps: u64, now: Instant) {
        let mut account = self.lock();
        self.refill(&mut account, now);
        self.qps.store(qps, Relaxed);
        // What was overdrawn under another limit is forgotten.
        account.credit = account.credit.clamp(0, burst(qps));
    }

    /// Commands per second; 0: no limit.
    pub fn qps(&self) -> u64 {
        self.qps.load(Relaxed)
    }

    /// How long to wait before something may be sent; `None`: now. Not longer than a quarter of a second, then ask again.
    pub fn pause(&self) -> Option<Duration> {
        // The clock is not looked at where there is no limit.
        if self.qps() == 0 { None } else { self.pause_at(Instant::now()) }
    }

    fn pause_at(&self, now: Instant) -> Option<Duration> {
        let qps = self.qps();
        if qps == 0 {
            return None;
        }
        let mut account = self.lock();
        self.refill(&mut account, now);
        // At least one whole command has to be covered.
        let lacking = COMMAND.saturating_sub(account.credit);
        if lacking <= 0 {
            return None;
        }
        let nanos = lacking.unsigned_abs().div_ceil(qps);
        Some(Duration::from_nanos(nanos).min(LOOK))
    }

    /// So many commands were sent.
    pub fn spend(&self, commands: usize) {
        if self.qps() == 0 || commands == 0 {
            return;
        }
        let mut account = self.lock();
        let cost = i64::try_from(commands).unwrap_or(i64::MAX).saturating_mul(COMMAND);
        account.credit = account.credit.saturating_sub(cost);
    }

    fn refill(&self, account: &mut Account, now: Instant) {
        let qps = self.qps();
        // Bounded, so that the product is: a second fills every bucket, and a debt is paid in several steps.
        let passed = (now - account.at).min(Duration::from_secs(60));
        account.at = now;
        let earned = i128::from(qps).saturating_mul(passed.as_nanos().try_into().unwrap_or(i128::MAX));
        let credit = i128::from(account.credit).saturating_add(earned).min(i128::from(burst(qps)));
        account.credit = i64::try_from(credit).unwrap_or(i64::MAX);
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Credit of a full bucket: at least one command.
fn burst(qps: u64) -> i64 {
    let commands = i128::from(qps) * BURST.as_nanos() as i128;
    i64::try_from(commands).unwrap_or(i64::MAX).max(COMMAND)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `commands` as fast as it may go, in steps, from `now` on; how long that took.
    fn send(throttle: &Throttle, now: &mut Instant, commands: usize, step: usize) -> Duration {
        let began = *now;
        for _ in 0..commands / step {
            while let Some(pause) = throttle.pause_at(*now) {
                *now += pause;
            }
            throttle.spend(step);
        }
        *now - began
    }

    #[test]
    fn a_rate_is_kept_over_any_time() {
        for (qps, step) in [(1_000, 1), (1_000, 7), (1_000, 500), (50_000, 10), (3, 1), (1, 5)] {
            let throttle = Throttle::new(qps);
            let commands = usize::try_from(qps).unwrap() * 20 / step * step;
            let took = send(&throttle, &mut Instant::now(), commands, step).as_secs_f64();
            // The first burst comes for nothing, and the last step is not waited for.
            let most = commands as f64 / qps as f64 + 0.1;
            let least = most - 0.2 - (step as f64 + 1.0) / qps as f64;
            assert!((least..most).contains(&took), "{qps}/s in steps of {step}: {took} s");
        }
    }

    #[test]
    fn a_pause_is_not_saved_up() {
        let throttle = Throttle::new(100);
        let mut now = Instant::now() + Duration::from_secs(3_600);
        assert!(send(&throttle, &mut now, 100, 1) > Duration::from_millis(900));
    }

    #[test]
    fn a_change_counts_at_once() {
        let throttle = Throttle::new(0);
        let mut now = Instant::now();
        assert_eq!(send(&throttle, &mut now, 1_000_000, 100), Duration::ZERO);
        throttle.set_at(1, now);
        throttle.spend(1_000_000);
        assert!(throttle.pause_at(now).is_some());
        throttle.set_at(1_000, now);
        assert!(send(&throttle, &mut now, 1_000, 1) < Duration::from_millis(1_100));
        throttle.set_at(0, now);
        assert_eq!(throttle.pause_at(now), None);
    }
}
