//! One attachment, from the first byte of its flows to its end.
//!
//! The attachment owns the control connection and decides; the flows work. They are told to go on together: after the
//! snapshot when every one of them is complete and STARTSTABLE was answered, and at every global command.

mod ending;
mod stable;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::BytesMut;
use checkpoint::{Phase as Stored, State};
use flow::{AckState, AckWriter, Acker, Answer, Attachment, Cadence, FlowReader};
use router::side::Side;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::engine::Goal;
use crate::error::Error;
use crate::flow_task::{Channels, End, FlowTask, Notice, Order, Shared, Start};
use crate::global::{self, Barrier, Reached};
use crate::phase::Phase;
use crate::settings::Settings;
use crate::startup;
use crate::status::FlowStatus;

/// Bytes a flow may hold back while the snapshot runs: the source waits for a slow reader there, up to 30 s per write.
const SNAPSHOT_SPOOL: usize = 8 << 20;
/// How long the flows of one attachment may take to be closed together.
const TOGETHER: Duration = Duration::from_millis(200);
/// How often the source is asked for its LSNs.
const LOOK: Duration = Duration::from_secs(2);
/// How long the source may leave such a question unanswered in stable sync.
const SILENCE: Duration = Duration::from_secs(12);

/// How an attachment ended.
#[derive(Debug)]
pub enum Outcome {
    /// The link broke; what came is applied. Attach again.
    LinkLost(String),
    /// Attach again without LSNs: the reason.
    StartOver(String),
    /// It was told to stop, and the checkpoint is exact.
    Stopped,
    /// The snapshot is complete, and nothing more was asked for.
    Migrated,
    /// The run cannot go on.
    Fatal(Error),
}

/// What stays when an attachment goes.
#[derive(Debug)]
pub struct Context<'a> {
    /// What the flows share.
    pub shared: Arc<Shared>,
    /// The configuration.
    pub settings: &'a Settings,
    /// The source that is attached to.
    pub connect: resp::ConnectOptions,
    /// What is to be reached.
    pub goal: Goal,
    /// The LSNs that were asked for.
    pub resume: Option<Vec<u64>>,
    /// Becomes true when stable sync is reached.
    pub was_stable: AtomicBool,
}

/// One attachment at work.
struct Running<'a> {
    context: &'a Context<'a>,
    stop: watch::Receiver<bool>,
    notices: UnboundedReceiver<Notice>,
    orders: Vec<UnboundedSender<Order>>,
    applied: Vec<watch::Receiver<u64>>,
    pings: Vec<watch::Receiver<u64>>,
    gauges: Vec<spool::Gauge>,
    readers: Vec<JoinHandle<()>>,
    /// The sending sides until ACKs begin. The control connection closes before them.
    writers: Vec<AckWriter>,
    ackers: Vec<Acker>,
    stop_flows: watch::Sender<bool>,
    statuses: Vec<Arc<FlowStatus>>,
    cuts: usize,
    ready: Vec<Option<u64>>,
    ended: usize,
    barrier: Barrier,
    side: Side,
}

/// Runs an attachment to its end and closes it.
pub async fn run(mut attachment: Attachment, context: &Context<'_>, stop: watch::Receiver<bool>) -> Outcome {
    let mut running = Running::start(&mut attachment, context, stop);
    let outcome = running.follow(&mut attachment).await;
    running.finish(attachment, outcome).await
}

