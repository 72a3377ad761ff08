//! One flow: decodes what the spool holds and hands it to the target, snapshot first, then the journal.
//!
//! A flow task takes input only while there is room for its commands. It outlives the attachment it began with: when the
//! link breaks it goes on with what the spool holds, and the next attachment fills the same spool (repair rule 20). It ends
//! when its input ends and everything before is settled, when it is told to stop, or when something is wrong that it cannot
//! mend.

mod channels;
pub(crate) mod invariants;
mod known_keys;
mod leases;
mod members;
mod misplaced;
mod repairing;
mod report;
mod sieving;
mod suspects;
mod unclear;
mod unknown;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use command::{Global, MemberTtls, Sieve, SourceKey, Translator};
use flow::EofToken;
use journal::{Entry, LsnCounter};
use repair::Repairs;
use router::side::Side;
use router::{FlowRouter, RouterOptions};
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use channels::{Channels, End, Notice, Order, Pace, Position, Shared, Start, Stored};
pub(crate) use known_keys::{is_global, keys_touched};
pub(crate) use repairing::no_key;
pub(crate) use unclear::CARRIER;
pub use unclear::Step;
pub(crate) use waiting::stopped;

use invariants::{Farewell, in_order};

use crate::apply::{Doubt, Place};
use crate::error::Error;
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
    /// What is replicated at all.
    pub(crate) sieve: Sieve,
    pub(crate) side: Side,
    pub(crate) status: Arc<FlowStatus>,
    pub(crate) repairs: Repairs,
    pub(crate) doubts: Vec<Doubt>,
    /// Records that may not say what the source did, and their keys.
    suspects: suspects::Suspects,
    /// Commands that the table does not have, and what the source says of their keys.
    asked: BTreeMap<Bytes, Option<command::KeyPositions>>,
    /// Snapshot entries that may have come on a wrong flow: known when more was seen.
    strangers: Vec<SourceKey>,
    /// When the status page heard of this flow's repairs and nodes.
    reported: Instant,
    report_at_once: bool,
    pub(crate) now_ms: u64,
    /// Databases of the target that are known to exist.
    pub(crate) databases: HashSet<u32>,
    /// Databases of the source that the mapping has been told of.
    pub(crate) noted: HashSet<u32>,
    /// While the target may hold keys that the source lacks.
    pub(crate) known: Option<known_keys::KnownKeys>,
    /// During a snapshot: keys that live longer on the target than they should.
    pub(crate) leases: leases::Leases,
    /// What is known of the members of the key that is being placed.
    placing: members::Placing,
    /// Changes of the schedule that were noted.
    planned: usize,
    /// The next LSN to dispatch.
    pub(crate) next: u64,
    /// Records below it are not sent: they may have been before (repair rule 7).
    uncertain_end: u64,
    /// The record at hand may have been sent before, and cannot be repaired: only what may be repeated is sent.
    pub(crate) cautious: bool,
    /// Durable: as it was last looked at.
    stored: Stored,
    /// `reserved` for which an extension was asked already.
    asked_to_extend: u64,
    /// What was applied when the checkpoint was last asked to catch up.
    pressed_at: u64,
    /// What was applied when the target was last found to be slow.
    slow_at: Option<u64>,
    /// `next` when the session last heard of it.
    told: u64,
    /// `next` when a checkpoint was last asked for because of the number of records.
    asked_at: u64,
    /// It waits because of `limits.qps`.
    throttled: bool,
    /// Whoever waits for records to be dispatched.
    passing: Vec<(u64, oneshot::Sender<()>)>,
    /// Whoever waits for keys to leave repair.
    leaving: Vec<(BTreeSet<SourceKey>, oneshot::Sender<()>)>,
    /// Values on their way that any flow may have to do with, by token.
    carrying: BTreeMap<u64, oneshot::Sender<bool>>,
    /// Keys that were written here for another flow's sake, perhaps.
    pub(crate) carried: BTreeSet<SourceKey>,
}

