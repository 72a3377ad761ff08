//! What a record or a snapshot item becomes: commands for the router, counts for the status, keys for the list of
//! those that are not in sync.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use checkpoint::NotInSync;
use command::{
    Commands, CrossKey, CrossOperation, Effect, Missing, MissingKind, SourceKey, TargetCommand, Treatment,
};
use repair::Verdict;
use router::cross::{Transfer, transfer};
use router::durability::Event;
use router::{Cause, Failure, Origin};
use tracing::{debug, warn};

use crate::error::Error;
use crate::flow_task::{End, FlowTask, is_global, keys_touched, no_key, stopped};
use crate::ledger::{Entry, UNCLEAR};
use crate::status::SHOWN_NOT_IN_SYNC;
use crate::unclear::Request;

/// Where in the stream a treatment comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The snapshot.
    Snapshot,
    /// A record among the snapshot's entries.
    Blob,
    /// The next record of the journal.
    Record,
    /// A value read from the source, by its token.
    Repair(u64),
    /// A record that waited for such a value.
    Held(u64),
}

impl Place {
    /// Whether the source executed what stands there.
    pub(crate) fn is_executed(self) -> bool {
        matches!(self, Place::Blob | Place::Record | Place::Held(_))
    }
}

/// Keys that are to be listed; the record they come from stays open until they are.
#[derive(Debug)]
pub struct Doubt {
    /// The keys; none where they are listed already, or about to be.
    pub(crate) keys: Vec<SourceKey>,
    /// Why.
    pub(crate) reason: Arc<str>,
    /// The record that is held back.
    pub(crate) origin: Option<Origin>,
}

/// Pause before something that the target could not do is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Doubts that are written down together.
const TOGETHER: usize = 1_000;

/// Most bytes of a reason that are stored.
const REASON: usize = 200;

/// Why the keys of a record go under repair that may have been sent before.
pub(crate) const UNCERTAIN: &str = "sent or not when the program ended";

/// Why the keys of missed records go under repair.
const MISSED: &str = "missed while the link was down, and the source gave it no LSN";

/// Why keys go under repair again whose value a node has lost.
const LOST: &str = "its value was not kept by the target";

/// Why the other keys of a record that moves a value go under repair.
pub(crate) const MOVING: &str = "its value comes from, or goes to, a key under repair";

impl FlowTask {
    /// One item of the snapshot other than its frame.
    pub(crate) async fn snapshot_item(&mut self, item: rdb::Item, missed: bool) -> Result<(), End> {
        let broken = |error: command::translator::Error| End::StartOver(format!("snapshot: {error}"));
        match item {
            rdb::Item::Value(value) => {
                self.status.keys.fetch_add(1, Relaxed);
                if !self.wants(value.meta.db, &value.meta.key, value.kind)? {
                    self.shared.sharding.saw(&value.meta.key, self.flow);
                    return Ok(());
                }
                self.note_marks(value.meta.sticky, value.meta.mc_flags.is_some());
                self.saw_entry(value.meta.db, &value.meta.key);
                self.note_database(value.meta.db)?;
                self.know(value.meta.db, &value.meta.key);
                let treatment = self.translator.value(value, self.now_ms).map_err(broken)?;
                self.apply(treatment, Place::Snapshot).await
            }
            rdb::Item::Begin(begin) => {
                self.status.keys.fetch_add(1, Relaxed);
                if !self.wants(begin.meta.db, &begin.meta.key, begin.kind)? {
                    self.shared.sharding.saw(&begin.meta.key, self.flow);
                    self.translator.skip(begin.id);
                    return Ok(());
                }
                self.note_marks(begin.meta.sticky, begin.meta.mc_flags.is_some());
                self.saw_entry(begin.meta.db, &begin.meta.key);
                self.note_database(begin.meta.db)?;
                self.know(begin.meta.db, &begin.meta.key);
                let treatment = self.translator.begin(begin, self.now_ms);
                self.apply(treatment, Place::Snapshot).await
            }
            rdb::Item::Piece { id, piece } => {
                let treatment = self.translator.piece(id, piece, self.now_ms).map_err(broken)?;
                self.apply(treatment, Place::Snapshot).await
            }
            rdb::Item::End { id } => {
                let treatment = self.translator.end(id).map_err(broken)?;
                self.apply(treatment, Place::Snapshot).await
            }
            rdb::Item::JournalBlob(blob) => self.blob(blob, missed).await,
            rdb::Item::Aux { key, value } => self.aux(&key, value).await,
            _ => Ok(()),
        }
    }

