//! What an operator sees while a comparison runs: a bar with the time that is left, or a line every 5 s.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::check::{Moment, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use tracing::info;

use crate::logging::Terminal;
use crate::output;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);
/// How often a line is written where there is no terminal.
const LINE: Duration = Duration::from_secs(5);
const BAR: &str = "{bar:20} {percent}% {elapsed}, {eta} left {wide_msg}";

/// Shows the progress until it is aborted.
pub(super) async fn show(progress: Arc<Progress>, terminal: Terminal) {
    let mut tick = tokio::time::interval(LOOK);
    let mut bar = Bar { terminal, bar: None, round: 0 };
    let mut line = Instant::now();
    let mut last = Moment::default();
    loop {
        tick.tick().await;
        let now = progress.now();
        if now.round == 0 || bar.follow(&now) {
            continue;
        }
        if line.elapsed() >= LINE {
            let before = if now.round == last.round { last.done } else { 0 };
            let rate = now.done.saturating_sub(before) as f64 / line.elapsed().as_secs_f64();
            info!(
                round = now.round,
                done = now.done,
                of = now.total,
                keys_per_s = rate.round() as u64,
                suspects = now.suspects,
                "comparing"
            );
            (line, last) = (Instant::now(), now);
        }
    }
}

struct Bar {
    terminal: Terminal,
    bar: Option<ProgressBar>,
    round: u32,
}

impl Bar {
    /// Shows and moves the bar; whether there is one.
    fn follow(&mut self, now: &Moment) -> bool {
        if !self.terminal.shows_bars {
            return false;
        }
        if now.round != self.round {
            self.clear();
            self.round = now.round;
        }
        let bars = &self.terminal.bars;
        let bar = self.bar.get_or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(now.total));
            bar.set_style(ProgressStyle::with_template(BAR).expect("a test draws it"));
            bar
        });
        // Keys that are made meanwhile come on top.
        bar.set_length(now.total.max(now.done));
        bar.set_position(now.done);
        bar.set_message(format!(
            "round {}, {} keys, {} to look at again",
            now.round,
            output::number(now.done),
            output::number(now.suspects)
        ));
        true
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            self.terminal.bars.remove(&bar);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_draws() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
