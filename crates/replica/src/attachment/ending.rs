//! The end of an attachment: what came is applied or left, in an order that is safe for the master.

use std::sync::atomic::Ordering::Relaxed;

use flow::Attachment;
use tokio::task::JoinHandle;
use tracing::info;

use super::{Outcome, Running, TOGETHER, stopped};
use crate::phase::Phase;

impl Running<'_> {
    /// Ends the flows, stores how far they came, and closes the connections.
    pub(super) async fn finish(mut self, attachment: Attachment, outcome: Outcome) -> Outcome {
        let status = self.context.shared.status.clone();
        let stable = self.context.was_stable.load(Relaxed);
        status.removed(0, false);
        let Outcome::LinkLost(reason) = outcome else {
            self.stop_flows.send_replace(true);
            let outcome = self.drain(outcome, stable).await;
            let ackers = std::mem::take(&mut self.ackers);
            attachment.close(ackers).await;
            self.readers.iter().for_each(JoinHandle::abort);
            return outcome;
        };
        info!(reason, "link to the source lost");
        status.enter(Phase::Connecting, "applying what came");
        // What the target has not taken yet must not keep the master's sockets open meanwhile.
        let ackers = std::mem::take(&mut self.ackers);
        if self.all_closed().await {
            // The master has ended the attachment: no ACK of ours can meet it half-closed any more.
            drop((attachment, ackers));
        } else {
            attachment.close(ackers).await;
        }
        self.readers.iter().for_each(JoinHandle::abort);
        if !stable {
            // What came of a snapshot comes again, and a flow that is ready for the journal waits for ever.
            self.stop_flows.send_replace(true);
        }
        // What came is applied, so that the next attachment goes on behind it.
        self.drain(Outcome::LinkLost(reason), stable).await
    }

    /// Waits for the end of every flow, then stores how far they came.
    async fn drain(&mut self, mut outcome: Outcome, stable: bool) -> Outcome {
        let mut checkpoint = tokio::time::interval(self.context.settings.checkpoint_interval);
        while self.ended < self.orders.len() {
            // The copy of a flow that has ended will not come any more: it is sent again to the next attachment.
            if self.ended > 0 && self.barrier.is_waited_for() {
                self.stop_flows.send_replace(true);
            }
            let step = tokio::select! {
                biased;
                () = stopped(&mut self.stop), if !*self.stop_flows.borrow() => {
                    self.stop_flows.send_replace(true);
                    outcome = Outcome::Stopped;
                    Ok(())
                }
                notice = self.notices.recv() => match notice {
                    Some(notice) => self.take(notice).await,
                    None => break,
                },
                _ = checkpoint.tick(), if stable => self.store_current().await,
            };
            match step {
                Ok(()) | Err(Outcome::LinkLost(_) | Outcome::Migrated | Outcome::Stopped) => {}
                Err(worse) => {
                    self.stop_flows.send_replace(true);
                    if matches!(outcome, Outcome::LinkLost(_)) {
                        outcome = worse;
                    }
                }
            }
        }
        if stable
            && !matches!(outcome, Outcome::StartOver(_))
            && let Err(failed) = self.store_current().await
        {
            outcome = failed;
        }
        outcome
    }

    /// Whether the master has closed every flow. It closes them together, so a moment is enough.
    async fn all_closed(&mut self) -> bool {
        let all = async {
            for reader in &mut self.readers {
                // A reader that panicked reads no more.
                let _ = reader.await;
            }
        };
        tokio::time::timeout(TOGETHER, all).await.is_ok()
    }
}
