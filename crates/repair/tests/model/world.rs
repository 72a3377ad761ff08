//! Source, flows, fences and target, one step at a time.

use std::collections::VecDeque;

use bytes::Bytes;
use command::SourceKey;
use journal::Record;
use rdb::{Item, KeyMeta, Kind};
use repair::{Batch, Cause, Failed, Limits, Reached, Repairs, Rules, Value, Verdict};

use crate::source::{Data, KEYS, START, Source, flow_of, source_key};
use crate::target::{Lane, Sent, contaminated};

/// A fence under way.
struct Reading {
    flow: usize,
    batch: Batch,
    r0: u64,
    /// Values read so far.
    values: Vec<(SourceKey, Value)>,
    /// Asked of another server with the same data and LSNs of its own.
    foreign: bool,
}

/// The coordinator of a key whose flow is not known.
struct Shared {
    key: SourceKey,
    r0: Option<[u64; 2]>,
    /// `Some` once it was read.
    value: Option<Option<Bytes>>,
    ready: bool,
    sent: bool,
}

pub(crate) struct World {
    random: u64,
    rules: Rules,
    source: Source,
    target: Data,
    disp: [u64; 2],
    repairs: [Repairs; 2],
    lanes: [Lane; 2],
    readings: Vec<Reading>,
    shared: Option<Shared>,
    appended: u64,
    now: u64,
}

impl World {
    pub(crate) fn new(seed: u64, rules: Rules) -> World {
        let limits = Limits { held_bytes: 700, value_bytes: 2000, keys_per_fence: 2 };
        World {
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03,
            rules,
            source: Source::new(),
            target: Data::new(),
            disp: [START; 2],
            repairs: [0, 1].map(|flow| Repairs::new(flow, 2, limits.clone(), rules)),
            lanes: [Lane::new(), Lane::new()],
            readings: Vec::new(),
            shared: None,
            appended: 0,
            now: 0,
        }
    }

