//! REPLCONF ACK: when it is due, and how it stops.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::debug;

use crate::socket::AckWriter;

/// When an ACK is due besides the first one and those for PINGs (v1.40.1 `replica.cc` StableSyncDflyAcksFb).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// Time between two ACKs.
    pub interval: Duration,
    /// An ACK goes out when more than this many records were applied since the last one.
    pub records: u64,
    /// How long one ACK may take to be written before the flow counts as broken.
    pub write_timeout: Duration,
}

impl Default for Cadence {
    /// 1 s, 1024 records.
    fn default() -> Self {
        Cadence { interval: Duration::from_secs(1), records: 1024, write_timeout: Duration::from_secs(15) }
    }
}

/// What a flow's ACKs are made from.
#[derive(Clone, Debug)]
pub struct AckState {
    /// The next LSN: everything below is applied on the target.
    pub applied: watch::Receiver<u64>,
    /// The LSN behind the newest PING read from the flow, 0 while there is none. The master waits for the ACK of this
    /// LSN (WAIT, TAKEOVER), so one goes out when the PING was read, and again when `applied` reaches it.
    pub ping: watch::Receiver<u64>,
}

/// Sends the ACKs of one flow from the start of its stable sync on.
///
/// Dropping it stops the ACKs and closes the flow's sending side; [`Acker::stop`] keeps that open.
#[derive(Debug)]
pub struct Acker {
    stop: oneshot::Sender<()>,
    task: JoinHandle<(AckWriter, Option<Instant>)>,
    acknowledged: watch::Receiver<u64>,
}

impl Acker {
    /// Starts with an ACK at once. It ends by itself when a write fails or when `applied` has no sender any more.
    pub fn spawn(writer: AckWriter, state: AckState, cadence: Cadence) -> Acker {
        let (stop, stopped) = oneshot::channel();
        let (told, acknowledged) = watch::channel(0);
        let task = tokio::spawn(run(writer, state, cadence, stopped, told));
        Acker { stop, task, acknowledged }
    }

    /// The LSN that the last ACK told the master; 0 before the first.
    pub fn acknowledged(&self) -> watch::Receiver<u64> {
        self.acknowledged.clone()
    }

    /// Whether ACKs are still being sent.
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    /// Stops, waits until an ACK under way is written, and returns the sending side and when the last ACK left.
    pub async fn stop(self) -> (AckWriter, Option<Instant>) {
        drop(self.stop);
        self.task.await.expect("the task is never aborted and does not panic")
    }
}

async fn run(
    mut writer: AckWriter,
    mut state: AckState,
    cadence: Cadence,
    mut stopped: oneshot::Receiver<()>,
    told: watch::Sender<u64>,
) -> (AckWriter, Option<Instant>) {
    let mut tick = tokio::time::interval(cadence.interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last: Option<(u64, Instant)> = None;
    let mut pings_open = true;
    // The LSN that a PING waits for.
    let mut awaited: Option<u64> = None;
    loop {
        let due = tokio::select! {
            biased;
            _ = &mut stopped => break,
            changed = state.ping.changed(), if pings_open => {
                pings_open = changed.is_ok();
                awaited = pings_open.then(|| *state.ping.borrow_and_update());
                pings_open
            }
            // The first tick comes at once.
            _ = tick.tick() => true,
            changed = state.applied.changed() => {
                if changed.is_err() {
                    break;
                }
                let next = *state.applied.borrow_and_update();
                let reached = awaited.is_some_and(|lsn| next >= lsn);
                reached || last.is_some_and(|(acked, _)| next > acked.saturating_add(cadence.records))
            }
        };
        if !due {
            continue;
        }
        let next = *state.applied.borrow_and_update();
        match tokio::time::timeout(cadence.write_timeout, writer.ack(next)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                debug!(flow = writer.id(), %error, "ack not sent");
                break;
            }
            Err(_) => {
                debug!(flow = writer.id(), "ack not sent in time");
                break;
            }
        }
        last = Some((next, Instant::now()));
        told.send_replace(next);
        awaited = awaited.filter(|&lsn| next < lsn);
        tick.reset();
    }
    (writer, last.map(|(_, at)| at))
}
