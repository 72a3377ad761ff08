//! Waits until the running daemon has applied what the source had.

use std::time::{Duration, Instant};

use ::check::{Error, Fence, Waiting};
use config::Config;
use replica::Report;
use replica::phase::Phase;

use crate::output::number;
use crate::status::{Answer, ask};

/// How often the daemon is asked.
const LOOK: Duration = Duration::from_millis(100);
/// A daemon that has not come any further for so long does not come along.
const PATIENCE: Duration = Duration::from_secs(60);
/// A record that may not have said everything has its keys read again a second later; until then nothing tells of them.
const DOUBTS: Duration = Duration::from_millis(1_500);
/// Keys under repair are waited for this long; what is left then is not in sync.
const REPAIRS: Duration = Duration::from_secs(10);

/// The daemon of a configuration.
#[derive(Debug)]
pub(super) struct Applied {
    config: Config,
    /// The pause in its place when it is gone.
    interval: Duration,
}

impl Applied {
    pub(super) fn new(config: Config, interval: Duration) -> Applied {
        Applied { config, interval }
    }

    async fn wait(&self, lsns: Option<Vec<u64>>) -> Result<(), Error> {
        let Some(lsns) = lsns else {
            tokio::time::sleep(self.interval).await;
            return Ok(());
        };
        let begin = Instant::now();
        let (mut best, mut since) = (0, begin);
        loop {
            let config = self.config.clone();
            let answer = tokio::task::spawn_blocking(move || ask(&config)).await.map_err(|_| Error::Ended)?;
            let Answer::Report { report, addr } = answer else {
                // It ends while the check runs; nothing is applied any more, then.
                tokio::time::sleep(self.interval).await;
                return Ok(());
            };
            match missing(&report, &lsns) {
                Some(0) if begin.elapsed() < DOUBTS => {}
                Some(0) if report.repair.keys == 0 || begin.elapsed() > REPAIRS => return Ok(()),
                Some(0) => since = Instant::now(),
                behind => {
                    let applied: u64 = report.flows.iter().map(|flow| flow.applied_lsn).sum();
                    if applied > best {
                        (best, since) = (applied, Instant::now());
                    }
                    if since.elapsed() > PATIENCE {
                        let why = match behind {
                            Some(records) => format!("is {} records behind the source", number(records)),
                            None => format!("is in phase {}", report.phase),
                        };
                        return Err(Error::Behind(format!("the daemon at {addr} {why} and does not get on")));
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Fence for Applied {
    fn pass(&self, lsns: Option<Vec<u64>>) -> Waiting<'_> {
        Box::pin(self.wait(lsns))
    }
}

/// How many records below these LSNs are not applied; `None`: it does not follow the journal, or not this source's.
fn missing(report: &Report, lsns: &[u64]) -> Option<u64> {
    if report.phase != Phase::Stable || report.flows.len() != lsns.len() {
        return None;
    }
    Some(
        report
            .flows
            .iter()
            .map(|flow| lsns.get(flow.flow).map_or(0, |lsn| lsn.saturating_sub(flow.applied_lsn)))
            .sum(),
    )
}
