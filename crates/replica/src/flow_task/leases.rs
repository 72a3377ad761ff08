//! Keys of a snapshot keep their life until the records came that may renew it.
//!
//! A snapshot can take hours on its way. A key that had a minute left when the source sent it, and that the source has
//! renewed ever since, would expire on the target long before the first record that says so. Until the end of the snapshot
//! a key whose expiry lies near therefore gets a later one, a lease. At the end, when every record that came in between
//! was sent, each leased key gets the expiry that it has by then. Only then may the checkpoint say that the full sync is
//! done: a program that ends earlier starts it over.
//!
//! A lease is an expiry, so `PERSIST`, `KEEPTTL` and `APPEND` of the stream find what they found at the source. It is ended
//! with `PEXPIREAT ... XX`: a list that was popped empty and pushed to again has none any more, at the source neither.
//!
//! Memory is bounded: when it is used up, the keys whose expiry lies furthest go without. For them, and for a snapshot that
//! takes longer than a lease, repair rules 31 and 32 hold as for any other record that comes too late.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use command::{Deadline, TargetCommand, lease};
use router::Origin;

use super::{End, FlowTask};

/// Keys whose expiry lies further away (ms) need none.
const NEAR: u64 = 6 * 3_600_000;
/// How much later than its expiry, or than now, a leased key expires (ms).
const LEASE: u64 = 24 * 3_600_000;
/// Bytes of leased keys, for each flow.
const BUDGET: usize = 16 << 20;
/// What one leased key takes beside its name, counted generously.
const EACH: usize = 160;

/// A name on the target.
type Name = (u32, Bytes);

/// The keys that have a lease, and their own expiry (unix ms).
#[derive(Debug)]
pub(crate) struct Leases {
    open: bool,
    budget: usize,
    bytes: usize,
    keys: BTreeMap<Name, u64>,
    by_expiry: BTreeSet<(u64, Name)>,
}

/// What becomes of the expiry that a command gives.
#[derive(Debug, PartialEq, Eq)]
enum Given {
    /// It is replaced by this one.
    Leased(u64),
    /// It is sent as it is.
    Own,
}

impl Default for Leases {
    fn default() -> Self {
        Leases { open: false, budget: BUDGET, bytes: 0, keys: BTreeMap::new(), by_expiry: BTreeSet::new() }
    }
}

impl Leases {
    /// From now on keys get leases.
    pub(crate) fn open(&mut self) {
        self.open = true;
    }

    /// Whether keys get leases.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    fn remove(&mut self, name: &Name) -> Option<u64> {
        let at = self.keys.remove(name)?;
        self.by_expiry.remove(&(at, name.clone()));
        self.bytes -= name.1.len() + EACH;
        Some(at)
    }

    /// The key has a lease on the target already, whatever room there is.
    fn insert(&mut self, name: Name, at: u64) {
        self.bytes += name.1.len() + EACH;
        self.keys.insert(name.clone(), at);
        self.by_expiry.insert((at, name));
    }

    /// A key gets an expiry. The second part: keys whose lease ends for want of room.
    fn give(&mut self, name: Name, at: u64, now: u64) -> (Given, Vec<(Name, u64)>) {
        self.remove(&name);
        let size = name.1.len() + EACH;
        let is_last = self.by_expiry.last().is_none_or(|(last, _)| *last <= at);
        if at > now.saturating_add(NEAR) || size > self.budget || (self.bytes + size > self.budget && is_last)
        {
            return (Given::Own, Vec::new());
        }
        // The key's own copy: the name may be a slice of a large chunk.
        let name = (name.0, Bytes::copy_from_slice(&name.1));
        self.insert(name, at);
        let mut ended = Vec::new();
        while self.bytes > self.budget
            && let Some((at, name)) = self.by_expiry.pop_last()
        {
            self.keys.remove(&name);
            self.bytes -= name.1.len() + EACH;
            ended.push((name, at));
        }
        (Given::Leased(at.max(now).saturating_add(LEASE)), ended)
    }

    fn close(&mut self) -> BTreeSet<(u64, Name)> {
        self.open = false;
        self.bytes = 0;
        self.keys.clear();
        std::mem::take(&mut self.by_expiry)
    }
}

impl FlowTask {
    /// From now on keys get leases, unless the target or the configuration does not allow it.
    pub(super) fn open_leases(&mut self) {
        if self.shared.leases && self.translator.dialect().has_leases() {
            self.leases.open();
            self.translator.set_keep_expired(true);
        }
    }

