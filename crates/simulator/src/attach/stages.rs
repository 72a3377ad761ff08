//! The stages of an attachment: greeting, flows, full sync, stable sync.

use std::sync::Arc;

use bytes::Bytes;

use super::{Attachment, Flow, FlowLink, Phase, State};
use crate::Release;
use crate::engine::Engine;
use crate::outbox::Outbox;
use crate::reply::Reply;
use crate::snapshot::Snapshot;
use crate::wire::rdb;

fn err(text: &str) -> Reply {
    Reply::Error(format!("ERR {text}"))
}

fn invalid_state() -> Reply {
    err("invalid state")
}

impl Engine {
    /// `REPLCONF capa dragonfly`: a new attachment and the greeting.
    pub(crate) fn greet(&mut self, peer: String, port: u16) -> (u32, Reply) {
        self.last_sync_id += 1;
        let id = self.last_sync_id;
        self.attachments.insert(id, Attachment { state: State::Preparation, peer, port, client_id: None });
        let mut greeting = vec![
            Reply::Status(self.replid.clone()),
            Reply::Status(format!("SYNC{id}")),
            Reply::Int(self.shards.len() as i64),
            Reply::Int(self.settings.release.ordinal()),
        ];
        if self.settings.release == Release::V1_40 {
            greeting.push(Reply::Status(self.replid.clone()));
        }
        (id, Reply::Array(greeting))
    }

    /// The attachment that a `SYNC<n>` token names.
    pub(crate) fn sync_id(&self, token: &[u8]) -> Result<u32, Reply> {
        let id = std::str::from_utf8(token)
            .ok()
            .and_then(|t| t.strip_prefix("SYNC"))
            .and_then(|n| n.parse().ok())
            .ok_or_else(|| err("bad sync id"))?;
        if self.attachments.contains_key(&id) { Ok(id) } else { Err(err("syncid not found")) }
    }

    /// `DFLY FLOW`, `args` after that word.
    pub(crate) fn open_flow(&mut self, args: &[Bytes]) -> Result<(FlowLink, Reply), Reply> {
        let (replid, token, flow, rest) = match args {
            [replid, token, flow, rest @ ..] if rest.len() <= 2 => (replid, token, flow, rest),
            _ => return Err(err("syntax error")),
        };
        if replid != self.replid.as_bytes() {
            return Err(err("bad master id"));
        }
        let id = self.sync_id(token)?;
        let number = |s: &[u8]| std::str::from_utf8(s).ok().and_then(|s| s.parse::<u64>().ok());
        let not_integer = || err("value is not an integer or out of range");
        let shard = number(flow)
            .and_then(|n| usize::try_from(n).ok())
            .filter(|&n| n < self.shards.len())
            .ok_or_else(not_integer)?;
        if self.attachments.get(&id).is_none_or(|a| a.state != State::Preparation)
            || self.shards[shard].flows.iter().any(|f| f.attachment == id)
        {
            return Err(invalid_state());
        }
        let wanted = match rest {
            [] => None,
            [lsn] => Some(number(lsn).ok_or_else(not_integer)?),
            // A failover resume: only of who followed the same master.
            [former, vector] => {
                let lsns = vector.split(|&b| b == b'-').map(number).collect::<Option<Vec<_>>>();
                let lsns = lsns.ok_or_else(not_integer)?;
                let ours = self.former.as_ref().is_some_and(|f| f.replid.as_bytes() == former);
                match lsns.get(shard) {
                    _ if !ours => None,
                    Some(&lsn) if lsns.len() == self.shards.len() => Some(lsn),
                    _ => return Err(err("syntax error")),
                }
            }
            _ => None,
        };
        if let Some(backlog) = self.faults.backlog() {
            self.shards.iter_mut().for_each(|s| s.journal.shrink(backlog));
        }
        self.shards[shard].journal.turn_on();
        let partial = wanted
            .filter(|&lsn| self.shards[shard].journal.since(lsn).is_some())
            .filter(|_| !self.faults.take_refusal(shard));
        let token = self.rng.hex40();
        let outbox = Arc::new(Outbox::default());
        self.shards[shard].flows.push(Flow {
            attachment: id,
            outbox: outbox.clone(),
            acked: 0,
            partial,
            token: token.clone(),
            phase: Phase::Registered,
            last_lsn_op: None,
        });
        let kind = if partial.is_some() { "PARTIAL" } else { "FULL" };
        Ok((
            FlowLink { life: self.life, attachment: id, shard, outbox },
            Reply::Array(vec![Reply::Simple(kind), Reply::Status(token)]),
        ))
    }

    fn flows_of(&self, id: u32) -> impl Iterator<Item = &Flow> {
        self.shards.iter().flat_map(move |s| s.flows.iter().filter(move |f| f.attachment == id))
    }

