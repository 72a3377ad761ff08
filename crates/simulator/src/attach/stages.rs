//! The stages of an attachment: greeting, flows, full sync, stable sync.

use std::sync::Arc;

use bytes::Bytes;

use super::{Attachment, Flow, FlowLink, Phase, State};
use crate::engine::Engine;
use crate::outbox::Outbox;
use crate::reply::Reply;
use crate::snapshot::Snapshot;
use crate::wire::rdb;
use crate::{Failover, LsnOps, Resume};

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
        let (state, client_id, client_version) = (State::Preparation, None, 1);
        self.attachments.insert(id, Attachment { state, peer, port, client_id, client_version });
        let profile = self.profile();
        let mut greeting = vec![
            Reply::Status(self.replid.clone()),
            Reply::Status(format!("SYNC{id}")),
            Reply::Int(self.shards.len() as i64),
            Reply::Int(profile.ordinal as i64),
            Reply::Status(self.replid.clone()),
        ];
        greeting.truncate(profile.greeting);
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
        let profile = self.profile();
        let (replid, token, flow, rest) = match args {
            [replid, token, flow, rest @ ..] if args.len() <= profile.flow_arguments => {
                (replid, token, flow, rest)
            }
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
        let mut wanted = match rest {
            [] => None,
            [lsn] => Some(number(lsn).ok_or_else(not_integer)?),
            // A failover resume: only of who followed the same master.
            [former, vector] => {
                let lsns = vector.split(|&b| b == b'-').map(number).collect::<Option<Vec<_>>>();
                let lsns = lsns.ok_or_else(not_integer)?;
                let ours = self.former.as_ref().filter(|f| f.replid.as_bytes() == former);
                match (ours, lsns.get(shard)) {
                    (None, _) => None,
                    (Some(_), Some(&lsn)) if lsns.len() == self.shards.len() => Some(lsn),
                    _ => return Err(err("syntax error")),
                }
            }
            _ => None,
        };
        // Where its own journal stands now, if the replica has exactly what this one had (v1.30.0 `dflycmd.cc` Flow).
        if profile.failover == Failover::OwnLsn && rest.len() == 2 {
            let same = self.former.as_ref().is_some_and(|f| Some(f.lsns[shard]) == wanted);
            wanted = same.then(|| self.shards[shard].journal.next_lsn());
        }
        if let Some(backlog) = self.faults.backlog().filter(|_| profile.backlog > 0) {
            self.shards.iter_mut().for_each(|s| s.journal.shrink(backlog));
        }
        self.shards[shard].journal.turn_on();
        self.shards[shard].journal.forget_old();
        let partial = wanted
            .filter(|_| profile.resume != Resume::Full || rest.len() == 2)
            .filter(|&lsn| self.shards[shard].journal.since(lsn).is_some())
            .filter(|_| !self.faults.take_refusal(shard));
        let client_version = self.attachments.get(&id).map_or(1, |a| a.client_version);
        let lsn_ops = match profile.lsn_ops {
            LsnOps::Never => false,
            LsnOps::From(version) => client_version >= version,
            LsnOps::Always => true,
        };
        let token = self.rng.hex40();
        let outbox = Arc::new(Outbox::default());
        self.shards[shard].flows.push(Flow {
            attachment: id,
            outbox: outbox.clone(),
            acked: 0,
            partial,
            token: token.clone(),
            phase: Phase::Registered,
            lsn_ops,
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
        let profile = self.profile();
        if !prepared || !self.all_flows_open(id) || (profile.resume == Resume::RecordsOnly && any_partial) {
            return Err(invalid_state());
        }
        if profile.resume == Resume::Records && any_partial {
            // A real one ends up with flows that are neither in full sync nor in stable sync (v1.35 to v1.39
            // `dflycmd.cc` Sync and StartStable); here it is loud instead.
            tracing::error!("SYNC after PARTIAL would have damaged the master");
            self.crashes += 1;
            self.cancel(id);
            return Ok(());
        }
        let lost = self.shards.iter().any(|shard| {
            let lsn = shard.flows.iter().find(|f| f.attachment == id).and_then(|f| f.partial);
            lsn.is_some_and(|lsn| shard.journal.since(lsn).is_none())
        });
        if lost {
            // The ring moved on between FLOW and SYNC: "Partial sync was unsuccessful because entry #... was dropped from the
            // buffer" (`snapshot.cc` SliceSnapshot, up to v1.34), which ends the attachment.
            self.cancel(id);
            return Ok(());
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
            flow.outbox.push(&rdb::header(profile, i, shards, now, memory));
            let mut snapshot = match flow.partial {
                Some(_) => Snapshot::journal_only(profile),
                None => Snapshot::new(profile),
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
        let journal_style = matches!(self.profile().resume, Resume::Records | Resume::RecordsOnly);
        match a.state {
            State::Preparation if journal_style && all_partial => Ok(true),
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