    /// A record among the snapshot's entries. Its LSN is not known: only JOURNAL_OFFSET tells.
    async fn blob(&mut self, blob: Bytes, missed: bool) -> Result<(), End> {
        let entry = journal::decode_blob(blob)
            .map_err(|e| End::StartOver(format!("journal in the snapshot: {e}")))?;
        let journal::Entry::Record(record) = entry else { return Ok(()) };
        self.status.records.fetch_add(1, Relaxed);
        self.note_database(record.db)?;
        let Some(record) = self.sieved_blob(record)? else { return Ok(()) };
        if command::is_unknown(&record.args) {
            return self.unknown(&record, Place::Blob).await;
        }
        if missed && self.shared.repair {
            // Which of them were sent before is not known: a record that was missed has no LSN in this form.
            let keys = keys_touched(record.db, &record.args);
            if !keys.is_empty() && !is_global(&record.args) {
                self.repair_keys(keys, repair::Cause::Uncertain, MISSED, None);
                return Ok(());
            }
        }
        if self.is_stranger(&record) {
            return Ok(());
        }
        self.remove_stale(record.db, &record.args).await?;
        if self.shared.repair && self.suspect(&record, Place::Blob) {
            return Ok(());
        }
        let record = match self.repairs.is_empty() || is_global(&record.args) {
            true => record,
            false => match self.repairs.record(0, &record) {
                Verdict::Send => record,
                Verdict::Rest(rest) => rest,
                Verdict::Taken => return Ok(()),
                Verdict::Moving(keys) => {
                    self.repair_keys(keys, repair::Cause::Moving, MOVING, None);
                    return Ok(());
                }
            },
        };
        self.members_move(&record);
        match self.translator.record(record, self.source_ms()) {
            // Entries from before the flush may still follow, on this flow and on others (v1.40.1 `replica.cc`
            // HandleJournalBlob).
            Treatment::Global(global) => {
                Err(End::StartOver(format!("{global:?} was executed at the source during the snapshot")))
            }
            treatment => self.apply(treatment, Place::Blob).await,
        }
    }

    async fn aux(&mut self, key: &[u8], value: Bytes) -> Result<(), End> {
        if key == b"search-index" {
            self.shared.status.search_index(&value);
        }
        // Flow 0 carries one field for each script that clients may call by its hash.
        if key == b"lua" {
            let args = ["SCRIPT", "LOAD"].map(|word| Bytes::from_static(word.as_bytes()));
            let args = args.into_iter().chain([value]).collect();
            return self.apply(Treatment::Broadcast(args), Place::Snapshot).await;
        }
        Ok(())
    }

    /// What a snapshot says of its keys that no target can hold.
    fn note_marks(&self, sticky: bool, mc_flags: bool) {
        if sticky {
            self.shared.status.ignored("sticky key");
        }
        if mc_flags {
            self.shared.status.ignored("memcached flags");
        }
    }

    /// A database exists at the source.
    pub(crate) fn note_database(&mut self, db: u32) -> Result<(), End> {
        if self.noted.insert(db) {
            self.shared.mapping.note_database(db).map_err(|c| End::Fatal(Error::Collision(c)))?;
        }
        Ok(())
    }

