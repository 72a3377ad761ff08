//! What a record or a snapshot item becomes: commands for the router, counts for the status, keys for the list of
//! those that are not in sync.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use checkpoint::NotInSync;
use command::{Commands, CrossKey, CrossOperation, Effect, MissingKind, SourceKey, TargetCommand, Treatment};
use router::cross::{Transfer, transfer};
use router::{Failure, Origin};
use tracing::warn;

use crate::error::Error;
use crate::flow_task::{End, FlowTask, stopped};
use crate::ledger::now_ms;
use crate::removal::flow_of;
use crate::status::SHOWN_NOT_IN_SYNC;

/// Where in the stream a treatment comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The snapshot, its journal blobs included.
    Snapshot,
    /// The next record of the journal.
    Record,
}

/// Keys that a record leaves behind; the record stays open until they are stored.
#[derive(Debug)]
pub struct Doubt {
    keys: Vec<SourceKey>,
    reason: String,
    origin: Origin,
}

/// Pause before something that the target could not do is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Most bytes of a reason that are stored.
const REASON: usize = 200;

impl FlowTask {
    /// One item of the snapshot other than its frame.
    pub(crate) async fn snapshot_item(&mut self, item: rdb::Item) -> Result<(), End> {
        let broken = |error: command::translator::Error| End::StartOver(format!("snapshot: {error}"));
        match item {
            rdb::Item::Value(value) => {
                self.status.keys.fetch_add(1, Relaxed);
                if flow_of(&value.meta.key, self.shared.flows) != self.flow {
                    self.shared.misplaced.fetch_add(1, Relaxed);
                }
                self.note_database(value.meta.db)?;
                self.know(value.meta.db, &value.meta.key);
                let treatment = self.translator.value(value, self.now_ms).map_err(broken)?;
                self.apply(treatment, Position::Snapshot).await
            }
            rdb::Item::Begin(begin) => {
                self.status.keys.fetch_add(1, Relaxed);
                self.note_database(begin.meta.db)?;
                self.know(begin.meta.db, &begin.meta.key);
                let treatment = self.translator.begin(begin, self.now_ms);
                self.apply(treatment, Position::Snapshot).await
            }
            rdb::Item::Piece { id, piece } => {
                let treatment = self.translator.piece(id, piece, self.now_ms).map_err(broken)?;
                self.apply(treatment, Position::Snapshot).await
            }
            rdb::Item::End { id } => {
                let treatment = self.translator.end(id).map_err(broken)?;
                self.apply(treatment, Position::Snapshot).await
            }
            rdb::Item::JournalBlob(blob) => self.blob(blob).await,
            rdb::Item::Aux { key, value } => self.aux(&key, value).await,
            _ => Ok(()),
        }
    }

    /// A record among the snapshot's entries. Its LSN is not known: only JOURNAL_OFFSET tells.
    async fn blob(&mut self, blob: Bytes) -> Result<(), End> {
        let entry = journal::decode_blob(blob)
            .map_err(|e| End::StartOver(format!("journal in the snapshot: {e}")))?;
        let journal::Entry::Record(record) = entry else { return Ok(()) };
        self.status.records.fetch_add(1, Relaxed);
        self.note_database(record.db)?;
        self.remove_stale(record.db, &record.args).await?;
        match self.translator.record(record, self.now_ms) {
            // Entries from before the flush may still follow, on this flow and on others (v1.40.1 `replica.cc`
            // HandleJournalBlob).
            Treatment::Global(global) => {
                Err(End::StartOver(format!("{global:?} was executed at the source during the snapshot")))
            }
            treatment => self.apply(treatment, Position::Snapshot).await,
        }
    }

    async fn aux(&mut self, key: &[u8], value: Bytes) -> Result<(), End> {
        // Flow 0 carries one field for each script that clients may call by its hash.
        if key == b"lua" {
            let args = ["SCRIPT", "LOAD"].map(|word| Bytes::from_static(word.as_bytes()));
            let args = args.into_iter().chain([value]).collect();
            return self.apply(Treatment::Broadcast(args), Position::Snapshot).await;
        }
        Ok(())
    }

    /// A database exists at the source.
    pub(crate) fn note_database(&mut self, db: u32) -> Result<(), End> {
        if self.noted.insert(db) {
            self.shared.mapping.note_database(db).map_err(|c| End::Fatal(Error::Collision(c)))?;
        }
        Ok(())
    }

    /// Does what a treatment says. A record's commands are handed out all or none.
    pub(crate) async fn apply(&mut self, treatment: Treatment, position: Position) -> Result<(), End> {
        match treatment {
            Treatment::Send(commands) => self.send(commands, position).await,
            Treatment::Reduced { commands, missing } => {
                self.shared.status.lacks(&missing, "the key is kept without it");
                self.send(commands, position).await
            }
            Treatment::Lacking(missing) => {
                self.shared.status.lacks(&missing, policy(missing.kind));
                self.pass(position);
                Ok(())
            }
            Treatment::Ignore(reason) => {
                self.shared.status.ignored(reason.words());
                self.pass(position);
                Ok(())
            }
            Treatment::Broadcast(args) => self.broadcast(args, position).await,
            Treatment::CrossKey(what) => self.cross(*what, position).await,
            Treatment::NotInSync { keys, reason } => {
                self.doubt(keys, reason.to_string(), position);
                Ok(())
            }
            Treatment::Collision(collision) => Err(End::Fatal(Error::Collision(collision))),
            Treatment::Global(_) => unreachable!("global commands are dealt with before"),
        }
    }

