//! The data and everything that happens to it under one lock.

mod glob;
pub(crate) mod journal;
mod random;
pub(crate) mod shard;
pub(crate) mod stream;
mod tx;
pub(crate) mod value;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) use glob::matches as glob;
pub(crate) use random::Random;
pub(crate) use tx::{Failure, Tx};

use crate::attach::Attachment;
use crate::commands::{self, Spec};
use crate::takeover::FormerMaster;
use crate::wire::journal as record;
use crate::{Builder, Faults, Profile};
use shard::{Data, Place, Shard};

/// A stop of client commands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pause {
    pub(crate) until: Instant,
    pub(crate) writes_only: bool,
}

/// The whole state of a live master.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) settings: Builder,
    pub(crate) faults: Faults,
    pub(crate) shards: Vec<Shard>,
    pub(crate) replid: String,
    pub(crate) rng: Random,
    /// Counter of transactions that touch several shards; their records carry it.
    pub(crate) txid: u64,
    /// Shards on which the transaction under way has journaled something.
    pub(crate) transaction: BTreeSet<usize>,
    pub(crate) attachments: BTreeMap<u32, Attachment>,
    pub(crate) last_sync_id: u32,
    /// Counts restarts: attachment numbers begin anew with each.
    pub(crate) life: u64,
    pub(crate) full_syncs: u64,
    pub(crate) loading: bool,
    /// Loading ends by itself then.
    pub(crate) loading_until: Option<Instant>,
    /// Shows itself as a replica and takes none.
    pub(crate) replica: bool,
    /// A replica is taking over (`TAKEN_OVER`).
    pub(crate) taken_over: bool,
    /// Set by a promotion.
    pub(crate) former: Option<FormerMaster>,
    pub(crate) pause: Option<Pause>,
    /// Set while STARTSTABLE waits for a snapshot: every client command waits.
    pub(crate) guard: usize,
    /// Commands that go by another name.
    pub(crate) renamed: Vec<Renamed>,
    /// Members that SPOP takes before it asks the generator.
    pub(crate) chosen: VecDeque<Bytes>,
    pub(crate) started: Instant,
    /// How often a client did what crashes a real master.
    pub(crate) crashes: u64,
    pub(crate) port: u16,
    /// Told when a key will expire sooner than all others.
    pub(crate) sooner: Arc<Notify>,
}

/// What stands between the first braces of a key, or the whole key.
fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&b| b == b'{') else { return key };
    match key[open + 1..].iter().position(|&b| b == b'}') {
        Some(length) if length > 0 => &key[open + 1..][..length],
        _ => key,
    }
}

/// A command under a name that nobody knows.
#[derive(Debug)]
pub(crate) struct Renamed {
    pub(crate) name: String,
    pub(crate) spec: &'static Spec,
    /// Whether COMMAND INFO tells of it.
    pub(crate) told: bool,
}

