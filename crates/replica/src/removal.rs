//! After a repeated full sync: the keys that the target has and the source lacks are removed.
//!
//! ```text
//! SCAN a page of the target -> names under our mapping -> EXISTS at the source -> absent ones
//!   -> every flow watches them -> EXISTS again, then the source's LSNs
//!   -> every flow, once it has dispatched up to there: which were touched by a record?
//!   -> the rest is removed, each in its own flow
//! ```
//! A key that a record touches meanwhile is left alone: the record decides what becomes of it. What a record would add to
//! is removed before it by the flow that has read the snapshot (`flow_task/known_keys.rs`); after a restart of this program
//! nobody knows that any more, and a record that changes a stale value leaves a wrong one.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use command::{Mapping, SourceKey};
use router::side::Side;
use router::sweep::Walk;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::flow_task::Order;
use crate::source::SourceSide;
use crate::status::Status;

/// Seed of Dragonfly's key hash (`sharding.cc` `Shard`, v1.0 to v1.40.1).
const SHARD_SEED: u64 = 120_577_240_643;

/// The flow that carries a key, on a master that shards by whole keys.
pub fn flow_of(key: &[u8], flows: usize) -> usize {
    (twox_hash::XxHash64::oneshot(SHARD_SEED, key) % flows as u64) as usize
}

/// Why the removal did not come to its end. It is due again after the next attachment.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    /// A question to the source was not answered.
    #[error("source: {0}")]
    Source(#[from] crate::source::Unanswered),
    /// The target could not be scanned.
    #[error(transparent)]
    Target(#[from] router::Error),
    /// The attachment ended.
    #[error("the attachment ended")]
    Ended,
    /// Keys come on other flows than their names say: a removal could overtake a record.
    #[error(
        "the source shards keys otherwise than by their names (by hash tag or slot); stale keys cannot be removed in order"
    )]
    OtherSharding,
}

/// What a removal needs.
pub struct Removal {
    /// Asked for keys and LSNs.
    pub source: SourceSide,
    /// Scanned.
    pub side: Side,
    /// Names of keys on the target.
    pub mapping: Mapping,
    /// The flows.
    pub flows: Vec<UnboundedSender<Order>>,
    /// Counts.
    pub status: Arc<Status>,
    /// Whether the snapshot's keys came on other flows than [`flow_of`] says.
    pub other_sharding: bool,
}

impl Removal {
    /// Walks the target until a walk was not disturbed by moving slots. Returns how many keys were removed.
    ///
    /// # Errors
    /// [`Unfinished`].
    pub async fn run(mut self) -> Result<u64, Unfinished> {
        if self.other_sharding {
            return Err(Unfinished::OtherSharding);
        }
        let mut databases: Vec<u32> = vec![0];
        if !self.side.target().is_cluster() {
            databases = router::sweep::used_databases(&mut self.side).await?;
        }
        let mut removed = 0;
        for db in databases {
            loop {
                let mut walk = Walk::new(&self.side, db, None);
                while let Some(names) = walk.page(&mut self.side).await? {
                    // A name that may be a key of two databases stays: nobody can be asked which it is.
                    let clear = names.iter().filter(|name| !self.mapping.is_ambiguous(db, name));
                    let mut keys: Vec<SourceKey> =
                        clear.filter_map(|name| self.mapping.source_name(db, name)).collect();
                    keys.sort_unstable();
                    keys.dedup();
                    let absent = self.source.missing(&keys).await?;
                    if !absent.is_empty() {
                        removed += self.remove(absent).await?;
                    }
                    // Neither server is kept busy by this alone.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                if !walk.disturbed(&self.side) {
                    break;
                }
            }
        }
        info!(removed, "keys that the source lacks are removed");
        Ok(removed)
    }

    async fn remove(&mut self, absent: Vec<SourceKey>) -> Result<u64, Unfinished> {
        let watched: Arc<HashSet<SourceKey>> = Arc::new(absent.iter().cloned().collect());
        self.ask_all(|done| Order::Watch { keys: watched.clone(), done }).await?;
        let mut absent = self.source.missing(&absent).await?;
        let ends = self.source.offsets().await?;
        if ends.len() != self.flows.len() {
            warn!(flows = self.flows.len(), answered = ends.len(), "the source has another number of flows");
            return Err(Unfinished::Ended);
        }
        let mut answers = Vec::new();
        for (flow, at) in self.flows.iter().zip(&ends) {
            let (reply, answer) = oneshot::channel();
            flow.send(Order::Touched { at: *at, reply }).map_err(|_| Unfinished::Ended)?;
            answers.push(answer);
        }
        for answer in answers {
            let touched = answer.await.map_err(|_| Unfinished::Ended)?;
            absent.retain(|key| !touched.contains(key));
        }
        let mut of_flow: Vec<Vec<SourceKey>> = vec![Vec::new(); self.flows.len()];
        for key in absent {
            of_flow[flow_of(&key.key, self.flows.len())].push(key);
        }
        let mut of_flow = of_flow.into_iter();
        let counts =
            self.ask_all(|done| Order::Remove { keys: of_flow.next().unwrap_or_default(), done }).await?;
        let count = counts.into_iter().sum();
        self.status.removed(count, true);
        Ok(count)
    }

    async fn ask_all<T>(
        &self,
        mut order: impl FnMut(oneshot::Sender<T>) -> Order,
    ) -> Result<Vec<T>, Unfinished> {
        let mut answers = Vec::new();
        for flow in &self.flows {
            let (done, answer) = oneshot::channel();
            flow.send(order(done)).map_err(|_| Unfinished::Ended)?;
            answers.push(answer);
        }
        let mut results = Vec::new();
        for answer in answers {
            results.push(answer.await.map_err(|_| Unfinished::Ended)?);
        }
        Ok(results)
    }
}
