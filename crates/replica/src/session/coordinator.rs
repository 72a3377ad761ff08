//! What concerns all flows of a session: barriers, the checkpoint, the reservation.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use checkpoint::{NodeMark, State};
use command::SourceKey;
use router::durability::{Mark, Settlement, Standing};
use router::side::Side;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{info, warn};

use crate::error::Error;
use crate::flow_task::invariants::on_one_side;
use crate::flow_task::{End, Notice, Order, Position, Shared, Stored, stopped};
use crate::global::{self, Barrier, Reached};
use crate::intake::Received;
use crate::ledger::Entry;
use crate::startup;
use crate::status::{FlowStatus, SHOWN_NOT_IN_SYNC};
use crate::unclear::Request;

/// Two checkpoints are at least this far apart, so that a fast stream costs one for a few thousand records; unless a flow
/// is about to wait for one.
const SPACING: Duration = Duration::from_millis(20);
/// Why a key is repaired that came on a flow which is not its own.
const MISPLACED: &str = "came on another flow than its own";
/// How long the target's nodes may take to show themselves before the journal is followed.
const STAND: Duration = Duration::from_secs(5);
/// How long the target's nodes may take to tell that they keep what they acknowledged, before that is mentioned.
const SETTLE: Duration = Duration::from_secs(15);

/// How far the flows of a session are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Flows that have read FULLSYNC_END.
    pub cuts: usize,
    /// The next LSN of every flow that is ready for the journal.
    pub ready: Vec<Option<u64>>,
    /// The journal is being followed.
    pub stable: bool,
    /// Some flow stands at a global command, and others have not come to theirs.
    pub at_global: bool,
}

impl Progress {
    pub(super) fn new(flows: usize) -> Progress {
        Progress { cuts: 0, ready: vec![None; flows], ..Progress::default() }
    }

    /// Whether every flow has read FULLSYNC_END.
    pub fn all_cut(&self) -> bool {
        self.cuts == self.ready.len()
    }

    /// Whether every flow is ready for the journal.
    pub fn all_ready(&self) -> bool {
        self.ready.iter().all(Option::is_some)
    }
}

/// How a session ended.
#[derive(Debug)]
pub enum Ending {
    /// There is no more input; everything is applied, and the checkpoint is exact.
    Drained,
    /// It was told to stop.
    Stopped {
        /// Nothing was on its way any more: the next start resumes without doubt.
        exact: bool,
    },
    /// What lay in the spool cannot be read; what came before is applied, and the checkpoint is exact.
    SpoolLost(String),
    /// The full sync has to start over, or a resume is not possible: the reason.
    StartOver(String),
    /// The run cannot go on.
    Failed(Error),
}

type Change = Box<dyn FnOnce(&mut State) + Send>;

/// What the engine tells a coordinator.
pub(crate) enum Command {
    /// Every flow is ready: store it, and let them go.
    Go {
        /// What else changes in the checkpoint.
        change: Change,
        /// Answered when they go.
        done: oneshot::Sender<Result<(), Error>>,
    },
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Go")
    }
}

/// One flow as the coordinator sees it.
#[derive(Debug)]
pub(super) struct FlowEnd {
    pub(super) applied: watch::Receiver<u64>,
    pub(super) position: watch::Receiver<Position>,
    pub(super) received: Arc<Received>,
    pub(super) status: Arc<FlowStatus>,
}

#[derive(Debug)]
pub(super) struct Coordinator {
    pub(super) shared: Arc<Shared>,
    pub(super) flows: Vec<FlowEnd>,
    pub(super) orders: Vec<UnboundedSender<Order>>,
    pub(super) unclear: UnboundedSender<Request>,
    pub(super) notices: UnboundedReceiver<Notice>,
    pub(super) commands: super::Commands,
    pub(super) progress: watch::Sender<Progress>,
    /// What is durable, for the flows.
    pub(super) stored: watch::Sender<Vec<Stored>>,
    pub(super) stop_flows: watch::Sender<bool>,
    pub(super) interval: Duration,
    /// What is stored is not resumed from any more.
    pub(super) forgotten: bool,
    /// By flow: its copy of a global command that is not through.
    pub(super) standing: Vec<Option<u64>>,
    /// The copies of the last one that is.
    pub(super) done: Vec<u64>,
}

