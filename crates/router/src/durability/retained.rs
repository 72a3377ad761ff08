//! The writes of one flow that one node may still lose.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::durability::flow::{LostWrite, Resolved};
use crate::durability::node::{Ending, Remains, Verdict};
use crate::durability::recent::{Budget, Recent};
use crate::durability::{Event, Settings};
use crate::target::NodeId;
use crate::tracker::Origin;

/// What a write costs besides its names.
const OVERHEAD: usize = size_of::<Name>();

/// One name that a write touched; the last one of a write carries what stays open for it.
#[derive(Debug)]
struct Name {
    origin: Option<Origin>,
    db: u32,
    /// Where it ends among the batch's names.
    end: u32,
}

/// Writes with the same tag, in the order of their replies.
#[derive(Debug)]
struct Batch {
    tag: u64,
    text: Vec<u8>,
    names: Vec<Name>,
    /// Commands of the snapshot: counted, not remembered.
    snapshot: u64,
}

impl Batch {
    fn new(tag: u64) -> Batch {
        Batch { tag, text: Vec::new(), names: Vec::new(), snapshot: 0 }
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.names.len() * OVERHEAD
    }

    /// Every name: what stays open for its write, database, name.
    fn iter(&self) -> impl Iterator<Item = (Option<Origin>, u32, &[u8])> {
        let mut start = 0;
        self.names.iter().map(move |name| {
            let text = &self.text[start..name.end as usize];
            start = name.end as usize;
            (name.origin, name.db, text)
        })
    }
}

/// The acknowledged writes of one flow on one node.
#[derive(Debug)]
pub(crate) struct Retained {
    node: NodeId,
    settings: Settings,
    /// Number of the node's endings that were dealt with.
    incarnation: u64,
    /// Not settled yet, oldest first.
    open: VecDeque<Batch>,
    /// Settled, but a restart or an unlucky failover could take them back.
    recent: Recent,
    /// The highest tag of a write that is not remembered, or was not seen by this flow.
    floor: u64,
    budget: Arc<Budget>,
}

