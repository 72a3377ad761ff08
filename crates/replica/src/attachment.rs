//! One attachment, from the first byte of its flows to its end.
//!
//! The attachment owns the control connection, the flows' sockets and the ACKs. What it reads goes into the session, which
//! was there before where a partial sync goes on, and which stays when the link is lost.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use flow::{AckState, AckWriter, Acker, Answer, Attachment, Cadence, Parting};
use repair::ReaderOptions;
use router::side::Side;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use crate::acks::{self, Question};
use crate::engine::Goal;
use crate::error::Error;
use crate::fences::Link;
use crate::flow_task::{Order, stopped};
use crate::intake::{Closed, Stage, pump};
use crate::ledger::Entry;
use crate::phase::Phase;
use crate::removal::{Removal, Unfinished};
use crate::session::{Ending, Progress, Session};
use crate::source::SourceSide;
use crate::source_watch::{CONTROL_LOOK, SourceWatch, WatchedFlow, ask_control};

/// Bytes a flow may hold back while the snapshot runs: the source waits for a slow reader there, up to 30 s per write.
pub const SNAPSHOT_SPOOL: usize = 8 << 20;
/// How long the flows of one attachment may take to be closed together.
const TOGETHER: Duration = Duration::from_millis(200);
/// How long keys of a snapshot that are not in sync are worked on.
const REPAIRS: Duration = Duration::from_secs(30);
/// Pause before a removal of stale keys that could not go on is tried again.
const REMOVAL_PAUSE: Duration = Duration::from_secs(5);

/// How an attachment ended.
#[derive(Debug)]
pub enum Outcome {
    /// The link broke. Attach again.
    LinkLost(String),
    /// The link was dropped because the spool takes no more. Attach again when it does.
    SpoolFull,
    /// Attach again without LSNs: the reason.
    StartOver(String),
    /// It was told to stop.
    Stopped,
    /// The snapshot is complete, and nothing more was asked for.
    Migrated,
    /// The session has ended by itself.
    SessionEnded(Ending),
    /// The run cannot go on.
    Fatal(Error),
}

/// What an attachment is told.
#[derive(Debug)]
pub struct Context {
    /// The source that is attached to, for questions beside the replication.
    pub connect: resp::ConnectOptions,
    /// How fences are read from it.
    pub reader: ReaderOptions,
    /// What is to be reached.
    pub goal: Goal,
    /// What the spool of a flow may hold once the snapshot is through.
    pub spool: SpoolLimits,
    /// Told to stop.
    pub stop: watch::Receiver<bool>,
}

/// What the spool of one flow may hold.
#[derive(Debug, Clone, Copy)]
pub struct SpoolLimits {
    /// Bytes in memory.
    pub memory: usize,
    /// Bytes on disk.
    pub disk: u64,
    /// What happens above both.
    pub when_full: spool::WhenFull,
}

struct Running<'a> {
    session: &'a mut Session,
    context: &'a Context,
    stop: watch::Receiver<bool>,
    /// The sending sides until ACKs begin. The control connection closes before them.
    writers: Vec<AckWriter>,
    ackers: Vec<Acker>,
    pumps: JoinSet<(usize, Closed)>,
    /// What passes to the ACKs.
    gates: JoinSet<()>,
    questions: UnboundedReceiver<Question>,
    asking: UnboundedSender<Question>,
    taken_over: bool,
    stop_pumps: watch::Sender<bool>,
}

/// Runs an attachment to its end and closes it. The session stays as it is.
pub async fn run(mut attachment: Attachment, session: &mut Session, context: &Context) -> Outcome {
    let (asking, questions) = unbounded_channel();
    let mut running = Running {
        gates: JoinSet::new(),
        questions,
        asking,
        taken_over: false,
        stop: context.stop.clone(),
        session,
        context,
        writers: Vec::new(),
        ackers: Vec::new(),
        pumps: JoinSet::new(),
        stop_pumps: watch::channel(false).0,
    };
    running.plug_in(&mut attachment);
    let outcome = match running.follow(&mut attachment).await {
        Ok(never) => match never {},
        Err(outcome) => outcome,
    };
    running.session.set_link(None);
    running.session.parting = Some(running.parting());
    running.finish(attachment, outcome).await
}

