//! What an operator sees while a run goes on: a bar or a line every 5 s during the snapshot, then a line a minute.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use replica::phase::Phase;
use replica::{Report, Status};
use tracing::info;

use crate::logging::Terminal;
use crate::output;

/// How often the report is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How often a line is written during the snapshot.
const SNAPSHOT: Duration = Duration::from_secs(5);
/// How often a line is written in stable sync.
const STABLE: Duration = Duration::from_secs(60);
/// What a rate is the mean of.
const WINDOW: Duration = Duration::from_secs(5);
/// Flows that are shown one by one; of more only the slowest and the fastest.
const SHOWN_FLOWS: usize = 8;

/// The display where the number of keys is not known, and where it is.
const SPINNER: &str = "{spinner} snapshot {elapsed} {wide_msg}";
const BAR: &str = "{bar:20} {percent}% {elapsed} {wide_msg}";

/// Shows the progress until it is aborted.
pub(crate) async fn show(status: Arc<Status>, terminal: Terminal) {
    let mut tick = tokio::time::interval(LOOK);
    let mut bar = Bar { terminal, bar: None, before: 0 };
    let mut rates = Rates::default();
    let mut phase = Phase::Starting;
    let (mut line, mut counts) = (Instant::now(), Instant::now());
    let mut last_line = status.report();
    loop {
        tick.tick().await;
        let report = status.report();
        if report.phase != phase {
            (phase, line, last_line) = (report.phase, Instant::now(), report.clone());
            rates = Rates::default();
        }
        rates.take(&report);
        if bar.follow(&report, &rates, status.expected_keys()) {
            line = Instant::now();
        }
        let due = match phase {
            Phase::Snapshot => SNAPSHOT,
            Phase::Stable => STABLE,
            _ => Duration::MAX,
        };
        if line.elapsed() >= due {
            match phase {
                Phase::Snapshot => snapshot_line(&report, &rates),
                _ => stable_line(&report, &last_line, line.elapsed()),
            }
            (line, last_line) = (Instant::now(), report);
        }
        if counts.elapsed() >= STABLE {
            status.log_lacking();
            counts = Instant::now();
        }
    }
}

fn snapshot_line(report: &Report, rates: &Rates) {
    let rate = rates.total();
    info!(
        keys = report.keys,
        bytes = report.bytes,
        keys_per_s = rate.keys.round() as u64,
        mb_per_s = format_args!("{:.1}", rate.bytes / 1e6),
        flows = rates.flows(report),
        "snapshot"
    );
}

fn stable_line(report: &Report, before: &Report, elapsed: Duration) {
    let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / elapsed.as_secs_f64();
    info!(
        records_per_s = format_args!("{:.1}", rate(report.records, before.records)),
        lag_records = report.lag_records.unwrap_or(0),
        not_in_sync = report.not_in_sync_count,
        spooled_bytes = report.flows.iter().map(|f| f.spooled_bytes).sum::<u64>(),
        records = report.records,
        "stable"
    );
}

/// The bar of a snapshot, on a terminal. Where the source does not tell how many keys it has, it only turns.
struct Bar {
    terminal: Terminal,
    bar: Option<ProgressBar>,
    /// Keys of the snapshots before this one.
    before: u64,
}