impl Retained {
    /// What the node holds by now is not known here: writes with tags up to `floor`.
    pub(crate) fn new(
        node: NodeId,
        settings: Settings,
        incarnation: u64,
        floor: u64,
        budget: Arc<Budget>,
    ) -> Retained {
        let recent = Recent::new(budget.clone());
        Retained { node, settings, incarnation, open: VecDeque::new(), recent, floor, budget }
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The node took over keys that other nodes were told to write.
    pub(crate) fn gained(&mut self, tag: u64) {
        self.floor = self.floor.max(tag);
    }

    /// A write of at least one name was acknowledged. Whether it is settled already.
    pub(crate) fn acknowledged<'a>(
        &mut self,
        tag: u64,
        verdict: Verdict,
        origin: Origin,
        names: impl Iterator<Item = (u32, &'a [u8])>,
    ) -> bool {
        let settled = verdict.at_once || tag < verdict.settled;
        if origin == Origin::Snapshot {
            // Too many to remember: whatever is lost before this one asks for another full sync.
            self.floor = self.floor.max(tag);
            if !settled {
                self.batch(tag).snapshot += 1;
            }
            return settled;
        }
        if settled && self.open.is_empty() {
            for (db, name) in names {
                self.remember(tag, verdict.forget, db, name);
            }
            return true;
        }
        let batch = self.batch(tag);
        let before = batch.bytes();
        for (db, name) in names {
            batch.text.extend_from_slice(name);
            // A batch this long would have been over the budget before.
            let end = u32::try_from(batch.text.len()).unwrap_or(u32::MAX);
            batch.names.push(Name { origin: None, db, end });
        }
        if let Some(last) = batch.names.last_mut() {
            last.origin = Some(origin);
        }
        let grown = batch.bytes() - before;
        self.budget.take(grown);
        false
    }

    fn batch(&mut self, tag: u64) -> &mut Batch {
        // A reply of an earlier incarnation may come late; then its tag is the last one of that.
        if self.open.back().is_none_or(|batch| batch.tag < tag) {
            self.open.push_back(Batch::new(tag));
        }
        self.open.back_mut().expect("just made")
    }

    fn remember(&mut self, tag: u64, forget: u64, db: u32, name: &[u8]) {
        if tag < forget {
            self.floor = self.floor.max(tag);
        } else {
            self.recent.note(db, name, tag);
        }
    }

    /// Settles what is safe, forgets what is safe for good, and keeps within the budget.
    pub(crate) fn settle(&mut self, verdict: Verdict, resolved: &mut Resolved) {
        while self.open.front().is_some_and(|batch| verdict.at_once || batch.tag < verdict.settled) {
            let batch = self.open.pop_front().expect("there is a first one");
            self.settled(batch, verdict.forget, resolved);
        }
        if let Some(tag) = self.recent.forget_below(verdict.forget) {
            self.floor = self.floor.max(tag);
        }
        while self.budget.is_over() {
            if let Some(tag) = self.recent.forget_one() {
                self.floor = self.floor.max(tag);
            } else if let Some(batch) = self.open.pop_front() {
                // Nobody knows any more which keys a failover would take back: it asks for a full sync (rule 30).
                self.settled(batch, u64::MAX, resolved);
            } else {
                break;
            }
        }
    }

    fn settled(&mut self, batch: Batch, forget: u64, resolved: &mut Resolved) {
        self.budget.give(batch.bytes());
        for (origin, db, name) in batch.iter() {
            self.remember(batch.tag, forget, db, name);
            resolved.settle(origin.unwrap_or(Origin::Lane), u64::from(origin.is_some()));
        }
        resolved.settle(Origin::Snapshot, batch.snapshot);
    }

    /// The node's incarnation ended.
    pub(crate) fn ended(&mut self, ending: &Ending, address: &str, resolved: &mut Resolved) {
        self.incarnation += 1;
        // Without the rule nobody has noticed.
        let safe = if self.settings.rules.on(28) { ending.safe } else { u64::MAX };
        if (ending.beyond || self.floor >= safe) && self.settings.rules.on(30) {
            let reason = format!("{address} {}", ending.reason);
            resolved.events.push(Event::LostBeyond { node: address.to_owned(), reason });
        }
        for (db, name) in self.recent.take(safe, ending.at) {
            resolved.lost.push(lost(self.node, ending, vec![(db, Bytes::from(name))], None));
        }
        let mut survivors = Batch::new(ending.at + 1);
        let later = self.open.iter().position(|batch| batch.tag > ending.at).unwrap_or(self.open.len());
        for batch in self.open.drain(..later) {
            self.budget.give(batch.bytes());
            if batch.tag >= safe {
                let mut keys = Vec::new();
                for (origin, db, name) in batch.iter() {
                    keys.push((db, Bytes::copy_from_slice(name)));
                    if origin.is_some() {
                        resolved.lost.push(lost(self.node, ending, std::mem::take(&mut keys), origin));
                    }
                }
                resolved.settle(Origin::Snapshot, batch.snapshot);
            } else if ending.remains == Remains::Elsewhere {
                for (origin, ..) in batch.iter() {
                    resolved.settle(origin.unwrap_or(Origin::Lane), u64::from(origin.is_some()));
                }
                resolved.settle(Origin::Snapshot, batch.snapshot);
            } else {
                // There, but its replicas have to get it from the new incarnation.
                for (origin, db, name) in batch.iter() {
                    survivors.text.extend_from_slice(name);
                    survivors.names.push(Name { origin, db, end: survivors.text.len() as u32 });
                }
                survivors.snapshot += batch.snapshot;
            }
        }
        if !survivors.names.is_empty() || survivors.snapshot > 0 {
            self.budget.take(survivors.bytes());
            self.open.push_front(survivors);
        }
        match ending.remains {
            Remains::OnDisk => {}
            // What it holds may not be on its disk.
            Remains::Here => self.floor = self.floor.max(ending.at),
            Remains::Elsewhere => {
                self.floor = self.floor.max(ending.at);
                self.recent.clear();
            }
        }
    }

    /// Writes that are not settled.
    pub(crate) fn open(&self) -> u64 {
        let writes = |b: &Batch| b.names.iter().filter(|n| n.origin.is_some()).count() as u64 + b.snapshot;
        self.open.iter().map(writes).sum()
    }

    /// Keys that are remembered although their writes are settled.
    pub(crate) fn remembered(&self) -> usize {
        self.recent.len()
    }

    /// The tag of the newest write that is not settled.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.open.back().map(|batch| batch.tag)
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }
}

fn lost(node: NodeId, ending: &Ending, keys: Vec<(u32, Bytes)>, origin: Option<Origin>) -> LostWrite {
    LostWrite { node, keys, origin, reason: ending.reason.clone() }
}

impl Drop for Retained {
    fn drop(&mut self) {
        self.budget.give(self.open.iter().map(Batch::bytes).sum());
    }
}

#[cfg(test)]
mod tests;
