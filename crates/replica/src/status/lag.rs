//! How far behind a flow is in time, and how fast the source writes: from samples of its LSNs.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// What a rate is the mean of.
const WINDOW: Duration = Duration::from_secs(10);
/// Samples are at least this far apart.
const APART: Duration = Duration::from_millis(200);
/// Samples kept of what is not applied yet; beyond, every second one goes.
const KEPT: usize = 1024;

/// When the source was first seen to have reached which LSN.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    /// LSNs above what is applied, each with the moment it was first seen.
    ahead: VecDeque<(Instant, u64)>,
    /// LSNs of the last seconds, for the rate.
    recent: VecDeque<(Instant, u64)>,
}

impl Samples {
    /// The source's next LSN is known to be at least `source` now; everything below `applied` is on the target.
    pub(crate) fn take(&mut self, now: Instant, source: u64, applied: u64) {
        if self.ahead.back().is_none_or(|(_, last)| source > *last) && source > applied {
            self.ahead.push_back((now, source));
        }
        while self.ahead.front().is_some_and(|(_, lsn)| *lsn <= applied) {
            self.ahead.pop_front();
        }
        if self.ahead.len() > KEPT {
            let mut keep = false;
            self.ahead.retain(|_| {
                keep = !keep;
                keep
            });
        }
        if self.recent.back().is_none_or(|(last, _)| now - *last >= APART) {
            self.recent.push_back((now, source));
        }
        while self.recent.len() > 2 && now - self.recent[1].0 >= WINDOW {
            self.recent.pop_front();
        }
    }

    /// For how long the oldest record that is not applied has been known to exist; zero where there is none.
    pub(crate) fn lag(&self, now: Instant, applied: u64) -> Duration {
        let oldest = self.ahead.iter().find(|(_, lsn)| *lsn > applied);
        oldest.map_or(Duration::ZERO, |(seen, _)| now - *seen)
    }

    /// Records per second that the source wrote in the last 10 s of samples.
    pub(crate) fn rate(&self) -> f64 {
        match (self.recent.front(), self.recent.back()) {
            (Some((from, first)), Some((to, last))) if to > from => {
                last.saturating_sub(*first) as f64 / (*to - *from).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    /// How long ago the last sample was taken.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        self.recent.back().map_or(Duration::ZERO, |(last, _)| now - *last)
    }
}
