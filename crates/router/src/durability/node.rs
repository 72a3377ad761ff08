//! One node: which process with which history it is, which polls are settled, and which are on its disk.
//!
//! ```text
//!             +---- same run id, same history ----+
//!             v                                   |
//! unknown -> serving --- restarted, other history --> serving (next incarnation; ended by disk or by offset)
//!               |  \
//!               |   +--- became a replica, or does not answer --> away
//!               |                                                  |
//!               +------- another node continues its history -------+--> unknown (ended by offset)
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::durability::Settings;
use crate::durability::info::{Fsync, NodeInfo, Persistence, Replication, Role};
use crate::durability::mark::Body;
use crate::durability::polls::Polls;

/// What an append-only file that is synced every second may lack, with the time that a sync takes.
const EVERY_SECOND: Duration = Duration::from_secs(2);
/// The kernel writes everything back within half a minute (`vm.dirty_expire_centisecs` and its 5 s timer).
const KERNEL: Duration = Duration::from_secs(35);
/// How long a replica that left counts as one that may come back and be promoted.
const MISSED: Duration = Duration::from_secs(60);

/// How an incarnation of a node ended, and which of its writes live on.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    /// Tags up to here belong to the incarnation that ended.
    pub(crate) at: u64,
    /// Writes with a tag below are there; the others may be gone.
    pub(crate) safe: u64,
    /// Where the safe ones are.
    pub(crate) remains: Remains,
    /// `host:port` of the node that took over, where that is known.
    pub(crate) by: Option<String>,
    /// More is gone than tags can tell.
    pub(crate) beyond: bool,
    pub(crate) reason: Arc<str>,
}

/// Where the writes are that outlived an incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remains {
    /// In the memory of the same node; its replicas may not have all of them.
    Here,
    /// The same, and on its disk.
    OnDisk,
    /// With the node that took over.
    Elsewhere,
}

/// What a flow has to know about a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Tags below are settled.
    pub(crate) settled: u64,
    /// A write is settled as soon as it is acknowledged.
    pub(crate) at_once: bool,
    /// Settled writes with a tag below need not be remembered any more.
    pub(crate) forget: u64,
}

/// What a node has said of itself when it was last asked as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) run_id: String,
    pub(crate) replication: Replication,
    pub(crate) persistence: Option<Persistence>,
    pub(crate) keys: u64,
}

#[derive(Debug)]
pub(crate) struct Node {
    settings: Settings,
    pub(crate) known: Option<Known>,
    /// Histories that it led before, in this process's time.
    former: Vec<String>,
    /// It was seen as a replica since it was last seen as a master.
    pub(crate) away: bool,
    pub(crate) answers: bool,
    /// The cluster names replicas of it.
    pub(crate) has_replicas: bool,
    /// When a replica was last there.
    replica_seen: Option<Instant>,
    /// It does not let this user ask.
    pub(crate) denied: bool,
    pub(crate) fsync: Option<Fsync>,
    /// The append-only file has been complete once.
    aof_complete: bool,
    /// The last poll at which no snapshot was being written.
    idle: u64,
    /// The newest poll whose writes are in the last snapshot.
    in_rdb: u64,
    polls: Polls,
    verdict: Verdict,
    persisted: u64,
    /// The poll that found the current incarnation: it covers whatever the node held before anybody wrote to it.
    pub(crate) first: u64,
    /// Number of the last poll; it goes up by one at each end of an incarnation too.
    pub(crate) started: u64,
    pub(crate) endings: Vec<Ending>,
    /// What to say of it at a start as long as not every flow has written down what the last endings took.
    pub(crate) frozen: Option<Body>,
}

