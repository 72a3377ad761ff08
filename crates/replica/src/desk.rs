//! Where somebody from outside asks for keys to be repaired: a comparison that found differences.

use std::sync::Arc;

use bytes::Bytes;
use command::SourceKey;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedSender};
use tokio::sync::{mpsc, oneshot};
use tracing::info;

use crate::flow_task::{Order, Shared};
use crate::session::Progress;
use crate::unclear;

/// Requests that wait at the desk.
const QUEUE: usize = 16;

/// Why keys are not repaired.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no stream to place their values in.
    #[error("the journal is not followed at the moment; try again when the daemon is in stable sync")]
    NotStable,
    /// The source does not let its keys be read.
    #[error("repair is off: the source's user may not read")]
    Off,
}

/// Keys, and who waits for them.
#[derive(Debug)]
pub struct Request {
    /// The keys, under their names at the source.
    pub keys: Vec<SourceKey>,
    /// Answered when every one of them has left repair.
    pub done: oneshot::Sender<Result<(), Refused>>,
}

/// A key of the source, for a request.
pub fn key(db: u32, key: impl Into<Bytes>) -> SourceKey {
    SourceKey { db, key: key.into() }
}

/// Takes requests for one session.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) requests: Receiver<Request>,
    pub(crate) flows: Vec<UnboundedSender<Order>>,
    pub(crate) unclear: UnboundedSender<unclear::Request>,
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) shared: Arc<Shared>,
}

/// A way to the desk, and the end of it that the desk takes.
pub(crate) fn open() -> (Sender<Request>, Receiver<Request>) {
    mpsc::channel(QUEUE)
}

impl Desk {
    /// Hands requests to the flows for as long as the session lives.
    pub(crate) async fn run(mut self) {
        while let Some(Request { keys, done }) = self.requests.recv().await {
            match self.order(keys) {
                // Whoever asked may have gone; the keys are under repair all the same.
                Err(refused) => drop(done.send(Err(refused))),
                Ok(answers) => drop(tokio::spawn(async move {
                    for answer in answers {
                        // A flow that has ended leaves its keys on the durable list.
                        let _ = answer.await;
                    }
                    let _ = done.send(Ok(()));
                })),
            }
        }
    }

    fn order(&self, keys: Vec<SourceKey>) -> Result<Vec<oneshot::Receiver<()>>, Refused> {
        if !self.progress.borrow().stable {
            return Err(Refused::NotStable);
        }
        if !self.shared.repair {
            return Err(Refused::Off);
        }
        let mut of_flow: Vec<Vec<SourceKey>> = vec![Vec::new(); self.flows.len()];
        let mut unclear = Vec::new();
        // What is not replicated has no place on the target.
        for key in keys.into_iter().filter(|key| self.shared.mapping.target_name(key.db, &key.key).is_some())
        {
            match self.shared.sharding.flow_of(&key.key) {
                Some(flow) => of_flow[flow].push(key),
                None => unclear.push(key),
            }
        }
        let mut answers = Vec::new();
        let (cause, reason) = (repair::Cause::Difference, "a comparison found a difference");
        if !unclear.is_empty() {
            let (done, answer) = oneshot::channel();
            let request = unclear::Request { keys: unclear, cause, reason, done };
            self.unclear.send(request).map_err(|_| Refused::NotStable)?;
            answers.push(answer);
        }
        for (flow, keys) in self.flows.iter().zip(of_flow).filter(|(_, keys)| !keys.is_empty()) {
            info!(keys = keys.len(), "a comparison asks for keys to be repaired");
            let (done, answer) = oneshot::channel();
            flow.send(Order::Repair { keys, cause, reason, done }).map_err(|_| Refused::NotStable)?;
            answers.push(answer);
        }
        Ok(answers)
    }
}
