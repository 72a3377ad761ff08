//! Keys of which nobody knows the flow that carries their records (repair rule 19): stale keys of a source that
//! distributes its keys in a way that is not clear, mostly.
//!
//! ```text
//! all flows: under repair ──▶ all flows: hold ──▶ R0[], value, R1[] ──▶ all flows have applied R1[f] ──▶ the carrier sends
//!      ▲                          the value ──▶ settled ──▶ all flows: let go ──▶ off the list
//!      └──── some flow saw a record inside its window, or the fence is void, or the value was refused
//! ```
//! A flow that saw a record of the key has shown that it is its own: it repairs the key by itself, and the others drop it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use command::SourceKey;
use repair::{Batch, Cause, Fence, Reached, Value};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::fences::Ask;
use crate::flow_task::{CARRIER, Order, Shared, Step};
use crate::ledger::Entry;
use crate::session::Progress;

/// Keys that are repaired together.
const TOGETHER: usize = 256;
/// Between two looks how far the flows are.
const LOOK: Duration = Duration::from_millis(10);
/// Pause after something that came to nothing; it grows up to [`LONGEST`].
const PAUSE: Duration = Duration::from_millis(20);
/// See [`PAUSE`].
const LONGEST: Duration = Duration::from_secs(10);

/// Keys to be repaired in all flows.
#[derive(Debug)]
pub struct Request {
    /// The keys.
    pub keys: Vec<SourceKey>,
    /// What put them there.
    pub cause: Cause,
    /// Why, in words.
    pub reason: &'static str,
    /// Answered when every one of them has left.
    pub done: oneshot::Sender<()>,
}

/// The session's flows have ended.
#[derive(Debug)]
struct Ended;

/// Repairs such keys, for one session.
#[derive(Debug)]
pub(crate) struct Unclear {
    pub(crate) requests: UnboundedReceiver<Request>,
    pub(crate) flows: Vec<UnboundedSender<Order>>,
    pub(crate) fences: UnboundedSender<Ask>,
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) shared: Arc<Shared>,
}

/// What is under way.
struct Work {
    cause: Cause,
    reason: &'static str,
    /// Keys that are under repair in all flows.
    left: BTreeSet<SourceKey>,
    /// Those that have to be read by themselves.
    big: BTreeSet<SourceKey>,
    /// Keys that a flow has turned out to carry.
    owned: Vec<(usize, SourceKey)>,
}

impl Unclear {
    /// Answers requests for as long as the flows live.
    pub(crate) async fn run(mut self) {
        if self.progress.wait_for(|progress| progress.stable).await.is_err() {
            return;
        }
        while let Some(Request { keys, cause, reason, done }) = self.requests.recv().await {
            info!(keys = keys.len(), reason, "keys of an unclear flow are repaired over all flows");
            let mut owned = Vec::new();
            for keys in keys.chunks(TOGETHER) {
                let work =
                    Work { cause, reason, left: BTreeSet::new(), big: BTreeSet::new(), owned: Vec::new() };
                match self.repair(keys, work).await {
                    Ok(more) => owned.extend(more),
                    Err(Ended) => return,
                }
            }
            // Not here: a key that a flow repairs may turn out to be unclear again, and wait for this very task.
            tokio::spawn(async move {
                for left in owned {
                    // A flow that has ended leaves its keys on the durable list.
                    let _ = left.await;
                }
                // Whoever does not wait any more has ended.
                let _ = done.send(());
            });
        }
    }

