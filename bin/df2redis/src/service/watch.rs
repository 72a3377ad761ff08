//! Watches a run from beside: samples it, tells the service manager, and says when a task is stuck.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use replica::phase::Phase;
use replica::{Report, Status};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{error, info};

use super::Notifier;
use crate::output::{bytes, number};

/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How often the service manager's line is renewed.
const LINE: Duration = Duration::from_secs(1);
/// Signs of life within the time that the service manager grants.
const SIGNS: u32 = 4;

/// Watches until it is aborted.
pub(crate) async fn watch(status: Arc<Status>, notifier: Arc<Notifier>) {
    let sign = notifier.watchdog().map(|within| within / SIGNS);
    let mut look = tokio::time::interval(sign.map_or(LOOK, |sign| sign.min(LOOK)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Told::default();
    loop {
        look.tick().await;
        status.sample();
        told.stuck(&status);
        if sign.is_some_and(|sign| told.sign.is_none_or(|last| last.elapsed() >= sign))
            && told.stuck.is_empty()
        {
            notifier.alive();
            told.sign = Some(Instant::now());
        }
        let attached = matches!(status.phase().0, Phase::Snapshot | Phase::Barrier | Phase::Stable);
        if told.line.is_none_or(|last| last.elapsed() >= LINE) {
            notifier.status(&line(&status.report()));
            if told.stuck.is_empty() {
                notifier.starting();
            }
            told.line = Some(Instant::now());
        }
        if attached {
            notifier.ready();
        }
    }
}

#[derive(Debug, Default)]
struct Told {
    stuck: Vec<String>,
    sign: Option<Instant>,
    line: Option<Instant>,
}

impl Told {
    /// One line in the log where something gets stuck, and one where it goes on.
    fn stuck(&mut self, status: &Status) {
        let stuck = status.stuck();
        let tasks: Vec<String> = stuck.iter().map(|stuck| stuck.task.clone()).collect();
        if tasks == self.stuck {
            return;
        }
        for found in stuck.iter().filter(|found| !self.stuck.contains(&found.task)) {
            error!(
                task = found.task,
                silent_s = found.silent.as_secs(),
                "stuck; the watchdog is not fed any more"
            );
        }
        if tasks.is_empty() {
            info!("nothing is stuck any more");
        }
        self.stuck = tasks;
    }
}

/// The phase and what matters in it, in one line.
fn line(report: &Report) -> String {
    let mut line = report.phase.to_string();
    // Writing into a String does not fail.
    let _ = match report.phase {
        Phase::Snapshot => {
            write!(line, ": {} keys, {}", number(report.keys), bytes(report.bytes))
        }
        Phase::Stable => write!(
            line,
            ": lag {} records, {:.1} s",
            number(report.lag_records.unwrap_or(0)),
            report.lag_seconds.unwrap_or_default()
        ),
        _ => Ok(()),
    };
    if report.repair.keys > 0 {
        let _ = write!(line, "; {} keys under repair", number(report.repair.keys));
    }
    if report.not_in_sync_count > 0 {
        let _ = write!(line, "; {} keys not in sync", number(report.not_in_sync_count));
    }
    if let Some(stuck) = report.stuck.first() {
        let _ = write!(line, "; stuck: {stuck}");
    }
    if !report.detail.is_empty() {
        let _ = write!(line, "; {}", report.detail);
    }
    line
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::path::Path;

    use super::*;

    /// A manager that grants 400 ms, and the run's end of it.
    fn manager(dir: &Path, within: &'static str) -> (UnixDatagram, Arc<Notifier>) {
        let path = dir.join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let name = path.to_str().unwrap().to_owned();
        let notifier = Notifier::new(&move |variable| match variable {
            "NOTIFY_SOCKET" => Some(name.clone()),
            "WATCHDOG_USEC" => Some(within.to_owned()),
            _ => None,
        });
        (manager, Arc::new(notifier))
    }

    /// Everything that was said up to now.
    fn heard(manager: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 4096];
        std::iter::from_fn(|| {
            manager.recv(&mut buffer).ok().map(|n| String::from_utf8_lossy(&buffer[..n]).into())
        })
        .collect()
    }

    async fn wait_for(manager: &UnixDatagram, what: &str) -> Vec<String> {
        let began = Instant::now();
        let mut all = Vec::new();
        loop {
            all.extend(heard(manager));
            if all.iter().any(|said| said == what) {
                return all;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "no {what} in {all:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_task_that_is_stuck_silences_the_signs_of_life_and_one_that_waits_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (manager, notifier) = manager(dir.path(), "200000");
        let status = Status::new("s:1".into(), "t:1".into());
        // Nobody hears from the source: that is no reason to be killed.
        status.enter(Phase::Connecting, "the source is away");
        let heart = status.heart("flow 3", Duration::from_millis(300));
        let watching = tokio::spawn(watch(status.clone(), notifier));
        let all = wait_for(&manager, "WATCHDOG=1").await;
        assert!(!all.contains(&"READY=1".to_owned()), "{all:?}");
        // Beating, for longer than its deadline.
        heart.during(tokio::time::sleep(Duration::from_millis(900))).await;
        assert_eq!(status.stuck(), []);
        wait_for(&manager, "WATCHDOG=1").await;
        while status.stuck().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // One look later everybody knows.
        tokio::time::sleep(2 * LOOK).await;
        heard(&manager);
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        let silence = heard(&manager);
        assert!(!silence.contains(&"WATCHDOG=1".to_owned()), "{silence:?}");
        assert!(silence.iter().any(|said| said.contains("stuck: flow 3: nothing for ")), "{silence:?}");
        heart.beat();
        wait_for(&manager, "WATCHDOG=1").await;
        watching.abort();
    }

    #[test]
    fn the_line_says_phase_and_lag() {
        let status = Status::new("s:1".into(), "t:1".into());
        assert_eq!(line(&status.report()), "starting");
        status.enter(Phase::Connecting, "");
        status.enter(Phase::Attaching, "");
        status.attached("id", "", 1, None);
        status.enter(Phase::Barrier, "");
        status.enter(Phase::Stable, "");
        status.flows()[0].received.store(1_234, std::sync::atomic::Ordering::Relaxed);
        status.set_not_in_sync(2, Vec::new());
        assert_eq!(line(&status.report()), "stable: lag 1 234 records, 0.0 s; 2 keys not in sync");
    }

    #[test]
    fn another_process_s_watchdog_is_not_fed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let _manager = UnixDatagram::bind(&path).unwrap();
        let name = path.to_str().unwrap().to_owned();
        let notifier = |pid: u32| {
            let name = name.clone();
            Notifier::new(&move |variable| match variable {
                "NOTIFY_SOCKET" => Some(name.clone()),
                "WATCHDOG_USEC" => Some("1000000".to_owned()),
                "WATCHDOG_PID" => Some(pid.to_string()),
                _ => None,
            })
        };
        assert_eq!(notifier(std::process::id()).watchdog(), Some(Duration::from_secs(1)));
        assert_eq!(notifier(std::process::id() + 1).watchdog(), None);
    }
}
