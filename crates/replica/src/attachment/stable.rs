//! Stable sync: checkpoints, the removal of stale keys, and an eye on the source.

use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinHandle};
use tracing::warn;

use router::side::Side;

use super::{LOOK, Outcome, Running, SILENCE, stopped};
use crate::flow_task::Order;
use crate::removal::{Removal, Unfinished};
use crate::source::SourceSide;

impl Running<'_> {
    pub(super) async fn stable(&mut self) -> Outcome {
        let mut checkpoint = tokio::time::interval(self.context.settings.checkpoint_interval);
        checkpoint.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (lost, mut silent) = unbounded_channel();
        let _watch = AbortOnDrop(self.watch_source(lost));
        let mut removal = self.removal().await;
        let _end = removal.as_ref().map(|task| AbortOnDrop(task.abort_handle()));
        loop {
            let step = tokio::select! {
                biased;
                () = stopped(&mut self.stop) => Err(Outcome::Stopped),
                Some(notice) = self.notices.recv() => self.take(notice).await,
                Some(reason) = silent.recv() => Err(Outcome::LinkLost(reason)),
                result = finished(&mut removal) => {
                    removal = None;
                    self.removed(result).await
                }
                _ = checkpoint.tick() => self.store_current().await,
            };
            if let Err(outcome) = step {
                return outcome;
            }
        }
    }

    /// Asks the source for its LSNs now and then: for the lag, and because a dead link is silent.
    fn watch_source(&self, lost: UnboundedSender<String>) -> AbortHandle {
        let mut options = self.context.connect.clone();
        (options.connect_timeout, options.reply_timeout) = (LOOK * 2, LOOK * 2);
        let statuses = self.statuses.clone();
        let task = async move {
            let mut side = SourceSide::new(options);
            let mut heard = tokio::time::Instant::now();
            let mut bytes = 0;
            loop {
                match side.offsets().await {
                    Ok(offsets) => {
                        heard = tokio::time::Instant::now();
                        for (flow, next) in statuses.iter().zip(offsets) {
                            flow.source.store(next, Relaxed);
                        }
                    }
                    // It answers, so it lives.
                    Err(error) if error.is_an_answer() => heard = tokio::time::Instant::now(),
                    Err(error) if heard.elapsed() > SILENCE => {
                        let _ = lost.send(format!("the source does not answer: {error}"));
                        return;
                    }
                    Err(_) => {}
                }
                // A source that takes no other client may still send.
                let received = statuses.iter().map(|flow| flow.bytes.load(Relaxed)).sum();
                if std::mem::replace(&mut bytes, received) != received {
                    heard = tokio::time::Instant::now();
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::spawn(task).abort_handle()
    }

    async fn removal(&self) -> Option<JoinHandle<Result<u64, Unfinished>>> {
        let due = self.context.shared.ledger.state().await.is_some_and(|state| state.reconcile);
        if !due {
            return None;
        }
        self.context.shared.status.removed(0, true);
        let removal = Removal {
            source: SourceSide::new(self.context.connect.clone()),
            side: Side::new(self.context.shared.target.clone()),
            mapping: self.context.shared.mapping.clone(),
            flows: self.orders.clone(),
            status: self.context.shared.status.clone(),
            other_sharding: self.other_sharding(),
        };
        Some(tokio::spawn(removal.run()))
    }

    /// A few keys may lie on a wrong flow: PFMERGE leaves such copies behind (v1.40.1 `hll_family.cc` PFMergeInternal).
    fn other_sharding(&self) -> bool {
        let keys: u64 = self.statuses.iter().map(|flow| flow.keys.load(Relaxed)).sum();
        self.context.shared.misplaced.load(Relaxed) > keys / 10
    }

    async fn removed(&mut self, result: Result<u64, Unfinished>) -> Result<(), Outcome> {
        self.context.shared.status.removed(0, false);
        match result {
            Ok(_) => {
                self.order_all(|| Order::Reconciled);
                let ledger = &self.context.shared.ledger;
                ledger.change(|state| state.reconcile = false).await.map_err(|e| Outcome::Fatal(e.into()))
            }
            Err(error) => {
                warn!(%error, "keys that the source lacks are not all removed; due again after the next attachment");
                Ok(())
            }
        }
    }
}

async fn finished(task: &mut Option<JoinHandle<Result<u64, Unfinished>>>) -> Result<u64, Unfinished> {
    match task {
        Some(task) => task.await.unwrap_or(Err(Unfinished::Ended)),
        None => std::future::pending().await,
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
