//! The flows of one LSN space, over as many attachments as it takes.
//!
//! ```text
//!   engine ──attach──> attachment 1 ──cut──> attachment 2 ──...        (sockets, ACKs, control connection)
//!                          │ plugs into           │
//!   session:         [ spool -> flow task -> router ] x flows          (lives on)
//!                    [ coordinator: barriers, checkpoint, reservation ]
//!                    [ fences: reads from the source ]
//! ```
//!
//! A session begins with a full sync or with a resume from the checkpoint. It ends when the source cannot serve its LSNs
//! any more, when something is wrong with the stream, or with the program.

mod coordinator;

use std::sync::Arc;

use checkpoint::NotInSync;
use command::SourceKey;
use flow::{AckState, EofToken, Parting};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::attachment::SNAPSHOT_SPOOL;
use crate::desk::{self, Desk};
use crate::error::Error;
use crate::expirer::Expirer;
use crate::fences::{self, Link};
use crate::flow_task::{Channels, FlowTask, Order, Shared, Start, Stored};
use crate::intake::Received;
use crate::ledger::UNCLEAR;
use crate::status::FlowStatus;
use crate::unclear;

pub use coordinator::{Ending, Progress};

/// A task that was not polled for so long is stuck.
const HEART: std::time::Duration = std::time::Duration::from_secs(30);

/// How the flows of a session begin.
#[derive(Debug)]
pub enum Beginning {
    /// With a snapshot; the tokens stand at the end of each flow's stream.
    Snapshot(Vec<EofToken>),
    /// With missed records in the form of a snapshot stream.
    Missed(Vec<EofToken>),
    /// With the journal.
    Journal {
        /// The LSNs that were asked for.
        next: Vec<u64>,
        /// Records below may have been sent before the program ended.
        uncertain_end: Vec<u64>,
    },
}

/// One flow as its session holds it.
#[derive(Debug)]
pub struct FlowEnds {
    /// Where its socket's bytes go.
    pub spool: Arc<spool::Sender>,
    /// How full that is.
    pub gauge: spool::Gauge,
    /// What was received.
    pub received: Arc<Received>,
    /// What goes into its ACKs.
    pub acks: AckState,
    /// Its counters.
    pub status: Arc<FlowStatus>,
}

/// The flows of one LSN space.
#[derive(Debug)]
pub struct Session {
    /// What the flows share.
    pub shared: Arc<Shared>,
    /// By number.
    pub flows: Vec<FlowEnds>,
    /// What the flows can be told.
    pub orders: Vec<UnboundedSender<Order>>,
    /// Takes keys that may belong to any flow.
    pub unclear: UnboundedSender<unclear::Request>,
    /// How far they are.
    pub progress: watch::Receiver<Progress>,
    /// How its last attachment ended.
    pub parting: Option<Parting>,
    link: watch::Sender<Option<Link>>,
    stop_flows: watch::Sender<bool>,
    commands: UnboundedSender<coordinator::Command>,
    ended: oneshot::Receiver<Ending>,
    tasks: Vec<JoinHandle<()>>,
}

/// What a session is made from.
#[derive(Debug)]
pub struct Opening {
    /// What the flows share.
    pub shared: Arc<Shared>,
    /// How they begin.
    pub beginning: Beginning,
    /// A spool for each.
    pub spools: Vec<spool::Options>,
    /// Keys that were under repair when the program ended.
    pub repairing: Vec<NotInSync>,
    /// Longest time between two checkpoints.
    pub interval: std::time::Duration,
}

