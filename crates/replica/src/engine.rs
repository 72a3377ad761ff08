//! Attach, run, back off, attach again.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use checkpoint::{Phase as Stored, State};
use command::Mapping;
use config::ExistingData;
use flow::{Answer, AttachError, Attachment, Resume};
use resp::Class;
use router::Target;
use router::side::Side;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::attachment::{self, Context, Outcome};
use crate::error::{Error, Exit};
use crate::flow_task::Shared;
use crate::ledger::Ledger;
use crate::phase::Phase;
use crate::settings::Settings;
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
        let mut ledger = Ledger::open(&self.settings.checkpoint_dir).await?;
        let (count, first) = ledger.not_in_sync(SHOWN_NOT_IN_SYNC).await?;
        self.status.set_not_in_sync(count, first);
        let Some(target) = self.target().await? else { return Ok(Finished::Stopped) };
        startup::check_identity(&self.settings, ledger.state().await.as_ref(), &target)?;
        let mapping = self.settings.mapping(target.is_cluster())?;
        let resumes = ledger.state().await.and_then(resume).is_some();
        if resumes && self.target_is_empty(&target).await? {
            // A source that was flushed leaves an empty target as well, so this is not decided here.
            warn!(
                "the target is empty although this checkpoint has written to it, and the source is not; if its data was \
                 lost, stop, run `df2redis checkpoint reset` and start again"
            );
        }
        let mut attempts = Attempts::default();
        let mut start_over: Option<String> = None;
        loop {
            self.status.enter(Phase::Connecting, attempts.last.clone().unwrap_or_default());
            let began = Instant::now();
            let stable = AtomicBool::new(false);
            let outcome = self.attempt(&target, &mapping, &ledger, start_over.clone(), &stable).await;
            let stable = stable.into_inner();
            attempts.attached |= outcome.is_ok();
            match outcome {
                Ok(Outcome::Stopped) => return Ok(Finished::Stopped),
                Ok(Outcome::Migrated) => return Ok(Finished::Migrated),
                Ok(Outcome::LinkLost(reason)) => {
                    start_over = start_over.filter(|_| !stable);
                    attempts.lost(reason, began, stable);
                }
                Ok(Outcome::StartOver(reason)) => {
                    warn!(reason, "full sync starts over");
                    attempts.lost(reason.clone(), began, false);
                    start_over = Some(reason);
                }
                Ok(Outcome::Fatal(error)) | Err(error) => {
                    let broken = matches!(error, Error::Checkpoint(_));
                    attempts.failed(error)?;
                    if broken {
                        // A store that failed to write takes no more; what is on the disk counts.
                        drop(ledger);
                        let Some(opened) = self.open_again().await? else { return Ok(Finished::Stopped) };
                        ledger = opened;
                    }
                }
            }
            if self.pause(attempts.pause()).await {
                return Ok(Finished::Stopped);
            }
        }
    }

    /// One attempt: attaches, prepares, and runs the attachment to its end.
    async fn attempt(
        &self,
        target: &Arc<Target>,
        mapping: &Mapping,
        ledger: &Ledger,
        start_over: Option<String>,
        stable: &AtomicBool,
    ) -> Result<Outcome, Error> {
        let resume = match &start_over {
            Some(_) => None,
            None => ledger.state().await.and_then(resume),
        };
        let attached = tokio::select! {
            biased;
            () = told_to_stop(&self.stop) => return Ok(Outcome::Stopped),
            attached = self.attach(resume.as_ref()) => attached,
        };
        let (source, attachment) = attached?;
        let shared = self.shared(&attachment, target, mapping, ledger);
        let prepared = tokio::select! {
            biased;
            () = told_to_stop(&self.stop) => Ok(false),
            prepared = self.prepare(&attachment, &shared, source, start_over) => prepared.map(|()| true),
        };
        if !matches!(prepared, Ok(true)) {
            attachment.close(Vec::new()).await;
            return prepared.map(|_| Outcome::Stopped);
        }
        let context = Context {
            shared,
            settings: &self.settings,
            connect: self.settings.sources[source].connect.clone(),
            goal: self.goal,
            resume: resume.map(|resume| resume.lsns),
            was_stable: AtomicBool::new(false),
        };
        let outcome = attachment::run(attachment, &context, self.stop.clone()).await;
        stable.store(context.was_stable.into_inner(), Relaxed);
        Ok(outcome)
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
    async fn open_again(&self) -> Result<Option<Ledger>, Error> {
        loop {
            if self.pause(Duration::from_secs(1)).await {
                return Ok(None);
            }
            match Ledger::open(&self.settings.checkpoint_dir).await {
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
            if self.pause(pause).await {
                return Ok(None);
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Attaches to the first source that is a master.
    async fn attach(&self, resume: Option<&Resume>) -> Result<(usize, Attachment), AttachError> {
        self.status.enter(Phase::Attaching, "");
        let mut last = None;
        for (index, source) in self.settings.sources.iter().enumerate() {
            match flow::attach(source, resume).await {
                Ok(attachment) => return Ok((index, attachment)),
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

    fn shared(
        &self,
        attachment: &Attachment,
        target: &Arc<Target>,
        mapping: &Mapping,
        ledger: &Ledger,
    ) -> Arc<Shared> {
        let flows = attachment.flows.len().max(1);
        Arc::new(Shared {
            target: target.clone(),
            mapping: mapping.clone(),
            ledger: ledger.clone(),
            status: self.status.clone(),
            window: (WINDOW / flows).clamp(256 << 10, 4 << 20),
            flows,
            misplaced: AtomicU64::new(0),
            over_existing: AtomicBool::new(false),
        })
    }

    /// What has to be known and stored before the first byte is asked for.
    async fn prepare(
        &self,
        attachment: &Attachment,
        shared: &Shared,
        source: usize,
        start_over: Option<String>,
    ) -> Result<(), Error> {
        let greeting = &attachment.greeting;
        let release = greeting.release.map(|r| r.to_string()).unwrap_or_else(|| "unknown".into());
        let reason = match &attachment.answer {
            Answer::Full(reason) => Some(start_over.unwrap_or_else(|| reason.to_string())),
            Answer::Partial => None,
        };
        self.status.attached(&greeting.replid, &release, attachment.flows.len(), reason.as_deref());
        // Before anything is removed or compared by its name, whichever way it goes on.
        self.note_databases(shared, source).await?;
        let Some(reason) = reason else {
            info!(replid = greeting.replid, flows = attachment.flows.len(), "partial sync");
            return Ok(());
        };
        let stored = shared.ledger.state().await;
        let known = stored.as_ref().is_some_and(|state| state.phase != Stored::None);
        info!(
            reason,
            replid = greeting.replid,
            flows = attachment.flows.len(),
            repeated = known,
            "full sync"
        );
        startup::first_contact(&self.settings, &shared.ledger, &shared.target, &shared.mapping).await?;
        let merge = self.settings.on_existing_data == ExistingData::Merge;
        if known && merge {
            warn!("keys that the source lacks stay on the target (on_existing_data: merge)");
        }
        // It names the target before the first write goes out: what a crash leaves behind is known as ours.
        let state = State {
            phase: Stored::FullSync,
            replication_id: greeting.replid.clone(),
            applied: Vec::new(),
            reserved: Vec::new(),
            reconcile: known && !merge,
            target: startup::identity(&shared.target),
            updated_at_ms: 0,
            nodes: Vec::new(),
        };
        shared.over_existing.store(state.reconcile, Relaxed);
        shared.ledger.full_sync_begins(state).await?;
        self.status.set_not_in_sync(0, Vec::new());
        Ok(())
    }

    /// Which databases the source has, for names that would collide. A user who may not ask finds out when a record
    /// selects one.
    async fn note_databases(&self, shared: &Shared, source: usize) -> Result<(), Error> {
        let mut side = SourceSide::new(self.settings.sources[source].connect.clone());
        match side.keyspace().await {
            Ok(databases) => {
                self.status.expect_keys(databases.iter().map(|(_, keys)| keys).sum());
                shared.mapping.databases_unknown(false);
                for (db, _) in databases {
                    shared.mapping.note_database(db).map_err(Error::Collision)?;
                }
                Ok(())
            }
            Err(Unanswered::Connection(error)) if error.class() == Class::Retry => {
                Err(Error::SourceSilent(error.to_string()))
            }
            Err(error) => {
                info!(%error, "the source does not tell its databases; they are noted as they appear");
                shared.mapping.databases_unknown(true);
                Ok(())
            }
        }
    }

    /// Waits; true when it is told to stop meanwhile.
    async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            () = told_to_stop(&self.stop) => true,
            () = tokio::time::sleep(pause) => false,
        }
    }
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
}

impl Default for Attempts {
    fn default() -> Self {
        Attempts { began: Instant::now(), failures: 0, attached: false, last: None, told: None }
    }
}

impl Attempts {
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
        let random = RandomState::new().hash_one(self.failures) % 256;
        base / 2 + base.mul_f64(random as f64 / 512.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let mut attempts = Attempts::default();
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
