//! The keys under repair of one flow.

mod end;
mod fence;
mod place;
mod report;
mod unknown;

use std::collections::{BTreeMap, BTreeSet};

use command::{Shape, SourceKey, keep_keys, touches};
use journal::Record;

use crate::key::{Repair, Stage, detached, record_bytes};
use crate::{Cause, Counters, Limits, Rules};

pub use fence::Batch;
pub use place::Placement;
pub use unknown::Reached;

/// Decides about every record of a key under repair. One per flow; no I/O, no clock: times are the caller's, in ms.
///
/// A key is *under repair in routing* from [`Repairs::begin`] until its value is handed out by [`Repairs::due`]; none of
/// its records is sent meanwhile. It is *repairing*, which is what has to be stored, until the value has settled.
#[derive(Debug)]
pub struct Repairs {
    flow: usize,
    flows: usize,
    limits: Limits,
    rules: Rules,
    /// Under repair in routing. Boxed: there may be very many, and the nodes of the map are half empty.
    keys: BTreeMap<SourceKey, Box<Repair>>,
    /// Everything that has to be on the durable list: those of `keys`, and those of `sent`.
    listed: BTreeSet<SourceKey>,
    /// Keys that wait for a fence, by the time from which they may have one: small ones, and big ones.
    waiting: [BTreeSet<(u64, SourceKey)>; 2],
    /// Values that wait for their place, by `R1`.
    ready: BTreeSet<(u64, SourceKey)>,
    /// Fences under way.
    fences: BTreeMap<u64, fence::UnderWay>,
    /// Values handed out that have not settled, by token.
    tokens: BTreeMap<u64, SourceKey>,
    /// The last value handed out of each key.
    sent: BTreeMap<SourceKey, place::Sent>,
    next_id: u64,
    now_ms: u64,
    /// One above the highest LSN seen.
    seen: u64,
    frozen: bool,
    suspended: bool,
    counters: Counters,
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It touches no key under repair: send it.
    Send,
    /// It was dropped, or is held here: it counts as handed over to the repair.
    Taken,
    /// The part of it that is to be sent; the rest counts as handed over (rule 16).
    Rest(Record),
    /// Not to be sent; all these keys are under repair now, some of them perhaps anew: to be listed durably before the
    /// record counts as handed over (rule 15).
    Moving(Vec<SourceKey>),
}

impl Repairs {
    /// Nothing under repair. `flows`: how many flows the source has, `flow` is which of them.
    #[must_use]
    pub fn new(flow: usize, flows: usize, limits: Limits, rules: Rules) -> Self {
        assert!(flow < flows, "flow {flow} of {flows}");
        Repairs {
            flow,
            flows,
            limits,
            rules,
            keys: BTreeMap::new(),
            listed: BTreeSet::new(),
            waiting: [BTreeSet::new(), BTreeSet::new()],
            ready: BTreeSet::new(),
            fences: BTreeMap::new(),
            tokens: BTreeMap::new(),
            sent: BTreeMap::new(),
            next_id: 1,
            now_ms: 0,
            seen: 0,
            frozen: false,
            suspended: false,
            counters: Counters::default(),
        }
    }

    /// Whether nothing is under repair in routing: every record may be sent unseen.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether a key is under repair in routing; no longer once its value was handed out (rule 17).
    #[must_use]
    pub fn contains(&self, key: &SourceKey) -> bool {
        self.keys.contains_key(key)
    }

    /// Puts a key under repair. `at`: the flow's next LSN to be handed to routing. Whoever calls this lists the key
    /// durably before `applied` passes what caused it (rule 3).
    pub fn begin(&mut self, key: SourceKey, cause: Cause, at: u64) {
        self.seen = self.seen.max(at);
        // rule 12: a cause joins the repair there is, unless its value is out already
        if self.keys.contains_key(&key) || !self.rules.on(12) && self.sent.contains_key(&key) {
            return;
        }
        self.enter(key.detached(), Repair::new(cause, at));
    }

