//! How long to wait between two attempts to attach, and when to give up.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::{LONGEST_PAUSE, PATIENCE, SOON};
use crate::error::{Error, Exit};

/// Attempts to attach since the last success.
#[derive(Debug)]
pub(super) struct Attempts {
    began: Instant,
    pub(super) failures: u32,
    /// There was an attachment already.
    pub(super) attached: bool,
    pub(super) last: Option<String>,
    told: Option<Instant>,
    /// Of the random part of the pauses.
    seed: u64,
}

/// A reason that may be the same for hours: told when it changes, and once a minute.
#[derive(Debug, Default)]
pub(super) struct Waiting(Option<(String, Instant)>);

impl Waiting {
    /// Whether a line is due.
    pub(super) fn tells(&mut self, why: &str) -> bool {
        let due = self.0.as_ref().is_none_or(|(last, told)| last != why || told.elapsed() > PATIENCE);
        if due {
            self.0 = Some((why.to_owned(), Instant::now()));
        }
        due
    }
}

impl Attempts {
    pub(super) fn new(seed: u64) -> Self {
        Attempts { began: Instant::now(), failures: 0, attached: false, last: None, told: None, seed }
    }

    /// An attempt failed. Before the first attachment the operator hears of it; afterwards everything that may change is
    /// tried for ever.
    pub(super) fn failed(&mut self, error: Error) -> Result<(), Error> {
        let exit = error.exit();
        // A part that panicked has found a defect. A checkpoint that failed to be written takes no more. The next process finds
        // out what is on the disk.
        let ends = matches!(
            error,
            Error::Checkpoint(_)
                | Error::Ended
                | Error::Collision(_)
                | Error::ForeignData { .. }
                | Error::Conflict { .. }
                | Error::CannotHold { .. }
                | Error::TooManyExisting { .. }
        );
        if ends || exit == Exit::Usage || (!self.attached && exit != Exit::Temporary) {
            return Err(error);
        }
        let text = error.to_string();
        if !self.attached && self.began.elapsed() > PATIENCE {
            let text = text.strip_prefix("source: ").unwrap_or(&text).to_owned();
            return Err(Error::SourceAway { seconds: PATIENCE.as_secs(), last: text });
        }
        // A line per try at the start; an outage of days gets one a minute.
        let due = self.told.is_none_or(|told| told.elapsed() > PATIENCE);
        if !self.attached || due || self.last.as_ref() != Some(&text) {
            warn!(error = text, "not attached");
            self.told = Some(Instant::now());
        }
        self.last = Some(text);
        self.failures += 1;
        Ok(())
    }

    /// An attachment ended. One that lived for a while counts as a success; one that was in stable sync comes back soon,
    /// while the source still holds what is missing.
    pub(super) fn lost(&mut self, reason: String, began: Instant, stable: bool) {
        let failures = if began.elapsed() > LONGEST_PAUSE { 0 } else { self.failures + 1 };
        self.failures = if stable { failures.min(SOON) } else { failures };
        self.last = Some(reason);
    }

    /// How long to wait: twice as long each time, with a random part so that many replicas do not come back together.
    pub(super) fn pause(&self) -> Duration {
        let base = Duration::from_millis(100 << self.failures.min(7)).min(LONGEST_PAUSE);
        let random = twox_hash::XxHash64::oneshot(self.seed, &self.failures.to_le_bytes()) % 256;
        base / 2 + base.mul_f64(random as f64 / 512.0)
    }
}
