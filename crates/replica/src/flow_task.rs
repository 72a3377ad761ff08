//! One flow: decodes what the spool holds and hands it to the target, snapshot first, then the journal.
//!
//! A flow task takes input only while there is room for its commands. It ends when its input ends and everything before
//! is settled, when it is told to stop, or when something is wrong that it cannot mend.

mod channels;
mod known_keys;
mod watching;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use command::{Global, SourceKey, Translator};
use flow::EofToken;
use journal::{Entry, LsnCounter};
use router::FlowRouter;
use router::side::Side;
use tokio::sync::{oneshot, watch};

pub use channels::{Channels, End, Notice, Order, Shared, Start};

use crate::apply::{Doubt, Position};
use crate::error::Error;
use crate::ledger::now_ms;
use crate::status::FlowStatus;

/// How long a flow that was told to stop waits for the acknowledgement of what is on its way.
const STOP_GRACE: Duration = Duration::from_secs(6);

/// No counter of records comes near it: what is above was not meant as an LSN.
const MAX_LSN: u64 = 1 << 62;

/// One flow at work.
#[derive(Debug)]
pub struct FlowTask {
    pub(crate) flow: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) channels: Channels,
    pub(crate) router: FlowRouter,
    pub(crate) translator: Translator,
    pub(crate) side: Side,
    pub(crate) status: Arc<FlowStatus>,
    pub(crate) doubts: Vec<Doubt>,
    pub(crate) now_ms: u64,
    /// Databases of the target that are known to exist.
    pub(crate) databases: HashSet<u32>,
    /// Databases of the source that the mapping has been told of.
    pub(crate) noted: HashSet<u32>,
    /// During and after a full sync over existing data, until the removal of stale keys is done.
    pub(crate) known: Option<known_keys::KnownKeys>,
    next: u64,
    watched: Arc<HashSet<SourceKey>>,
    touched: HashSet<SourceKey>,
    asked: Vec<(u64, oneshot::Sender<HashSet<SourceKey>>)>,
    removing: Vec<(u64, oneshot::Sender<u64>)>,
}

impl FlowTask {
    /// A flow that has not begun.
    pub fn new(flow: usize, shared: Arc<Shared>, status: Arc<FlowStatus>, channels: Channels) -> Self {
        let router = FlowRouter::new(shared.target.clone(), flow, shared.window);
        let dialect = Arc::new(shared.target.dialect().clone());
        FlowTask {
            flow,
            router,
            translator: Translator::new(shared.mapping.clone(), dialect),
            side: Side::new(shared.target.clone()),
            shared,
            channels,
            status,
            doubts: Vec::new(),
            now_ms: now_ms(),
            databases: HashSet::from([0]),
            noted: HashSet::new(),
            known: None,
            next: 0,
            watched: Arc::default(),
            touched: HashSet::new(),
            asked: Vec::new(),
            removing: Vec::new(),
        }
    }

    /// Runs until the end, which is told as the last notice.
    pub async fn run(mut self, start: Start) {
        let end = match self.stream(start).await {
            Err(End::Stopped) => {
                // Whatever was handed to the target is waited for, so that the checkpoint is exact.
                match self.settle(tokio::time::sleep(STOP_GRACE)).await {
                    Err(end @ End::Fatal(_)) => end,
                    _ => End::Stopped,
                }
            }
            Err(end) => end,
            Ok(never) => match never {},
        };
        self.publish();
        // Without a listener nobody waits for this flow either.
        let _ = self.channels.notices.send(Notice::Ended { flow: self.flow, end });
    }

    async fn stream(&mut self, start: Start) -> Result<std::convert::Infallible, End> {
        let (next, rest) = match start {
            Start::Snapshot { token } => {
                self.known = self.shared.over_existing.load(Relaxed).then(Default::default);
                self.snapshot(token).await?
            }
            Start::Journal { next } => (next, Bytes::new()),
        };
        self.next = next;
        self.router.tracker().restart_at(next);
        self.publish();
        self.notify(Notice::Ready { flow: self.flow, next });
        loop {
            match self.order().await? {
                Order::Go => break,
                other => self.obey(other),
            }
        }
        self.journal(next, rest).await
    }