impl Coordinator {
    pub(super) async fn run(mut self) -> Ending {
        let mut barrier = Barrier::new(self.flows.len());
        let mut interval = tokio::time::interval(self.interval);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ends = Vec::new();
        let mut due = false;
        let mut last = Instant::now();
        let mut failed = None;
        while ends.len() < self.flows.len() {
            let stable = self.progress.borrow().stable && failed.is_none();
            let shared = self.shared.clone();
            let result = tokio::select! {
                biased;
                Some(notice) = self.notices.recv() => match notice {
                    Notice::Ended { flow, end } => {
                        self.flow_ended(flow, &end, &barrier);
                        let result = match &end {
                            End::StartOver(reason) => Err(Ending::StartOver(reason.clone())),
                            _ => Ok(()),
                        };
                        ends.push(end);
                        result
                    }
                    notice => {
                        let result = self.take(notice, &mut barrier, &mut interval).await;
                        // The copy of a global command in a flow that has ended does not come any more.
                        if !ends.is_empty() && barrier.is_waited_for() {
                            self.stop_flows.send_replace(true);
                        }
                        result
                    }
                },
                Some(Command::Go { change, done }) = self.commands.recv() => {
                    self.go(change, done).await;
                    Ok(())
                }
                () = shared.checkpoint_due.notified(), if stable && !due => {
                    due = true;
                    Ok(())
                }
                () = shared.checkpoint_now.notified(), if stable => {
                    (due, last) = (false, Instant::now());
                    self.checkpoint().await
                }
                () = tokio::time::sleep_until(last + SPACING), if stable && due => {
                    due = false;
                    last = Instant::now();
                    self.checkpoint().await
                }
                _ = interval.tick(), if stable => {
                    last = Instant::now();
                    self.checkpoint().await
                }
            };
            if let Err(mut ending) = result {
                self.stop_flows.send_replace(true);
                if matches!(ending, Ending::StartOver(_))
                    && let Err(broken) = self.forget_position().await
                {
                    ending = broken;
                }
                // The first reason counts; the others follow from it.
                failed.get_or_insert(ending);
            }
        }
        self.finish(ends, failed).await
    }

    fn flow_ended(&self, flow: usize, end: &End, barrier: &Barrier) {
        let alone = !matches!(end, End::Input | End::Stopped { .. });
        // The others may stand at a global command whose copy in this flow does not come any more.
        if alone || barrier.is_waited_for() {
            if !matches!(end, End::Stopped { .. }) {
                info!(flow, ?end, "flow ended");
            }
            self.stop_flows.send_replace(true);
        }
    }

    async fn take(
        &mut self,
        notice: Notice,
        barrier: &mut Barrier,
        interval: &mut tokio::time::Interval,
    ) -> Result<(), Ending> {
        match notice {
            Notice::Cut { .. } => self.progress.send_modify(|p| p.cuts += 1),
            Notice::Misplaced { keys } => {
                for key in keys {
                    let Some(flow) = self.shared.sharding.flow_of(&key.key) else {
                        let (done, _) = oneshot::channel();
                        let (cause, reason) = (repair::Cause::Misplaced, MISPLACED);
                        // The session ends with the one that takes it.
                        let _ = self.unclear.send(Request { keys: vec![key], cause, reason, done });
                        continue;
                    };
                    let order = Order::Repair {
                        keys: vec![key],
                        cause: repair::Cause::Stale,
                        reason: MISPLACED,
                        done: oneshot::channel().0,
                    };
                    // A flow that has ended has said so; the key is listed.
                    let _ = self.orders[flow].send(order);
                }
            }
            Notice::Ready { flow, next } => {
                self.flows[flow].received.begin_at(next);
                self.flows[flow].status.received.store(self.flows[flow].received.next(), Relaxed);
                self.progress.send_modify(|p| p.ready[flow] = Some(next));
            }
            Notice::Global { flow, lsn, txid, global } => {
                let arrived = barrier.arrive(flow, lsn, txid, global);
                self.standing[flow] = Some(lsn);
                self.progress.send_modify(|progress| progress.at_global = barrier.is_waited_for());
                match arrived {
                    Ok(Some(reached)) => {
                        self.shared.status.executing(true);
                        let executed = self.execute(reached).await;
                        self.shared.status.executing(false);
                        executed?;
                        interval.reset();
                    }
                    Ok(None) => {}
                    Err(mixed) => return Err(Ending::StartOver(mixed.to_string())),
                }
            }
            Notice::Ended { .. } => {}
        }
        Ok(())
    }

