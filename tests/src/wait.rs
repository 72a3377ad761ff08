//! Waiting for conditions: the only place that sleeps.

use std::time::{Duration, Instant};

/// How long one look at a condition is apart from the next.
const PAUSE: Duration = Duration::from_millis(10);

/// Polls `condition` until it holds; panics with `what` when `deadline` has passed without it.
pub fn until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    until_some(deadline, what, || condition().then_some(()));
}

/// Polls `probe` until it yields a value and returns it; panics with `what` when `deadline` has passed.
pub fn until_some<T>(deadline: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    match try_until_some(deadline, &mut probe) {
        Some(found) => found,
        None => panic!("waited {deadline:?} in vain for: {what}"),
    }
}

/// Polls `probe` until it is `Ok` and returns the value; panics with `what` and the last error otherwise.
pub fn until_ok<T, E: std::fmt::Display>(
    deadline: Duration,
    what: &str,
    mut probe: impl FnMut() -> Result<T, E>,
) -> T {
    let mut last = String::from("never tried");
    let found = try_until_some(deadline, &mut || probe().map_err(|e| last = e.to_string()).ok());
    match found {
        Some(found) => found,
        None => panic!("waited {deadline:?} in vain for: {what}; last: {last}"),
    }
}

/// Like [`until_some`], with `None` instead of a panic when the deadline has passed. The probe is asked at
/// least once, and once more after the deadline, so that a slow machine does not fail a condition that holds.
pub fn try_until_some<T>(deadline: Duration, probe: &mut impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        let last_look = Instant::now() >= end;
        if let Some(found) = probe() {
            return Some(found);
        }
        if last_look {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Slows a writer down. Not for waiting until something has happened: that is [`until`].
pub fn pace(pause: Duration) {
    std::thread::sleep(pause);
}
