//! Masters that go and replicas that follow them.

use crate::Failover;
use crate::engine::Engine;
use crate::engine::shard::Data;
use crate::wire::journal as record;
use bytes::Bytes;

/// What a replica of a live master holds at one moment: its data, and the LSNs up to which it has applied the
/// master's records. Made by [`Handle::standby`](crate::Handle::standby) or
/// [`Handle::begin_takeover`](crate::Handle::begin_takeover), promoted by [`Handle::promote`](crate::Handle::promote).
#[derive(Debug, Clone)]
pub struct Standby {
    /// The master's replication id.
    replid: String,
    data: Vec<Data>,
    /// Per shard, where the replica's own journal begins, and what it has journaled since of its master's records.
    journal: Vec<(u64, Vec<Bytes>)>,
}

impl Standby {
    /// The master's replication id.
    pub fn replication_id(&self) -> &str {
        &self.replid
    }

    /// Per shard the LSN of the first record it does not have.
    pub fn lsns(&self) -> Vec<u64> {
        self.journal.iter().map(|(from, records)| from + records.len() as u64).collect()
    }
}

/// What a promoted replica remembers of its master (`last_master_data_`, v1.40.1 `server_family.cc`).
#[derive(Debug, Clone)]
pub(crate) struct FormerMaster {
    pub(crate) replid: String,
    /// Where this one stood when it was promoted.
    pub(crate) lsns: Vec<u64>,
}

impl Engine {
    /// A replica that has everything up to now.
    pub(crate) fn standby(&self) -> Standby {
        let journal = self.shards.iter().map(|s| (s.journal.next_lsn(), Vec::new())).collect();
        let data = self.shards.iter().map(|s| s.data()).collect();
        Standby { replid: self.replid.clone(), data, journal }
    }

    /// The master's part of REPLTAKEOVER: no more commands, and a PING as the last record of every shard. The replica
    /// starts its journal before it asks, so the PING is in its ring (v1.40.1 `server_family.cc` ReplTakeOver,
    /// `dflycmd.cc` TakeOver).
    pub(crate) fn begin_takeover(&mut self) -> Standby {
        self.taken_over = true;
        let mut standby = self.standby();
        self.ping_all();
        for (_, records) in &mut standby.journal {
            let mut ping = Vec::new();
            record::ping(&mut ping, self.settings.profile().ping_selects);
            records.push(ping.into());
        }
        standby
    }

    /// Becomes a master with what a replica has.
    pub(crate) fn promote(&mut self, standby: Standby) {
        self.cancel_all();
        self.replica = false;
        self.taken_over = false;
        let same = standby.data.len() == self.shards.len();
        let lsns = standby.lsns();
        self.replace_data(standby.data);
        self.former = None;
        let profile = self.settings.profile();
        if same && profile.failover == Failover::OwnLsn {
            // Its own journal begins anew; it remembers where it stood (v1.30.0 `server_family.cc` ReplTakeOver).
            self.former = Some(FormerMaster { replid: standby.replid, lsns });
            for shard in &mut self.shards {
                shard.journal = self.settings.journal().continued(1);
            }
        } else if same && profile.failover == Failover::Continues {
            self.former = Some(FormerMaster { replid: standby.replid, lsns });
            for (shard, (from, records)) in self.shards.iter_mut().zip(standby.journal) {
                shard.journal = self.settings.journal().continued(from);
                for record in records {
                    shard.journal.push(record);
                }
            }
        }
    }
}