    /// A command of the snapshot, with a lease in place of the expiry that it gives.
    pub(crate) fn leased(&mut self, command: TargetCommand) -> TargetCommand {
        let db = command.db;
        match command::deadline(&command.args) {
            // The target clears what a STORE overwrites, and a lease is only ended where there is an expiry.
            Deadline::Kept => {}
            Deadline::Shared => self.share_lease(&command),
            Deadline::Cleared { step: 0 } => drop(self.leases.remove(&(db, command.key.clone()))),
            Deadline::Cleared { .. } => {
                for key in command::table::keys(&command.args) {
                    self.leases.remove(&(db, key));
                }
            }
            Deadline::Given if let Some((argument, at)) = lease::given_expiry(&command.args) => {
                let (given, ended) = self.leases.give((db, command.key.clone()), at, self.now_ms);
                for (name, at) in ended {
                    self.end_lease(name, at);
                }
                if let Given::Leased(at) = given {
                    return lease::with_expiry(command, argument, at);
                }
            }
            // In words that this program does not write.
            Deadline::Given => {
                for key in command::table::keys(&command.args) {
                    self.end_lease_of((db, key));
                }
            }
        }
        command
    }

    /// `RENAME`, `COPY` and `MOVE`: on the target the lease goes with the value.
    fn share_lease(&mut self, command: &TargetCommand) {
        let [verb, from, to, ..] = command.args.as_slice() else { return };
        let from = (command.db, from.clone());
        let lease = self.leases.keys.get(&from).copied();
        if verb == "MOVE" {
            // It is logged even where it moved nothing: then the key is still here, and another there.
            let Some(db) = std::str::from_utf8(to).ok().and_then(|db| db.parse().ok()) else { return };
            let there = (db, from.1.clone());
            if let Some(at) = lease.filter(|_| !self.leases.keys.contains_key(&there)) {
                self.leases.insert(there, at);
            }
            return;
        }
        let to = (command.db, to.clone());
        self.leases.remove(&to);
        if verb != "COPY" {
            self.leases.remove(&from);
        }
        if let Some(at) = lease {
            self.leases.insert(to, at);
        }
    }

    /// A key is about to be moved or read in another way than by a command of its lane.
    pub(crate) fn end_lease_of(&mut self, name: Name) {
        if let Some(at) = self.leases.remove(&name) {
            self.end_lease(name, at);
        }
    }

    fn end_lease(&mut self, (db, key): Name, at: u64) {
        let slot = if self.shared.target.is_cluster() { command::slot(&key) } else { 0 };
        let command = self.translator.dialect().end_lease(db, slot, key, at);
        self.router.send(command, Origin::Snapshot);
    }

    /// Every leased key gets its own expiry, in its lane.
    pub(super) async fn end_leases(&mut self) -> Result<(), End> {
        self.translator.set_keep_expired(false);
        for (at, name) in self.leases.close() {
            self.room().await?;
            self.end_lease(name, at);
        }
        Ok(())
    }

    /// The same without waiting for room, for a program that ends.
    pub(super) fn end_leases_at_once(&mut self) {
        for (at, name) in self.leases.close() {
            self.end_lease(name, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        (0, Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn near_expiries_get_a_lease_and_far_ones_do_not() {
        let mut leases = Leases::default();
        let now = 1_000_000;
        assert_eq!(leases.give(name("a"), now + 5, now), (Given::Leased(now + 5 + LEASE), vec![]));
        assert_eq!(leases.give(name("over"), 5, now), (Given::Leased(now + LEASE), vec![]));
        assert_eq!(leases.give(name("far"), now + NEAR + 1, now), (Given::Own, vec![]));
        assert_eq!(leases.give(name("a"), now + NEAR + 1, now), (Given::Own, vec![]), "renewed for long");
        let left: Vec<_> = leases.close().into_iter().collect();
        assert_eq!(left, [(5, name("over"))]);
    }

    #[test]
    fn without_room_the_nearest_keep_theirs() {
        let mut leases = Leases { budget: 3 * (EACH + 1), ..Leases::default() };
        for (key, at) in [("a", 30), ("b", 10), ("c", 20)] {
            assert!(matches!(leases.give(name(key), at, 0), (Given::Leased(_), ended) if ended.is_empty()));
        }
        assert_eq!(leases.give(name("d"), 40, 0), (Given::Own, vec![]));
        let (given, ended) = leases.give(name("e"), 15, 0);
        assert!(matches!(given, Given::Leased(_)));
        assert_eq!(ended, [(name("a"), 30)]);
        assert_eq!(leases.remove(&name("b")), Some(10));
        assert_eq!(leases.remove(&name("b")), None);
        assert!(matches!(leases.give(name("d"), 40, 0).0, Given::Leased(_)), "there is room again");
        assert_eq!(leases.close().len(), 3);
        assert_eq!((leases.bytes, leases.keys.len()), (0, 0));
    }
}
