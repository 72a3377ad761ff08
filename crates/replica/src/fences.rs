//! Fences for all flows of a session: one connection to the source, many keys in one go.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use command::{KeyPositions, SourceKey};
use repair::{Batch, Fence, Outcome, Reader, ReaderOptions, Rules, Value};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::flow_task::Order;

/// Keys read behind one fence, over all flows.
const TOGETHER: usize = 2_048;
/// Pause after a fence that came to nothing.
const PAUSE: Duration = Duration::from_millis(100);
/// How often an obstacle is mentioned.
const REMINDER: Duration = Duration::from_secs(60);

/// The source as it is attached to at the moment.
#[derive(Debug, Clone)]
pub struct Link {
    /// How to reach it.
    pub reader: ReaderOptions,
    /// Which incarnation it must be.
    pub replication_id: String,
}

/// What a flow asks.
#[derive(Debug)]
pub enum Ask {
    /// For the values of keys.
    Values(Request),
    /// For the values of keys that may belong to any flow.
    All {
        /// The keys.
        batch: Batch,
        /// Answered with them, and the LSNs of every flow around them; `None`: the fence is void.
        answer: oneshot::Sender<Option<Fence>>,
    },
    /// Where the keys of a command are.
    Keys(Question),
}

/// A flow asks where the keys of a command are that nobody here knows.
#[derive(Debug)]
pub struct Question {
    /// Name of the command.
    pub command: Bytes,
    /// Answered with what the source says, if it says anything.
    pub answer: oneshot::Sender<Option<KeyPositions>>,
}

/// A flow asks for the values of its keys.
#[derive(Debug)]
pub struct Request {
    /// The flow.
    pub flow: usize,
    /// Its keys.
    pub batch: Batch,
}

/// What came of it.
#[derive(Debug)]
pub struct Answer {
    /// The batch.
    pub id: u64,
    /// The values, and the flow's LSNs around them; `None`: the fence is void.
    pub found: Option<Found>,
}

/// Values between two LSNs of their flow.
#[derive(Debug)]
pub struct Found {
    /// The flow's next LSN before the values were read.
    pub r0: u64,
    /// The flow's next LSN after the values were read.
    pub r1: u64,
    /// The values.
    pub values: Vec<(SourceKey, Value)>,
}

/// Reads keys behind fences.
#[derive(Debug)]
pub struct Fences {
    /// What the flows ask.
    pub requests: UnboundedReceiver<Ask>,
    /// The source; while there is none, requests wait.
    pub link: watch::Receiver<Option<Link>>,
    /// Where the answers go.
    pub flows: Vec<UnboundedSender<Order>>,
    /// The repair rules in force.
    pub rules: Rules,
}

impl Fences {
    /// Answers requests for as long as there are any.
    pub async fn run(mut self) {
        let mut open: Option<(Reader, String)> = None;
        let mut told: Option<Instant> = None;
        let mut next = None;
        loop {
            let ask = match next.take() {
                Some(ask) => ask,
                None => match self.requests.recv().await {
                    Some(ask) => ask,
                    None => return,
                },
            };
            let first = match ask {
                Ask::Values(first) => first,
                Ask::All { batch, answer } => {
                    self.open(&mut open).await;
                    let fence = self.read_batch(&mut open, &mut told, batch).await;
                    // Whoever does not wait any more has ended.
                    let _ = answer.send(fence);
                    continue;
                }
                Ask::Keys(question) => {
                    self.find_keys(&mut open, question).await;
                    continue;
                }
            };
            let mut together = vec![first];
            let mut keys = together[0].batch.keys.len();
            // A key that is large has its fence alone.
            while !together[0].batch.big && keys < TOGETHER && next.is_none() {
                match self.requests.try_recv() {
                    Ok(Ask::Values(more)) if !more.batch.big => {
                        keys += more.batch.keys.len();
                        together.push(more);
                    }
                    Ok(other) => next = Some(other),
                    Err(_) => break,
                }
            }
            self.answer(&mut open, &mut told, together).await;
        }
    }