impl FlowTask {
    /// A flow that has not begun.
    pub fn new(flow: usize, shared: Arc<Shared>, status: Arc<FlowStatus>, channels: Channels) -> Self {
        let options = RouterOptions {
            rules: shared.rules,
            name: Some(shared.connection_name.clone()),
            repair: shared.repair,
            durability: shared.nodes.clone(),
        };
        let mut router = FlowRouter::with(shared.target.clone(), flow, shared.window, options);
        router.set_ttl_history(shared.began_empty);
        let dialect = Arc::new(shared.target.dialect().clone());
        let mut translator = Translator::new(shared.mapping.clone(), dialect);
        translator.set_json(shared.json);
        if let Some(ttls) = shared.member_ttls {
            let behind = shared.status.source_ahead_ms().min(0).unsigned_abs();
            translator.set_member_ttls(MemberTtls { grace_ms: ttls.grace_ms + behind, ..ttls });
        }
        let suspects = suspects::Suspects::new(shared.silent_reads);
        let repairs = Repairs::new(flow, shared.flows, repair::Limits::default(), shared.rules);
        FlowTask {
            flow,
            router,
            sieve: Sieve::new(shared.mapping.clone()),
            translator,
            side: Side::new(shared.target.clone()),
            now_ms: shared.clock.now_ms(),
            repairs,
            shared,
            channels,
            status,
            doubts: Vec::new(),
            suspects,
            asked: BTreeMap::new(),
            strangers: Vec::new(),
            reported: Instant::now(),
            report_at_once: false,
            databases: HashSet::from([0]),
            noted: HashSet::new(),
            known: None,
            leases: leases::Leases::default(),
            placing: members::Placing::default(),
            planned: 0,
            next: 0,
            uncertain_end: 0,
            cautious: false,
            stored: Stored::default(),
            asked_to_extend: 0,
            pressed_at: 0,
            slow_at: None,
            told: 0,
            asked_at: 0,
            throttled: false,
            passing: Vec::new(),
            leaving: Vec::new(),
            carrying: BTreeMap::new(),
            carried: BTreeSet::new(),
        }
    }

    /// Runs until the end, which is told as the last notice.
    pub async fn run(mut self, start: Start) {
        let notices = self.channels.notices.clone();
        let farewell = Farewell { flow: self.flow, notices, said: false };
        let end = match self.stream(start).await {
            Err(End::Stopped { .. }) => {
                // Nobody may come back to finish the snapshot.
                self.end_leases_at_once();
                // Whatever was handed to the target is waited for, so that the checkpoint is exact.
                match self.settle(tokio::time::sleep(STOP_GRACE)).await {
                    Ok(()) => End::Stopped { quiet: true },
                    Err(end @ End::Fatal(_)) => end,
                    Err(_) => End::STOPPED,
                }
            }
            Err(End::SpoolLost(why)) => match self.settle_all_unless_stopped().await {
                Ok(()) => End::SpoolLost(why),
                Err(end) => end,
            },
            Err(end) => end,
            Ok(never) => match never {},
        };
        self.publish();
        self.tell_position();
        farewell.say(end);
    }

    async fn stream(&mut self, start: Start) -> Result<std::convert::Infallible, End> {
        let reconcile = self.shared.reconcile.load(Relaxed);
        let (next, rest) = match start {
            Start::Snapshot { token } => {
                self.known = reconcile.then(known_keys::KnownKeys::complete);
                // Rule 35: where a value would belong is only known once JOURNAL_OFFSET is.
                self.repairs.suspended(true);
                self.snapshot(token, false).await?
            }
            Start::Missed { token, repairing } => {
                self.known = reconcile.then(known_keys::KnownKeys::default);
                self.repairs.suspended(true);
                self.resume_repairs(repairing);
                self.snapshot(token, true).await?
            }
            Start::Journal { next, uncertain_end, repairing } => {
                self.known = reconcile.then(known_keys::KnownKeys::default);
                // Rule 21: in front of the first record.
                self.resume_repairs(repairing);
                self.uncertain_end = uncertain_end;
                (next, Bytes::new())
            }
        };
        self.next = next;
        self.asked_at = next;
        self.router.tracker().restart_at(next);
        self.repair_misplaced_entries().await?;
        self.publish();
        self.tell_position();
        self.notify(Notice::Ready { flow: self.flow, next });
        loop {
            match self.order().await? {
                Order::Go => break,
                other => self.obey(other).await?,
            }
        }
        self.repairs.suspended(false);
        self.journal(next, rest).await
    }

