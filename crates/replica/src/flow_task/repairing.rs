//! Keys under repair: which records they swallow, what the source is asked, and where the answer goes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use checkpoint::NotInSync;
use command::{Global, SourceKey};
use repair::{Cause, Placement, Value, Verdict};
use router::Origin;

use super::known_keys::keys_touched;
use super::{End, FlowTask};
use crate::apply::{Doubt, MOVING, Place, UNCERTAIN};
use crate::fences::{Answer, Ask, Request};
use crate::global;
use crate::ledger::{Entry, UNCLEAR};

impl FlowTask {
    /// Keys that were under repair when the program ended.
    pub(super) fn resume_repairs(&mut self, listed: Vec<NotInSync>) {
        if !self.shared.repair {
            return;
        }
        for entry in listed {
            // A note about a record whose keys are not known names none.
            if entry.key.is_empty() && entry.lsn == 0 {
                continue;
            }
            let key = SourceKey { db: entry.db, key: entry.key.into() };
            match entry.flow {
                // Rule 19: in every flow.
                UNCLEAR => self.repairs.begin_unknown(key, Cause::Listed, self.next),
                _ => self.repairs.begin(key, Cause::Listed, self.next),
            }
        }
    }

    /// Whether all keys of a record are under repair.
    pub(super) fn is_swallowed(&self, record: &journal::Record) -> bool {
        let keys = keys_touched(record.db, &record.args);
        !keys.is_empty() && keys.iter().all(|key| self.repairs.contains(key))
    }

    /// What is left of a record once the keys under repair have taken their part. `None`: nothing.
    pub(super) async fn without_repaired(
        &mut self,
        record: journal::Record,
        lsn: u64,
    ) -> Result<Option<journal::Record>, End> {
        self.cautious = false;
        if self.shared.repair && self.passes_misplaced(&record) {
            return Ok(None);
        }
        if let Some(key) = record.args.get(1).filter(|_| record.args.len() == 3 && record.args[0] == "SET") {
            self.shared.sharding.saw(key, self.flow);
        }
        if lsn < self.uncertain_end {
            let keys = keys_touched(record.db, &record.args);
            if !keys.is_empty() && self.uncertain(keys) {
                return Ok(None);
            }
        }
        self.remove_stale(record.db, &record.args).await?;
        if self.shared.repair && self.suspect(&record, Place::Record) {
            return Ok(None);
        }
        if self.repairs.is_empty() {
            return Ok(Some(record));
        }
        match self.repairs.record(lsn, &record) {
            Verdict::Send => Ok(Some(record)),
            Verdict::Rest(rest) => Ok(Some(rest)),
            Verdict::Taken => {
                self.hand_over();
                Ok(None)
            }
            Verdict::Moving(keys) => {
                let origin = self.open_handed_over();
                self.repair_keys(keys, Cause::Moving, MOVING, Some(origin));
                Ok(None)
            }
        }
    }

    /// A record that may have been applied before the program ended. Returns whether it was dealt with.
    fn uncertain(&mut self, keys: Vec<SourceKey>) -> bool {
        // Without the right to read: what gives the same result twice is sent, the rest stays doubtful.
        self.cautious = !self.shared.repair;
        if self.shared.repair {
            let origin = self.open_handed_over();
            self.repair_keys(keys, Cause::Uncertain, UNCERTAIN, Some(origin));
        }
        self.shared.repair
    }

    /// A record whose keys are under repair and durably listed, or are about to be.
    fn hand_over(&mut self) {
        if self.doubts.is_empty() {
            self.pass_record();
        } else {
            let origin = self.open_handed_over();
            self.doubts.push(Doubt { keys: Vec::new(), reason: Arc::default(), origin: Some(origin) });
        }
    }

    /// Opens the record; it stays open until its keys are listed durably (repair rule 3).
    pub(super) fn open_handed_over(&mut self) -> Origin {
        let tracker = self.router.tracker();
        let lsn = tracker.open_record();
        let origin = Origin::Record(lsn);
        tracker.add(origin);
        tracker.close_record(lsn);
        origin
    }

    /// Puts keys under repair, and with them every key that a command on its way would build from one of them (repair
    /// rule 11). `origin` is held back until they are listed durably.
    pub(crate) fn repair_keys(
        &mut self,
        mut keys: Vec<SourceKey>,
        cause: Cause,
        reason: &str,
        origin: Option<Origin>,
    ) {
        if self.shared.repair {
            for key in &keys {
                self.repairs.begin(key.clone(), cause, self.next);
            }
            for key in self.contaminated(&keys) {
                if !keys.contains(&key) {
                    self.repairs.begin(key.clone(), Cause::Contaminated, self.next);
                    keys.push(key);
                }
            }
        }
        self.doubts.push(Doubt { keys, reason: reason.into(), origin });
    }

