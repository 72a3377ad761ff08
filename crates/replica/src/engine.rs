//! Attach, run, back off, attach again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use checkpoint::{NotInSync, Phase as Stored, State};
use command::Mapping;
use config::ExistingData;
use flow::{Answer, AttachError, Attachment, Parting, Release, Resume};
use repair::ReaderOptions;
use resp::Class;
use router::Target;
use router::durability::{self, Comparison, Mark, NodeWatch};
use router::side::Side;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::attachment::{self, Context, Outcome, SpoolLimits};
use crate::error::{Error, Exit};
use crate::flow_task::{Pace, Shared};
use crate::ledger::{Entry, Ledger};
use crate::phase::Phase;
use crate::session::{Beginning, Ending, Opening, Session};
use crate::settings::Settings;
use crate::sharding::Sharding;
use crate::source::{SourceSide, Unanswered};
use crate::startup;
use crate::status::{SHOWN_NOT_IN_SYNC, Status};

/// How long an unreachable or loading server is waited for before the first attachment.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of unanswered commands over all flows.
const WINDOW: usize = 32 << 20;
/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Failures that count at most for a link that was in stable sync: a pause of up to 400 ms.
const SOON: u32 = 2;

/// What is to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Follow the source until told to stop.
    Replicate,
    /// The snapshot only.
    Migrate,
}

/// How a run ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// It was told to stop; the checkpoint is exact.
    Stopped,
    /// The snapshot is on the target.
    Migrated,
}

/// The end that tells a run to stop: send `true`.
pub type Stop = watch::Receiver<bool>;

/// One replication, from its configuration to its end.
#[derive(Debug)]
pub struct Replica {
    settings: Settings,
    goal: Goal,
    status: Arc<Status>,
    stop: Stop,
}

impl Replica {
    /// A replication that has not begun. `status` is written throughout.
    pub fn new(settings: Settings, goal: Goal, status: Arc<Status>, stop: Stop) -> Self {
        Replica { settings, goal, status, stop }
    }

    /// Runs until it is told to stop, the goal is reached, or the operator has to act.
    ///
    /// # Errors
    /// [`Error`]; [`Error::exit`] tells the exit code.
    pub async fn run(self) -> Result<Finished, Error> {
        let result = self.run_to_the_end().await;
        self.status.enter(Phase::Stopped, result.as_ref().err().map(ToString::to_string).unwrap_or_default());
        self.status.log_lacking();
        result
    }

    async fn run_to_the_end(&self) -> Result<Finished, Error> {
        let clock = self.settings.clock;
        let mut ledger = match &self.settings.store {
            Some(store) => Ledger::with(store.clone(), clock)?,
            None => Ledger::open(&self.settings.checkpoint_dir, clock).await?,
        };
        self.status.opened(ledger.state().and_then(resume).is_some());
        let (count, first) = ledger.listed(SHOWN_NOT_IN_SYNC);
        self.status.set_not_in_sync(count, first);
        if self.settings.store.is_none() {
            self.clean_spool()?;
        }
        let Some(target) = self.target().await? else { return Ok(Finished::Stopped) };
        startup::check_identity(&self.settings, ledger.state().as_ref(), &target)?;
        let mapping = self.settings.mapping(target.is_cluster())?;
        target.set_name(connection_name(&ledger));
        if !self.retire(&target, &ledger).await? {
            return Ok(Finished::Stopped);
        }
        let nodes = NodeWatch::start(
            target.clone(),
            durability::Settings {
                loss_window: self.settings.loss_window,
                rules: self.settings.rules,
                ..durability::Settings::default()
            },
        );
        let resumes = ledger.state().and_then(resume).is_some();
        let lost = if resumes { self.lost_meanwhile(&nodes, &ledger).await } else { None };
        if resumes && lost.is_none() && self.target_is_empty(&target).await? {
            // A source that was flushed leaves an empty target as well, so this is not decided here.
            warn!(
                "the target is empty although this checkpoint has written to it, and the source is not; if its data was \
                 lost, stop, run `df2redis checkpoint reset` and start again"
            );
        }
        let mut run = Run {
            target,
            nodes: Some(nodes),
            mapping,
            ledger: ledger.clone(),
            session: None,
            dirty: false,
            start_over: lost,
            attempts: Attempts::new(self.settings.seed),
        };
        loop {
            self.status.enter(Phase::Connecting, run.attempts.last.clone().unwrap_or_default());
            let began = Instant::now();
            let outcome = self.attempt(&mut run).await;
            run.attempts.attached |= outcome.is_ok();
            let stable = run.session.as_ref().is_some_and(Session::is_stable);
            let next = match outcome {
                Ok(outcome) => self.after(outcome, &mut run, began, stable).await,
                Err(error) => Err(error),
            };
            match next {
                Ok(Some(finished)) => return Ok(finished),
                Ok(None) => {}
                Err(error) => {
                    let broken = matches!(error, Error::Checkpoint(_));
                    if broken {
                        run.session = None;
                    }
                    run.attempts.failed(error)?;
                    if broken && self.settings.store.is_none() {
                        // A store that failed to write takes no more; what is on the disk counts.
                        drop(std::mem::replace(&mut run.ledger, ledger.clone()));
                        drop(ledger);
                        let Some(opened) = self.open_again(&mut run).await? else {
                            return Ok(Finished::Stopped);
                        };
                        ledger = opened;
                        run.ledger = ledger.clone();
                    }
                }
            }
            if let Some(finished) = self.pause(&mut run).await? {
                return Ok(finished);
            }
        }
    }

