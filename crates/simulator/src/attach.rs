//! Attached replicas: what the DFLY commands do.

mod stages;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::engine::Engine;
use crate::outbox::Outbox;
use crate::snapshot::Snapshot;
use crate::wire::journal;

/// One attached replica as the master sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentInfo {
    /// The number in its `SYNC<n>` token.
    pub id: u32,
    /// `preparation`, `full_sync`, `stable_sync` or `cancelled`.
    pub state: &'static str,
    /// Per flow: `Some(true)` when it was answered PARTIAL, `Some(false)` when FULL, `None` when not open yet.
    pub partial: Vec<Option<bool>>,
    /// Per flow: the last `REPLCONF ACK`, 0 before the first.
    pub acked: Vec<u64>,
    /// The label given by `REPLCONF CLIENT-ID`.
    pub client_id: Option<String>,
}

/// `PREPARATION -> FULL_SYNC -> STABLE_SYNC`; a journal-style partial sync skips the middle. Cancelled
/// attachments are removed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Preparation,
    FullSync,
    StableSync,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Preparation => "preparation",
            State::FullSync => "full_sync",
            State::StableSync => "stable_sync",
        }
    }
}

/// The master's side of one replica, made by `REPLCONF capa dragonfly`.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) state: State,
    pub(crate) peer: String,
    pub(crate) port: u16,
    pub(crate) client_id: Option<String>,
    /// `REPLCONF CLIENT-VERSION`; 1 until it is said.
    pub(crate) client_version: u64,
}

impl Attachment {
    /// The peer without its port, as INFO shows it.
    pub(crate) fn ip(&self) -> &str {
        self.peer.rsplit_once(':').map_or(&self.peer[..], |(ip, _)| ip)
    }
}

#[derive(Debug)]
enum Phase {
    Registered,
    Snapshot(Box<Snapshot>),
    Stable,
}

/// One flow of an attachment; it lives in the shard whose records it carries.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) attachment: u32,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) acked: u64,
    /// The LSN asked for when it was answered PARTIAL.
    pub(crate) partial: Option<u64>,
    token: String,
    phase: Phase,
    /// Whether LSN ops are sent on it.
    lsn_ops: bool,
    last_lsn_op: Option<Instant>,
}

impl Flow {
    pub(crate) fn snapshot_mut(&mut self) -> Option<(&mut Snapshot, &Outbox)> {
        match &mut self.phase {
            Phase::Snapshot(s) => Some((s, &self.outbox)),
            _ => None,
        }
    }

    pub(crate) fn snapshot(&self) -> Option<&Snapshot> {
        match &self.phase {
            Phase::Snapshot(s) => Some(s),
            _ => None,
        }
    }

    /// Sends a record in the form the phase asks for.
    pub(crate) fn deliver(&mut self, record: &Bytes, lsn: u64, lsn_interval: Duration) {
        match &mut self.phase {
            Phase::Registered => {}
            Phase::Snapshot(s) => s.record(record, &self.outbox),
            Phase::Stable => {
                self.outbox.push(record);
                // After the first record of the stream, then at most once an interval (v1.40.1
                // `streamer.cc ConsumeJournalChange`).
                if self.lsn_ops && self.last_lsn_op.is_none_or(|at| at.elapsed() > lsn_interval) {
                    self.last_lsn_op = Some(Instant::now());
                    let mut op = Vec::with_capacity(10);
                    journal::lsn(&mut op, lsn);
                    self.outbox.push(&op);
                }
            }
        }
    }
}

/// A flow that a connection has become.
#[derive(Debug, Clone)]
pub(crate) struct FlowLink {
    /// Which life of the master it belongs to; see [`Engine::life`].
    pub(crate) life: u64,
    pub(crate) attachment: u32,
    pub(crate) shard: usize,
    pub(crate) outbox: Arc<Outbox>,
}

impl Engine {
    /// Ends an attachment: every flow's socket is closed, the entry is removed.
    pub(crate) fn cancel(&mut self, id: u32) {
        if self.attachments.remove(&id).is_some() {
            tracing::debug!(attachment = id, "attachment cancelled");
        }
        for shard in &mut self.shards {
            shard.flows.retain(|f| {
                if f.attachment == id {
                    f.outbox.close();
                }
                f.attachment != id
            });
        }
    }

    /// Ends all attachments.
    pub(crate) fn cancel_all(&mut self) {
        let ids: Vec<u32> = self.attachments.keys().copied().collect();
        ids.into_iter().for_each(|id| self.cancel(id));
    }

    /// `REPLCONF ACK` on a flow.
    pub(crate) fn ack(&mut self, link: &FlowLink, lsn: u64) {
        if let Some(flow) = self.shards[link.shard].flows.iter_mut().find(|f| f.attachment == link.attachment)
        {
            flow.acked = lsn;
        }
    }

    /// The attachments, for tests and INFO.
    pub(crate) fn attachment_infos(&self) -> Vec<AttachmentInfo> {
        self.attachments
            .iter()
            .map(|(&id, a)| {
                let flow = |s: &crate::engine::shard::Shard| {
                    s.flows.iter().find(|f| f.attachment == id).map(|f| (f.partial.is_some(), f.acked))
                };
                AttachmentInfo {
                    id,
                    state: a.state.name(),
                    partial: self.shards.iter().map(|s| flow(s).map(|f| f.0)).collect(),
                    acked: self.shards.iter().map(|s| flow(s).map_or(0, |f| f.1)).collect(),
                    client_id: a.client_id.clone(),
                }
            })
            .collect()
    }

    /// A flow whose pending bytes are at or above the limit, for writers to wait for.
    pub(crate) fn saturated(&self) -> Option<(u32, Arc<Outbox>)> {
        let limit = self.settings.output_limit;
        self.shards
            .iter()
            .flat_map(|s| &s.flows)
            .find(|f| f.outbox.pending() >= limit)
            .map(|f| (f.attachment, f.outbox.clone()))
    }

    /// WAIT: journals a PING on every shard and says which LSN each flow must acknowledge.
    pub(crate) fn ping_all(&mut self) -> Vec<u64> {
        let selects = self.profile().ping_selects;
        for shard in &mut self.shards {
            let mut op = Vec::new();
            journal::ping(&mut op, selects);
            shard.append(op);
        }
        self.shards.iter().map(|s| s.journal.next_lsn()).collect()
    }

    /// Attachments in stable sync whose ACKs have all reached `targets`.
    pub(crate) fn caught_up(&self, targets: &[u64]) -> usize {
        self.attachments
            .iter()
            .filter(|(id, a)| {
                a.state == State::StableSync
                    && self
                        .shards
                        .iter()
                        .zip(targets)
                        .all(|(s, &t)| s.flows.iter().any(|f| f.attachment == **id && f.acked >= t))
            })
            .count()
    }
}