impl Node {
    pub(crate) fn new(settings: Settings) -> Node {
        Node {
            verdict: Verdict { at_once: !settings.rules.on(27), ..Verdict::default() },
            settings,
            known: None,
            former: Vec::new(),
            away: false,
            answers: false,
            has_replicas: false,
            replica_seen: None,
            denied: false,
            fsync: None,
            aof_complete: false,
            idle: 0,
            in_rdb: 0,
            polls: Polls::default(),
            persisted: 0,
            first: 0,
            started: 0,
            endings: Vec::new(),
            frozen: None,
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Number of incarnations that ended.
    pub(crate) fn incarnation(&self) -> u64 {
        self.endings.len() as u64
    }

    /// The next poll is about to be sent.
    pub(crate) fn begin(&mut self) -> u64 {
        self.started += 1;
        self.started
    }

    /// A poll was answered: `before` was read first, `after` later on the same connection. Whether it is still the same
    /// master; if not, it has to be observed as a whole.
    pub(crate) fn polled(
        &mut self,
        number: u64,
        sent: Instant,
        before: &Replication,
        after: Replication,
        now: Instant,
    ) -> bool {
        let Some(known) = &mut self.known else { return false };
        let same = before.replid == known.replication.replid && before.role == Role::Master;
        if !same || after.replid != before.replid || self.away {
            return false;
        }
        self.answers = true;
        self.polls.add(number, sent, Some(before.offset));
        known.replication = after;
        self.judge(now);
        true
    }

    /// The user may not ask: only time tells.
    pub(crate) fn passed(&mut self, number: u64, sent: Instant, now: Instant) {
        self.polls.add(number, sent, None);
        self.judge(now);
    }

    /// What the node says about its disk, as of poll `number`.
    pub(crate) fn saved(&mut self, number: u64, persistence: Persistence, keys: u64, now: Instant) {
        let Some(known) = &mut self.known else { return };
        if known.persistence.is_some_and(|before| before.last_save != persistence.last_save) {
            // It began after the last time that none was under way.
            self.in_rdb = self.in_rdb.max(self.idle);
        }
        if !persistence.saving {
            self.idle = number;
        }
        self.aof_complete = persistence.aof && (self.aof_complete || !persistence.aof_rewriting);
        known.persistence = Some(persistence);
        known.keys = keys;
        self.judge(now);
    }

    /// The polls whose writes are on the disk.
    fn on_disk(&self, now: Instant) -> u64 {
        match self.known.as_ref().and_then(|known| known.persistence) {
            Some(disk) if self.aof_complete && disk.aof_writes => match self.fsync {
                Some(Fsync::Always) => u64::MAX,
                Some(Fsync::EverySecond) => {
                    self.polls.older_than(EVERY_SECOND, now).max(self.persisted_so_far())
                }
                Some(Fsync::Kernel) | None => self.polls.older_than(KERNEL, now).max(self.persisted_so_far()),
            },
            // Writes to the append-only file fail: what was in it stays.
            Some(_) if self.aof_complete => self.persisted_so_far(),
            _ => self.in_rdb,
        }
    }

    fn persisted_so_far(&self) -> u64 {
        if self.persisted == u64::MAX { self.polls.last() } else { self.persisted }
    }

    /// What the replicas, the disk and the clock say about the polls so far.
    fn judge(&mut self, now: Instant) {
        let window = self.settings.loss_window;
        let aged = self.polls.older_than(window, now);
        let (online, lowest, listed) = match &self.known {
            Some(known) if !self.denied => {
                let replication = &known.replication;
                (replication.online(), replication.lowest(), !replication.replicas.is_empty())
            }
            _ => (0, None, false),
        };
        if online > 0 || listed {
            self.replica_seen = Some(now);
        }
        let missed = self.replica_seen.is_some_and(|seen| now.duration_since(seen) < MISSED.max(window));
        // Rule 27, in its order: what the replicas have; what is old enough; everything.
        let (settled, at_once) = match lowest {
            Some(lowest) => (self.polls.below(lowest), false),
            None if self.denied || self.known.is_none() => (aged, false),
            None if self.has_replicas || listed || missed => (aged, false),
            None => (self.polls.last(), true),
        };
        let at_once = at_once || !self.settings.rules.on(27);
        self.persisted = self.on_disk(now);
        let watched = self.has_replicas || self.replica_seen.is_some() || self.denied;
        let disk_told = self.known.as_ref().is_some_and(|known| known.persistence.is_some());
        let forget = match (self.persisted, watched) {
            _ if !self.settings.rules.on(28) => u64::MAX,
            _ if self.denied || !disk_told => aged,
            // Nothing is certainly on its disk: its restart asks for a full sync whatever is remembered, until the
            // snapshot is complete that may be under way.
            (0, true) => self.idle.min(aged),
            (0, false) => self.idle,
            (persisted, true) => persisted.min(aged),
            (persisted, false) => persisted,
        };
        let settled = settled.max(self.verdict.settled);
        self.verdict = Verdict { settled, at_once, forget };
    }

    /// The node as a whole, as poll `number` found it on a new connection. Ends its incarnation where it is another one.
    ///
    /// False for an answer that is older than the node's current incarnation.
    pub(crate) fn observe(&mut self, number: u64, sent: Instant, info: NodeInfo, now: Instant) -> bool {
        let same = self.known.as_ref().is_some_and(|known| {
            known.run_id == info.run_id && known.replication.replid == info.replication.replid
        });
        if !same && self.endings.last().is_some_and(|ending| number <= ending.at) {
            return false;
        }
        self.denied = false;
        self.answers = true;
        let NodeInfo { run_id, replication, persistence, keys } = info;
        if replication.role == Role::Replica {
            // Whoever leads now tells which of its writes live on.
            self.away = self.known.is_some();
            return true;
        }
        let (mut before, incarnation) = (None, self.incarnation());
        if let Some(known) = &self.known {
            let same_process = known.run_id == run_id;
            let same_history = known.replication.replid == replication.replid;
            before = known.persistence.filter(|_| same_process && same_history);
            if !(same_process && same_history) {
                let continued = replication.former.as_ref().filter(|(id, _)| *id == known.replication.replid);
                let emptied = !same_process && keys == 0 && known.keys > 0;
                match continued {
                    Some((_, first)) => {
                        let upto = first.saturating_sub(1);
                        let what = if same_process { "leads another history" } else { "is another process" };
                        let reason = format!("{what}, which has the one before up to offset {upto}");
                        self.end(self.polls.below(upto), Remains::Here, emptied, reason);
                    }
                    None if same_process || self.away => {
                        let reason = "followed another node, and lost what that one did not have";
                        self.end(self.undoubted(now), Remains::Here, emptied, reason.into());
                    }
                    None => {
                        let safe = self.persisted;
                        let reason = match (emptied, safe) {
                            (true, _) => "restarted, and is empty",
                            (_, 0) => "restarted, and nothing is known to have been on its disk",
                            _ => "restarted, with what was on its disk",
                        };
                        self.end(safe, Remains::OnDisk, emptied, reason.into());
                        // What it has in memory now came from the disk.
                        self.in_rdb = self.started;
                    }
                }
            }
        }
        // It found what the next incarnation begins with.
        let number = if self.incarnation() > incarnation { self.started } else { number };
        if self.known.is_none() || self.incarnation() > incarnation {
            self.first = number;
        }
        self.away = false;
        if persistence.is_none_or(|p| !p.aof) {
            self.aof_complete = false;
        }
        self.polls.add(number, sent, Some(replication.offset));
        self.known = Some(Known { run_id, replication, persistence: before.or(persistence), keys });
        if let Some(persistence) = persistence {
            self.saved(number, persistence, keys, now);
        }
        self.judge(now);
        true
    }

    /// Polls about which no doubt is possible: settled, and older than the loss window.
    fn undoubted(&self, now: Instant) -> u64 {
        self.verdict.settled.min(self.polls.older_than(self.settings.loss_window, now))
    }

    /// Another node took over; `first` is the first offset of `history` that it does not share.
    ///
    /// Whether this node led that history.
    pub(crate) fn continued_by(&mut self, history: &str, first: u64, by: &str, now: Instant) -> bool {
        let Some(known) = &self.known else { return false };
        if known.replication.replid == history {
            let safe = self.polls.below(first.saturating_sub(1));
            let reason = format!("{by} took over, with the history up to offset {}", first.saturating_sub(1));
            self.leave(safe, reason, Some(by));
            return true;
        }
        if self.former.iter().any(|id| id == history) {
            let reason = format!("{by} took over from an earlier state of it");
            self.leave(self.undoubted(now), reason, Some(by));
            return true;
        }
        false
    }

    /// Other nodes serve its slots, and none of them says that it continues its history.
    pub(crate) fn succeeded(&mut self, now: Instant) {
        if self.known.is_some() {
            let reason = "another node took over, and does not say with how much";
            self.leave(self.undoubted(now), reason.into(), None);
        }
    }

    fn leave(&mut self, safe: u64, reason: String, by: Option<&str>) {
        self.end(safe, Remains::Elsewhere, false, reason);
        if let Some(ending) = self.endings.last_mut() {
            ending.by = by.map(str::to_owned);
        }
        self.known = None;
        self.former.clear();
        self.away = false;
        self.has_replicas = false;
        self.replica_seen = None;
    }

    fn end(&mut self, safe: u64, remains: Remains, beyond: bool, reason: String) {
        if self.frozen.is_none() {
            // Which of the last writes were on its disk nobody knows now.
            self.frozen = self.body(Some(u64::MAX - 1));
        }
        if let Some(known) = &self.known {
            self.former.push(known.replication.replid.clone());
        }
        let at = self.started;
        self.endings.push(Ending { at, safe, remains, by: None, beyond, reason: reason.into() });
        // Tags of the next incarnation lie above those of this one.
        self.started += 1;
        self.polls.clear();
        (self.idle, self.in_rdb, self.persisted) = (0, 0, 0);
        self.aof_complete = false;
        self.verdict = Verdict { at_once: !self.settings.rules.on(27), ..Verdict::default() };
    }

    /// Where every write that counts as settled lies at or below.
    pub(crate) fn settled_offset(&self) -> u64 {
        let last = self.known.as_ref().map_or(0, |known| known.replication.offset);
        if self.verdict.at_once { last } else { self.polls.offset_of(self.verdict.settled).unwrap_or(last) }
    }

    /// Whether every write with this tag or a lower one is on the disk.
    pub(crate) fn has_on_disk(&self, tag: u64) -> bool {
        self.persisted > tag
    }
}

#[cfg(test)]
mod tests;