    /// Stores where the journal begins, then lets the flows go.
    async fn go(&mut self, change: Change, done: oneshot::Sender<Result<(), Error>>) {
        let next: Vec<u64> = self.progress.borrow().ready.iter().map(|n| n.unwrap_or_default()).collect();
        let window = self.shared.pace.window;
        let target = startup::identity(&self.shared.target);
        if let Some(nodes) = &self.shared.nodes {
            // The first position that can be resumed from needs to know the nodes as much as any later one.
            nodes.stand(&self.shared.target.masters(), STAND).await;
        }
        let marks = self.marks();
        let begin = next.clone();
        let entry = Entry::edit(move |state| {
            let same_space = state.reserved.len() == begin.len() && state.applied == begin;
            // What was reserved before stays: a program that ends now leaves it in doubt.
            let before = if same_space { state.reserved.clone() } else { begin.clone() };
            state.reserved = begin.iter().zip(before).map(|(next, old)| old.max(next + window)).collect();
            state.applied = begin;
            state.target = target;
            if !marks.is_empty() {
                state.nodes = marks;
            }
            change(state);
        });
        let result = self.shared.ledger.write(entry).await.map_err(Error::from);
        if result.is_ok() {
            self.tell_stored();
            for (flow, next) in self.flows.iter().zip(&next) {
                flow.status.checkpointed.store(*next, Relaxed);
            }
            self.shared.status.set_resumable(true);
            self.progress.send_modify(|p| p.stable = true);
            self.order_all(|| Order::Go);
        }
        // An engine that does not wait any more has ended.
        let _ = done.send(result);
    }

    /// One write for all flows: how far they are, and how far they may go (repair rules 1, 3 and 5).
    async fn checkpoint(&mut self) -> Result<(), Ending> {
        let applied: Vec<u64> = self.flows.iter().map(|flow| *flow.applied.borrow()).collect();
        let window = self.shared.pace.window;
        let ahead: Vec<u64> = self
            .flows
            .iter()
            .zip(&applied)
            .map(|(flow, applied)| {
                let position = *flow.position.borrow();
                (position.next.max(*applied) + window).max(position.wanted)
            })
            .collect();
        self.store(applied, ahead, Vec::new(), false).await
    }