    /// The flows of an attachment, for the tasks that run its snapshots.
    pub(crate) fn links(&self, id: u32) -> Vec<FlowLink> {
        self.shards
            .iter()
            .enumerate()
            .flat_map(|(shard, s)| s.flows.iter().map(move |f| (shard, f)))
            .filter(|(_, f)| f.attachment == id)
            .map(|(shard, f)| FlowLink { life: self.life, attachment: id, shard, outbox: f.outbox.clone() })
            .collect()
    }

    fn all_flows_open(&self, id: u32) -> bool {
        self.flows_of(id).count() == self.shards.len()
    }

    /// `DFLY SYNC`: writes the headers and registers the snapshots. The caller runs the traversal.
    pub(crate) fn start_full_sync(&mut self, id: u32) -> Result<(), Reply> {
        let prepared = self.attachments.get(&id).is_some_and(|a| a.state == State::Preparation);
        let any_partial = self.flows_of(id).any(|f| f.partial.is_some());
        let release = self.settings.release;
        if !prepared || !self.all_flows_open(id) || (release == Release::V1_40 && any_partial) {
            return Err(invalid_state());
        }
        if let Some(a) = self.attachments.get_mut(&id) {
            a.state = State::FullSync;
        }
        if !any_partial {
            self.full_syncs += 1;
        }
        let shards = self.shards.len();
        let now = self.settings.clock.now_s();
        for (i, shard) in self.shards.iter_mut().enumerate() {
            let missed: Vec<Bytes> = shard
                .flows
                .iter()
                .find(|f| f.attachment == id)
                .and_then(|f| shard.journal.since(f.partial?))
                .map(|records| records.map(|(_, r)| r.clone()).collect())
                .unwrap_or_default();
            let Some(flow) = shard.flows.iter_mut().find(|f| f.attachment == id) else { continue };
            let memory = 4_000_000 + shard.dbs.iter().flatten().map(|d| d.keys as u64 * 64).sum::<u64>();
            flow.outbox.push(&rdb::header(release.version(), i, shards, now, memory));
            let mut snapshot = match flow.partial {
                Some(_) => Snapshot::journal_only(release),
                None => Snapshot::new(release),
            };
            for record in missed {
                snapshot.record(&record, &flow.outbox);
            }
            flow.phase = Phase::Snapshot(Box::new(snapshot));
        }
        Ok(())
    }

    /// One step of flow `shard`'s traversal: `None` when the attachment is gone, else whether it is through.
    pub(crate) fn traverse(&mut self, id: u32, shard: usize) -> Option<bool> {
        let shard = &mut self.shards[shard];
        let flow = shard.flows.iter_mut().find(|f| f.attachment == id)?;
        let (snapshot, outbox) = flow.snapshot_mut()?;
        Some(snapshot.step(&shard.dbs, outbox))
    }

    /// Whether STARTSTABLE can go ahead: `Ok(false)` while a snapshot still runs.
    pub(crate) fn ready_for_stable(&self, id: u32) -> Result<bool, Reply> {
        let Some(a) = self.attachments.get(&id) else { return Err(err("syncid not found")) };
        if !self.all_flows_open(id) {
            return Err(invalid_state());
        }
        let all_partial = self.flows_of(id).all(|f| f.partial.is_some());
        match a.state {
            State::Preparation if self.settings.release == Release::V1_40 && all_partial => Ok(true),
            State::FullSync => Ok(self.flows_of(id).all(|f| f.snapshot().is_some_and(Snapshot::is_cut))),
            _ => Err(invalid_state()),
        }
    }

    /// `DFLY STARTSTABLE`: ends the snapshots, or streams the backlog, and goes live.
    pub(crate) fn start_stable(&mut self, id: u32) -> Result<(), Reply> {
        if !self.ready_for_stable(id)? {
            return Err(invalid_state());
        }
        let interval = self.settings.lsn_interval;
        for shard in &mut self.shards {
            let Some(flow) = shard.flows.iter_mut().find(|f| f.attachment == id) else { continue };
            let token = flow.token.clone();
            let next = shard.journal.next_lsn();
            if let Some((snapshot, outbox)) = flow.snapshot_mut() {
                snapshot.finish(next, &token, outbox);
                flow.phase = Phase::Stable;
                continue;
            }
            flow.phase = Phase::Stable;
            let Some(records) = flow.partial.and_then(|lsn| shard.journal.since(lsn)) else {
                // The ring moved on between FLOW and STARTSTABLE.
                self.cancel(id);
                return Err(invalid_state());
            };
            for (lsn, record) in records {
                flow.deliver(record, lsn, interval);
            }
        }
        if let Some(a) = self.attachments.get_mut(&id) {
            a.state = State::StableSync;
        }
        Ok(())
    }
}
