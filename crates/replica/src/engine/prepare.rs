//! What has to be known and stored before the first byte of an attachment is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use checkpoint::{NotInSync, Phase as Stored, State};
use command::{Mapping, MemberTtlAs, MemberTtls};
use config::ExistingData;
use flow::{Answer, Attachment, Release, Resume};
use repair::ReaderOptions;
use resp::Class;
use tracing::{info, warn};

use super::{Replica, Run, WINDOW};
use crate::attachment::SpoolLimits;
use crate::error::Error;
use crate::flow_task::{Pace, Shared};
use crate::ledger::Entry;
use crate::session::{Beginning, Opening, Session};
use crate::sharding::Sharding;
use crate::skew;
use crate::source::{SourceSide, Unanswered};
use crate::startup;
use crate::status::Backlog;

impl Replica {
    pub(super) fn reader(&self, source: usize) -> ReaderOptions {
        let connect = self.settings.sources[source].connect.clone();
        let mut options = ReaderOptions::new(connect, self.settings.checkpoint_dir.join("repair"));
        options.pause_writes_ms = u64::try_from(self.settings.pause_writes.as_millis()).unwrap_or(u64::MAX);
        options
    }

    pub(super) fn spool_limits(&self, flows: usize) -> SpoolLimits {
        let flows = flows.max(1);
        SpoolLimits {
            memory: (self.settings.spool_memory / flows).max(1 << 20),
            disk: self.settings.spool_disk / flows as u64,
            when_full: self.settings.spool_when_full,
        }
    }

    pub(super) fn spools(&self, flows: usize) -> Vec<spool::Options> {
        let SpoolLimits { memory, disk, when_full } = self.spool_limits(flows);
        let options = |flow: usize| spool::Options {
            memory,
            disk: (disk > 0).then(|| spool::Disk {
                dir: self.settings.checkpoint_dir.join("spool").join(format!("flow-{flow}")),
                limit: disk,
            }),
            when_full,
        };
        (0..flows).map(options).collect()
    }

    pub(super) async fn shared(
        &self,
        attachment: &Attachment,
        run: &Run,
        source: usize,
    ) -> Result<Shared, Error> {
        let flows = attachment.flows.len().max(1);
        let silent = |error: repair::ReaderError| Error::SourceSilent(error.to_string());
        let mut reader = repair::Reader::new(self.reader(source), self.settings.rules).map_err(silent)?;
        let refused = reader.may_read().await.map_err(silent)?.err();
        if let Some(why) = &refused {
            warn!(
                why,
                "the source may not be read: keys in doubt are listed as not in sync instead of repaired; docs/configuration.md has the \
                 line that allows what is needed"
            );
        }
        self.status.set_repair_off(refused.clone());
        let member_ttls = self.member_ttls(run, refused.is_none()).await?;
        let mut side = SourceSide::new(self.settings.sources[source].connect.clone());
        let told = side.backlog().await.or(self.settings.backlog_records);
        let greeting = &attachment.greeting;
        let backlog = match (told, greeting.release.and_then(Release::default_backlog)) {
            _ if greeting.resume_style() == flow::ResumeStyle::None => Backlog::NoResume,
            (_, Some(0)) => Backlog::Known(0),
            (Some(records), _) => Backlog::Known(records),
            (None, Some(records)) => Backlog::Assumed(records),
            (None, None) => Backlog::Unknown,
        };
        self.status.set_backlog(backlog);
        Ok(Shared {
            target: run.target.clone(),
            nodes: run.nodes.clone(),
            mapping: run.mapping.clone(),
            ledger: run.ledger.clone(),
            status: self.status.clone(),
            clock: self.settings.clock,
            rules: self.settings.rules,
            window: (WINDOW / flows).clamp(256 << 10, 4 << 20),
            flows,
            repair: refused.is_none(),
            began_empty: false,
            json: self.settings.json,
            member_ttls,
            existed: (0..flows).map(|_| AtomicU64::new(0)).collect(),
            fatal: self.settings.fatal.clone(),
            leases: self.settings.on_existing_data != ExistingData::Merge,
            sharding: Sharding::new(flows),
            throttle: self.settings.throttle.clone(),
            connection_name: self.connection_name(&run.ledger),
            reconcile: AtomicBool::new(false),
            checkpoint_due: tokio::sync::Notify::new(),
            checkpoint_now: tokio::sync::Notify::new(),
            pace: Pace::for_backlog(backlog.records()).within(self.settings.window),
            drain_first: attachment.greeting.resume_style() == flow::ResumeStyle::Rdb,
            silent_reads: attachment.greeting.release.is_some_and(|release| release < Release::new(1, 37, 0)),
        })
    }