    async fn store(
        &mut self,
        applied: Vec<u64>,
        ahead: Vec<u64>,
        gone: Vec<SourceKey>,
        clean_stop: bool,
    ) -> Result<(), Ending> {
        let target = startup::identity(&self.shared.target);
        // After the LSNs that they are stored with.
        let marks = self.marks();
        let stored = applied.clone();
        if self.shared.rules.on(23) && self.shared.rules.on(26) {
            let durable = self.shared.ledger.state().map(|state| state.applied).unwrap_or_default();
            let after = applied
                .iter()
                .enumerate()
                .map(|(flow, applied)| durable.get(flow).map_or(*applied, |durable| *durable.max(applied)));
            on_one_side(&after.collect::<Vec<_>>(), &self.standing, &self.done);
        }
        let mut entry = Entry::edit(move |state| {
            for (stored, now) in state.applied.iter_mut().zip(&applied) {
                // A flow that has not told yet how far it is takes nothing back.
                *stored = (*stored).max(*now);
            }
            if clean_stop {
                state.reserved.clone_from(&state.applied);
            } else {
                for (stored, now) in state.reserved.iter_mut().zip(&ahead) {
                    *stored = (*stored).max(*now);
                }
            }
            state.target = target;
            if !marks.is_empty() {
                state.nodes = marks;
            }
        })
        .unlist(gone);
        if clean_stop {
            entry = entry.clean_stop();
        }
        self.shared.ledger.write(entry).await.map_err(|e| Ending::Failed(e.into()))?;
        self.tell_stored();
        let (count, first) = self.shared.ledger.listed(SHOWN_NOT_IN_SYNC);
        self.shared.status.set_not_in_sync(count, first);
        for (flow, applied) in self.flows.iter().zip(&stored) {
            flow.status.checkpointed.fetch_max(*applied, Relaxed);
        }
        Ok(())
    }

    /// The stream cannot be trusted: nothing of it is resumed from any more, in whatever process.
    async fn forget_position(&mut self) -> Result<(), Ending> {
        self.forgotten = true;
        let written = self.shared.ledger.write(Entry::full_sync_due()).await;
        written.map_err(|error| Ending::Failed(error.into()))
    }

    fn tell_stored(&self) {
        let Some(state) = self.shared.ledger.state() else { return };
        let stored = Stored::of_each(&state);
        for (flow, stored) in self.flows.iter().zip(&stored) {
            flow.status.reserved.store(stored.reserved, Relaxed);
        }
        self.stored.send_if_modified(|value| std::mem::replace(value, stored.clone()) != stored);
    }