impl Session {
    /// Starts the flow tasks; they wait for input.
    pub fn open(opening: Opening) -> Session {
        let Opening { shared, beginning, spools, repairing, interval } = opening;
        let count = spools.len();
        let (notices_in, notices) = unbounded_channel();
        let (fences_in, fence_requests) = unbounded_channel();
        let (unclear, unclear_requests) = unbounded_channel();
        let (stop_flows, stop) = watch::channel(false);
        let (link, link_seen) = watch::channel(None);
        let stored = shared.ledger.state();
        let stored = match &beginning {
            Beginning::Journal { .. } | Beginning::Missed(_) => {
                stored.map(|state| Stored::of_each(&state)).unwrap_or_default()
            }
            Beginning::Snapshot(_) => vec![Stored::default(); count],
        };
        let (stored_in, stored) = watch::channel(stored);
        let statuses = shared.status.flows();
        let mut listed: Vec<Vec<NotInSync>> = vec![Vec::new(); count];
        let mut of_any = Vec::new();
        for entry in repairing {
            if entry.flow == UNCLEAR {
                listed.iter_mut().for_each(|flow| flow.push(entry.clone()));
                of_any.push(SourceKey { db: entry.db, key: entry.key.into() });
                continue;
            }
            // A note from another number of flows stays listed; a full sync ends it.
            if let Some(flow) = listed.get_mut(entry.flow as usize) {
                flow.push(entry);
            }
        }
        if shared.repair && !of_any.is_empty() {
            let (done, _) = oneshot::channel();
            let (cause, reason) = (repair::Cause::Listed, repair::Cause::Listed.words());
            // The other end is below.
            let _ = unclear.send(unclear::Request { keys: of_any, cause, reason, done });
        }
        let mut session = Session {
            shared: shared.clone(),
            unclear: unclear.clone(),
            flows: Vec::new(),
            orders: Vec::new(),
            progress: watch::channel(Progress::default()).1,
            parting: None,
            link,
            stop_flows,
            commands: unbounded_channel().0,
            ended: oneshot::channel().1,
            tasks: Vec::new(),
        };
        let mut ends = Vec::new();
        for ((id, options), listed) in spools.into_iter().enumerate().zip(&mut listed) {
            let listed = std::mem::take(listed);
            let options_memory = options.memory;
            let (sender, input) = spool::open(options);
            let (orders, orders_out) = unbounded_channel();
            let received = Arc::new(Received::default());
            let (start, first) = match &beginning {
                Beginning::Snapshot(tokens) => (Start::Snapshot { token: tokens[id] }, 0),
                Beginning::Missed(tokens) => (Start::Missed { token: tokens[id], repairing: listed }, 0),
                Beginning::Journal { next, uncertain_end } => {
                    received.begin_at(next[id]);
                    let uncertain_end = uncertain_end[id];
                    (Start::Journal { next: next[id], uncertain_end, repairing: listed }, next[id])
                }
            };
            let (applied, applied_out) = watch::channel(first);
            let (ping, ping_out) = watch::channel(0);
            let (position, position_out) = watch::channel(Default::default());
            let status = statuses[id].clone();
            let gauge = input.gauge();
            // Until the flows go nothing is taken out, so there is nothing to be gained from dropping the link.
            gauge.set_when_full(spool::WhenFull::Stall);
            if !matches!(beginning, Beginning::Journal { .. }) {
                // A snapshot waits for us; its source writes it as fast as it is read.
                gauge.set_limit(options_memory.min(SNAPSHOT_SPOOL));
                gauge.set_disk_limit(0);
            }
            let channels = Channels {
                input,
                received: received.clone(),
                notices: notices_in.clone(),
                orders: orders_out,
                fences: fences_in.clone(),
                unclear: unclear.clone(),
                stop: stop.clone(),
                applied,
                ping,
                position,
                stored: stored.clone(),
            };
            let task = FlowTask::new(id, shared.clone(), status.clone(), channels);
            let heart = shared.status.heart(format!("flow {id}"), HEART);
            session.tasks.push(tokio::spawn(async move { heart.during(task.run(start)).await }));
            session.orders.push(orders);
            ends.push(coordinator::FlowEnd {
                applied: applied_out.clone(),
                position: position_out,
                received: received.clone(),
                status: status.clone(),
            });
            let acks = AckState { applied: applied_out, ping: ping_out };
            session.flows.push(FlowEnds { spool: Arc::new(sender), gauge, received, acks, status });
        }
        let fences = fences::Fences {
            requests: fence_requests,
            link: link_seen,
            flows: session.orders.clone(),
            rules: shared.rules,
        };
        session.tasks.push(tokio::spawn(fences.run()));
        let link_seen = session.link.subscribe();
        let (commands, commands_out) = unbounded_channel();
        let (progress, progress_out) = watch::channel(Progress::new(count));
        let over_all = unclear::Unclear {
            requests: unclear_requests,
            flows: session.orders.clone(),
            fences: fences_in,
            progress: progress_out.clone(),
            shared: shared.clone(),
        };
        session.tasks.push(tokio::spawn(over_all.run()));
        let (desk, requests) = desk::open();
        shared.status.set_desk(desk);
        let desk = Desk {
            requests,
            flows: session.orders.clone(),
            unclear: unclear.clone(),
            progress: progress_out.clone(),
            shared: shared.clone(),
        };
        session.tasks.push(tokio::spawn(desk.run()));
        if shared.member_ttls.is_some() {
            let expirer = Expirer {
                shared: shared.clone(),
                flows: session.orders.clone(),
                unclear: unclear.clone(),
                progress: progress_out.clone(),
                link: link_seen,
            };
            session.tasks.push(tokio::spawn(expirer.run()));
        }
        let (ended_in, ended) = oneshot::channel();
        let coordinator = coordinator::Coordinator {
            shared,
            flows: ends,
            orders: session.orders.clone(),
            unclear,
            notices,
            commands: commands_out,
            progress,
            stored: stored_in,
            stop_flows: session.stop_flows.clone(),
            interval,
            forgotten: false,
            standing: vec![None; count],
            done: Vec::new(),
        };
        let heart = session.shared.status.heart("coordinator", HEART);
        session.tasks.push(tokio::spawn(async move {
            // An engine that does not listen has ended.
            let _ = ended_in.send(heart.during(coordinator.run()).await);
        }));
        (session.commands, session.progress, session.ended) = (commands, progress_out, ended);
        session
    }