    /// Does what a treatment says. A record's commands are handed out all or none.
    pub(crate) async fn apply(&mut self, treatment: Treatment, place: Place) -> Result<(), End> {
        match treatment {
            Treatment::Send(commands) => self.send(commands, place).await,
            Treatment::Reduced { commands, missing } => {
                self.refuse(&missing)?;
                self.shared.status.lacks(&missing, policy(missing.kind));
                self.send(commands, place).await
            }
            Treatment::Expiring { commands, expiry } => {
                self.member_expires(expiry, place);
                self.send(commands, place).await
            }
            Treatment::Lacking(missing) => {
                self.refuse(&missing)?;
                self.shared.status.lacks(&missing, policy(missing.kind));
                match missing.kind.is_type() {
                    true => self.remove(&missing.keys, place).await,
                    false => {
                        self.pass(place);
                        Ok(())
                    }
                }
            }
            Treatment::Ignore(reason) => {
                self.shared.status.ignored(reason.words());
                self.pass(place);
                Ok(())
            }
            Treatment::Broadcast(args) => self.broadcast(args, place).await,
            // Rule 15: a value that goes from node to node is read anew on both sides.
            Treatment::CrossKey(what) if self.shared.repair && self.shared.rules.on(15) => {
                let keys = vec![what.from.source, what.to.source];
                self.doubt(keys, "moved from one node, slot or database of the target to another", place);
                Ok(())
            }
            Treatment::CrossKey(what) => self.cross(*what, place).await,
            Treatment::NotInSync { keys, reason } => {
                self.doubt(keys, &reason.to_string(), place);
                Ok(())
            }
            Treatment::Collision(collision) => Err(End::Fatal(Error::Collision(collision))),
            Treatment::Global(_) => unreachable!("global commands are dealt with before"),
        }
    }

    /// The keys are of a type that the target lacks: what it has under their names is older.
    async fn remove(&mut self, keys: &[SourceKey], place: Place) -> Result<(), End> {
        for key in keys {
            if let Some((db, _)) = self.shared.mapping.target_name(key.db, &key.key) {
                self.check_database(db).await?;
            }
        }
        self.room().await?;
        let origin = self.open(place);
        keys.iter().for_each(|key| self.send_removal(key, origin));
        self.close(origin);
        Ok(())
    }

    /// Ends the run where the configuration says so.
    fn refuse(&self, missing: &Missing) -> Result<(), End> {
        if !self.shared.fatal.contains(&missing.kind) {
            return Ok(());
        }
        let key = missing.keys.first().map(|key| format!("db{}:{}", key.db, key.key.escape_ascii()));
        Err(End::Fatal(Error::CannotHold { kind: missing.kind, key: key.unwrap_or_default() }))
    }

    /// Nothing else of this flow is on its way meanwhile. Interrupted, it is executed again from the start.
    async fn cross(&mut self, what: CrossKey, place: Place) -> Result<(), End> {
        for end in [&what.from, &what.to] {
            self.end_lease_of((end.db, end.name.clone()));
        }
        self.settle_all_unless_stopped().await?;
        for db in [what.from.db, what.to.db] {
            self.check_database(db).await?;
        }
        let mut stop = self.channels.stop.clone();
        let result = loop {
            let result = tokio::select! {
                biased;
                () = stopped(&mut stop) => return Err(End::STOPPED),
                result = transfer(&mut self.side, &what) => result,
            };
            match result {
                Ok(result) => break result,
                Err(error) => {
                    warn!(operation = ?what.operation, %error, "value not moved yet");
                    self.wait_before_retry().await?;
                }
            }
        };
        let reason = match result {
            // A MOVE is logged even when it moved nothing.
            Transfer::Missing if what.operation != CrossOperation::Move => "no such key on the target".into(),
            Transfer::Done | Transfer::Taken | Transfer::Missing => {
                self.pass(place);
                return Ok(());
            }
            Transfer::Refused(message) => message,
        };
        let keys = vec![what.from.source, what.to.source];
        self.doubt(keys, &format!("{:?}: {reason}", what.operation), place);
        Ok(())
    }