    /// Asks until there is an answer, or nobody waits for one any more.
    async fn find_keys(&mut self, open: &mut Option<(Reader, String)>, question: Question) {
        while !question.answer.is_closed() {
            self.open(open).await;
            let found = match open {
                Some((reader, _)) => reader.key_positions(&question.command).await,
                None => Ok(None),
            };
            match found {
                Ok(found) => {
                    // A flow that has ended does not need it.
                    let _ = question.answer.send(found);
                    return;
                }
                Err(error) => debug!(%error, "keys of an unknown command not asked for yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn answer(
        &mut self,
        open: &mut Option<(Reader, String)>,
        told: &mut Option<Instant>,
        requests: Vec<Request>,
    ) {
        self.open(open).await;
        self.read(open, told, requests).await;
    }

    /// Takes the source that is attached to at the moment; waits while there is none.
    async fn open(&mut self, open: &mut Option<(Reader, String)>) {
        if self.link.has_changed() || open.is_none() {
            *open = None;
            let Ok(current) = self.link.wait_for(Option::is_some).await else { return };
            let link = current.clone();
            drop(current);
            self.link.mark_unchanged();
            *open = link.and_then(|link| {
                let reader = Reader::new(link.reader, self.rules);
                let reader =
                    reader.inspect_err(|error| warn!(%error, "keys cannot be repaired for the moment"));
                Some((reader.ok()?, link.replication_id))
            });
        }
    }

    async fn read(
        &mut self,
        open: &mut Option<(Reader, String)>,
        told: &mut Option<Instant>,
        requests: Vec<Request>,
    ) {
        let batch = Batch {
            id: 0,
            keys: requests.iter().flat_map(|request| request.batch.keys.iter().cloned()).collect(),
            big: requests.iter().any(|request| request.batch.big),
            tries: requests.iter().map(|request| request.batch.tries).max().unwrap_or(0),
        };
        match self.read_batch(open, told, batch).await {
            Some(fence) => {
                let mut values: BTreeMap<SourceKey, Value> = fence.values.into_iter().collect();
                for Request { flow, batch } in requests {
                    let values = batch.keys.into_iter().filter_map(|key| {
                        let value = values.remove(&key)?;
                        Some((key, value))
                    });
                    let values = values.collect();
                    let found = match (fence.r0.get(flow), fence.r1.get(flow)) {
                        (Some(&r0), Some(&r1)) => Some(Found { r0, r1, values }),
                        _ => None,
                    };
                    tell(&self.flows, flow, Answer { id: batch.id, found });
                }
            }
            None => {
                for Request { flow, batch } in requests {
                    tell(&self.flows, flow, Answer { id: batch.id, found: None });
                }
            }
        }
    }

    /// Reads the keys of all flows behind one fence. `None`, after a pause: it is void.
    async fn read_batch(
        &mut self,
        open: &mut Option<(Reader, String)>,
        told: &mut Option<Instant>,
        batch: Batch,
    ) -> Option<Fence> {
        let outcome = match open {
            Some((reader, replication_id)) => reader.read(&batch, replication_id).await,
            None => Outcome::Void("no reader".into()),
        };
        match outcome {
            Outcome::Fence(fence) => Some(fence),
            Outcome::Void(reason) => {
                if told.is_none_or(|at| at.elapsed() > REMINDER) {
                    warn!(reason, "keys to be repaired are not read from the source yet");
                    *told = Some(Instant::now());
                }
                debug!(reason, keys = batch.keys.len(), "fence void");
                tokio::time::sleep(PAUSE).await;
                None
            }
        }
    }
}

fn tell(flows: &[UnboundedSender<Order>], flow: usize, answer: Answer) {
    if let Some(flow) = flows.get(flow) {
        // A flow that has ended repairs nothing any more.
        let _ = flow.send(Order::Fence(answer));
    }
}