    /// The LSNs that the source would send next.
    pub fn received(&self) -> Vec<u64> {
        self.flows.iter().map(|flow| flow.received.next()).collect()
    }

    /// Whether the journal is being followed: from then on the session outlives its attachments.
    pub fn is_stable(&self) -> bool {
        self.progress.borrow().stable
    }

    /// Fences are read over this link from now on; `None`: not at all for the moment.
    pub fn set_link(&self, link: Option<Link>) {
        self.link.send_replace(link);
    }

    /// Every flow is ready, and that is stored: the journal is applied from now on.
    ///
    /// # Errors
    /// The checkpoint's.
    pub async fn go(
        &mut self,
        change: impl FnOnce(&mut checkpoint::State) + Send + 'static,
    ) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        let change = Box::new(change);
        // A coordinator that has ended says why elsewhere.
        let _ = self.commands.send(coordinator::Command::Go { change, done });
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(Error::Ended),
        }
    }

    /// Waits for the end. Cancel-safe.
    pub async fn ended(&mut self) -> Ending {
        match (&mut self.ended).await {
            Ok(ending) => ending,
            Err(_) => Ending::Failed(Error::Ended),
        }
    }

    /// Stops the flows: what is on its way is waited for, the rest of the spool is left.
    pub async fn stop(mut self) -> Ending {
        self.stop_flows.send_replace(true);
        self.ended().await
    }

    /// Lets the flows apply all that the spool holds, and ends.
    pub async fn drain(&mut self) -> Ending {
        self.flows.clear();
        self.ended().await
    }

    /// Whether every spool has been taken down to a half.
    pub fn has_room(&self) -> bool {
        self.flows.iter().all(|flow| {
            let levels = flow.gauge.levels();
            levels.memory + levels.disk <= (levels.memory_limit + levels.disk_limit) / 2
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Their connections to the target go with them.
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A receiver for what a coordinator is told.
pub(crate) type Commands = UnboundedReceiver<coordinator::Command>;