    fn enter(&mut self, key: SourceKey, repair: Repair) {
        if self.listed.insert(key.clone()) {
            self.counters.begun += 1;
        }
        if let (Stage::Waiting { not_before }, false) = (&repair.stage, repair.unknown_flow) {
            self.waiting[usize::from(repair.big)].insert((*not_before, key.clone()));
        }
        self.keys.insert(key, Box::new(repair));
    }

    /// Decides about a record with LSN `lsn`; a held one that [`Repairs::due`] gave back comes through here again.
    pub fn record(&mut self, lsn: u64, record: &Record) -> Verdict {
        self.seen = self.seen.max(lsn + 1);
        if self.keys.is_empty() {
            return Verdict::Send;
        }
        let touches = touches(record.db, &record.args);
        let shape = touches.shape;
        let mut keys = touches.keys;
        if shape == Shape::Unknown {
            let guess = |arg: &bytes::Bytes| SourceKey { db: record.db, key: arg.clone() };
            keys.extend(record.args.iter().skip(2).map(guess).filter(|key| self.keys.contains_key(key)));
        }
        keys.sort_unstable();
        keys.dedup();
        let under_repair: Vec<SourceKey> =
            keys.iter().filter(|key| self.keys.contains_key(key)).cloned().collect();
        if under_repair.is_empty() {
            return Verdict::Send;
        }
        let verdict = match shape {
            Shape::Global | Shape::Keyless => unreachable!("has no keys"),
            Shape::One => self.take_all(lsn, &under_repair, record),
            // one key named twice
            Shape::List if keys.len() == 1 => self.take_all(lsn, &under_repair, record),
            Shape::List => self.take_apart(lsn, &under_repair, record),
            Shape::Moving | Shape::Unknown => self.take_moving(lsn, keys, &under_repair, record),
        };
        self.check_held();
        verdict
    }

    /// A record that only lists keys (rule 16).
    fn take_apart(&mut self, lsn: u64, under_repair: &[SourceKey], record: &Record) -> Verdict {
        if !self.rules.on(16) {
            return self.take_all(lsn, under_repair, record);
        }
        let part = |keep: &dyn Fn(&[u8]) -> bool| {
            keep_keys(&record.args, keep).map(|args| Record { args, ..record.clone() })
        };
        for key in under_repair {
            let part = part(&|name| name == key.key).expect("the record names the key");
            self.take(lsn, key, &part);
        }
        match part(&|name| !under_repair.iter().any(|key| key.key == name)) {
            Some(rest) => Verdict::Rest(rest),
            None => Verdict::Taken,
        }
    }

    /// A record whose keys hang together (rule 15).
    fn take_moving(
        &mut self,
        lsn: u64,
        keys: Vec<SourceKey>,
        under_repair: &[SourceKey],
        record: &Record,
    ) -> Verdict {
        if !self.rules.on(15) {
            return self.take_all(lsn, under_repair, record);
        }
        self.moved(lsn, &keys, Cause::Moving);
        Verdict::Moving(keys)
    }

    /// A record is not sent although it touches these keys, and cannot be held: all of them go under repair, and no
    /// fence holds whose `R0` is not above it (rule 15). For records that cross nodes, or that cannot be executed.
    pub fn moved(&mut self, lsn: u64, keys: &[SourceKey], cause: Cause) {
        self.seen = self.seen.max(lsn + 1);
        for key in keys {
            let Some(repair) = self.keys.get_mut(key) else {
                self.begin(key.clone(), cause, lsn + 1);
                continue;
            };
            match repair.stage {
                Stage::Waiting { .. } => repair.met = true,
                Stage::Reading { .. } => repair.moved_at = repair.moved_at.max(Some(lsn)),
                Stage::Ready { r0, .. } if lsn < r0 => {}
                Stage::Ready { .. } => self.read_again(key, true),
            }
        }
    }

