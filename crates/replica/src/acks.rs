//! ACKs that wait for a question: a PING may be the last record of a master that is being taken over.
//!
//! The master ends as soon as every replica has acknowledged that PING, and afterwards nobody can say whether it was taken
//! over or was lost. So before a PING is acknowledged it is asked (repair rule 22).

use flow::AckState;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// Asks whether the master is being taken over; answered when it is known.
pub(crate) type Question = oneshot::Sender<()>;

/// Lets a flow's applied LSN pass to its ACKs, but no PING before `questions` were answered. Ends with the flow or with
/// the attachment.
pub(crate) async fn gate(
    mut flow: AckState,
    applied: watch::Sender<u64>,
    ping: watch::Sender<u64>,
    questions: UnboundedSender<Question>,
) {
    let mut asked = *flow.ping.borrow_and_update();
    loop {
        // In this order: the LSN of a PING is known before the LSN behind it counts as applied.
        let now = *flow.applied.borrow_and_update();
        let newest = *flow.ping.borrow_and_update();
        if newest > asked {
            asked = newest;
            let (done, answer) = oneshot::channel();
            if questions.send(done).is_err() || answer.await.is_err() {
                return;
            }
            ping.send_replace(newest);
        }
        applied.send_if_modified(|value| std::mem::replace(value, now) != now);
        let changed = tokio::select! {
            biased;
            changed = flow.ping.changed() => changed,
            changed = flow.applied.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[tokio::test]
    async fn nothing_behind_a_ping_is_acknowledged_before_the_answer() {
        let (applied_in, applied) = watch::channel(5);
        let (ping_in, ping) = watch::channel(0);
        let (applied_out, mut acked) = watch::channel(0);
        let (ping_out, _pings) = watch::channel(0);
        let (questions, mut asked) = unbounded_channel();
        let flow = AckState { applied, ping };
        let task = tokio::spawn(gate(flow, applied_out, ping_out, questions));
        acked.wait_for(|lsn| *lsn == 5).await.unwrap();
        ping_in.send_replace(8);
        applied_in.send_replace(8);
        let question = asked.recv().await.unwrap();
        assert_eq!(*acked.borrow(), 5);
        question.send(()).unwrap();
        acked.wait_for(|lsn| *lsn == 8).await.unwrap();
        drop((applied_in, ping_in));
        task.await.unwrap();
    }
}
