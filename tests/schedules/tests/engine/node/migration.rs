//! Slots that move from shard to shard key by key, while both are asked for them.

use bytes::Bytes;

use super::{Target, data};
use crate::world::State;

/// Of the ticks of a migration, how many out of a hundred move a key.
const MOVES: u64 = 40;

/// A slot on its way from its owner.
#[derive(Debug)]
pub(crate) struct Migration {
    to: usize,
    /// It is not complete before.
    until: u64,
}

/// A slot begins to move to shard `to`; it is complete at `until` at the earliest.
pub(crate) fn migrate_slot(state: &mut State, now: u64, slot: u16, to: usize, until: u64) {
    let target = &mut state.target;
    let from = target.owner(slot);
    if from == to || !target.cluster || target.migrating.contains_key(&slot) {
        return;
    }
    // What the new owner still has from an earlier time goes first.
    target.shards[to].data.retain(|key, _| command::slot(key) != slot);
    target.migrating.insert(slot, Migration { to, until });
    state.note(now, "migrate", &slot.to_le_bytes(), || format!("slot {slot} from shard {from} to {to}"));
}

/// Moves keys, and ends what is complete.
pub(super) fn go_on(state: &mut State, now: u64) {
    let slots: Vec<u16> = state.target.migrating.keys().copied().collect();
    for slot in slots {
        let from = state.target.owner(slot);
        let Target { shards, servers, random, keeping, migrating, .. } = &mut state.target;
        let Migration { to, until } = migrating[&slot];
        let up = |shard: usize| servers[shards[shard].master].down_until == 0;
        if !up(from) || !up(to) || !random.chance(MOVES) {
            continue;
        }
        let next = shards[from].data.keys().find(|key| command::slot(key) == slot).cloned();
        if let Some(key) = next {
            let entry = shards[from].data.remove(&key).expect("it was found");
            shards[to].data.insert(key.clone(), entry);
            for shard in [from, to] {
                shards[shard].wrote(now, 100, *keeping);
                // As for a slot that moves at once: this is not about data lost between two disks.
                shards[shard].settle(now);
            }
            state.note(now, "migrated", &key, || format!("{} to shard {to}", key.escape_ascii()));
        } else if until <= now {
            migrating.remove(&slot);
            state.target.moved.insert(slot, to);
            state.note(now, "move", &slot.to_le_bytes(), || format!("slot {slot} is with shard {to}"));
        }
    }
}

impl Target {
    /// Whether clients find keys of a slot that are on this shard.
    pub(super) fn serves(&self, shard: usize, slot: u16) -> bool {
        self.owner(slot) == shard || self.migrating.get(&slot).is_some_and(|migration| migration.to == shard)
    }

    /// Why a server of a cluster does not execute a command on keys of one slot, if it does not (`getNodeByQuery` of
    /// Redis 7.0).
    pub(super) fn redirects(
        &mut self,
        now: u64,
        server: usize,
        slot: u16,
        keys: &[Bytes],
        asking: bool,
    ) -> Option<String> {
        let (owner, index) = (self.owner(slot), self.servers[server].shard);
        let to = self.migrating.get(&slot).map(|migration| migration.to);
        let at = |target: &Target, shard: usize| target.servers[target.shards[shard].master].addr.clone();
        let here = owner == index || (to == Some(index) && asking);
        if !here || !self.is_master(server) {
            return Some(format!("MOVED {slot} {}", at(self, owner)));
        }
        let to = to?;
        let clock = self.shards[index].clock(now);
        let shard = &mut self.shards[index];
        if data::expire(&mut shard.data, clock) {
            shard.wrote(now, 30, self.keeping);
        }
        let missing = keys.iter().filter(|key| !shard.data.contains_key(*key)).count();
        let several = keys.iter().any(|key| *key != keys[0]);
        match (owner == index, missing) {
            (_, 0) => None,
            (true, missing) if missing == keys.len() => Some(format!("ASK {slot} {}", at(self, to))),
            (false, _) if !several => None,
            _ => Some("TRYAGAIN Multiple keys request during rehashing of slot".into()),
        }
    }
}