    fn take_all(&mut self, lsn: u64, under_repair: &[SourceKey], record: &Record) -> Verdict {
        for key in under_repair {
            self.take(lsn, key, record);
        }
        Verdict::Taken
    }

    /// A record of one key under repair, or the key's part of one (rule 14).
    fn take(&mut self, lsn: u64, key: &SourceKey, part: &Record) {
        let repair = self.keys.get_mut(key).expect("the caller looked it up");
        let hold = match repair.stage {
            // rule 14a: the next R0 is above it
            Stage::Waiting { .. } => false,
            // rule 14b: nobody knows yet on which side of the fence it lies
            Stage::Reading { .. } => self.rules.on(14),
            // rule 14c
            Stage::Ready { r0, r1, .. } => {
                if (r0..r1).contains(&lsn) && self.rules.on(14) {
                    self.counters.dropped += 1;
                    return self.read_again(key, true);
                }
                lsn >= r1 && self.rules.on(14)
            }
        };
        if !hold {
            repair.met = true;
            self.counters.dropped += 1;
            return;
        }
        assert!(repair.held.last().is_none_or(|(last, _)| *last <= lsn), "records come in order");
        let part = detached(part.clone());
        self.counters.held_bytes += record_bytes(&part);
        repair.held.push((lsn, part));
    }

    /// Over the limit the keys that hold most are read again, and what they hold is dropped (rule 14b): down to half of
    /// the limit, since looking for them takes time for every key under repair.
    fn check_held(&mut self) {
        if self.counters.held_bytes <= self.limits.held_bytes {
            return;
        }
        let holding = self.keys.iter().map(|(key, repair)| (repair.held_bytes(), key));
        let mut holding: Vec<(usize, SourceKey)> =
            holding.filter(|(bytes, _)| *bytes > 0).map(|(bytes, key)| (bytes, key.clone())).collect();
        holding.sort_unstable();
        while self.counters.held_bytes > self.limits.held_bytes / 2 {
            let Some((_, key)) = holding.pop() else { return };
            self.counters.voided += 1;
            self.read_again(&key, true);
        }
    }

    /// Back to waiting for a fence; what is held is in the next value. `vain`: it counts as a try.
    fn read_again(&mut self, key: &SourceKey, vain: bool) {
        let repair = self.keys.get_mut(key).expect("the caller looked it up");
        self.counters.held_bytes -= repair.held_bytes();
        self.counters.dropped += repair.held.len() as u64;
        repair.held.clear();
        repair.moved_at = None;
        if let Stage::Ready { r1, value, .. } = &repair.stage {
            self.ready.remove(&(*r1, key.clone()));
            self.counters.value_bytes -= value.as_ref().map_or(0, crate::Value::bytes);
        }
        if vain {
            repair.tries = repair.tries.saturating_add(1);
            self.counters.read_again += 1;
        }
        let pause = fence::pause(repair.tries, repair.refusals);
        let not_before = if vain { self.now_ms.saturating_add(pause) } else { self.now_ms };
        repair.stage = Stage::Waiting { not_before };
        if !repair.unknown_flow {
            self.waiting[usize::from(repair.big)].insert((not_before, key.clone()));
        }
    }

    /// Takes a key out of routing.
    fn take_out(&mut self, key: &SourceKey) -> Option<Repair> {
        let repair = self.keys.remove(key)?;
        self.counters.held_bytes -= repair.held_bytes();
        match &repair.stage {
            Stage::Waiting { not_before } => {
                self.waiting[usize::from(repair.big)].remove(&(*not_before, key.clone()));
            }
            Stage::Reading { .. } => {}
            Stage::Ready { r1, value, .. } => {
                self.ready.remove(&(*r1, key.clone()));
                self.counters.value_bytes -= value.as_ref().map_or(0, crate::Value::bytes);
            }
        }
        Some(*repair)
    }

    fn id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}