    async fn wait_before_retry(&mut self) -> Result<(), End> {
        tokio::select! {
            biased;
            () = stopped(&mut self.channels.stop) => Err(End::STOPPED),
            () = tokio::time::sleep(RETRY) => Ok(()),
        }
    }

    async fn send(&mut self, commands: Commands, place: Place) -> Result<(), End> {
        let twice =
            |command: &TargetCommand| matches!(command.effect, Effect::Overwrite | Effect::Repeatable);
        if self.cautious && place == Place::Record && !commands.as_slice().iter().all(twice) {
            let names = commands.as_slice().iter().map(|command| (command.db, command.args.as_slice()));
            let names =
                names.flat_map(|(db, args)| command::table::keys(args).into_iter().map(move |key| (db, key)));
            let keys = names.filter_map(|(db, name)| self.shared.mapping.source_name(db, &name)).collect();
            self.doubt(keys, UNCERTAIN, place);
            return Ok(());
        }
        let mut waited = !self.router.has_room();
        for command in commands.as_slice() {
            if !self.databases.contains(&command.db) {
                waited = true;
                self.check_database(command.db).await?;
            }
        }
        self.room().await?;
        // What was decided before may be wrong by now.
        if waited && let Some(keys) = self.went_under_repair(commands.as_slice(), place) {
            match place {
                Place::Record => self.doubt(keys, MOVING, place),
                _ => self.repair_keys(keys, repair::Cause::Moving, MOVING, None),
            }
            return Ok(());
        }
        self.shared.throttle.spend(commands.len());
        let origin = self.open(place);
        self.check_handed_out(commands.as_slice(), place, origin);
        let leases = self.leases.is_open() && matches!(place, Place::Snapshot | Place::Blob);
        for command in commands {
            let command = if leases { self.leased(command) } else { command };
            match place.is_executed() {
                true => self.router.send_executed(command, origin),
                false => self.router.send(command, origin),
            }
        }
        self.close(origin);
        Ok(())
    }

    /// A SELECT that fails inside a pipeline would let what follows it run in the wrong database.
    pub(crate) async fn check_database(&mut self, db: u32) -> Result<(), End> {
        if self.databases.contains(&db) {
            return Ok(());
        }
        let mut stop = self.channels.stop.clone();
        loop {
            let checked = tokio::select! {
                biased;
                () = stopped(&mut stop) => return Err(End::STOPPED),
                checked = self.shared.target.check_database(db) => checked,
            };
            match checked {
                Ok(()) => {
                    self.databases.insert(db);
                    return Ok(());
                }
                Err(error) if error.class() == resp::Class::Mismatch => return Err(End::Fatal(error.into())),
                Err(error) => {
                    warn!(db, %error, "database not looked at yet");
                    self.wait_before_retry().await?;
                }
            }
        }
    }

    async fn broadcast(&mut self, args: Vec<Bytes>, place: Place) -> Result<(), End> {
        for node in self.shared.target.masters() {
            // A script that a node does not take concerns no key: clients load it again when it is missing.
            let mut stop = self.channels.stop.clone();
            let called = tokio::select! {
                biased;
                () = stopped(&mut stop) => return Err(End::STOPPED),
                called = self.side.call_node(node, 0, &args) => called,
            };
            match called {
                Ok(reply) => {
                    if let Some(message) = reply.as_error() {
                        let message = resp::printable(message);
                        warn!(node = self.shared.target.address(node), message, "script not loaded");
                    }
                }
                Err(error) => warn!(%error, "script not loaded"),
            }
        }
        self.pass(place);
        Ok(())
    }

    fn open(&mut self, place: Place) -> Origin {
        match place {
            Place::Snapshot | Place::Blob => Origin::Snapshot,
            Place::Record => Origin::Record(self.router.tracker().open_record()),
            Place::Repair(token) | Place::Held(token) => Origin::Repair(token),
        }
    }