    pub(super) fn contaminated(&self, keys: &[SourceKey]) -> Vec<SourceKey> {
        let mapping = &self.shared.mapping;
        let mut found = Vec::new();
        for key in keys {
            let Some((db, name)) = mapping.target_name(key.db, &key.key) else { continue };
            for (db, name) in self.router.contaminated(db, &[name], None) {
                found.extend(mapping.source_name(db, &name));
            }
        }
        found
    }

    /// Asks the source, places what is due, and lets go of what is settled.
    pub(super) async fn step_repairs(&mut self) -> Result<(), End> {
        self.repair_suspects();
        if self.repairs.is_empty() && !self.router.has_repairs() {
            return Ok(());
        }
        self.take_settled_repairs();
        let now_ms = self.shared.clock.now_ms();
        while let Some(batch) = self.repairs.wants_fence(now_ms) {
            // Without someone who asks, the session has ended.
            let _ = self.channels.fences.send(Ask::Values(Request { flow: self.flow, batch }));
        }
        self.place_values().await
    }

    pub(super) fn has_repairs_to_look_at(&self) -> bool {
        !self.repairs.is_empty() || !self.suspects.is_empty()
    }

    pub(super) fn fence_answered(&mut self, answer: Answer) {
        // The sources are asked over a link that there is only when every flow knows where its journal begins.
        assert!(!self.repairs.is_suspended(), "a fence was read during the snapshot (rule 35)");
        let vain = self.repairs.counters().voided + self.repairs.counters().read_again;
        match answer.found {
            Some(found) => self.repairs.fence_answer(answer.id, found.r0, found.r1, found.values),
            None => self.repairs.fence_void(answer.id),
        }
        self.shared.status.fences.fetch_add(1, Relaxed);
        if self.repairs.counters().voided + self.repairs.counters().read_again > vain {
            self.shared.status.fences_again.fetch_add(1, Relaxed);
        }
        self.tell_position();
        if self.repairs.next_due().is_some_and(|lsn| lsn > self.reserved_now()) {
            self.shared.checkpoint_due.notify_one();
        }
    }

    fn reserved_now(&mut self) -> u64 {
        self.stored_now().reserved
    }

    /// Sends the values that the stream has reached (repair rule 17) and that are covered by the reservation (rule 6).
    pub(super) async fn place_values(&mut self) -> Result<(), End> {
        loop {
            if self.repairs.next_due().is_none_or(|lsn| lsn > self.next && self.shared.rules.on(17)) {
                return Ok(());
            }
            // With the next look; they are looked at again soon.
            if self.shared.throttle.pause().is_some() {
                return Ok(());
            }
            let reserved = self.reserved_now();
            let Some(placement) = self.repairs.due(self.next, reserved) else {
                if self.repairs.next_due().is_some_and(|lsn| lsn > reserved) {
                    self.tell_position();
                    self.shared.checkpoint_due.notify_one();
                }
                return Ok(());
            };
            self.place(placement).await?;
        }
    }

    pub(super) async fn place(&mut self, placement: Placement) -> Result<(), End> {
        let Placement { token, key, value, held } = placement;
        let bytes = match &value {
            Value::File(spilled) => usize::try_from(spilled.file_bytes()).unwrap_or(usize::MAX),
            value => value.bytes(),
        };
        self.note_database(key.db)?;
        if let Some(known) = &mut self.known {
            known.insert(key.db, &key.key);
        }
        self.router.repair_open(token);
        let broken = |error: command::translator::Error| End::StartOver(format!("repaired value: {error}"));
        match value {
            Value::Absent => {
                if let Some((db, _)) = self.shared.mapping.target_name(key.db, &key.key) {
                    self.check_database(db).await?;
                }
                self.room().await?;
                self.send_removal(&key, Origin::Repair(token));
            }
            Value::Items(items) => {
                for item in items {
                    self.place_item(item, &key, token).await.map_err(|e| e.or(broken))?;
                }
            }
            Value::File(spilled) => {
                let mut items = spilled.items();
                while let Some(item) = items.next().map_err(lost)? {
                    self.place_item(item, &key, token).await.map_err(|e| e.or(broken))?;
                }
            }
            // Neither is ever due.
            Value::TooBig | Value::Unreadable(_) => {}
        }
        self.members_placed(&key, bytes);
        if !self.shared.rules.on(4) {
            self.shared.ledger.note(Entry::default().unlist(vec![key.clone()]));
            self.shared.checkpoint_due.notify_one();
        }
        for (lsn, record) in held {
            let record = match self.repairs.record(lsn, &record) {
                Verdict::Send => record,
                Verdict::Rest(rest) => rest,
                // Its value failed meanwhile: what it would have followed is read again.
                Verdict::Taken => continue,
                Verdict::Moving(keys) => {
                    self.repair_keys(keys, Cause::Moving, MOVING, None);
                    continue;
                }
            };
            self.members_move(&record);
            let treatment = self.translator.record(record, self.source_ms());
            self.apply(treatment, Place::Held(token)).await?;
        }
        self.router.repair_close(token);
        Ok(())
    }