    /// Repairs these keys. What is returned tells when those have left that a flow has taken over.
    async fn repair(&self, keys: &[SourceKey], mut work: Work) -> Result<Vec<oneshot::Receiver<()>>, Ended> {
        let (cause, reason) = (work.cause, work.reason);
        let keys: Vec<SourceKey> = keys.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let answers = self.all(&keys, |_| Step::Begin(cause, reason)).await?;
        for (key, answers) in keys.into_iter().zip(answers) {
            match answers.iter().position(|answer| *answer == Reached::Again) {
                Some(flow) => {
                    work.owned.push((flow, key.clone()));
                    let answers = self.all(std::slice::from_ref(&key), |_| Step::Withdraw).await?;
                    work.owned.extend(own(&answers[0]).map(|flow| (flow, key.clone())));
                }
                None => drop(work.left.insert(key)),
            }
        }
        let mut pause = PAUSE;
        while !work.left.is_empty() {
            let before = work.left.len();
            self.round(&mut work).await?;
            pause = if work.left.len() < before { PAUSE } else { (pause * 2).min(LONGEST) };
            if !work.left.is_empty() {
                tokio::time::sleep(pause).await;
            }
        }
        let mut answers = Vec::new();
        for (flow, key) in work.owned {
            let (done, answer) = oneshot::channel();
            let order = Order::Repair { keys: vec![key], cause, reason, done };
            self.flows[flow].send(order).map_err(|_| Ended)?;
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Reads the keys that are left, and places what holds.
    async fn round(&self, work: &mut Work) -> Result<(), Ended> {
        let small: Vec<SourceKey> = work.left.difference(&work.big).cloned().collect();
        let is_big = small.is_empty();
        let keys = if is_big { work.left.iter().take(1).cloned().collect() } else { small };
        // From here on every flow holds records of these keys: what it dropped before lies below R0.
        self.all(&keys, |_| Step::Read).await?;
        let Some(fence) = self.fence(&keys, is_big).await? else {
            self.all(&keys, |_| Step::Void).await?;
            return Ok(());
        };
        let flows = self.flows.len();
        if fence.r0.len() != flows || fence.r1.len() != flows {
            self.all(&keys, |_| Step::Void).await?;
            return Ok(());
        }
        let mut values: BTreeMap<SourceKey, Value> = BTreeMap::new();
        for (key, value) in fence.values {
            match value {
                Value::TooBig => drop(work.big.insert(key)),
                Value::Unreadable(why) => warn!(key = %key.key.escape_ascii(), why, "key not read"),
                value => drop(values.insert(key, value)),
            }
        }
        let (r0, r1) = (fence.r0, fence.r1);
        let answers = self.all(&keys, |flow| Step::Answer { r0: r0[flow], r1: r1[flow] }).await?;
        let (good, bad): (Vec<_>, Vec<_>) = keys.into_iter().zip(answers).partition(|(key, answers)| {
            values.contains_key(key) && answers.iter().all(|answer| *answer == Reached::Yes)
        });
        let names = |list: Vec<(SourceKey, Vec<Reached>)>| -> Vec<SourceKey> {
            list.into_iter().map(|(key, _)| key).collect()
        };
        self.all(&names(bad), |_| Step::Void).await?;
        self.place(names(good), values, work).await
    }

    /// Sends each value when every flow has come to its `R1`, and lets the key go when it has settled.
    async fn place(
        &self,
        mut waiting: Vec<SourceKey>,
        mut values: BTreeMap<SourceKey, Value>,
        work: &mut Work,
    ) -> Result<(), Ended> {
        while !waiting.is_empty() {
            let answers = self.all(&waiting, |_| Step::Look).await?;
            let mut ready = Vec::new();
            let mut again = Vec::new();
            let mut not_yet = Vec::new();
            for (key, answers) in waiting.into_iter().zip(answers) {
                if answers.contains(&Reached::Ended) {
                    // A global command has ended it.
                    work.left.remove(&key);
                } else if answers.contains(&Reached::Again) {
                    again.push(key);
                } else if answers.contains(&Reached::NotYet) {
                    not_yet.push(key);
                } else {
                    ready.push(key);
                }
            }
            self.all(&again, |_| Step::Void).await?;
            let mut sent = Vec::new();
            for key in ready {
                let Some(value) = values.remove(&key) else { continue };
                let (done, answer) = oneshot::channel();
                let order = Order::Carry { key: key.clone(), value, done };
                self.flows[CARRIER].send(order).map_err(|_| Ended)?;
                sent.push((key, answer));
            }
            let (mut settled, mut failed) = (Vec::new(), Vec::new());
            for (key, answer) in sent {
                match answer.await {
                    Ok(true) => settled.push(key),
                    _ => failed.push(key),
                }
            }
            self.all(&failed, |_| Step::Void).await?;
            self.let_go(settled, work).await?;
            waiting = not_yet;
            if !waiting.is_empty() {
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }

    async fn let_go(&self, settled: Vec<SourceKey>, work: &mut Work) -> Result<(), Ended> {
        if settled.is_empty() {
            return Ok(());
        }
        let answers = self.all(&settled, |_| Step::Leave).await?;
        let mut gone = Vec::new();
        for (key, answers) in settled.into_iter().zip(answers) {
            work.left.remove(&key);
            work.owned.extend(own(&answers).map(|flow| (flow, key.clone())));
            if answers.iter().all(|answer| *answer == Reached::Yes) {
                gone.push(key);
            }
        }
        self.shared.status.repaired(work.cause.words(), gone.len() as u64);
        // A checkpoint that cannot be written ends the session by itself.
        self.shared.ledger.write(Entry::default().unlist_unclear(gone)).await.map_err(|_| Ended)
    }

    async fn fence(&self, keys: &[SourceKey], big: bool) -> Result<Option<Fence>, Ended> {
        let (answer, fence) = oneshot::channel();
        let batch = Batch { id: 0, keys: keys.to_vec(), big, tries: 0 };
        self.fences.send(Ask::All { batch, answer }).map_err(|_| Ended)?;
        fence.await.map_err(|_| Ended)
    }

    /// Lets every flow take a step with these keys. By key: what each flow says.
    async fn all(
        &self,
        keys: &[SourceKey],
        step: impl Fn(usize) -> Step,
    ) -> Result<Vec<Vec<Reached>>, Ended> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut answers = Vec::new();
        for (flow, orders) in self.flows.iter().enumerate() {
            let (done, answer) = oneshot::channel();
            let order = Order::Unclear { keys: keys.to_vec(), step: step(flow), done };
            orders.send(order).map_err(|_| Ended)?;
            answers.push(answer);
        }
        let mut by_key = vec![Vec::new(); keys.len()];
        for answer in answers {
            let answer = answer.await.map_err(|_| Ended)?;
            by_key.iter_mut().zip(answer).for_each(|(list, answer)| list.push(answer));
        }
        Ok(by_key)
    }
}

/// The flows that repair a key by themselves.
fn own(answers: &[Reached]) -> impl Iterator<Item = usize> {
    answers.iter().enumerate().filter(|(_, answer)| **answer == Reached::Again).map(|(flow, _)| flow)
}
