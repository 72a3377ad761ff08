//! What a command leaves doubtful, and what is known beforehand about the replies that would.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use command::{Deadline, Effect, Expect};

use super::FlowRouter;
use crate::failure::{Cause, Failure};
use crate::lane::{Meta, Parked, places};

/// A moving command on its way: the keys that it ties to each other.
#[derive(Debug)]
pub(super) struct Moving {
    places: Vec<(u32, Bytes)>,
}

impl FlowRouter {
    /// The keys that become doubtful with keys `names` of database `db` (rule 11): the other keys of every moving
    /// command behind number `after` (of all: `None`) that touches one of them and has not been answered, and so on,
    /// in the order in which the commands are executed.
    pub fn contaminated(&self, db: u32, names: &[Bytes], after: Option<u64>) -> Vec<(u32, Bytes)> {
        if self.moving.is_empty() {
            return Vec::new();
        }
        let mut doubtful = names.iter().map(|name| (db, name.clone())).collect();
        let mut found = Vec::new();
        self.spread(&mut doubtful, &mut found, after);
        found
    }

    /// Adds to `doubtful`, and to `found` in order, what the moving commands behind `after` make of it.
    fn spread(
        &self,
        doubtful: &mut BTreeSet<(u32, Bytes)>,
        found: &mut Vec<(u32, Bytes)>,
        after: Option<u64>,
    ) {
        if !self.options.rules.on(11) {
            return;
        }
        for moving in self.moving.range(after.map_or(0, |seq| seq + 1)..).map(|(_, moving)| moving) {
            // One pass will do: a command can only pass on what was doubtful before it.
            moving.spread(doubtful, found);
        }
    }

    /// A moving command was handed out. What it touches may have become doubtful without the caller knowing yet.
    pub(super) fn note_moving(&mut self, meta: &Meta, args: &[Bytes]) {
        let moving = Moving { places: places(meta, args) };
        if self.options.rules.on(11) {
            for failure in &mut self.failures {
                let keys = failure.keys.iter().map(|key| (failure.db, key.clone()));
                let mut doubtful = keys.chain(failure.contaminated.iter().cloned()).collect();
                moving.spread(&mut doubtful, &mut failure.contaminated);
            }
        }
        self.moving.insert(meta.seq, moving);
    }

    /// A command was executed, or is not to be executed any more.
    pub(super) fn finished(&mut self, seq: u64, effect: Effect) {
        if effect == Effect::Moving {
            self.moving.remove(&seq);
        }
    }

    /// A command leaves its keys doubtful.
    pub(super) fn fail(&mut self, parked: Parked, cause: Cause, message: Arc<str>) {
        self.finished(parked.meta.seq, parked.meta.effect);
        self.counters.failures += 1;
        let (db, seq, origin) = (parked.meta.db, parked.meta.seq, parked.meta.origin);
        self.tracker.fail(origin);
        let args = parked.args();
        // Only the names stay: many thousands of commands may be on their way when a connection breaks.
        let own = |(db, key): (u32, Bytes)| (db, Bytes::copy_from_slice(&key));
        let (here, mut contaminated): (Vec<_>, Vec<_>) =
            places(&parked.meta, &args).into_iter().map(own).partition(|place| place.0 == db);
        if !self.moving.is_empty() {
            let mut doubtful = here.iter().chain(&contaminated).cloned().collect();
            self.spread(&mut doubtful, &mut contaminated, Some(seq));
        }
        let name = args.first().map_or_else(Bytes::new, |name| Bytes::copy_from_slice(name));
        let mut keys: Vec<_> = here.into_iter().map(|(_, key)| key).collect();
        keys.shrink_to_fit();
        self.failures.push(Failure { name, keys, db, contaminated, cause, seq, message, origin });
    }

    /// Notes which replies to a command that the source executed would contradict it. Without repairs there is nothing to
    /// do about one.
    pub(super) fn expect(&mut self, meta: &mut Meta, args: &[Bytes], executed: bool) {
        let deadline = command::deadline(args);
        if self.options.repair && executed {
            if self.options.rules.on(31) {
                meta.expect = command::expect(args);
            }
            // A SET says by itself what expiry the key has; the other commands that give one are in need of the key.
            meta.probe = self.options.rules.on(32)
                && deadline == Deadline::Given
                && meta.expires_existing(args)
                && !self.probes_refused
                && self.deadlines.possible(meta.db, &meta.key);
        }
        self.deadlines.note(meta.db, args, deadline);
    }
}

impl Moving {
    fn spread(&self, doubtful: &mut BTreeSet<(u32, Bytes)>, found: &mut Vec<(u32, Bytes)>) {
        if self.places.iter().any(|place| doubtful.contains(place)) {
            for place in &self.places {
                if doubtful.insert(place.clone()) {
                    found.push(place.clone());
                }
            }
        }
    }
}

impl Meta {
    fn expires_existing(&self, args: &[Bytes]) -> bool {
        matches!(args.first().map(|name| &name[..]), Some(b"PEXPIREAT" | b"EXPIREAT"))
    }
}

/// Why a reply contradicts what the source saw, if it does. `ambiguous`: the key had no expiry just before.
pub(super) fn contradiction(
    meta: &Meta,
    answer: crate::wire::Answer,
    ambiguous: bool,
) -> Option<&'static str> {
    use crate::wire::Answer;
    match (meta.expect, answer) {
        (Expect::Change, Answer::Zero) => Some("it changed nothing, and did so at the source"),
        (Expect::Value, Answer::Nothing) => Some("it found nothing, and did so at the source"),
        _ if ambiguous && meta.probe => {
            Some("the key had no expiry: it may have expired and been made again since")
        }
        _ => None,
    }
}