    /// Of which members the expiry is carried out by us. Without that, a schedule of an earlier run means nothing.
    async fn member_ttls(&self, run: &Run, may_read: bool) -> Result<Option<MemberTtls>, Error> {
        let ttls = self.settings.member_ttls;
        let wanted = [ttls.sets, ttls.fields].contains(&MemberTtlAs::Scheduled);
        if wanted && may_read {
            return Ok(Some(ttls));
        }
        if wanted {
            warn!("members of sets and hashes do not expire on the target: the source may not be read");
        }
        if run.ledger.scheduled() > 0 {
            info!(keys = run.ledger.scheduled(), "the schedule of members that expire is dropped");
            run.ledger.forget_schedule(None).await?;
        }
        Ok(None)
    }

    /// How old the records are that the source holds at this moment is not known.
    async fn note_existing(&self, run: &Run, side: &mut SourceSide) {
        let Some(session) = &run.session else { return };
        if session.shared.member_ttls.is_none() {
            return;
        }
        match side.offsets().await {
            Ok(lsns) => {
                for (existed, lsn) in session.shared.existed.iter().zip(lsns) {
                    existed.store(lsn, Relaxed);
                }
            }
            Err(error) => info!(%error, "how far the source's journal is was not told"),
        }
    }

    /// What has to be known and stored before the first byte is asked for. Leaves a session to plug into.
    pub(super) async fn prepare(
        &self,
        attachment: &Attachment,
        run: &mut Run,
        source: usize,
        ends: Option<Vec<u64>>,
        resume: Option<Resume>,
    ) -> Result<(), Error> {
        let greeting = &attachment.greeting;
        let release = greeting.release.map(|r| r.to_string()).unwrap_or_else(|| "unknown".into());
        let flows = attachment.flows.len();
        let full = match &attachment.answer {
            Answer::Full(reason) => Some(run.start_over.clone().unwrap_or_else(|| reason.to_string())),
            Answer::Partial => None,
        };
        // Before anything is removed or compared by its name, whichever way it goes on.
        self.note_databases(&run.mapping, source).await?;
        let mut side = SourceSide::new(self.settings.sources[source].connect.clone());
        self.status.set_clocks(skew::compare(&mut side, &run.target, self.settings.clock).await);
        let prepared = match (&full, resume) {
            (None, _) if run.session.is_some() => {
                self.status.attached_again(&greeting.replid, &release);
                info!(replid = greeting.replid, flows, "partial sync, where the link was lost");
                Ok(())
            }
            (None, Some(resume)) => {
                self.status.attached(&greeting.replid, &release, flows, None);
                self.resume(attachment, run, source, ends, resume).await
            }
            _ => {
                let reason = full.unwrap_or_else(|| "nothing to resume from".into());
                self.status.attached(&greeting.replid, &release, flows, Some(&reason));
                self.full_sync(attachment, run, source, reason).await
            }
        };
        prepared?;
        self.note_existing(run, &mut side).await;
        Ok(())
    }

    pub(super) async fn resume(
        &self,
        attachment: &Attachment,
        run: &mut Run,
        source: usize,
        ends: Option<Vec<u64>>,
        resume: Resume,
    ) -> Result<(), Error> {
        self.retire_session(run).await?;
        let shared = self.shared(attachment, run, source).await?;
        let stored = run.ledger.state();
        let reserved = stored.as_ref().map(|state| state.reserved.clone()).unwrap_or_default();
        shared.reconcile.store(stored.is_some_and(|state| state.reconcile), Relaxed);
        // Rule 7: what did not exist when we came was certainly not sent.
        let uncertain_end: Vec<u64> = match (&ends, self.settings.rules.on(7)) {
            (Some(ends), true) => reserved.iter().zip(ends).map(|(r, s)| *r.min(s)).collect(),
            (None, true) => reserved,
            (_, false) => vec![0; resume.lsns.len()],
        };
        let (count, repairing) = run.ledger.listed(usize::MAX);
        let uncertain: u64 =
            uncertain_end.iter().zip(&resume.lsns).map(|(end, next)| end.saturating_sub(*next)).sum();
        info!(
            replid = attachment.greeting.replid,
            flows = attachment.flows.len(),
            uncertain_records = uncertain,
            keys_under_repair = count,
            "partial sync"
        );
        let beginning = match attachment.needs_sync() {
            true => Beginning::Missed(attachment.flows.iter().map(|flow| flow.eof_token).collect()),
            false => Beginning::Journal { next: resume.lsns, uncertain_end },
        };
        if attachment.needs_sync() && !shared.repair {
            // Records without LSNs that cannot be repaired: once some are applied, only a full sync helps.
            run.ledger.write(Entry::full_sync_due()).await?;
        }
        self.open(shared, beginning, attachment.flows.len(), repairing, run);
        // What a node lost while no flow was there to notice.
        let lost = run.nodes.as_ref().and_then(|nodes| nodes.succeed().first().copied());
        if let Some(node) = lost.filter(|_| self.settings.rules.on(30)) {
            let reason = format!("target {}: restarted while no flow was there", run.target.address(node));
            run.session = None;
            run.start_over = Some(reason.clone());
            run.ledger.write(Entry::full_sync_due()).await?;
            return Err(Error::TargetChanged(reason));
        }
        // From here on the flows see what becomes of the nodes.
        if let (Some(nodes), Some(standing)) = (&run.nodes, run.standing.take())
            && let Some(node) = nodes.changed_since(&standing).first()
        {
            let reason = format!("target {}: restarted while it was looked at", run.target.address(*node));
            run.session = None;
            run.start_over = Some(reason.clone());
            run.ledger.write(Entry::full_sync_due()).await?;
            return Err(Error::TargetChanged(reason));
        }
        Ok(())
    }