    /// Nothing else of this flow is on its way meanwhile. Interrupted, it is executed again from the start.
    async fn cross(&mut self, what: CrossKey, position: Position) -> Result<(), End> {
        self.settle_all_unless_stopped().await?;
        for db in [what.from.db, what.to.db] {
            self.check_database(db).await?;
        }
        let mut stop = self.channels.stop.clone();
        let result = loop {
            let result = tokio::select! {
                biased;
                () = stopped(&mut stop) => return Err(End::Stopped),
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
                self.pass(position);
                return Ok(());
            }
            Transfer::Refused(message) => message,
        };
        let keys = vec![what.from.source, what.to.source];
        self.doubt(keys, format!("{:?}: {reason}", what.operation), position);
        Ok(())
    }

    async fn wait_before_retry(&mut self) -> Result<(), End> {
        tokio::select! {
            biased;
            () = stopped(&mut self.channels.stop) => Err(End::Stopped),
            () = tokio::time::sleep(RETRY) => Ok(()),
        }
    }

    async fn send(&mut self, commands: Commands, position: Position) -> Result<(), End> {
        for command in commands.as_slice() {
            if !self.databases.contains(&command.db) {
                self.check_database(command.db).await?;
            }
        }
        self.room().await?;
        let origin = self.open(position);
        for command in commands {
            self.router.send(command, origin);
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
                () = stopped(&mut stop) => return Err(End::Stopped),
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

    async fn broadcast(&mut self, args: Vec<Bytes>, position: Position) -> Result<(), End> {
        for node in self.shared.target.masters() {
            // A script that a node does not take concerns no key: clients load it again when it is missing.
            let mut stop = self.channels.stop.clone();
            let called = tokio::select! {
                biased;
                () = stopped(&mut stop) => return Err(End::Stopped),
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
        self.pass(position);
        Ok(())
    }

    fn open(&mut self, position: Position) -> Origin {
        match position {
            Position::Snapshot => Origin::Snapshot,
            Position::Record => Origin::Record(self.router.tracker().open_record()),
        }
    }

    fn close(&mut self, origin: Origin) {
        if let Origin::Record(lsn) = origin {
            self.router.tracker().close_record(lsn);
        }
    }

    fn pass(&mut self, position: Position) {
        if position == Position::Record {
            self.pass_record();
        }
    }

    fn doubt(&mut self, keys: Vec<SourceKey>, reason: String, position: Position) {
        let origin = self.open(position);
        self.router.tracker().add(origin);
        self.close(origin);
        self.doubts.push(Doubt { keys, reason, origin });
    }

    /// Stores the keys that refused commands and doubtful records leave behind; only then their records are applied.
    pub(crate) async fn record_doubts(&mut self) -> Result<(), End> {
        let failures = self.router.take_failures();
        if failures.is_empty() && self.doubts.is_empty() {
            return Ok(());
        }
        let doubts = std::mem::take(&mut self.doubts);
        let mut list = Vec::new();
        for failure in &failures {
            let keys = self.keys_of(failure);
            let name = failure.args.first().map(|name| name.escape_ascii().to_string()).unwrap_or_default();
            warn!(
                flow = self.flow,
                command = name,
                message = failure.message,
                "the target refused a command"
            );
            self.list(&mut list, keys, &failure.message, failure.origin());
        }
        for doubt in &doubts {
            if doubt.keys.is_empty() {
                warn!(
                    flow = self.flow,
                    reason = doubt.reason,
                    "a record was passed over, its keys are not known"
                );
            }
            self.list(&mut list, doubt.keys.clone(), &doubt.reason, doubt.origin);
        }
        let ledger = &self.shared.ledger;
        ledger.add_not_in_sync(list).await.map_err(|e| End::Fatal(e.into()))?;
        let (count, first) = ledger.not_in_sync(SHOWN_NOT_IN_SYNC).await.map_err(|e| End::Fatal(e.into()))?;
        self.shared.status.set_not_in_sync(count, first);
        self.router.settle_failures(failures);
        for doubt in doubts {
            self.router.tracker().settle(doubt.origin);
        }
        Ok(())
    }

    fn list(&self, list: &mut Vec<NotInSync>, keys: Vec<SourceKey>, reason: &str, origin: Origin) {
        let lsn = match origin {
            Origin::Record(lsn) => lsn,
            Origin::Snapshot | Origin::Repair(_) | Origin::Lane => 0,
        };
        let mut reason: String = reason.chars().take(REASON).collect();
        let mut keys = keys;
        if keys.is_empty() {
            reason.push_str(" (its keys are not known)");
            keys.push(SourceKey { db: 0, key: Bytes::new() });
        }
        for SourceKey { db, key } in keys {
            list.push(NotInSync {
                db,
                key: key.to_vec(),
                reason: reason.clone(),
                flow: self.flow as u32,
                lsn,
                at_ms: now_ms(),
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
    pub(crate) fn send_removal(&mut self, key: &SourceKey) {
        let Some((db, name)) = self.shared.mapping.target_name(key.db, &key.key) else { return };
        let slot = if self.shared.target.is_cluster() { command::slot(&name) } else { 0 };
        let command = TargetCommand {
            db,
            slot,
            args: vec![Bytes::from_static(b"UNLINK"), name.clone()],
            key: name,
            effect: Effect::Overwrite,
        };
        self.router.send(command, Origin::Snapshot);
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