    fn close(&mut self, origin: Origin) {
        if let Origin::Record(lsn) = origin {
            self.router.tracker().close_record(lsn);
        }
    }

    fn pass(&mut self, place: Place) {
        if place == Place::Record {
            self.pass_record();
        }
    }

    /// Something that cannot be sent: its keys go under repair.
    fn doubt(&mut self, keys: Vec<SourceKey>, reason: &str, place: Place) {
        if let Place::Repair(token) | Place::Held(token) = place {
            self.repair_failed(token, repair::Failed::Refused(reason.to_owned()));
            return;
        }
        let origin = self.open(place);
        self.router.tracker().add(origin);
        self.close(origin);
        if self.shared.repair && place == Place::Record {
            // Rule 15: it was not sent, so no fence holds that it may lie in.
            self.repairs.moved(self.next, &keys, repair::Cause::Doubtful);
        }
        self.repair_keys(keys, repair::Cause::Doubtful, reason, Some(origin));
    }

    /// Puts the keys under repair that refused and unanswered commands leave behind, and lists them durably; only then
    /// their records are applied (repair rules 3, 9 and 10).
    pub(crate) async fn record_doubts(&mut self) -> Result<(), End> {
        loop {
            if let Some(event) = self.router.target_events().first().cloned() {
                return Err(self.lost_beyond(event).await);
            }
            let failures = self.router.take_failures();
            if failures.is_empty() && self.doubts.is_empty() {
                return Ok(());
            }
            for failure in &failures {
                self.failed(failure);
            }
            let doubts = std::mem::take(&mut self.doubts);
            // In portions: a connection that breaks may leave a hundred thousand of them.
            for doubts in doubts.chunks(TOGETHER) {
                self.list(doubts).await?;
            }
            self.router.settle_failures(failures);
        }
    }

    /// The target lost more than is remembered (repair rule 30). What counts as applied now must not be resumed from.
    async fn lost_beyond(&mut self, event: Event) -> End {
        let Event::LostBeyond { node, reason } = event;
        match self.shared.ledger.write(Entry::full_sync_due()).await {
            Ok(()) => {
                // Only now, when the full sync that is due cannot be forgotten any more.
                self.router.take_target_events();
                End::StartOver(format!("target {node}: {reason}"))
            }
            Err(error) => End::Fatal(error.into()),
        }
    }

    fn failed(&mut self, failure: &Failure) {
        let name = failure.name.escape_ascii();
        let (flow, message) = (self.flow, &*failure.message);
        match failure.cause {
            Cause::Refused => warn!(flow, command = %name, message, "the target refused a command"),
            _ => {
                debug!(flow, command = %name, message, cause = ?failure.cause, "a command's effect is not known")
            }
        }
        let mut keys = self.keys_of(failure);
        if let Origin::Repair(token) = failure.origin() {
            self.repair_failed(
                token,
                match failure.cause {
                    Cause::Refused => repair::Failed::Refused(message.to_owned()),
                    _ => repair::Failed::Unanswered,
                },
            );
        }
        // Rule 11: in the router, where the order of the commands is known.
        for (db, name) in &failure.contaminated {
            keys.extend(self.shared.mapping.source_name(*db, name));
        }
        let cause = match failure.cause {
            Cause::Refused => repair::Cause::Refused,
            Cause::Unanswered => repair::Cause::Unanswered,
            Cause::Contradicted => repair::Cause::Expired,
            Cause::Overtaken => repair::Cause::Contaminated,
            Cause::Lost => repair::Cause::Lost,
        };
        if self.shared.repair {
            // Rule 19: what was written here for another flow's sake is nothing that this one could place alone.
            let (carried, own): (Vec<_>, Vec<_>) =
                keys.iter().cloned().partition(|key| self.carried.contains(key) && !self.repairs.is_own(key));
            for key in own {
                self.repairs.begin(key, cause, self.next);
            }
            if !carried.is_empty() {
                for key in &carried {
                    self.repairs.begin_unknown(key.clone(), cause, self.next);
                }
                let (done, _) = tokio::sync::oneshot::channel();
                // A session that has ended leaves them on the list.
                let _ = self.channels.unclear.send(Request { keys: carried, cause, reason: LOST, done });
            }
        }
        // The failure itself holds its record back until it is handed in again.
        self.doubts.push(Doubt { keys, reason: failure.message.clone(), origin: None });
    }