    /// Whether the target lost writes that counted as applied while nobody watched it: why it needs a full sync.
    async fn lost_meanwhile(&self, nodes: &Arc<NodeWatch>, ledger: &Ledger) -> Option<String> {
        if !self.settings.rules.on(30) {
            return None;
        }
        let stored: Vec<Mark> = ledger.state()?.nodes.iter().map(startup::mark).collect();
        let compared = tokio::select! {
            biased;
            () = told_to_stop(&self.stop) => return None,
            compared = nodes.compare(&stored) => compared,
        };
        match &compared {
            Comparison::Same => None,
            Comparison::Unknown { reason } => {
                warn!(reason, "whether the target lost writes since the last run cannot be told");
                None
            }
            Comparison::Restarted { node, .. } | Comparison::TookOver { node, .. } => {
                let lost = compared.may_have_lost().map(|why| format!("target {node}: {why}"));
                info!(node, lost, "the target was restarted or failed over since the last run");
                lost
            }
        }
    }

    /// What an earlier run had in its spool comes again from the source.
    fn clean_spool(&self) -> Result<(), Error> {
        let dir = self.settings.checkpoint_dir.join("spool");
        let removed = spool::clean(&dir).map_err(|source| Error::Spool { dir, source })?;
        if removed > 0 {
            info!(removed, "spool segments of an earlier run removed");
        }
        Ok(())
    }

    /// What follows from the end of an attachment. `Some`: the end of the run.
    async fn after(
        &self,
        outcome: Outcome,
        run: &mut Run,
        began: Instant,
        stable: bool,
    ) -> Result<Option<Finished>, Error> {
        match outcome {
            Outcome::Stopped => return self.stop(run).await.map(Some),
            Outcome::Migrated => {
                run.session = None;
                return Ok(Some(Finished::Migrated));
            }
            Outcome::LinkLost(reason) => {
                if stable {
                    run.start_over = None;
                } else if let Some(session) = run.session.take()
                    // What came of a snapshot comes again; but a flow may have found a reason of its own.
                    && let Ending::StartOver(reason) = session.stop().await
                {
                    self.start_over(reason, run, began);
                    return Ok(None);
                }
                self.status.enter(Phase::Connecting, reason.clone());
                if run.session.as_ref().is_some_and(|session| session.shared.drain_first) {
                    self.drain(run).await?;
                }
                run.attempts.lost(reason, began, stable);
            }
            Outcome::SpoolFull => {
                warn!(
                    "the spool is full: the link to the source is dropped until it has been taken down to a half"
                );
                self.status.enter(Phase::Connecting, "the spool is full");
                run.attempts.lost("the spool is full".into(), began, stable);
                if let Some(finished) = self.until_there_is_room(run).await? {
                    return Ok(Some(finished));
                }
            }
            Outcome::StartOver(reason) => self.start_over(reason, run, began),
            Outcome::SessionEnded(ending) => return self.session_ended(ending, run, began),
            Outcome::Fatal(error) => return Err(error),
        }
        Ok(None)
    }

    fn start_over(&self, reason: String, run: &mut Run, began: Instant) {
        warn!(reason, "full sync starts over");
        run.session = None;
        run.attempts.lost(reason.clone(), began, false);
        run.start_over = Some(reason);
    }