    async fn place_item(&mut self, item: rdb::Item, key: &SourceKey, token: u64) -> Result<(), ItemError> {
        let kind = match &item {
            rdb::Item::Value(value) => Some(value.kind),
            rdb::Item::Begin(begin) => Some(begin.kind),
            _ => None,
        };
        if let Some(kind) = kind
            && !self.wants(key.db, &key.key, kind)?
        {
            if let rdb::Item::Begin(begin) = &item {
                self.translator.skip(begin.id);
            }
            // What was there before it got this type goes. A name that is left out is not touched.
            if let Some((db, _)) = self.shared.mapping.target_name(key.db, &key.key) {
                self.check_database(db).await?;
                self.room().await?;
                self.send_removal(key, Origin::Repair(token));
            }
            return Ok(());
        }
        let treatment = match item {
            rdb::Item::Value(value) => self.translator.value(value, self.now_ms)?,
            rdb::Item::Begin(begin) => self.translator.begin(begin, self.now_ms),
            rdb::Item::Piece { id, piece } => self.translator.piece(id, piece, self.now_ms)?,
            rdb::Item::End { id } => self.translator.end(id)?,
            _ => return Ok(()),
        };
        if let command::Treatment::Lacking(missing) = &treatment {
            // What the target cannot hold is not left there in an older form either.
            self.shared.status.lacks(missing, "the key is not on the target");
            self.room().await?;
            self.send_removal(key, Origin::Repair(token));
            return Ok(());
        }
        Ok(self.apply(treatment, Place::Repair(token)).await?)
    }

    /// Values that are settled on the target: their keys leave the list with the next checkpoint (repair rule 4).
    pub(super) fn take_settled_repairs(&mut self) {
        let tokens = self.router.take_settled_repairs();
        if tokens.is_empty() {
            return;
        }
        let mut left = Vec::new();
        for token in tokens {
            if let Some(done) = self.carrying.remove(&token) {
                // Whoever does not wait any more has ended.
                let _ = done.send(true);
                continue;
            }
            let cause = self.repairs.cause_of(token).map_or("unknown", Cause::words);
            if let Some(key) = self.repairs.settled(token) {
                self.shared.status.repaired(cause, 1);
                left.push(key);
            }
        }
        if self.repairs.repairing_len() == 0 {
            self.report_soon();
        }
        if left.is_empty() {
            return;
        }
        self.tell_left(&left);
        // What became suspect behind its value stays on the list.
        left.retain(|key| !self.suspects.contains(key));
        self.shared.ledger.note(Entry::default().unlist(left));
        self.shared.checkpoint_due.notify_one();
    }

    /// Rule 24: the barrier ends the repairs in its scope, whatever their phase.
    pub(super) fn end_repairs(&mut self, global: &Global) -> Vec<SourceKey> {
        if !self.shared.rules.on(24) {
            return Vec::new();
        }
        let mut ended = self.repairs.barrier(&|key| global::concerns(global, key));
        ended.extend(self.suspects.end(global));
        self.tell_left(&ended);
        // What was about to be listed for them would stay there for ever.
        for doubt in &mut self.doubts {
            if doubt.keys.iter().any(|key| global::concerns(global, key)) {
                doubt.keys.retain(|key| !global::concerns(global, key));
                if doubt.keys.is_empty() {
                    doubt.reason = Arc::default();
                }
            }
        }
        ended
    }
}

/// A large value that was written to disk cannot be read back. Like the spool, it comes again.
fn lost(error: std::io::Error) -> End {
    End::SpoolLost(format!("a large value that waited on disk cannot be read: {error}"))
}

/// Why a value could not be placed.
enum ItemError {
    End(End),
    Broken(command::translator::Error),
}

impl ItemError {
    fn or(self, broken: impl FnOnce(command::translator::Error) -> End) -> End {
        match self {
            ItemError::End(end) => end,
            ItemError::Broken(error) => broken(error),
        }
    }
}

impl From<End> for ItemError {
    fn from(end: End) -> Self {
        ItemError::End(end)
    }
}

impl From<command::translator::Error> for ItemError {
    fn from(error: command::translator::Error) -> Self {
        ItemError::Broken(error)
    }
}

/// A name that stands for a record whose keys are not known.
pub(crate) fn no_key() -> SourceKey {
    SourceKey { db: 0, key: Bytes::new() }
}