    pub(super) async fn full_sync(
        &self,
        attachment: &Attachment,
        run: &mut Run,
        source: usize,
        reason: String,
    ) -> Result<(), Error> {
        // Rule 34: nothing of an earlier session is on its way any more.
        run.session = None;
        self.retire_session(run).await?;
        let stored = run.ledger.state();
        let known = stored.as_ref().is_some_and(|state| state.phase != Stored::None);
        let replid = &attachment.greeting.replid;
        info!(reason, replid, flows = attachment.flows.len(), repeated = known, "full sync");
        let found = if known {
            true
        } else {
            self.refuse_collisions(&run.mapping, source).await?;
            if self.keeps_existing() {
                self.find_existing(run, source).await?;
                // What is there is nobody's: nothing of ours can be stale.
                false
            } else {
                startup::first_contact(&self.settings, &run.target, &run.mapping).await?
            }
        };
        let merge = self.settings.on_existing_data == ExistingData::Merge;
        if known && merge {
            warn!("keys that the source lacks stay on the target (on_existing_data: merge)");
        }
        let mut shared = self.shared(attachment, run, source).await?;
        shared.began_empty = !found;
        // It names the target before the first write goes out: what a crash leaves behind is known as ours.
        let state = State {
            phase: Stored::FullSync,
            replication_id: replid.clone(),
            applied: Vec::new(),
            reserved: Vec::new(),
            reconcile: found && !merge,
            target: startup::identity(&run.target),
            nodes: Vec::new(),
            updated_at_ms: 0,
        };
        shared.reconcile.store(state.reconcile, Relaxed);
        run.ledger.write(Entry::replace(state).clear_list()).await?;
        // The snapshot brings it anew.
        run.ledger.forget_schedule(None).await?;
        if let Some(nodes) = &run.nodes {
            nodes.forget_losses();
        }
        self.status.set_resumable(false);
        self.status.set_not_in_sync(0, Vec::new());
        let tokens = attachment.flows.iter().map(|flow| flow.eof_token).collect();
        self.open(shared, Beginning::Snapshot(tokens), attachment.flows.len(), Vec::new(), run);
        Ok(())
    }

    pub(super) fn open(
        &self,
        shared: Shared,
        beginning: Beginning,
        flows: usize,
        repairing: Vec<NotInSync>,
        run: &mut Run,
    ) {
        run.dirty = true;
        run.session = Some(Session::open(Opening {
            shared: Arc::new(shared),
            beginning,
            spools: self.spools(flows),
            repairing,
            interval: self.settings.checkpoint_interval,
        }));
    }

    /// Which databases the source has, for names that would collide. A user who may not ask finds out when a record
    /// selects one.
    pub(super) async fn note_databases(&self, mapping: &Mapping, source: usize) -> Result<(), Error> {
        let mut side = SourceSide::new(self.settings.sources[source].connect.clone());
        match side.keyspace().await {
            Ok(databases) => {
                self.status.expect_keys(databases.iter().map(|(_, keys)| keys).sum());
                mapping.databases_unknown(false);
                for (db, _) in databases {
                    mapping.note_database(db).map_err(Error::Collision)?;
                }
                Ok(())
            }
            Err(Unanswered::Connection(error)) if error.class() == Class::Retry => {
                Err(Error::SourceSilent(error.to_string()))
            }
            Err(error) => {
                info!(%error, "the source does not tell its databases; they are noted as they appear");
                mapping.databases_unknown(true);
                Ok(())
            }
        }
    }
}
