//! Puts keys under repair when members of them are due.
//!
//! ```text
//!   record, entry, reading --note--> schedule (durable) --due--> list of keys under repair (durable) --> flow
//!                                        ^                                                                |
//!                                        +------------- what the repair has read: due next --------------+
//! ```
//!
//! A key leaves the schedule in the same transaction that lists it, so it stands in one of them at any time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use checkpoint::{NotInSync, Plan, Planned, Scheduled};
use command::SourceKey;
use repair::Cause;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::fences::Link;
use crate::flow_task::{Order, Shared};
use crate::ledger::{Entry, UNCLEAR};
use crate::session::Progress;
use crate::unclear;

/// How often the schedule is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Keys that are taken up together.
const TOGETHER: usize = 512;
/// How long those have before the next are taken up as well.
const TURN: Duration = Duration::from_secs(1);

/// Takes up what is due, for one session.
#[derive(Debug)]
pub(crate) struct Expirer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) flows: Vec<UnboundedSender<Order>>,
    /// Takes keys of which nobody knows the flow.
    pub(crate) unclear: UnboundedSender<unclear::Request>,
    pub(crate) progress: watch::Receiver<Progress>,
    /// The source as it is attached to; what is due waits while there is none.
    pub(crate) link: watch::Receiver<Option<Link>>,
}

impl Expirer {
    /// Takes up what is due for as long as the session lives.
    pub(crate) async fn run(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.tell();
            while self.progress.borrow().stable && self.link.borrow().is_some() {
                let taken = match self.turn().await {
                    Ok(taken) => taken,
                    Err(error) => {
                        // Whoever writes the checkpoint next finds out as well, and ends the run.
                        warn!(%error, "members that expire: the schedule cannot be read or written");
                        0
                    }
                };
                self.tell();
                if taken == 0 {
                    break;
                }
            }
        }
    }

    fn tell(&self) {
        let ledger = &self.shared.ledger;
        self.shared.status.set_scheduled(ledger.scheduled(), ledger.next_due());
    }

    /// Takes up some of what is due; how many keys.
    async fn turn(&self) -> Result<usize, Arc<checkpoint::Error>> {
        let shared = &self.shared;
        let now_ms = shared.clock.now_ms().saturating_add_signed(shared.status.source_ahead_ms());
        if shared.ledger.next_due().is_none_or(|at_ms| at_ms > now_ms) {
            return Ok(0);
        }
        let due = shared.ledger.due(now_ms, TOGETHER).await?;
        let mut entry = Entry::default();
        let mut of_flow: BTreeMap<Option<usize>, Vec<SourceKey>> = BTreeMap::new();
        let mut taken = 0;
        for Scheduled { db, key, .. } in due {
            let name = SourceKey { db, key: Bytes::from(key) };
            let plan = Planned { db, key: name.key.to_vec(), plan: Plan::Taken(now_ms) };
            // What is not replicated any more is nobody's concern.
            if shared.mapping.target_name(db, &name.key).is_some() {
                // A flow that has listed it carries it.
                let of_list = || shared.ledger.lists(&name).map(|flow| flow as usize);
                let flow = shared.sharding.flow_of(&name.key).or_else(of_list);
                let flow = flow.filter(|flow| *flow < self.flows.len());
                entry = entry.list(vec![NotInSync {
                    db,
                    key: name.key.to_vec(),
                    reason: Cause::Expiring.words().to_owned(),
                    flow: flow.map_or(UNCLEAR, |flow| flow as u32),
                    lsn: 0,
                    at_ms: shared.clock.now_ms(),
                }]);
                of_flow.entry(flow).or_default().push(name);
            }
            entry = entry.plan(vec![plan]);
            taken += 1;
        }
        if taken == 0 {
            return Ok(0);
        }
        debug!(keys = taken, "members of these keys have expired");
        shared.ledger.write(entry).await?;
        let (cause, reason) = (Cause::Expiring, Cause::Expiring.words());
        let mut answers = Vec::new();
        for (flow, keys) in of_flow {
            let (done, answer) = oneshot::channel();
            // What has ended leaves its keys on the durable list.
            match flow {
                Some(flow) => drop(self.flows[flow].send(Order::Repair { keys, cause, reason, done })),
                None => drop(self.unclear.send(unclear::Request { keys, cause, reason, done })),
            }
            answers.push(answer);
        }
        let all = async {
            for answer in answers {
                // As above.
                let _ = answer.await;
            }
        };
        // Keys that the target refuses do not hold up the others.
        let _ = tokio::time::timeout(TURN, all).await;
        Ok(taken)
    }
}
