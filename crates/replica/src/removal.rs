//! After a full sync over existing data: the keys that the target has and the source lacks are removed.
//!
//! ```text
//! SCAN a page of the target -> names under our mapping -> EXISTS at the source -> absent ones go under repair
//! ... the whole target ... -> the source's LSNs -> every flow has dispatched up to there -> every repair is settled
//! ```
//! A key that was created meanwhile is read by its repair like any other, so nothing here has to be exact (repair rules 37
//! and 38).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use command::SourceKey;
use router::side::Side;
use router::sweep::Walk;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::flow_task::{Order, Shared};
use crate::global;
use crate::source::SourceSide;
use crate::unclear::Request;

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
}

/// What a removal needs.
pub struct Removal {
    /// Asked for keys and LSNs.
    pub source: SourceSide,
    /// Scanned.
    pub side: Side,
    /// The flows.
    pub flows: Vec<UnboundedSender<Order>>,
    /// Takes keys of which it is not known which flow would carry them.
    pub unclear: UnboundedSender<Request>,
    /// What the flows share.
    pub shared: Arc<Shared>,
}

impl Removal {
    /// Walks the target until a walk was not disturbed by moving slots. Returns how many keys were removed.
    ///
    /// # Errors
    /// [`Unfinished`].
    pub async fn run(mut self) -> Result<u64, Unfinished> {
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
                    let clear = names.iter().filter(|name| !self.shared.mapping.is_ambiguous(db, name));
                    let mut keys: Vec<SourceKey> =
                        clear.filter_map(|name| self.shared.mapping.source_name(db, name)).collect();
                    keys.sort_unstable();
                    keys.dedup();
                    let absent = self.absent(db, keys).await?;
                    if !absent.is_empty() {
                        let count = absent.len() as u64;
                        self.repair(absent).await?;
                        removed += count;
                        self.shared.status.removed(count, true);
                    }
                    // Neither server is kept busy by this alone.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                // Slots that moved are not known as long as nothing was sent there.
                self.side.target().refresh().await?;
                if !walk.disturbed(&self.side) {
                    break;
                }
            }
        }
        if self.shared.rules.on(38) {
            // What was created since the last look may still be on its way to us.
            let ends = self.source.offsets().await?;
            let mut answers = Vec::new();
            for (flow, at) in self.flows.iter().zip(ends) {
                let (done, answer) = oneshot::channel();
                flow.send(Order::Passed { at, done }).map_err(|_| Unfinished::Ended)?;
                answers.push(answer);
            }
            for answer in answers {
                answer.await.map_err(|_| Unfinished::Ended)?;
            }
        }
        Ok(removed)
    }

    /// Which of these keys, found in a database of the target, the source lacks.
    async fn absent(&mut self, db: u32, keys: Vec<SourceKey>) -> Result<Vec<SourceKey>, Unfinished> {
        let mapping = &self.shared.mapping;
        if !mapping.filter().chooses_types() {
            return Ok(self.source.missing(&keys).await?);
        }
        // A key of a type that is left out counts as absent there, and as nobody's here.
        let carried = |word: &str| global::carried(mapping, word);
        let absent = self.source.missing_or_other(&keys, carried).await?;
        let named: Vec<(SourceKey, Bytes)> = absent
            .into_iter()
            .filter_map(|key| {
                let (_, name) = mapping.target_name(key.db, &key.key)?;
                Some((key, name))
            })
            .collect();
        let names: Vec<Bytes> = named.iter().map(|(_, name)| name.clone()).collect();
        let types = router::sweep::types(&mut self.side, db, &names).await?;
        let ours = named.into_iter().zip(types).filter(|(_, word)| carried(word));
        Ok(ours.map(|((key, _), _)| key).collect())
    }

    async fn repair(&mut self, absent: Vec<SourceKey>) -> Result<(), Unfinished> {
        let mut of_flow: Vec<Vec<SourceKey>> = vec![Vec::new(); self.flows.len()];
        let mut unclear = Vec::new();
        for key in absent {
            match self.shared.sharding.flow_of(&key.key) {
                Some(flow) => of_flow[flow].push(key),
                None => unclear.push(key),
            }
        }
        let mut answers = Vec::new();
        let (cause, reason) = (repair::Cause::Stale, "on the target, and not at the source");
        if !unclear.is_empty() {
            let (done, answer) = oneshot::channel();
            let request = Request { keys: unclear, cause, reason, done };
            self.unclear.send(request).map_err(|_| Unfinished::Ended)?;
            answers.push(answer);
        }
        for (flow, keys) in self.flows.iter().zip(of_flow) {
            if keys.is_empty() {
                continue;
            }
            let (done, answer) = oneshot::channel();
            flow.send(Order::Repair { keys, cause, reason, done }).map_err(|_| Unfinished::Ended)?;
            answers.push(answer);
        }
        for answer in answers {
            answer.await.map_err(|_| Unfinished::Ended)?;
        }
        Ok(())
    }
}