    fn below(&mut self, n: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) as usize % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn some_key(&mut self, flow: usize) -> &'static str {
        let keys = KEYS[flow];
        keys[self.below(keys.len())]
    }

    pub(crate) fn repaired(&self) -> u64 {
        self.repairs.iter().map(|r| r.counters().repaired).sum()
    }

    pub(crate) fn read_again(&self) -> u64 {
        self.repairs.iter().map(|r| r.counters().read_again).sum()
    }

    pub(crate) fn step(&mut self) {
        self.now += 1;
        let flow = self.below(2);
        match self.below(40) {
            0..=9 => self.client(flow),
            10..=18 => self.dispatch(flow),
            19..=24 => self.answer(flow, true),
            25 => self.break_connection(flow),
            26..=28 => self.begin_fence(flow),
            29..=35 => self.go_on_reading(true),
            36 => {
                let key = source_key(self.some_key(flow));
                self.repairs[flow].begin(key, Cause::Difference, self.disp[flow]);
            }
            37 => self.begin_shared(flow),
            _ => self.go_on_with_shared(true),
        }
    }

    fn client(&mut self, flow: usize) {
        let (k, j) = (self.some_key(flow), self.some_key(flow));
        self.appended += 1;
        let n = self.appended;
        let line = match self.below(10) {
            0..=4 => format!("APPEND {k} {n},"),
            5 => format!("DEL {k}"),
            6 => format!("MSET {k} {n}a, {j} {n}b,"),
            7 => format!("DEL {k} {j}"),
            _ if k == j => return,
            _ => format!("RENAME {k} {j}"),
        };
        self.source.execute(flow, &line);
    }

    /// The next record of a flow, and before it the values whose place has come.
    fn dispatch(&mut self, flow: usize) {
        self.place(flow);
        let lsn = self.disp[flow];
        if lsn < self.source.lsn(flow) {
            let record = self.source.logs[flow][(lsn - START) as usize].clone();
            self.route(flow, lsn, record);
            self.disp[flow] = lsn + 1;
        }
    }

    fn place(&mut self, flow: usize) {
        while let Some(placement) = self.repairs[flow].due(self.disp[flow], u64::MAX) {
            let key = placement.key.key.clone();
            assert!(!self.repairs[flow].contains(&placement.key), "rule 17");
            self.lanes[flow].push_back(Sent::Value {
                token: placement.token,
                key,
                value: string(&placement.value),
            });
            for (lsn, record) in placement.held {
                self.route(flow, lsn, record);
            }
        }
    }

    fn route(&mut self, flow: usize, lsn: u64, record: Record) {
        let record = match self.repairs[flow].record(lsn, &record) {
            Verdict::Send => record,
            Verdict::Rest(rest) => rest,
            Verdict::Taken | Verdict::Moving(_) => return,
        };
        if self.rules.on(15) {
            for key in command::touches(record.db, &record.args).keys {
                assert!(!self.repairs[flow].contains(&key), "a key under repair is handed to a lane");
            }
        }
        self.lanes[flow].push_back(Sent::Record(record.args));
    }

    /// The reply to the oldest command of a lane.
    fn answer(&mut self, flow: usize, faults: bool) {
        let Some(command) = self.lanes[flow].pop_front() else { return };
        let refused = faults && self.one_in(12) || command.execute(&mut self.target).is_err();
        match (&command, refused) {
            (Sent::Value { token, .. }, false) => {
                self.repairs[flow].settled(*token);
            }
            (Sent::Shared { .. }, false) => self.release(),
            (Sent::Record(_), false) => {}
            (_, true) => self.doubt(flow, vec![command], Failed::Refused("OOM".into())),
        }
    }

    /// The lane's connection breaks: some of the commands were executed, no reply comes.
    fn break_connection(&mut self, flow: usize) {
        let executed = {
            let n = self.lanes[flow].len() + 1;
            self.below(n)
        };
        let lost: Vec<Sent> = self.lanes[flow].drain(..).collect();
        for command in &lost[..executed] {
            let _ = command.execute(&mut self.target);
        }
        self.doubt(flow, lost, Failed::Unanswered);
    }

    fn doubt(&mut self, flow: usize, commands: Vec<Sent>, why: Failed) {
        let mut keys = Vec::new();
        for command in commands {
            keys.extend(command.keys());
            match command {
                Sent::Value { token, .. } => self.repairs[flow].failed(token, why.clone()),
                Sent::Shared { .. } => self.shared_again(),
                Sent::Record(_) => {}
            }
        }
        for key in contaminated(&self.lanes[flow], keys) {
            let key = SourceKey { db: 0, key };
            // the value of a shared key keeps it in every flow
            let own = flow_of(&key.key);
            self.repairs[own].begin(key, Cause::Refused, self.disp[own]);
        }
    }

    fn begin_fence(&mut self, flow: usize) {
        let Some(batch) = self.repairs[flow].wants_fence(self.now) else { return };
        let foreign = self.one_in(6);
        self.readings.push(Reading { flow, batch, r0: self.source.lsn(flow), values: Vec::new(), foreign });
    }

    /// The reader reads one more key, or `R1`, or loses its connection.
    fn go_on_reading(&mut self, faults: bool) {
        if self.readings.is_empty() {
            return;
        }
        let n = self.readings.len();
        let at = self.below(n);
        let lost = faults && self.one_in(20);
        let reading = &mut self.readings[at];
        if let (Some(key), false) = (reading.batch.keys.get(reading.values.len()), lost) {
            reading.values.push((key.clone(), value_of(&self.source.data, key)));
            return;
        }
        let Reading { flow, batch, r0, values, foreign } = self.readings.remove(at);
        let r1 = self.source.lsn(flow);
        // rule 13
        if lost || foreign && self.rules.on(13) {
            return self.repairs[flow].fence_void(batch.id);
        }
        let shift = if foreign { START / 2 } else { 0 };
        self.repairs[flow].fence_answer(batch.id, r0 - shift, r1 - shift, values);
    }

    fn begin_shared(&mut self, flow: usize) {
        if self.shared.is_some() {
            return;
        }
        let key = source_key(self.some_key(flow));
        for flow in 0..2 {
            self.repairs[flow].begin_unknown(key.clone(), Cause::Difference, self.disp[flow]);
        }
        self.shared = Some(Shared { key, r0: None, value: None, ready: false, sent: false });
    }

    fn shared_again(&mut self) {
        let Some(shared) = &mut self.shared else { return };
        for repairs in &mut self.repairs {
            repairs.unknown_void(&shared.key);
        }
        (shared.r0, shared.value, shared.ready, shared.sent) = (None, None, false, false);
    }

    fn release(&mut self) {
        let Some(shared) = self.shared.take() else { return };
        let is_read = |flow: usize| self.repairs[flow].reached(&shared.key, self.disp[flow]) == Reached::Yes;
        if !(0..2).all(is_read) {
            self.shared = Some(shared);
            return self.shared_again();
        }
        for flow in 0..2 {
            self.repairs[flow].leave(&shared.key);
        }
    }

    fn go_on_with_shared(&mut self, faults: bool) {
        let lost = faults && self.one_in(20);
        let now = [0, 1].map(|flow| self.source.lsn(flow));
        let Some(shared) = &mut self.shared else { return };
        let key = shared.key.clone();
        match (shared.r0, &shared.value) {
            _ if shared.sent => {}
            _ if lost => self.shared_again(),
            (None, _) => {
                shared.r0 = Some(now);
                self.repairs.iter_mut().for_each(|repairs| repairs.unknown_reading(&key));
            }
            (Some(_), None) => shared.value = Some(self.source.data.get(&key.key).cloned()),
            (Some(r0), Some(_)) if !shared.ready => {
                shared.ready = true;
                if !(0..2).all(|f| self.repairs[f].unknown_answer(&key, r0[f], now[f])) {
                    self.shared_again();
                }
            }
            (Some(_), Some(value)) => {
                let value = value.clone();
                let clear = |lane: &Lane| !lane.iter().any(|command| command.keys().contains(&key.key));
                let reached = [0, 1].map(|flow| match self.repairs[flow].reached(&key, self.disp[flow]) {
                    Reached::Yes if !clear(&self.lanes[flow]) => Reached::NotYet,
                    reached => reached,
                });
                if reached.contains(&Reached::Again) {
                    self.shared_again();
                } else if reached.contains(&Reached::Ended) {
                    self.shared = None;
                } else if reached == [Reached::Yes; 2] {
                    shared.sent = true;
                    // any lane will do, so it is not always the key's own
                    let lane = self.below(2);
                    self.lanes[lane].push_back(Sent::Shared { key: key.key, value });
                }
            }
        }
    }

    /// No more faults, no more clients.
    pub(crate) fn come_to_rest(&mut self) -> Result<(), String> {
        for _ in 0..400 {
            self.now += 60_000;
            for flow in 0..2 {
                self.dispatch(flow);
                self.answer(flow, false);
                self.begin_fence(flow);
            }
            self.go_on_reading(false);
            self.go_on_with_shared(false);
        }
        for flow in 0..2 {
            let left: VecDeque<_> = self.repairs[flow].status().collect();
            if !left.is_empty() || !self.lanes[flow].is_empty() {
                return Err(format!("does not come to rest: {left:?}"));
            }
            assert_eq!(self.repairs[flow].repairing_len(), 0);
            assert_eq!(self.repairs[flow].counters().held_bytes, 0);
            assert_eq!(self.repairs[flow].counters().value_bytes, 0);
        }
        if self.target != self.source.data {
            return Err(format!("target {:?}, source {:?}", self.target, self.source.data));
        }
        Ok(())
    }
}

fn value_of(data: &Data, key: &SourceKey) -> Value {
    let Some(value) = data.get(&key.key) else { return Value::Absent };
    let meta = KeyMeta { db: 0, key: key.key.clone(), expire_at_ms: None, sticky: false, mc_flags: None };
    Value::Items(vec![Item::Value(rdb::Value { meta, kind: Kind::String, payload: value.clone() })])
}

fn string(value: &Value) -> Option<Bytes> {
    match value {
        Value::Absent => None,
        Value::Items(items) => match &items[..] {
            [Item::Value(value)] => Some(value.payload.clone()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}