    async fn snapshot(&mut self, token: EofToken) -> Result<(u64, Bytes), End> {
        let mut decoder = rdb::Decoder::new(rdb::Limits::default());
        let mut offset = None;
        loop {
            self.now_ms = now_ms();
            while let Some(item) = decoder.next().map_err(|e| End::StartOver(format!("snapshot: {e}")))? {
                match item {
                    rdb::Item::FullSyncEnd => {
                        self.settle_all_unless_stopped().await?;
                        self.status.cut.store(true, Relaxed);
                        self.notify(Notice::Cut { flow: self.flow });
                    }
                    rdb::Item::JournalOffset(next) => offset = Some(next),
                    rdb::Item::Eof { token: found } => {
                        if found != token.0 {
                            return Err(End::StartOver("the snapshot does not end with its token".into()));
                        }
                        // Masters before 1.4 send none; nothing they sent could be resumed from.
                        let next = offset.ok_or(End::Fatal(Error::NoJournalOffset))?;
                        if next > MAX_LSN {
                            return Err(End::StartOver(format!("journal offset {next} is out of range")));
                        }
                        self.settle_all_unless_stopped().await?;
                        return Ok((next, decoder.into_rest()));
                    }
                    item => self.snapshot_item(item).await?,
                }
            }
            let chunk = self.next_chunk().await?;
            decoder.feed(chunk);
        }
    }

    async fn journal(&mut self, next: u64, rest: Bytes) -> Result<std::convert::Infallible, End> {
        let mut decoder = journal::Decoder::new(journal::Limits::default());
        let mut counter = LsnCounter::new(next);
        decoder.feed(rest);
        loop {
            self.now_ms = now_ms();
            while let Some(entry) = decoder.next().map_err(|e| End::StartOver(format!("journal: {e}")))? {
                let lsn = counter
                    .observe(&entry)
                    .map_err(|e| End::StartOver(format!("flow {}: {e}", self.flow)))?;
                self.entry(entry, lsn).await?;
                self.next = counter.next();
            }
            self.status.received.store(counter.next(), Relaxed);
            self.answer_touched();
            let chunk = self.next_chunk().await?;
            decoder.feed(chunk);
        }
    }

    async fn entry(&mut self, entry: Entry, lsn: Option<u64>) -> Result<(), End> {
        match entry {
            Entry::Record(record) => {
                self.status.records.fetch_add(1, Relaxed);
                if !self.watched.is_empty() {
                    self.note_touched(&record);
                }
                self.note_database(record.db)?;
                self.remove_stale(record.db, &record.args).await?;
                let txid = record.txid;
                match self.translator.record(record, self.now_ms) {
                    command::Treatment::Global(global) => {
                        self.global(global, lsn.unwrap_or_default(), txid).await
                    }
                    treatment => self.apply(treatment, Position::Record).await,
                }
            }
            Entry::Ping => {
                self.pass_record();
                self.channels.ping.send_replace(lsn.unwrap_or_default() + 1);
                self.publish();
                Ok(())
            }
            Entry::Exec { .. } => {
                self.pass_record();
                Ok(())
            }
            Entry::Lsn(_) | Entry::Fin => Ok(()),
        }
    }

    /// A record without commands of its own.
    pub(crate) fn pass_record(&mut self) {
        let tracker = self.router.tracker();
        let lsn = tracker.open_record();
        tracker.close_record(lsn);
    }

    /// Stands at a global command until the attachment has executed it for all flows.
    async fn global(&mut self, global: Global, lsn: u64, txid: u64) -> Result<(), End> {
        self.settle_all_unless_stopped().await?;
        self.publish();
        self.notify(Notice::Global { flow: self.flow, lsn, txid, global });
        loop {
            match self.order().await? {
                Order::GlobalDone => break,
                other => self.obey(other),
            }
        }
        self.pass_record();
        self.publish();
        Ok(())
    }