    /// Every flow stands at the same global command, and nothing is on its way (repair rules 23 to 26 and 29).
    async fn execute(&mut self, reached: Reached) -> Result<(), Ending> {
        let Reached { global, lsns } = reached;
        let mut pause = Duration::from_millis(100);
        let mut stop = self.stop_flows.subscribe();
        let mut gone: Vec<SourceKey> = Vec::new();
        // Made anew, so that nothing of an earlier one can come behind it.
        let mut side = Side::new(self.shared.target.clone());
        loop {
            let result = tokio::select! {
                biased;
                () = stopped(&mut stop) => return Ok(()),
                result = self.execute_everywhere(&mut side, &global) => result,
            };
            match result {
                Ok(standing) => {
                    gone.extend(self.end_repairs(&global).await);
                    // Until the flows had noted it nobody would have missed it on a node that lost it again.
                    let nodes = self.shared.nodes.as_ref();
                    let changed = nodes.zip(standing).map(|(nodes, standing)| nodes.changed_since(&standing));
                    if changed.is_none_or(|changed| changed.is_empty()) {
                        break;
                    }
                }
                Err(why) => {
                    warn!(command = ?global, why, "global command not executed yet");
                    tokio::select! {
                        biased;
                        () = stopped(&mut stop) => return Ok(()),
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            }
        }
        if self.shared.rules.on(24) {
            let (_, listed) = self.shared.ledger.listed(usize::MAX);
            let listed = listed.into_iter().map(|entry| SourceKey { db: entry.db, key: entry.key.into() });
            gone.extend(listed.filter(|key| global::concerns(&global, key)));
        }
        self.standing.fill(None);
        if self.shared.rules.on(26) {
            let behind: Vec<u64> = lsns.iter().map(|lsn| lsn + 1).collect();
            self.done = lsns;
            let ahead = behind.iter().map(|lsn| lsn + self.shared.pace.window).collect();
            self.store(behind, ahead, gone, false).await?;
        }
        // What has no member any more is not looked at; the keys of some slots are, in vain.
        let forgotten = match global {
            command::Global::FlushAll => self.shared.ledger.forget_schedule(None).await,
            command::Global::FlushDb(db) => self.shared.ledger.forget_schedule(Some(db)).await,
            command::Global::FlushSlots(_) => Ok(()),
        };
        forgotten.map_err(|error| Ending::Failed(error.into()))?;
        self.order_all(|| Order::GlobalDone);
        Ok(())
    }

    /// Every flow ends its repairs in the command's scope. Their keys.
    async fn end_repairs(&self, global: &command::Global) -> Vec<SourceKey> {
        let mut gone = Vec::new();
        for flow in &self.orders {
            let (done, ended) = oneshot::channel();
            let order = Order::BarrierEnds { global: global.clone(), done };
            if flow.send(order).is_ok() {
                // A flow that has ended writes nothing any more.
                gone.extend(ended.await.unwrap_or_default());
            }
        }
        gone
    }

    /// The target's nodes as the checkpoint keeps them.
    fn marks(&self) -> Vec<NodeMark> {
        let marks = self.shared.nodes.as_ref().map(|nodes| nodes.marks()).unwrap_or_default();
        let taken_ms = self.shared.clock.now_ms();
        marks.into_iter().map(|mark| startup::stored_mark(Mark { taken_ms, ..mark })).collect()
    }

    /// Executes a global command until every node has it for good (repair rule 29). What the nodes were meanwhile.
    async fn execute_everywhere(
        &self,
        side: &mut Side,
        global: &command::Global,
    ) -> Result<Option<Standing>, String> {
        let nodes = self.shared.nodes.as_ref().filter(|_| self.shared.rules.on(29));
        let standing = match nodes {
            Some(nodes) => Some(nodes.stand(&self.shared.target.masters(), SETTLE).await),
            None => None,
        };
        global::execute(side, &self.shared.mapping, global).await.map_err(|error| error.to_string())?;
        let (Some(nodes), Some(standing)) = (nodes, standing) else { return Ok(None) };
        loop {
            match nodes.settle_all(&standing, SETTLE).await {
                Settlement::Settled => return Ok(Some(standing)),
                Settlement::Changed(nodes) => {
                    return Err(format!("{} nodes failed over meanwhile", nodes.len()));
                }
                Settlement::Waiting(nodes) => {
                    warn!(
                        nodes = nodes.len(),
                        "a global command waits for the replicas of the target's nodes"
                    );
                }
            }
        }
    }

    fn order_all(&self, order: impl Fn() -> Order) {
        for flow in &self.orders {
            // A flow that has ended has said so.
            let _ = flow.send(order());
        }
    }

    /// Every flow has ended: the last checkpoint.
    async fn finish(mut self, ends: Vec<End>, failed: Option<Ending>) -> Ending {
        let mut ending = failed;
        let mut quiet = true;
        let mut drained = true;
        for end in ends {
            match end {
                End::Input => {}
                End::Stopped { quiet: this } => {
                    drained = false;
                    quiet &= this;
                }
                End::SpoolLost(why) => ending = ending.or(Some(Ending::SpoolLost(why))),
                End::StartOver(reason) => {
                    quiet = false;
                    ending = ending.or(Some(Ending::StartOver(reason)));
                }
                // Of a flow that has panicked nobody knows what its count is worth.
                End::Fatal(Error::Ended) => {
                    quiet = false;
                    ending = Some(Ending::Failed(Error::Ended));
                }
                End::Fatal(error) => {
                    quiet = false;
                    ending = ending.or(Some(Ending::Failed(error)));
                }
            }
        }
        let stable = self.progress.borrow().stable;
        let broken = matches!(ending, Some(Ending::Failed(Error::Checkpoint(_) | Error::Ended)));
        if stable && !self.forgotten && !broken {
            let applied: Vec<u64> = self.flows.iter().map(|flow| *flow.applied.borrow()).collect();
            let stored = self.store(applied, Vec::new(), Vec::new(), quiet).await;
            if let (Err(failed), None | Some(Ending::Drained)) = (stored, &ending) {
                ending = Some(failed);
            }
        }
        ending.unwrap_or(match drained {
            true => Ending::Drained,
            false => Ending::Stopped { exact: quiet },
        })
    }
}
