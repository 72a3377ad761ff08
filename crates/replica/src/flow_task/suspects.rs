//! Records that may not say what the source did, and the keys that are read again because of them.
//!
//! Where a record is wrong most of the time it is not sent, and its key is repaired at once. Where it is right most of the time
//! it is sent, and the key is *suspect*: it is read again a while later, once for many such records. From the moment in which it
//! becomes suspect it stands on the durable list: a program that ends before it was read leaves the doubt to the next one.

use std::collections::{BTreeSet, VecDeque};

use command::{Doubt as Suspicion, DoubtfulWhy, Doubts, Global, Shape, SourceKey, touches};
use repair::Cause;
use router::Origin;

use super::FlowTask;
use crate::apply::{Doubt, Place};
use crate::global;
use crate::ledger::Entry;

/// Keys that wait to be read again because a record may not have said everything.
const MOST: usize = 50_000;
/// How long they wait (ms): a key that many such records touch is read once for all of them.
const PAUSE: u64 = 1_000;
/// Why a suspect key is repaired in the end.
const MORE: &str = "the source may have done more than its record says";
/// Why a key is suspect whose value comes from, or went to, a suspect one.
const MOVED: &str = "its value comes from, or went to, a key that is to be read again";

/// What a flow suspects.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// Looks for records that do not say what the source did.
    records: Doubts,
    /// LSN of a record of which only the next one tells whether it says everything.
    undecided: Option<u64>,
    /// Keys to be read again.
    keys: BTreeSet<SourceKey>,
    /// When (unix ms), in order.
    due: VecDeque<(u64, SourceKey)>,
}

impl Suspects {
    pub(super) fn new(silent_reads: bool) -> Suspects {
        let records = Doubts::new().with_silent_reads(silent_reads);
        Suspects { records, ..Suspects::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn contains(&self, key: &SourceKey) -> bool {
        self.keys.contains(key)
    }

    /// Nothing from here on may be called applied yet.
    pub(super) fn undecided(&self) -> Option<u64> {
        self.undecided
    }

    /// Takes out the keys whose time has come.
    fn due(&mut self, now_ms: u64) -> Vec<SourceKey> {
        let mut due = Vec::new();
        while self.due.front().is_some_and(|(at, _)| *at <= now_ms) {
            due.extend(self.due.pop_front().map(|(_, key)| key).filter(|key| self.keys.remove(key)));
        }
        due
    }

    /// Takes out the keys in the scope of a global command, which leaves nothing to be read.
    pub(super) fn end(&mut self, global: &Global) -> BTreeSet<SourceKey> {
        let (ended, kept) =
            std::mem::take(&mut self.keys).into_iter().partition(|key| global::concerns(global, key));
        self.keys = kept;
        ended
    }
}

impl FlowTask {
    /// Looks whether a record says what the source did. Returns whether it is not sent because it does not. A record among
    /// the snapshot's entries has no LSN to hold back, and no fence is under way then (repair rule 35).
    pub(crate) fn suspect(&mut self, record: &journal::Record, place: Place) -> bool {
        self.suspects.records.at(self.now_ms);
        let mut own = Vec::new();
        let mut reason = String::new();
        for Suspicion { key, why } in self.suspects.records.record(record) {
            if why.is_likely() && record.args.contains(&key.key) {
                own.push(key);
                reason = why.to_string();
            } else {
                self.suspect_key(key, why);
            }
        }
        let undecided = place == Place::Record && self.suspects.records.is_open();
        self.suspects.undecided = undecided.then_some(self.next);
        self.suspect_moved(record);
        if own.is_empty() {
            return false;
        }
        let origin = (place == Place::Record).then(|| self.open_handed_over());
        // Rule 14 in its simplest form: a fence that is under way when the record comes is read again.
        self.repairs.moved(self.next, &own, Cause::Doubtful);
        self.repair_keys(own, Cause::Doubtful, &reason, origin);
        true
    }

    /// The value of a suspect key goes to another key, or decides what becomes of it: that one is suspect as well.
    fn suspect_moved(&mut self, record: &journal::Record) {
        if self.suspects.is_empty() {
            return;
        }
        let touches = touches(record.db, &record.args);
        if touches.shape == Shape::Moving && touches.keys.iter().any(|key| self.suspects.contains(key)) {
            touches.keys.into_iter().for_each(|key| self.add_suspect(key, MOVED));
        }
    }

    fn suspect_key(&mut self, key: SourceKey, why: DoubtfulWhy) {
        let named = self.shared.mapping.target_name(key.db, &key.key);
        let expires = named.is_some_and(|(db, name)| self.router.may_expire(db, &name));
        if why != DoubtfulWhy::ExpiryKept || expires {
            self.add_suspect(key, &why.to_string());
        }
    }

    /// A key that was probably left right: it is read some time later, once for many records.
    fn add_suspect(&mut self, key: SourceKey, reason: &str) {
        if self.suspects.contains(&key) {
            return;
        }
        if self.suspects.keys.len() >= MOST {
            self.repair_keys(vec![key], Cause::Doubtful, reason, None);
            return;
        }
        let key = key.detached();
        let origin = Some(Origin::Record(self.next));
        let mut list = Vec::new();
        self.entries(&mut list, &Doubt { keys: vec![key.clone()], reason: reason.into(), origin });
        // Not waited for: the record is not published as applied before this, and what is stored of that has this as well.
        self.shared.ledger.note(Entry::default().list(list));
        self.suspects.due.push_back((self.now_ms + PAUSE, key.clone()));
        self.suspects.keys.insert(key);
    }

    /// No next record comes that could clear up the last one.
    pub(super) fn decide(&mut self) {
        self.suspects.undecided = None;
        if let Some(Suspicion { key, why }) = self.suspects.records.quiet() {
            self.suspect_key(key, why);
        }
    }

    /// Keys whose time has come.
    pub(super) fn repair_suspects(&mut self) {
        if self.channels.input.bytes() == 0 {
            self.decide();
        }
        let due = self.suspects.due(self.shared.clock.now_ms());
        if due.is_empty() {
            return;
        }
        // A value of before their records is not enough, and may have such a record behind it.
        self.repairs.moved(self.next.saturating_sub(1), &due, Cause::Doubtful);
        self.repair_keys(due, Cause::Doubtful, MORE, None);
    }
}