    fn session_ended(
        &self,
        ending: Ending,
        run: &mut Run,
        began: Instant,
    ) -> Result<Option<Finished>, Error> {
        run.session = None;
        match ending {
            Ending::Drained => {}
            Ending::Stopped { .. } => return Ok(Some(Finished::Stopped)),
            Ending::SpoolLost(why) => {
                warn!(why, "what lay in the spool is lost; it comes again from the source");
                run.attempts.lost(why, began, true);
            }
            Ending::StartOver(reason) => self.start_over(reason, run, began),
            Ending::Failed(error) => return Err(error),
        }
        Ok(None)
    }

    /// Told to stop: the flows wait for what is on its way, and the checkpoint is written.
    async fn stop(&self, run: &mut Run) -> Result<Finished, Error> {
        let Some(session) = run.session.take() else { return Ok(Finished::Stopped) };
        match session.stop().await {
            Ending::Failed(error) => Err(error),
            Ending::Stopped { exact: false } => {
                warn!("stopped with commands unanswered: their keys are repaired after the next start");
                Ok(Finished::Stopped)
            }
            _ => Ok(Finished::Stopped),
        }
    }

    /// Masters up to v1.34 send missed records without their LSNs: what was received is applied first.
    async fn drain(&self, run: &mut Run) -> Result<(), Error> {
        let Some(session) = &mut run.session else { return Ok(()) };
        self.status.set_detail("applying what came");
        let ending = tokio::select! {
            biased;
            () = told_to_stop(&self.stop) => return Ok(()),
            ending = session.drain() => ending,
        };
        self.session_ended(ending, run, Instant::now()).map(|_| ())
    }

    async fn until_there_is_room(&self, run: &mut Run) -> Result<Option<Finished>, Error> {
        loop {
            let Some(session) = &run.session else { return Ok(None) };
            let (held, limit) = session.spooled();
            if held <= limit / 2 {
                return Ok(None);
            }
            if let Some(finished) = self.wait(Duration::from_millis(200), run).await? {
                return Ok(Some(finished));
            }
        }
    }

    /// One attempt: attaches, prepares, and runs the attachment to its end.
    async fn attempt(&self, run: &mut Run) -> Result<Outcome, Error> {
        let stored = run.ledger.state().and_then(resume);
        let resume = match (&run.start_over, &run.session) {
            (Some(_), _) => None,
            // Rule 20: from what was received; what the spool holds is applied meanwhile.
            (None, Some(session)) => stored.map(|stored| Resume { lsns: session.received(), ..stored }),
            (None, None) => stored,
        };
        let ask = run.session.is_none();
        let parting = run.session.as_ref().and_then(|session| session.parting.clone());
        let attached = tokio::select! {
            biased;
            () = told_to_stop(&self.stop) => return Ok(Outcome::Stopped),
            ending = ended(&mut run.session) => return Ok(Outcome::SessionEnded(ending)),
            attached = self.attach(resume.as_ref(), parting.as_ref(), ask) => attached,
        };
        let Attached { source, attachment, ends } = attached?;
        let prepared = tokio::select! {
            biased;
            () = told_to_stop(&self.stop) => Ok(false),
            prepared = self.prepare(&attachment, run, source, ends, resume) => prepared.map(|()| true),
        };
        let context = Context {
            connect: self.settings.sources[source].connect.clone(),
            reader: self.reader(source),
            goal: self.goal,
            spool: self.spool_limits(attachment.flows.len()),
            stop: self.stop.clone(),
        };
        match (&mut run.session, prepared) {
            (Some(session), Ok(true)) => Ok(attachment::run(attachment, session, &context).await),
            (_, prepared) => {
                attachment.close(Vec::new()).await;
                prepared.map(|_| Outcome::Stopped)
            }
        }
    }

    /// A dead predecessor of this program may have left bytes in the nodes' socket buffers (repair rule 8).
    async fn retire_session(&self, run: &mut Run) -> Result<(), Error> {
        if run.dirty && self.retire(&run.target, &run.ledger).await? {
            run.dirty = false;
        }
        Ok(())
    }

    async fn retire(&self, target: &Arc<Target>, ledger: &Ledger) -> Result<bool, Error> {
        if !self.settings.rules.on(8) {
            return Ok(true);
        }
        let name = connection_name(ledger);
        loop {
            let retired = tokio::select! {
                biased;
                () = told_to_stop(&self.stop) => return Ok(false),
                retired = target.retire(&name) => retired,
            };
            match retired {
                Ok(retired) => {
                    startup::tell_retired(&retired);
                    return Ok(true);
                }
                Err(error) if error.class() != Class::Retry => return Err(error.into()),
                Err(error) => warn!(%error, "connections of an earlier run not looked for yet"),
            }
            if self.sleep(Duration::from_millis(500)).await {
                return Ok(false);
            }
        }
    }