impl Running<'_> {
    fn plug_in(&mut self, attachment: &mut Attachment) {
        let snapshot = attachment.needs_sync();
        for (id, socket) in attachment.take_flows().into_iter().enumerate() {
            let Some(flow) = self.session.flows.get(id) else { continue };
            let stage = if snapshot { Stage::Snapshot(socket.eof_token) } else { Stage::Journal };
            let (reader, writer) = socket.split();
            self.writers.push(writer);
            let (spool, received) = (flow.spool.clone(), flow.received.clone());
            let (status, stop) = (flow.status.clone(), self.stop_pumps.subscribe());
            self.pumps.spawn(async move { (id, pump(reader, spool, received, status, stage, stop).await) });
        }
    }

    /// From the first byte to whatever ends the attachment.
    async fn follow(&mut self, attachment: &mut Attachment) -> Result<std::convert::Infallible, Outcome> {
        let status = self.session.shared.status.clone();
        if attachment.needs_sync() {
            let partial = attachment.answer == Answer::Partial;
            status.enter(Phase::Snapshot, if partial { "missed records" } else { "" });
            self.drive(attachment.sync(), Progress::all_cut).await?;
            for flow in &self.session.flows {
                // From now on what the master sends must not wait: it holds all its clients while STARTSTABLE is pending.
                flow.gauge.set_limit(self.context.spool.memory);
                flow.gauge.set_disk_limit(self.context.spool.disk);
            }
        }
        status.enter(Phase::Barrier, "");
        self.drive(attachment.start_stable(), Progress::all_ready).await?;
        let replid = attachment.greeting.replid.clone();
        let stored = self.session.shared.ledger.state();
        if !self.session.is_stable() {
            let store = move |state: &mut checkpoint::State| {
                (state.phase, state.replication_id) = (checkpoint::Phase::Stable, replid);
            };
            match self.session.go(store).await {
                Ok(()) => {}
                Err(Error::Ended) => return Err(Outcome::SessionEnded(self.session.ended().await)),
                Err(error) => return Err(Outcome::Fatal(error)),
            }
        } else if stored.is_some_and(|state| state.replication_id != replid) {
            // A takeover: the LSNs go on, under another name.
            let entry = Entry::edit(move |state| state.replication_id = replid);
            let written = self.session.shared.ledger.write(entry).await;
            written.map_err(|e| Outcome::Fatal(e.into()))?;
        }
        for flow in &self.session.flows {
            flow.gauge.set_when_full(self.context.spool.when_full);
        }
        if self.context.goal == Goal::Migrate {
            self.repair_what_is_listed(attachment).await?;
            let scheduled = self.session.shared.ledger.scheduled();
            if scheduled > 0 {
                warn!(
                    keys = scheduled,
                    "members of these keys expire at the source; nobody removes them from the target"
                );
            }
            return Err(Outcome::Migrated);
        }
        for (writer, flow) in std::mem::take(&mut self.writers).into_iter().zip(&self.session.flows) {
            let (applied, applied_out) = watch::channel(*flow.acks.applied.borrow());
            let (ping, ping_out) = watch::channel(0);
            self.gates.spawn(acks::gate(flow.acks.clone(), applied, ping, self.asking.clone()));
            let state = AckState { applied: applied_out, ping: ping_out };
            self.ackers.push(Acker::spawn(writer, state, Cadence::default()));
        }
        self.session.set_link(Some(Link {
            reader: self.context.reader.clone(),
            replication_id: attachment.greeting.replid.clone(),
        }));
        status.enter(Phase::Stable, "");
        self.stable(attachment).await
    }

    /// How this attachment looked when it ended.
    fn parting(&self) -> Parting {
        let pings = self.session.flows.iter().map(|flow| *flow.acks.ping.borrow()).collect();
        Parting { taken_over: self.taken_over, pings }
    }

    /// A snapshot leaves keys behind that have to be read again: they are, for a while, before it counts as complete.
    async fn repair_what_is_listed(&mut self, attachment: &Attachment) -> Result<(), Outcome> {
        let ledger = self.session.shared.ledger.clone();
        if !self.session.shared.repair || ledger.listed(0).0 == 0 {
            return Ok(());
        }
        self.session.set_link(Some(Link {
            reader: self.context.reader.clone(),
            replication_id: attachment.greeting.replid.clone(),
        }));
        let until = tokio::time::Instant::now() + REPAIRS;
        while ledger.listed(0).0 > 0 && tokio::time::Instant::now() < until {
            tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return Err(Outcome::Stopped),
                ending = self.session.ended() => return Err(Outcome::SessionEnded(ending)),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
        let (left, _) = ledger.listed(0);
        if left > 0 {
            warn!(
                keys = left,
                "keys are not in sync at the end of the snapshot; `df2redis status` lists them"
            );
        }
        Ok(())
    }

    /// Waits for the answer to a request on the control connection and for the flows to get as far as `done` wants.
    async fn drive(
        &mut self,
        call: impl Future<Output = Result<(), flow::AttachError>>,
        done: impl Fn(&Progress) -> bool,
    ) -> Result<(), Outcome> {
        tokio::pin!(call);
        let mut progress = self.session.progress.clone();
        let mut answered = false;
        loop {
            if answered && done(&progress.borrow_and_update()) {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return Err(Outcome::Stopped),
                ending = self.session.ended() => return Err(Outcome::SessionEnded(ending)),
                answer = &mut call, if !answered => match answer {
                    Ok(()) => answered = true,
                    Err(error) if error.needs_full_sync() => return Err(Outcome::StartOver(error.to_string())),
                    Err(error) => return Err(Outcome::LinkLost(error.to_string())),
                },
                Ok(()) = progress.changed() => {}
                Some(closed) = self.pumps.join_next() => return Err(self.closed(closed).await),
            }
        }
    }

    async fn closed(&mut self, closed: Result<(usize, Closed), tokio::task::JoinError>) -> Outcome {
        match closed {
            Ok((flow, Closed::Link)) => Outcome::LinkLost(format!("the source closed flow {flow}")),
            Ok((flow, Closed::Cut(error))) => {
                Outcome::LinkLost(format!("the connection of flow {flow} to the source broke: {error}"))
            }
            Ok((_, Closed::SpoolFull)) => Outcome::SpoolFull,
            Ok((_, Closed::Broken(reason))) => Outcome::StartOver(reason),
            // The flow's task has ended, and says why through its session.
            Ok((_, Closed::Abandoned)) => Outcome::SessionEnded(self.session.ended().await),
            Err(error) => Outcome::LinkLost(error.to_string()),
        }
    }

    /// Stable sync: the removal of stale keys, and an eye on the source.
    async fn stable(&mut self, attachment: &mut Attachment) -> Result<std::convert::Infallible, Outcome> {
        let (lost, mut silent) = unbounded_channel();
        let _watch = AbortOnDrop(self.watch_source(lost));
        let mut removal = self.removal(Duration::ZERO);
        let _end = AbortOnDrop::of(&removal);
        let mut _again = AbortOnDrop(None);
        let mut look = tokio::time::interval(CONTROL_LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return Err(Outcome::Stopped),
                ending = self.session.ended() => return Err(Outcome::SessionEnded(ending)),
                Some(closed) = self.pumps.join_next() => return Err(self.closed(closed).await),
                Some(question) = self.questions.recv() => {
                    // An answer that does not come means that nobody knows.
                    self.taken_over = attachment.is_taken_over().await.unwrap_or(false);
                    // The gate has ended with its flow.
                    let _ = question.send(());
                }
                Some(reason) = silent.recv() => return Err(Outcome::LinkLost(reason)),
                _ = look.tick() => self.ask_control(attachment, &mut silent).await?,
                result = finished(&mut removal) => {
                    removal = None;
                    if self.removed(result).await? {
                        removal = self.removal(REMOVAL_PAUSE);
                        _again = AbortOnDrop::of(&removal);
                    }
                }
            }
        }
    }

    /// A sign of life of the control connection is waited for, as long as nothing else ends the attachment.
    async fn ask_control(
        &mut self,
        attachment: &mut Attachment,
        silent: &mut UnboundedReceiver<String>,
    ) -> Result<(), Outcome> {
        let statuses: Vec<_> = self.session.flows.iter().map(|flow| flow.status.clone()).collect();
        let brought = || statuses.iter().map(|status| status.bytes.load(Relaxed)).sum();
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => Err(Outcome::Stopped),
            ending = self.session.ended() => Err(Outcome::SessionEnded(ending)),
            Some(closed) = self.pumps.join_next() => Err(self.closed(closed).await),
            Some(reason) = silent.recv() => Err(Outcome::LinkLost(reason)),
            lost = ask_control(attachment, brought) => match lost {
                Some(reason) => Err(Outcome::LinkLost(reason)),
                None => Ok(()),
            },
        }
    }

    /// An eye on the source, which says so when it is gone.
    fn watch_source(&self, lost: UnboundedSender<String>) -> Option<AbortHandle> {
        let flows = self.session.flows.iter().zip(&self.ackers).map(|(flow, acker)| WatchedFlow {
            status: flow.status.clone(),
            gauge: flow.gauge.clone(),
            acknowledged: acker.acknowledged(),
        });
        let watch = SourceWatch::new(&self.context.connect, flows.collect());
        let task = async move {
            let reason = watch.until_lost().await;
            // An attachment that does not listen has ended.
            let _ = lost.send(reason);
        };
        Some(tokio::spawn(task).abort_handle())
    }

    fn removal(&self, after: Duration) -> Option<JoinHandle<Result<u64, Unfinished>>> {
        let shared = &self.session.shared;
        if !shared.reconcile.load(Relaxed) || !shared.rules.on(37) {
            return None;
        }
        if !shared.repair {
            warn!("keys that the source lacks are not removed: the source may not be read");
            return None;
        }
        shared.status.removed(0, true);
        let removal = Removal {
            source: SourceSide::new(self.context.connect.clone()),
            side: Side::new(shared.target.clone()),
            flows: self.session.orders.clone(),
            unclear: self.session.unclear.clone(),
            shared: shared.clone(),
        };
        Some(tokio::spawn(async move {
            tokio::time::sleep(after).await;
            removal.run().await
        }))
    }

    /// Returns whether it is due again.
    async fn removed(&mut self, result: Result<u64, Unfinished>) -> Result<bool, Outcome> {
        let shared = &self.session.shared;
        shared.status.removed(0, false);
        match result {
            Ok(removed) => {
                info!(removed, "no key that the source lacks is left on the target");
                // Rule 38: only now, in one write.
                let written = shared.ledger.write(Entry::edit(|state| state.reconcile = false)).await;
                written.map_err(|e| Outcome::Fatal(e.into()))?;
                shared.reconcile.store(false, Relaxed);
                for flow in &self.session.orders {
                    // A flow that has ended knows no keys any more.
                    let _ = flow.send(Order::Reconciled);
                }
                Ok(false)
            }
            Err(error) => {
                warn!(%error, "keys that the source lacks are not all removed; tried again");
                Ok(true)
            }
        }
    }

    /// Closes the connections, in an order that is safe for the master.
    async fn finish(mut self, attachment: Attachment, outcome: Outcome) -> Outcome {
        self.session.shared.status.removed(0, false);
        let ackers = std::mem::take(&mut self.ackers);
        if let Outcome::LinkLost(reason) = &outcome {
            info!(reason, "link to the source lost");
            // Closing takes seconds where nobody answers.
            self.session.shared.status.enter(Phase::Connecting, reason.clone());
            if self.all_closed().await {
                // The master has ended the attachment: no ACK of ours can meet it half-closed any more.
                drop((attachment, ackers));
            } else {
                attachment.close(ackers).await;
            }
        } else {
            attachment.close(ackers).await;
        }
        // What was read is pushed to its last piece: the next attachment goes on behind it.
        self.stop_pumps.send_replace(true);
        while self.pumps.join_next().await.is_some() {}
        outcome
    }

    /// Whether the master has closed every flow. It closes them together, so a moment is enough.
    async fn all_closed(&mut self) -> bool {
        let all = async { while self.pumps.join_next().await.is_some() {} };
        tokio::time::timeout(TOGETHER, all).await.is_ok()
    }
}

async fn finished(task: &mut Option<JoinHandle<Result<u64, Unfinished>>>) -> Result<u64, Unfinished> {
    match task {
        Some(task) => task.await.unwrap_or(Err(Unfinished::Ended)),
        None => std::future::pending().await,
    }
}

struct AbortOnDrop(Option<AbortHandle>);

impl AbortOnDrop {
    fn of<T>(task: &Option<JoinHandle<T>>) -> Self {
        AbortOnDrop(task.as_ref().map(JoinHandle::abort_handle))
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
