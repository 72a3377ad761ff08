//! What happens to servers: restarts, failovers, slots that move.

use super::{Shard, Target};
use crate::faults::Keeping;
use crate::network::{ConnId, Place};
use crate::world::State;

/// The process of `shard`'s master ends and comes back after `away` with what is on its disk.
pub(crate) fn restart(state: &mut State, now: u64, shard: usize, away: u64) {
    let server = state.target.shards[shard].master;
    state.note(now, "restart", &[shard as u8], || format!("server {server}, away for {away} ms"));
    stop(state, now, server, away);
    let Target { shards, random, keeping, .. } = &mut state.target;
    let this = &mut shards[shard];
    this.data = match keeping {
        Keeping::Nothing => super::Data::new(),
        Keeping::AppendOnly | Keeping::Snapshots(_) => {
            // A part of what was written lately may have reached the disk.
            let lucky = random.below(this.unwritten.len() + 1);
            this.unwritten.drain(..lucky).next_back().unwrap_or_else(|| this.on_disk.clone()).data
        }
    };
    this.begin_history(random.hex40(), None, now);
}

/// The replica of `shard` takes over with what it has; the master goes away for `away`, and comes back as its replica.
pub(crate) fn failover(state: &mut State, now: u64, shard: usize, away: u64) {
    let Some(promoted) = state.target.shards[shard].replica else { return };
    if !state.target.shards[shard].online || state.target.servers[promoted].down_until > 0 {
        return;
    }
    let lost = state.target.shards[shard].behind.len();
    state.note(now, "failover", &[shard as u8], || format!("to server {promoted}, {lost} writes lost"));
    let old = state.target.shards[shard].master;
    stop(state, now, old, away);
    let Target { shards, servers, random, cluster, .. } = &mut state.target;
    if !*cluster {
        // One server is followed by its address.
        let [old, promoted] = servers.get_disjoint_mut([old, promoted]).expect("two different servers");
        std::mem::swap(&mut old.addr, &mut promoted.addr);
        std::mem::swap(&mut old.id, &mut promoted.id);
    }
    let this = &mut shards[shard];
    (this.master, this.replica) = (promoted, Some(old));
    this.data = this.replicated.data.clone();
    let former = (this.replid.clone(), this.replicated.offset + 1);
    let offset = this.replicated.offset;
    this.begin_history(random.hex40(), Some(former), now);
    this.offset = offset;
    this.replicated.offset = offset;
}

/// A slot moves to another shard, with all its keys, in one moment.
pub(crate) fn move_slot(state: &mut State, now: u64, slot: u16, to: usize) {
    let keeping = state.target.keeping;
    let from = state.target.owner(slot);
    if from == to || !state.target.cluster || state.target.migrating.contains_key(&slot) {
        return;
    }
    state.note(now, "move", &slot.to_le_bytes(), || format!("slot {slot} from shard {from} to {to}"));
    let shards = &mut state.target.shards;
    let (moving, staying): (super::Data, super::Data) =
        std::mem::take(&mut shards[from].data).into_iter().partition(|(key, _)| command::slot(key) == slot);
    shards[from].data = staying;
    // What the new owner still has from an earlier time goes first, as `redis-cli --cluster fix` has it.
    shards[to].data.retain(|key, _| command::slot(key) != slot);
    if !moving.is_empty() {
        shards[to].data.extend(moving);
        for shard in [from, to] {
            shards[shard].wrote(now, 100, keeping);
            // Both sides of a migration are kept: what this is about is not data lost between two disks.
            shards[shard].settle(now);
        }
    }
    state.target.moved.insert(slot, to);
}

/// Ends a process and all its connections.
fn stop(state: &mut State, now: u64, server: usize, away: u64) {
    let this = &mut state.target.servers[server];
    this.down_until = now + away.max(1);
    this.stopped_until = 0;
    let silent = state.random.chance(state.profile.machine_crash);
    let clients: Vec<ConnId> = std::mem::take(&mut this.clients).into_keys().collect();
    for id in clients {
        debug_assert!(state.conns.get(&id).is_none_or(|conn| conn.place == Place::Server(server)));
        let Some(conn) = state.conns.get_mut(&id) else { continue };
        // Replies that had left arrive, or a part of them.
        let keep = state.random.below(conn.down.flying_bytes() + 1);
        conn.down.lose(keep);
        match silent {
            true => state.server_vanishes(now, id),
            false => state.server_closes(now, id),
        }
    }
}

/// Processes whose time has come run again.
pub(super) fn come_back(state: &mut State, now: u64) {
    for index in 0..state.target.servers.len() {
        let Target { servers, shards, random, .. } = &mut state.target;
        let server = &mut servers[index];
        if server.down_until == 0 || server.down_until > now {
            continue;
        }
        server.down_until = 0;
        server.started = now;
        server.run_id = random.hex40();
        if shards[server.shard].master == index {
            shards[server.shard].last_save = shards[server.shard].clock(now) / 1000;
        }
        let shard = &mut shards[server.shard];
        if shard.replica == Some(index) || (shard.master == index && shard.replica.is_some()) {
            // The replica starts with a copy.
            shard.synchronize(now);
        }
        state.note(now, "back", &[index as u8], || format!("server {index}"));
    }
}

impl Shard {
    /// Another history of writes begins, with the data as it is now.
    fn begin_history(&mut self, replid: String, former: Option<(String, u64)>, now: u64) {
        (self.replid, self.former) = (replid, former);
        self.offset = 0;
        self.online = false;
        self.saving = None;
        self.settle(now);
    }

    /// Replica and disk have what the master has.
    pub(super) fn settle(&mut self, now: u64) {
        let version = super::Version { offset: self.offset, at: now, data: self.data.clone() };
        self.behind.clear();
        self.unwritten.clear();
        if let Some((saving, _)) = &mut self.saving {
            *saving = version.clone();
        }
        (self.replicated, self.on_disk) = (version.clone(), version);
    }

    fn synchronize(&mut self, now: u64) {
        self.behind.clear();
        self.replicated = super::Version { offset: self.offset, at: now, data: self.data.clone() };
        self.acknowledged = self.offset;
        self.online = true;
    }

    /// The replica stays behind by as much from now on.
    pub(crate) fn lag(&mut self, ms: u64) {
        self.lag_ms = ms;
    }
}