    /// Lists keys durably; then nothing holds their records back any more.
    async fn list(&mut self, doubts: &[Doubt]) -> Result<(), End> {
        let mut list = Vec::new();
        for doubt in doubts {
            self.entries(&mut list, doubt);
        }
        if !list.is_empty() {
            let written = self.shared.ledger.write(Entry::default().list(list)).await;
            written.map_err(|e| End::Fatal(e.into()))?;
            let (count, first) = self.shared.ledger.listed(SHOWN_NOT_IN_SYNC);
            self.shared.status.set_not_in_sync(count, first);
        }
        for origin in doubts.iter().filter_map(|doubt| doubt.origin) {
            self.router.tracker().settle(origin);
        }
        Ok(())
    }

    pub(crate) fn entries(&self, list: &mut Vec<NotInSync>, doubt: &Doubt) {
        let lsn = match doubt.origin {
            Some(Origin::Record(lsn)) => lsn,
            _ => 0,
        };
        if doubt.keys.is_empty() && doubt.reason.is_empty() {
            return;
        }
        let mut reason: String = doubt.reason.chars().take(REASON).collect();
        let unknown = [no_key()];
        let keys = match doubt.keys.as_slice() {
            [] => {
                if list.is_empty() && self.shared.ledger.lists(&no_key()).is_none() {
                    warn!(flow = self.flow, reason, "a record was passed over, its keys are not known");
                }
                reason.push_str(" (its keys are not known)");
                &unknown
            }
            keys => keys,
        };
        for key in keys {
            // A key that is listed already stays under its first reason, unless that is about to end while ours stays.
            let unclear = self.repairs.is_unknown(key);
            if self.shared.ledger.lists(key).is_some_and(|flow| flow != UNCLEAR || unclear) {
                continue;
            }
            let flow = || self.shared.sharding.flow_of(&key.key).unwrap_or(self.flow) as u32;
            list.push(NotInSync {
                db: key.db,
                key: key.key.to_vec(),
                reason: reason.clone(),
                flow: if unclear { UNCLEAR } else { flow() },
                lsn,
                at_ms: self.shared.clock.now_ms(),
            });
        }
    }

    /// The source keys of a command that was sent.
    fn keys_of(&self, failure: &Failure) -> Vec<SourceKey> {
        let mapping = &self.shared.mapping;
        failure
            .keys
            .iter()
            .map(|name| {
                mapping
                    .source_name(failure.db, name)
                    .unwrap_or_else(|| SourceKey { db: failure.db, key: name.clone() })
            })
            .collect()
    }

    /// Removes a key that the source lacks, in the key's own lane.
    pub(crate) fn send_removal(&mut self, key: &SourceKey, origin: Origin) {
        let Some((db, name)) = self.shared.mapping.target_name(key.db, &key.key) else { return };
        let slot = if self.shared.target.is_cluster() { command::slot(&name) } else { 0 };
        let command = TargetCommand {
            db,
            slot,
            args: vec![Bytes::from_static(b"UNLINK"), name.clone()],
            key: name,
            effect: Effect::Overwrite,
        };
        self.shared.throttle.spend(1);
        self.router.send(command, origin);
    }
}

fn policy(kind: MissingKind) -> &'static str {
    match kind {
        MissingKind::Command(_) => "the record is passed over; its keys are listed in status",
        MissingKind::HashFieldTtl | MissingKind::SetMemberTtl | MissingKind::MemberTtl => {
            "the key is kept without it"
        }
        _ => "the key is passed over and listed in status",
    }
}