    async fn snapshot(&mut self, token: EofToken, missed: bool) -> Result<(u64, Bytes), End> {
        let mut decoder = rdb::Decoder::new(rdb::Limits::default());
        let mut offset = None;
        self.open_leases();
        loop {
            self.now_ms = self.shared.clock.now_ms();
            loop {
                self.turn().await?;
                let item = decoder.next().map_err(|e| End::StartOver(format!("snapshot: {e}")))?;
                let Some(item) = item else { break };
                match item {
                    rdb::Item::FullSyncEnd => {
                        self.settle_snapshot().await?;
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
                        self.end_leases().await?;
                        self.settle_snapshot().await?;
                        return Ok((next, decoder.into_rest()));
                    }
                    item => {
                        self.snapshot_item(item, missed).await?;
                        self.write_planned().await?;
                    }
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
            self.now_ms = self.shared.clock.now_ms();
            loop {
                self.turn().await?;
                let entry = decoder.next().map_err(|e| End::StartOver(format!("journal: {e}")))?;
                let Some(entry) = entry else { break };
                self.stay_near().await?;
                let lsn = counter
                    .observe(&entry)
                    .map_err(|e| End::StartOver(format!("flow {}: {e}", self.flow)))?;
                self.entry(entry, lsn).await?;
                self.next = counter.next();
                let dispatched = self.router.tracker().dispatched();
                assert_eq!(
                    self.next, dispatched,
                    "flow {}: records and the router's count differ",
                    self.flow
                );
                if self.is_checkpoint_due() {
                    self.asked_at = self.next;
                    self.tell_position();
                    self.shared.checkpoint_due.notify_one();
                }
                if !self.repairs.is_empty() {
                    self.place_values().await?;
                }
            }
            self.answer_passed();
            let chunk = self.next_chunk().await?;
            decoder.feed(chunk);
        }
    }

    /// By the number of records since the last one, whichever flow asked for it: each stores the positions of all.
    fn is_checkpoint_due(&self) -> bool {
        let since = self.asked_at.max(self.status.checkpointed.load(Relaxed));
        self.next.saturating_sub(since) >= self.shared.pace.records
    }

    async fn entry(&mut self, entry: Entry, lsn: Option<u64>) -> Result<(), End> {
        match entry {
            Entry::Record(record) => {
                let lsn = lsn.unwrap_or(self.next);
                self.status.records.fetch_add(1, Relaxed);
                self.note_database(record.db)?;
                // Rule 6: also for what is not sent, since a value that contains it may be.
                if self.shared.rules.on(6) || !self.is_swallowed(&record) {
                    self.reserve(lsn).await?;
                }
                match self.sieved(record)? {
                    Some(record) => self.record(record, lsn).await,
                    None => Ok(()),
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

    async fn record(&mut self, record: journal::Record, lsn: u64) -> Result<(), End> {
        if command::is_unknown(&record.args) {
            return self.unknown(&record, Place::Record).await;
        }
        let record = if is_global(&record.args) {
            record
        } else {
            match self.without_repaired(record, lsn).await? {
                Some(record) => record,
                None => return Ok(()),
            }
        };
        let txid = record.txid;
        self.note_search(&record.args);
        self.members_move(&record);
        match self.translator.record(record, self.source_ms()) {
            // Rule 26: also in the uncertain range, it is executed again.
            command::Treatment::Global(global) => self.global(global, lsn, txid).await,
            treatment => self.apply(treatment, Place::Record).await,
        }
    }

    /// Search indexes come and go.
    fn note_search(&self, args: &[Bytes]) {
        match args {
            [verb, name, rest @ ..] if verb == "FT.CREATE" => {
                let definition = std::iter::once(name).chain(rest).map(|word| &word[..]);
                self.shared.status.search_index(&definition.collect::<Vec<_>>().join(&b' '));
            }
            [verb, name, ..] if verb == "FT.DROPINDEX" => self.shared.status.search_index_dropped(name),
            _ => {}
        }
    }

    /// A record without commands of its own.
    pub(crate) fn pass_record(&mut self) {
        let tracker = self.router.tracker();
        let lsn = tracker.open_record();
        tracker.close_record(lsn);
    }

    /// Stands at a global command until the session has executed it for all flows (repair rule 23).
    async fn global(&mut self, global: Global, lsn: u64, txid: u64) -> Result<(), End> {
        self.settle_all_unless_stopped().await?;
        self.end_predecessors().await?;
        // Rule 25: until the barrier ends nothing that was read before it is written.
        self.repairs.freeze(true);
        self.publish();
        self.tell_position();
        self.status.at_global.store(true, Relaxed);
        self.notify(Notice::Global { flow: self.flow, lsn, txid, global });
        loop {
            match self.order().await? {
                Order::GlobalDone => break,
                other => self.obey(other).await?,
            }
        }
        self.status.at_global.store(false, Relaxed);
        self.repairs.freeze(false);
        self.pass_record();
        self.publish();
        Ok(())
    }

    pub(crate) fn publish(&mut self) {
        self.report();
        let undecided = self.suspects.undecided().unwrap_or(u64::MAX);
        let applied = self.router.applied().min(undecided);
        if self.channels.received.has_begun() {
            in_order(self.flow, applied, self.router.tracker().dispatched(), self.channels.received.next());
        }
        self.status.applied.store(applied, Relaxed);
        let levels = self.channels.input.gauge().levels();
        self.status.set_spool(levels.memory, levels.disk, levels.stalled);
        let waiting =
            self.router.waiting().or(self.throttled.then_some("limits.qps allows no more commands yet"));
        self.status.set_router(self.router.counters(), waiting);
        self.channels.applied.send_if_modified(|value| std::mem::replace(value, applied) != applied);
    }

    /// The session hears where this flow stands.
    pub(crate) fn tell_position(&mut self) {
        self.told = self.next;
        let position = Position { next: self.next, wanted: self.repairs.next_due().unwrap_or(0) };
        self.channels.position.send_if_modified(|value| std::mem::replace(value, position) != position);
    }

    fn notify(&self, notice: Notice) {
        // A session that does not listen any more has told this flow to stop.
        let _ = self.channels.notices.send(notice);
    }
}