    /// Whether the target has lost everything: nothing is on it, and there was something to be on it.
    async fn target_is_empty(&self, target: &Arc<Target>) -> Result<bool, Error> {
        let mut side = Side::new(target.clone());
        let counted = tokio::select! {
            biased;
            () = told_to_stop(&self.stop) => return Ok(false),
            counted = router::sweep::count(&mut side) => counted,
        };
        match counted {
            Ok(0) => {}
            // A target that is away now is waited for by the flows.
            Ok(_) | Err(_) => return Ok(false),
        }
        for source in &self.settings.sources {
            let mut side = SourceSide::new(source.connect.clone());
            let databases = tokio::select! {
                biased;
                () = told_to_stop(&self.stop) => return Ok(false),
                databases = side.databases() => databases,
            };
            // Who does not tell whether it holds anything is resumed from.
            if databases.is_ok_and(|databases| !databases.is_empty()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Opens the checkpoint again after it failed to be written. `None`: told to stop meanwhile.
    async fn open_again(&self, run: &mut Run) -> Result<Option<Ledger>, Error> {
        run.session = None;
        loop {
            if self.sleep(Duration::from_secs(1)).await {
                return Ok(None);
            }
            match Ledger::open(&self.settings.checkpoint_dir, self.settings.clock).await {
                Ok(ledger) => return Ok(Some(ledger)),
                Err(
                    error @ (checkpoint::Error::Corrupted { .. } | checkpoint::Error::NewerFormat { .. }),
                ) => {
                    return Err(error.into());
                }
                Err(error) => warn!(%error, "checkpoint not opened again yet"),
            }
        }
    }

    /// The target, waited for up to a minute. `None`: told to stop meanwhile.
    async fn target(&self) -> Result<Option<Arc<Target>>, Error> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(200);
        loop {
            let connected = tokio::select! {
                biased;
                () = told_to_stop(&self.stop) => return Ok(None),
                connected = Target::connect(&self.settings.target) => connected,
            };
            let error = match connected {
                Ok(target) => return Ok(Some(target)),
                Err(error) if error.class() != Class::Retry => return Err(error.into()),
                Err(error) => error,
            };
            if began.elapsed() + pause > PATIENCE {
                return Err(Error::TargetAway { seconds: PATIENCE.as_secs(), last: error.to_string() });
            }
            warn!(%error, "target not usable yet");
            self.status.set_detail(error.to_string());
            if self.sleep(pause).await {
                return Ok(None);
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Attaches to the first source that is a master. `ask`: its LSNs are wanted from before (repair rule 7).
    async fn attach(
        &self,
        resume: Option<&Resume>,
        parting: Option<&Parting>,
        ask: bool,
    ) -> Result<Attached, AttachError> {
        self.status.enter(Phase::Attaching, "");
        let mut last = None;
        for (index, source) in self.settings.sources.iter().enumerate() {
            let ends = match resume {
                Some(resume) if ask => {
                    let mut side = SourceSide::new(source.connect.clone());
                    // A source that does not tell has an open end.
                    side.offsets().await.ok().filter(|ends| ends.len() == resume.lsns.len())
                }
                _ => None,
            };
            match flow::attach_after(source, resume, parting).await {
                Ok(attachment) => return Ok(Attached { source: index, attachment, ends }),
                Err(error) => {
                    // Of several errors the one that the operator can do something about is told.
                    let keep = matches!(&last, Some(l) if AttachError::class(l) != Class::Retry);
                    if !keep {
                        last = Some(error);
                    }
                }
            }
        }
        self.status.enter(Phase::Connecting, last.as_ref().map(ToString::to_string).unwrap_or_default());
        Err(last.expect("the configuration names at least one source"))
    }

    fn reader(&self, source: usize) -> ReaderOptions {
        let connect = self.settings.sources[source].connect.clone();
        let mut options = ReaderOptions::new(connect, self.settings.checkpoint_dir.join("repair"));
        options.pause_writes_ms = u64::try_from(self.settings.pause_writes.as_millis()).unwrap_or(u64::MAX);
        options
    }

    fn spool_limits(&self, flows: usize) -> SpoolLimits {
        let flows = flows.max(1);
        SpoolLimits {
            memory: (self.settings.spool_memory / flows).max(1 << 20),
            disk: self.settings.spool_disk / flows as u64,
            when_full: self.settings.spool_when_full,
        }
    }

    fn spools(&self, flows: usize) -> Vec<spool::Options> {
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

    async fn shared(&self, attachment: &Attachment, run: &Run, source: usize) -> Result<Shared, Error> {
        let flows = attachment.flows.len().max(1);
        let silent = |error: repair::ReaderError| Error::SourceSilent(error.to_string());
        let mut reader = repair::Reader::new(self.reader(source), self.settings.rules).map_err(silent)?;
        let refused = reader.may_read().await.map_err(silent)?.err();
        if let Some(why) = &refused {
            warn!(
                why,
                "the source may not be read: keys in doubt are listed as not in sync instead of repaired; allow PING, DFLY, TYPE \
                 and the commands that read values, see docs/operations.md"
            );
        }
        self.status.set_repair_off(refused.clone());
        let mut side = SourceSide::new(self.settings.sources[source].connect.clone());
        let told = side.backlog().await;
        let backlog = told.or_else(|| attachment.greeting.release.and_then(default_backlog));
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
            sharding: Sharding::new(flows),
            reconcile: AtomicBool::new(false),
            checkpoint_due: tokio::sync::Notify::new(),
            pace: Pace::for_backlog(backlog),
            drain_first: attachment.greeting.resume_style() == flow::ResumeStyle::Rdb,
        })
    }

    /// What has to be known and stored before the first byte is asked for. Leaves a session to plug into.
    async fn prepare(
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
        match (&full, resume) {
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
        }
    }

    async fn resume(
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
            let entry = Entry::edit(|state| (state.phase, state.reconcile) = (Stored::FullSync, true));
            run.ledger.write(entry).await?;
        }
        self.open(shared, beginning, attachment.flows.len(), repairing, run);
        Ok(())
    }

    async fn full_sync(
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
        let found = startup::first_contact(&self.settings, &run.ledger, &run.target, &run.mapping).await?;
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
        if let Some(nodes) = &run.nodes {
            nodes.forget_losses();
        }
        self.status.set_resumable(false);
        self.status.set_not_in_sync(0, Vec::new());
        let tokens = attachment.flows.iter().map(|flow| flow.eof_token).collect();
        self.open(shared, Beginning::Snapshot(tokens), attachment.flows.len(), Vec::new(), run);
        Ok(())
    }

    fn open(
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
    async fn note_databases(&self, mapping: &Mapping, source: usize) -> Result<(), Error> {
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

    /// The pause between two attempts; the session goes on meanwhile.
    async fn pause(&self, run: &mut Run) -> Result<Option<Finished>, Error> {
        self.wait(run.attempts.pause(), run).await
    }

    async fn wait(&self, pause: Duration, run: &mut Run) -> Result<Option<Finished>, Error> {
        let ending = tokio::select! {
            biased;
            () = told_to_stop(&self.stop) => return self.stop(run).await.map(Some),
            ending = ended(&mut run.session) => ending,
            () = tokio::time::sleep(pause) => return Ok(None),
        };
        match self.session_ended(ending, run, Instant::now()) {
            Err(error) => run.attempts.failed(error).map(|()| None),
            other => other,
        }
    }

    /// Waits; true when it is told to stop meanwhile.
    async fn sleep(&self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = told_to_stop(&self.stop) => true,
            () = tokio::time::sleep(pause) => false,
        }
    }
}

/// What lives from one attempt to the next.
struct Run {
    target: Arc<Target>,
    nodes: Option<Arc<NodeWatch>>,
    mapping: Mapping,
    ledger: Ledger,
    session: Option<Session>,
    /// Connections of an earlier session may still be open.
    dirty: bool,
    /// Why the next attachment asks for a full sync.
    start_over: Option<String>,
    attempts: Attempts,
}

/// An attachment to one of the sources.
struct Attached {
    source: usize,
    attachment: Attachment,
    /// The source's LSNs from before.
    ends: Option<Vec<u64>>,
}

async fn ended(session: &mut Option<Session>) -> Ending {
    match session {
        Some(session) => session.ended().await,
        None => std::future::pending().await,
    }
}

/// How many records of each flow a release keeps that does not tell (v1.40.1 answers no `CONFIG GET shard_repl_backlog_len`);
/// `None` where it keeps them by time.
fn default_backlog(release: Release) -> Option<u64> {
    match (release.major, release.minor) {
        (1, 34..=40) => Some(8_192),
        (1, ..=33) => Some(1_024),
        _ => None,
    }
}

/// The name of all our connections to the target.
fn connection_name(ledger: &Ledger) -> String {
    format!("df2redis-{}", ledger.name())
}

async fn told_to_stop(stop: &Stop) {
    // A program that dropped its end wants to stop as well.
    let _ = stop.clone().wait_for(|stop| *stop).await;
}

/// The stored position, if it can be resumed from.
fn resume(state: State) -> Option<Resume> {
    let usable = state.phase == Stored::Stable && !state.applied.is_empty();
    usable.then_some(Resume { replid: state.replication_id, lsns: state.applied })
}

/// Attempts to attach since the last success.
#[derive(Debug)]
struct Attempts {
    began: Instant,
    failures: u32,
    /// There was an attachment already.
    attached: bool,
    last: Option<String>,
    told: Option<Instant>,
    /// Of the random part of the pauses.
    seed: u64,
}

impl Attempts {
    fn new(seed: u64) -> Self {
        Attempts { began: Instant::now(), failures: 0, attached: false, last: None, told: None, seed }
    }

    /// An attempt failed. Before the first attachment the operator hears of it; afterwards everything that may change is
    /// tried for ever.
    fn failed(&mut self, error: Error) -> Result<(), Error> {
        let exit = error.exit();
        let mismatch =
            exit == Exit::Usage || matches!(error, Error::Collision(_) | Error::ForeignData { .. });
        if mismatch || (!self.attached && exit != Exit::Temporary) {
            return Err(error);
        }
        let text = error.to_string();
        if !self.attached && self.began.elapsed() > PATIENCE {
            let text = text.strip_prefix("source: ").unwrap_or(&text).to_owned();
            return Err(Error::SourceAway { seconds: PATIENCE.as_secs(), last: text });
        }
        // A line per try at the start; an outage of days gets one a minute.
        let due = self.told.is_none_or(|told| told.elapsed() > PATIENCE);
        if !self.attached || due || self.last.as_ref() != Some(&text) {
            warn!(error = text, "not attached");
            self.told = Some(Instant::now());
        }
        self.last = Some(text);
        self.failures += 1;
        Ok(())
    }

    /// An attachment ended. One that lived for a while counts as a success; one that was in stable sync comes back soon,
    /// while the source still holds what is missing.
    fn lost(&mut self, reason: String, began: Instant, stable: bool) {
        let failures = if began.elapsed() > LONGEST_PAUSE { 0 } else { self.failures + 1 };
        self.failures = if stable { failures.min(SOON) } else { failures };
        self.last = Some(reason);
    }

    /// How long to wait: twice as long each time, with a random part so that many replicas do not come back together.
    fn pause(&self) -> Duration {
        let base = Duration::from_millis(100 << self.failures.min(7)).min(LONGEST_PAUSE);
        let random = twox_hash::XxHash64::oneshot(self.seed, &self.failures.to_le_bytes()) % 256;
        base / 2 + base.mul_f64(random as f64 / 512.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let mut attempts = Attempts::new(1);
        assert!(attempts.pause() <= Duration::from_millis(100));
        attempts.lost("cut".into(), Instant::now(), true);
        attempts.lost("cut".into(), Instant::now(), true);
        attempts.lost("cut".into(), Instant::now(), true);
        assert!(attempts.pause() <= Duration::from_millis(400), "a link that was stable comes back soon");
        attempts.failures = 50;
        let pause = attempts.pause();
        assert!(pause >= LONGEST_PAUSE / 2 && pause <= LONGEST_PAUSE, "{pause:?}");
    }

    #[test]
    fn only_a_finished_full_sync_can_be_resumed_from() {
        let target = checkpoint::TargetIdentity::Cluster { node_ids: vec!["a".into()] };
        let mut state = State {
            phase: Stored::FullSync,
            replication_id: "r".into(),
            applied: vec![1, 2],
            reserved: vec![1, 2],
            reconcile: false,
            target,
            updated_at_ms: 0,
            nodes: Vec::new(),
        };
        assert_eq!(resume(state.clone()), None);
        state.phase = Stored::Stable;
        assert_eq!(resume(state).unwrap().lsns, [1, 2]);
    }
}