impl Bar {
    /// Shows, changes or removes the bar; whether there is one.
    fn follow(&mut self, report: &Report, rates: &Rates, expected: u64) -> bool {
        if !self.terminal.shows_bars || report.phase != Phase::Snapshot {
            self.clear();
            self.before = report.keys;
            return false;
        }
        let bars = &self.terminal.bars;
        let bar = self.bar.get_or_insert_with(|| {
            let (bar, template) = match expected {
                0 => (ProgressBar::new_spinner(), SPINNER),
                keys => (ProgressBar::new(keys), BAR),
            };
            let bar = bars.add(bar);
            bar.set_style(ProgressStyle::with_template(template).expect("a test draws both templates"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        // Keys that are made meanwhile come on top.
        bar.set_position((report.keys.saturating_sub(self.before)).min(expected));
        let rate = rates.total();
        bar.set_message(format!(
            "{} keys, {} keys/s, {:.1} MB/s | {}",
            output::number(report.keys),
            output::number(rate.keys.round() as u64),
            rate.bytes / 1e6,
            rates.flows(report)
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

/// Keys and bytes per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Rate {
    keys: f64,
    bytes: f64,
}

/// Keys and bytes of every flow, as they were at some moments of the last seconds.
#[derive(Debug, Default)]
struct Rates {
    samples: VecDeque<(Instant, Vec<(u64, u64)>)>,
}

impl Rates {
    fn take(&mut self, report: &Report) {
        self.take_at(Instant::now(), report.flows.iter().map(|f| (f.keys, f.bytes)).collect());
    }

    fn take_at(&mut self, now: Instant, sample: Vec<(u64, u64)>) {
        if self.samples.back().is_some_and(|(_, last)| last.len() != sample.len()) {
            self.samples.clear();
        }
        self.samples.push_back((now, sample));
        while self.samples.len() > 2 && now - self.samples[1].0 >= WINDOW {
            self.samples.pop_front();
        }
    }

    fn of(&self, flow: usize) -> Rate {
        let (Some((from, first)), Some((to, last))) = (self.samples.front(), self.samples.back()) else {
            return Rate::default();
        };
        let seconds = (*to - *from).as_secs_f64();
        match (first.get(flow), last.get(flow)) {
            (Some(first), Some(last)) if seconds > 0.0 => Rate {
                keys: last.0.saturating_sub(first.0) as f64 / seconds,
                bytes: last.1.saturating_sub(first.1) as f64 / seconds,
            },
            _ => Rate::default(),
        }
    }

    fn count(&self) -> usize {
        self.samples.back().map_or(0, |(_, sample)| sample.len())
    }

    fn total(&self) -> Rate {
        (0..self.count()).map(|flow| self.of(flow)).fold(Rate::default(), |sum, rate| Rate {
            keys: sum.keys + rate.keys,
            bytes: sum.bytes + rate.bytes,
        })
    }

    /// The flows one by one: keys so far and MB/s.
    fn flows(&self, report: &Report) -> String {
        let one = |flow: usize| {
            let keys = report.flows.get(flow).map_or(0, |f| f.keys);
            format!("{flow}: {} keys {:.1} MB/s", output::number(keys), self.of(flow).bytes / 1e6)
        };
        if self.count() <= SHOWN_FLOWS {
            return (0..self.count()).map(one).collect::<Vec<_>>().join(", ");
        }
        let mut order: Vec<usize> = (0..self.count()).collect();
        order.sort_by(|a, b| self.of(*a).bytes.total_cmp(&self.of(*b).bytes));
        let (slowest, fastest) = (order[0], order[order.len() - 1]);
        format!("{} flows, slowest {}, fastest {}", order.len(), one(slowest), one(fastest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_the_mean_of_the_last_seconds() {
        let start = Instant::now();
        let mut rates = Rates::default();
        assert_eq!(rates.total(), Rate::default());
        for second in 0..20u64 {
            // Ten keys a second at first, later a hundred.
            let keys = if second < 10 { second * 10 } else { 100 + (second - 10) * 100 };
            rates.take_at(start + Duration::from_secs(second), vec![(keys, 0), (0, keys * 1000)]);
        }
        assert_eq!(rates.of(0), Rate { keys: 100.0, bytes: 0.0 });
        assert_eq!(rates.total(), Rate { keys: 100.0, bytes: 100_000.0 });
    }

    #[test]
    fn another_number_of_flows_begins_anew() {
        let start = Instant::now();
        let mut rates = Rates::default();
        rates.take_at(start, vec![(1000, 0)]);
        rates.take_at(start + Duration::from_secs(1), vec![(0, 0), (0, 0)]);
        assert_eq!(rates.total(), Rate::default());
        assert_eq!(rates.count(), 2);
    }

    #[test]
    fn the_template_draws() {
        assert!([SPINNER, BAR].into_iter().all(|template| ProgressStyle::with_template(template).is_ok()));
    }
}
