//! Attach, run, back off, attach again.

mod attempts;
pub(crate) mod choice;
mod first;
mod prepare;
mod reach;

use std::sync::Arc;
use std::time::Duration;

use checkpoint::{Phase as Stored, State};
use command::Mapping;
use flow::{Attachment, Resume};
use router::Target;
use router::durability::{self, NodeWatch, Standing};
use tokio::time::Instant;
use tracing::warn;

use attempts::Attempts;
use choice::Wanted;

use crate::attachment::{self, Context, Outcome};
use crate::error::Error;
use crate::ledger::{Entry, Ledger};
use crate::phase::Phase;
use crate::session::{Ending, Session};
use crate::settings::Settings;
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
        let ledger = match &self.settings.store {
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
        self.status.set_dialect(target.dialect());
        let mapping = self.settings.mapping(target.is_cluster())?;
        let mapping = self.recall_existing(mapping, &ledger).await?;
        target.set_name(self.connection_name(&ledger));
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
        let (standing, lost) = match resumes {
            true => self.lost_meanwhile(&target, &nodes, &ledger).await,
            false => (None, None),
        };
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
            ledger,
            session: None,
            dirty: false,
            start_over: lost,
            standing,
            attempts: Attempts::new(self.settings.seed),
            stranger: None,
        };
        loop {
            self.status.enter(Phase::Connecting, run.attempts.last.clone().unwrap_or_default());
            let began = Instant::now();
            let outcome = self.attempt(&mut run).await;
            run.attempts.attached |= outcome.is_ok();
            let stable = run.session.as_ref().is_some_and(Session::is_stable);
            if stable {
                // The full sync that was due is through.
                run.start_over = None;
            }
            let next = match outcome {
                Ok(outcome) => self.after(outcome, &mut run, began, stable).await,
                Err(error) => Err(error),
            };
            match next {
                Ok(Some(finished)) => return Ok(finished),
                Ok(None) => {}
                Err(error) => run.attempts.failed(error)?,
            }
            if let Some(finished) = self.pause(&mut run).await? {
                return Ok(finished);
            }
        }
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
                if !stable
                    && let Some(session) = run.session.take()
                    // What came of a snapshot comes again; but a flow may have found a reason of its own.
                    && let Ending::StartOver(reason) = session.stop().await
                {
                    self.start_over(reason, run, began).await?;
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
            Outcome::StartOver(reason) => self.start_over(reason, run, began).await?,
            Outcome::SessionEnded(ending) => return self.session_ended(ending, run, began).await,
            Outcome::Fatal(error) => return Err(error),
        }
        Ok(None)
    }

    /// The source may be away for hours now: a process that is started meanwhile has to know as well.
    async fn start_over(&self, reason: String, run: &mut Run, began: Instant) -> Result<(), Error> {
        run.session = None;
        run.ledger.write(Entry::full_sync_due()).await?;
        self.status.set_resumable(false);
        warn!(reason, "full sync starts over");
        run.attempts.lost(reason.clone(), began, false);
        run.start_over = Some(reason);
        Ok(())
    }

    async fn session_ended(
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
            Ending::StartOver(reason) => self.start_over(reason, run, began).await?,
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
        self.session_ended(ending, run, Instant::now()).await.map(|_| ())
    }

    async fn until_there_is_room(&self, run: &mut Run) -> Result<Option<Finished>, Error> {
        loop {
            self.status.attempting();
            let Some(session) = &run.session else { return Ok(None) };
            // A flow at a global command takes nothing until the others have brought their copies.
            if session.has_room() || session.progress.borrow().at_global {
                return Ok(None);
            }
            if let Some(finished) = self.wait(Duration::from_millis(200), run).await? {
                return Ok(Some(finished));
            }
        }
    }

    /// One attempt: attaches, prepares, and runs the attachment to its end.
    async fn attempt(&self, run: &mut Run) -> Result<Outcome, Error> {
        self.status.attempting();
        let stored = run.ledger.state().and_then(resume);
        let resume = match (&run.start_over, &run.session) {
            (Some(_), _) => None,
            // Rule 20: from what was received; what the spool holds is applied meanwhile.
            (None, Some(session)) => stored.map(|stored| Resume { lsns: session.received(), ..stored }),
            (None, None) => stored,
        };
        let parting = run.session.as_ref().and_then(|session| session.parting.clone());
        let wanted = Wanted {
            resume: resume.as_ref(),
            parting: parting.as_ref(),
            ask: run.session.is_none(),
            known: run.ledger.state().map(|state| state.replication_id).filter(|id| !id.is_empty()),
        };
        let attached = tokio::select! {
            biased;
            () = told_to_stop(&self.stop) => return Ok(Outcome::Stopped),
            ending = ended(&mut run.session) => return Ok(Outcome::SessionEnded(ending)),
            attached = self.attach(&wanted, &mut run.stranger) => attached,
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

    /// The name of all our connections to the target.
    fn connection_name(&self, ledger: &Ledger) -> String {
        match &self.settings.task_name {
            Some(task) => format!("{}:{task}", connections(ledger)),
            None => connections(ledger),
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
        match self.session_ended(ending, run, Instant::now()).await {
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
    /// The target's nodes when it was looked at whether they lost something.
    standing: Option<Standing>,
    /// Why the next attachment asks for a full sync.
    start_over: Option<String>,
    attempts: Attempts,
    /// Since when only a master answers that is not the stored one.
    stranger: Option<Instant>,
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

/// The beginning of the names of all our connections to the target: what a task is called may change.
fn connections(ledger: &Ledger) -> String {
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