impl Engine {
    /// The command of this name, in any case.
    pub(crate) fn command(&self, name: &[u8]) -> Option<&'static Spec> {
        let renamed = self.renamed.iter().find(|renamed| name.eq_ignore_ascii_case(renamed.name.as_bytes()));
        renamed.map(|renamed| renamed.spec).or_else(|| commands::find(name))
    }

    pub(crate) fn new(settings: Builder, faults: Faults, port: u16) -> Engine {
        let mut rng = Random::new(settings.seed);
        let sooner = Arc::new(Notify::new());
        let shard = |_| Shard::new(settings.journal(), settings.lsn_interval, sooner.clone());
        let shards = (0..settings.shards).map(shard).collect();
        Engine {
            replid: rng.hex40(),
            settings,
            faults,
            shards,
            rng,
            txid: 0,
            transaction: BTreeSet::new(),
            attachments: BTreeMap::new(),
            last_sync_id: 0,
            life: 0,
            full_syncs: 0,
            loading: false,
            loading_until: None,
            replica: false,
            taken_over: false,
            former: None,
            pause: None,
            guard: 0,
            renamed: Vec::new(),
            chosen: VecDeque::new(),
            started: Instant::now(),
            crashes: 0,
            port,
            sooner,
        }
    }

    /// A new process: new replication id, no attachments, LSNs at 1, journaling off; perhaps another number of shards.
    pub(crate) fn restart(&mut self, keep_data: bool, shards: usize) {
        self.cancel_all();
        self.life += 1;
        self.replid = self.rng.hex40();
        self.last_sync_id = 0;
        self.txid = 0;
        self.pause = None;
        self.taken_over = false;
        self.former = None;
        self.started = Instant::now();
        self.settings.shards = shards;
        let data: Vec<Data> = self.shards.iter_mut().map(Shard::take_data).collect();
        let fresh = |_| Shard::new(self.settings.journal(), self.settings.lsn_interval, self.sooner.clone());
        self.shards = (0..shards).map(fresh).collect();
        if keep_data {
            self.replace_data(data);
        }
    }

    /// Holds this data from now on, which may come from another number of shards.
    pub(crate) fn replace_data(&mut self, data: Vec<Data>) {
        self.shards.iter_mut().for_each(|s| drop(s.take_data()));
        if data.len() == self.shards.len() {
            self.shards.iter_mut().zip(data).for_each(|(shard, data)| shard.set_data(data));
            return;
        }
        for (db, key, entry) in data.into_iter().flat_map(Data::into_entries) {
            let at = self.place(&key);
            self.shards[at.shard].insert(db, at.bucket, key, entry);
        }
    }

    /// Whether the data set is being loaded.
    pub(crate) fn is_loading(&self) -> bool {
        self.loading || self.loading_until.is_some_and(|t| t > Instant::now())
    }

    pub(crate) fn place(&self, key: &[u8]) -> Place {
        let hashed = if self.settings.cluster.is_some() { tag(key) } else { key };
        Place::of(key, hashed, self.shards.len())
    }

    pub(crate) fn next_txid(&mut self) -> u64 {
        self.txid += 1;
        self.txid
    }

    /// What the release does.
    pub(crate) fn profile(&self) -> &'static Profile {
        self.settings.profile()
    }

    /// The end of MULTI: releases with transactions in the journal write EXEC on every shard that has records of it.
    pub(crate) fn end_transaction(&mut self, txid: u64) {
        let shards = std::mem::take(&mut self.transaction);
        for &shard in &shards {
            let mut out = Vec::new();
            record::exec(&mut out, 0, txid, shards.len() as u64);
            self.shards[shard].append_exec(out);
        }
    }

    /// Whether writes are paused at the moment; expiry pauses with them.
    pub(crate) fn paused(&self) -> Option<Pause> {
        self.pause.filter(|p| p.until > Instant::now())
    }

    /// The next LSN of every shard, 0 where journaling was never on.
    pub(crate) fn offsets(&self) -> Vec<u64> {
        self.shards.iter().map(|s| if s.journal.is_on() { s.journal.next_lsn() } else { 0 }).collect()
    }

    /// Removes a key whose time has come and journals that: EXPIRED up to v1.37, a DEL command later.
    pub(crate) fn expire(&mut self, shard: usize, bucket: usize, db: u16, key: &[u8]) {
        let shard = &mut self.shards[shard];
        shard.before_write(db, bucket);
        shard.remove(db, bucket, key);
        let mut out = Vec::with_capacity(key.len() + 16);
        match self.settings.profile().expired_op {
            true => record::expired(&mut out, db, key),
            false => record::command(&mut out, db, 0, &[b"DEL".as_slice(), key]),
        }
        shard.append(out);
    }

    /// How long until the next key is due; `None` when no key has an expiry.
    pub(crate) fn until_next_expiry(&self) -> Option<Duration> {
        let first = self.shards.iter().filter_map(|s| s.expiries.first()).map(|(at, ..)| *at).min()?;
        let clock = &self.settings.clock;
        let ms = if clock.is_steady() { first.saturating_sub(clock.now_ms()) } else { 0 };
        Some(Duration::from_millis(ms))
    }

    /// Active expiry: removes up to `most` due keys.
    pub(crate) fn expire_due(&mut self, most: usize) -> usize {
        if self.guard > 0 || self.paused().is_some() {
            return 0;
        }
        let now = self.settings.clock.now_ms();
        let mut gone = 0;
        for shard in 0..self.shards.len() {
            while gone < most {
                let due = self.shards[shard].expiries.first().filter(|(at, ..)| *at <= now).cloned();
                let Some((_, db, key)) = due else { break };
                self.expire(shard, self.place(&key).bucket, db, &key);
                gone += 1;
            }
        }
        gone
    }
}