    /// Waits for the next order.
    async fn order(&mut self) -> Result<Order, End> {
        tokio::select! {
            biased;
            () = stopped(&mut self.channels.stop) => Err(End::Stopped),
            order = self.channels.orders.recv() => order.ok_or(End::Stopped),
        }
    }

    /// The next bytes of the flow; meanwhile replies are dealt with and orders obeyed.
    async fn next_chunk(&mut self) -> Result<Bytes, End> {
        self.router.poll();
        self.router.flush();
        self.record_doubts().await?;
        self.publish();
        while let Ok(order) = self.channels.orders.try_recv() {
            self.obey(order);
        }
        if let Some(chunk) = self.channels.input.try_pop() {
            // Other flows run on the same threads.
            tokio::task::yield_now().await;
            if *self.channels.stop.borrow() {
                return Err(End::Stopped);
            }
            return Ok(chunk);
        }
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut self.channels.stop) => return Err(End::Stopped),
                () = self.router.next_event() => {
                    self.record_doubts().await?;
                    self.publish();
                }
                Some(order) = self.channels.orders.recv() => {
                    self.obey(order);
                    self.router.flush();
                }
                chunk = self.channels.input.pop() => match chunk {
                    Some(chunk) => return Ok(chunk),
                    None => {
                        self.settle_all_unless_stopped().await?;
                        self.publish();
                        return Err(End::Input);
                    }
                },
            }
        }
    }

    /// Waits for room for another record's commands.
    pub(crate) async fn room(&mut self) -> Result<(), End> {
        while !self.router.has_room() {
            self.router.flush();
            tokio::select! {
                biased;
                () = stopped(&mut self.channels.stop) => return Err(End::Stopped),
                () = self.router.next_event() => {}
            }
            self.record_doubts().await?;
            self.publish();
        }
        Ok(())
    }

    /// Waits until everything handed out is settled.
    pub(crate) async fn settle_all_unless_stopped(&mut self) -> Result<(), End> {
        let mut stop = self.channels.stop.clone();
        self.settle(stopped(&mut stop)).await
    }

    /// Waits until everything handed out is settled, or [`End::Stopped`] when `interruption` comes first.
    async fn settle(&mut self, interruption: impl Future<Output = ()>) -> Result<(), End> {
        tokio::pin!(interruption);
        self.router.flush();
        loop {
            // Not to be interrupted: what it has taken out of the router it has to hand back.
            self.record_doubts().await?;
            if self.router.is_settled() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = &mut interruption => return Err(End::Stopped),
                () = self.router.next_event() => self.publish(),
            }
        }
    }

    pub(crate) fn publish(&mut self) {
        let applied = self.router.applied();
        self.status.applied.store(applied, Relaxed);
        self.status.spooled.store(self.channels.input.bytes() as u64, Relaxed);
        self.status.set_router(self.router.counters(), self.router.waiting());
        self.channels.applied.send_if_modified(|value| std::mem::replace(value, applied) != applied);
        self.answer_removals();
    }

    fn notify(&self, notice: Notice) {
        // An attachment that does not listen any more has told this flow to stop.
        let _ = self.channels.notices.send(notice);
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Watch { keys, done } => {
                self.watched = keys;
                self.touched.clear();
                // A removal that does not wait for the answer has ended.
                let _ = done.send(());
            }
            Order::Touched { at, reply } => {
                self.asked.push((at, reply));
                self.answer_touched();
            }
            Order::Remove { keys, done } => {
                let count = self.remove(keys);
                self.watched = Arc::default();
                self.touched.clear();
                self.removing.push((count, done));
                self.answer_removals();
            }
            Order::Reconciled => self.known = None,
            // Only sent to a flow that waits for it.
            Order::Go | Order::GlobalDone => {}
        }
    }
}

/// Waits until the flow shall stop; an attachment that is gone means the same.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