impl<'a> Running<'a> {
    fn start(
        attachment: &mut Attachment,
        context: &'a Context<'a>,
        stop: watch::Receiver<bool>,
    ) -> Running<'a> {
        let count = attachment.flows.len();
        let (notices_in, notices) = unbounded_channel();
        let (stop_flows, stop_seen) = watch::channel(false);
        let statuses = context.shared.status.flows();
        let mut running = Running {
            context,
            stop,
            notices,
            orders: Vec::new(),
            applied: Vec::new(),
            pings: Vec::new(),
            gauges: Vec::new(),
            readers: Vec::new(),
            writers: Vec::new(),
            ackers: Vec::new(),
            stop_flows,
            statuses,
            cuts: 0,
            ready: vec![None; count],
            ended: 0,
            barrier: Barrier::new(count),
            side: Side::new(context.shared.target.clone()),
        };
        let resumed_at = running.resumed_at(attachment);
        let snapshot = attachment.answer != Answer::Partial;
        let limit = running.spool_limit().min(if snapshot { SNAPSHOT_SPOOL } else { usize::MAX });
        for (id, socket) in attachment.take_flows().into_iter().enumerate() {
            let (sender, input) = spool::channel(limit);
            let (orders, orders_out) = unbounded_channel();
            let first = resumed_at.as_ref().map_or(0, |lsns| lsns[id]);
            let (applied, applied_out) = watch::channel(first);
            let (ping, ping_out) = watch::channel(0);
            let start = match (&resumed_at, attachment.needs_sync()) {
                (Some(lsns), false) => Start::Journal { next: lsns[id] },
                _ => Start::Snapshot { token: socket.eof_token },
            };
            let (reader, writer) = socket.split();
            let status = running.statuses[id].clone();
            running.gauges.push(input.gauge());
            running.readers.push(tokio::spawn(read(reader, sender, status.clone())));
            let channels = Channels {
                input,
                notices: notices_in.clone(),
                orders: orders_out,
                stop: stop_seen.clone(),
                applied,
                ping,
            };
            tokio::spawn(FlowTask::new(id, context.shared.clone(), status, channels).run(start));
            running.orders.push(orders);
            running.applied.push(applied_out);
            running.pings.push(ping_out);
            running.writers.push(writer);
        }
        running
    }

    /// The LSNs that a partial sync was granted for.
    fn resumed_at(&self, attachment: &Attachment) -> Option<Vec<u64>> {
        match &attachment.answer {
            Answer::Partial => self.context.resume.clone(),
            Answer::Full(_) => None,
        }
    }

    fn spool_limit(&self) -> usize {
        (self.context.settings.spool_memory / self.ready.len().max(1)).max(1 << 20)
    }

    /// From the first byte to whatever ends the attachment.
    async fn follow(&mut self, attachment: &mut Attachment) -> Outcome {
        match self.reach_stable(attachment).await {
            Ok(()) => {}
            Err(outcome) => return outcome,
        }
        if self.context.goal == Goal::Migrate {
            return Outcome::Migrated;
        }
        self.order_all(|| Order::Go);
        for (id, writer) in std::mem::take(&mut self.writers).into_iter().enumerate() {
            let state = AckState { applied: self.applied[id].clone(), ping: self.pings[id].clone() };
            self.ackers.push(Acker::spawn(writer, state, Cadence::default()));
        }
        self.context.shared.status.enter(Phase::Stable, "");
        self.context.was_stable.store(true, Relaxed);
        self.stable().await
    }

    async fn reach_stable(&mut self, attachment: &mut Attachment) -> Result<(), Outcome> {
        let status = &self.context.shared.status;
        let partial = attachment.answer == Answer::Partial;
        let ledger = &self.context.shared.ledger;
        let reconcile = ledger.state().await.is_some_and(|state| state.reconcile);
        if attachment.needs_sync() {
            if partial {
                // The missed records have no LSN in this form: once some are applied, only a full sync helps.
                let begun = ledger.change(|state| (state.phase, state.reconcile) = (Stored::FullSync, true));
                begun.await.map_err(|e| Outcome::Fatal(e.into()))?;
            }
            status.enter(Phase::Snapshot, if partial { "missed records" } else { "" });
            self.drive(attachment.sync(), |r| r.cuts == r.ready.len()).await?;
        }
        status.enter(Phase::Barrier, "");
        self.drive(attachment.start_stable(), |r| r.ready.iter().all(Option::is_some)).await?;
        let next: Vec<u64> = self.ready.iter().map(|next| next.unwrap_or_default()).collect();
        let replid = attachment.greeting.replid.clone();
        let target = startup::identity(&self.context.shared.target);
        let stored = self.context.shared.ledger.change(|state| {
            *state = State {
                phase: Stored::Stable,
                reconcile,
                replication_id: replid,
                applied: next.clone(),
                reserved: next.clone(),
                target,
                ..state.clone()
            };
        });
        stored.await.map_err(|e| Outcome::Fatal(e.into()))?;
        for (flow, next) in self.statuses.iter().zip(&next) {
            flow.checkpointed.store(*next, Relaxed);
            flow.received.store(*next, Relaxed);
        }
        Ok(())
    }

    /// Waits for the answer to a request on the control connection and for the flows to get as far as `done` wants.
    async fn drive(
        &mut self,
        call: impl Future<Output = Result<(), flow::AttachError>>,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), Outcome> {
        tokio::pin!(call);
        let mut answered = false;
        loop {
            if answered && done(self) {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return Err(Outcome::Stopped),
                answer = &mut call, if !answered => match answer {
                    Ok(()) => answered = true,
                    Err(error) if error.needs_full_sync() => return Err(Outcome::StartOver(error.to_string())),
                    Err(error) => return Err(Outcome::LinkLost(error.to_string())),
                },
                Some(notice) = self.notices.recv() => self.take(notice).await?,
            }
        }
    }

    async fn take(&mut self, notice: Notice) -> Result<(), Outcome> {
        match notice {
            Notice::Cut { flow } => {
                self.cuts += 1;
                // From now on what the master sends must not wait: it holds all its clients while STARTSTABLE is pending.
                self.gauges[flow].set_limit(self.spool_limit());
            }
            Notice::Ready { flow, next } => self.ready[flow] = Some(next),
            Notice::Global { flow, lsn, txid, global } => {
                match self.barrier.arrive(flow, lsn, txid, global) {
                    Ok(Some(reached)) => self.execute(reached).await?,
                    Ok(None) => {}
                    Err(mixed) => return Err(Outcome::StartOver(mixed.to_string())),
                }
            }
            Notice::Ended { flow, end } => {
                self.ended += 1;
                return Err(match end {
                    End::Input => Outcome::LinkLost(format!("the source closed flow {flow}")),
                    End::Stopped => Outcome::Stopped,
                    End::StartOver(reason) => Outcome::StartOver(reason),
                    End::Fatal(error) => Outcome::Fatal(error),
                });
            }
        }
        Ok(())
    }

    /// Every flow stands at the same global command.
    async fn execute(&mut self, reached: Reached) -> Result<(), Outcome> {
        let Reached { global, lsns } = reached;
        let mut pause = Duration::from_millis(100);
        loop {
            let mapping = &self.context.shared.mapping;
            let result = tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return Err(Outcome::Stopped),
                result = global::execute(&mut self.side, mapping, &global) => result,
            };
            match result {
                Ok(()) => break,
                Err(error) => {
                    warn!(command = ?global, %error, "global command not executed yet");
                    tokio::select! {
                        biased;
                        () = stopped(&mut self.stop) => return Err(Outcome::Stopped),
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            }
        }
        // One durable checkpoint over all flows before anything behind it is sent (repair rule 26).
        let behind: Vec<u64> = lsns.iter().map(|lsn| lsn + 1).collect();
        self.store_applied(&behind).await?;
        self.order_all(|| Order::GlobalDone);
        Ok(())
    }

    async fn store_current(&mut self) -> Result<(), Outcome> {
        let applied: Vec<u64> = self.applied.iter().map(|applied| *applied.borrow()).collect();
        self.store_applied(&applied).await
    }

    async fn store_applied(&mut self, applied: &[u64]) -> Result<(), Outcome> {
        let target = startup::identity(&self.context.shared.target);
        let stored = self.context.shared.ledger.change(|state| {
            // A flow that has not told yet how far it is does not take anything back.
            for (stored, now) in state.applied.iter_mut().zip(applied) {
                *stored = (*stored).max(*now);
            }
            state.reserved.clone_from(&state.applied);
            state.target = target;
        });
        stored.await.map_err(|e| Outcome::Fatal(e.into()))?;
        for (flow, applied) in self.statuses.iter().zip(applied) {
            flow.checkpointed.fetch_max(*applied, Relaxed);
        }
        Ok(())
    }

    fn order_all(&self, order: impl Fn() -> Order) {
        for flow in &self.orders {
            // A flow that has ended has said so.
            let _ = flow.send(order());
        }
    }
}

/// Reads one flow's socket into its spool until either ends.
async fn read(mut reader: FlowReader, spool: spool::Sender, status: Arc<FlowStatus>) {
    let mut buffer = BytesMut::with_capacity(256 << 10);
    loop {
        match reader.read_chunk(&mut buffer).await {
            Ok(0) => return,
            Ok(count) => {
                status.bytes.fetch_add(count as u64, Relaxed);
                if spool.push(buffer.split().freeze()).await.is_err() {
                    return;
                }
                if buffer.capacity() < 16 << 10 {
                    buffer.reserve(256 << 10);
                }
            }
            Err(error) => {
                warn!(flow = reader.id(), %error, "flow broken");
                return;
            }
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A program that dropped its end wants to stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}
