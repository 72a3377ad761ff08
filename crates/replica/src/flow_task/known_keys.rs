//! A full sync over existing data: which keys the target has from the source, and not from before.
//!
//! The entry of a key precedes every record that changes it (`serializer_base.cc`, docs/shard-serialization.md of the
//! source). So a record of a key that neither an entry nor a record named before was executed at the source on a key that
//! did not exist: whatever the target has under that name is stale, and has to go first. Otherwise an `SADD` would add to a
//! set that the source deleted long ago.
//!
//! This holds for the task that has read the snapshot from its beginning. After a restart nobody remembers what came: there
//! a record that does not replace its key as a whole puts it under repair, unless an entry, a record that did or a repair
//! came since (repair rule 36). It costs about 16 bytes a key until the removal of stale keys is done.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use command::SourceKey;
use router::Origin;

use super::{End, FlowTask};

/// Keys that came from the source, by their hash.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    hashes: HashSet<u64>,
    hasher: RandomState,
    /// Every key that came is among them.
    complete: bool,
}

impl KnownKeys {
    /// For a task that reads a snapshot from its beginning.
    pub(crate) fn complete() -> Self {
        KnownKeys { complete: true, ..KnownKeys::default() }
    }

    /// Takes note of a key; whether it is new.
    pub(crate) fn insert(&mut self, db: u32, key: &[u8]) -> bool {
        self.hashes.insert(self.hasher.hash_one((db, key)))
    }
}

impl FlowTask {
    /// An entry replaces its key.
    pub(crate) fn know(&mut self, db: u32, key: &[u8]) {
        if let Some(known) = &mut self.known {
            known.insert(db, key);
        }
    }

    /// A record comes: what the target has of its keys from before the full sync must not become part of a new value.
    pub(crate) async fn remove_stale(&mut self, db: u32, args: &[Bytes]) -> Result<(), End> {
        if self.known.is_none() || !self.shared.rules.on(36) || is_global(args) {
            return Ok(());
        }
        let complete = self.known.as_ref().is_some_and(|known| known.complete);
        if !complete && !self.shared.repair {
            return Ok(());
        }
        let replaces = replaces_whole_keys(args);
        for key in keys_touched(db, args) {
            if !self.known.as_mut().is_some_and(|known| known.insert(key.db, &key.key)) {
                continue;
            }
            if !complete {
                if !replaces {
                    self.repair_keys(
                        vec![key],
                        repair::Cause::Stale,
                        "the target may hold an older value of it",
                        None,
                    );
                }
                continue;
            }
            if self.repairs.is_unknown(&key) {
                // Rule 19: its value comes through another flow's lanes, and this removal might come behind it.
                continue;
            }
            let mapping = &self.shared.mapping;
            let Some((target_db, name)) = mapping.target_name(key.db, &key.key) else { continue };
            // A name that two keys would take is not touched: the record itself stops the run.
            if mapping.check(key.db, target_db, &name).is_ok() {
                self.check_database(target_db).await?;
                self.room().await?;
                self.send_removal(&key, Origin::Snapshot);
            }
        }
        Ok(())
    }
}

/// Whether nothing of the old values of its keys is left behind it.
fn replaces_whole_keys(args: &[Bytes]) -> bool {
    let Some((name, rest)) = args.split_first() else { return false };
    let has = |word: &str| rest.iter().skip(2).any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    match name.as_ref() {
        b"DEL" | b"UNLINK" | b"MSET" => true,
        b"SET" => !["KEEPTTL", "NX", "XX", "GET"].into_iter().any(has),
        b"RESTORE" => has("REPLACE"),
        _ => false,
    }
}

/// Whether it concerns more than the keys it names.
pub(crate) fn is_global(args: &[Bytes]) -> bool {
    args.first().is_some_and(|name| matches!(name.as_ref(), b"FLUSHALL" | b"FLUSHDB" | b"DFLYCLUSTER"))
}

/// The keys of a record, in both databases where it moves one.
pub(crate) fn keys_touched(db: u32, args: &[Bytes]) -> Vec<SourceKey> {
    let mut keys: Vec<SourceKey> =
        command::table::keys(args).into_iter().map(|key| SourceKey { db, key }).collect();
    if let [name, key, to] = args
        && name == "MOVE"
        && let Some(to) = std::str::from_utf8(to).ok().and_then(|to| to.parse().ok())
    {
        keys.push(SourceKey { db: to, key: key.clone() });
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<Bytes> {
        text.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
    }

    #[test]
    fn a_key_is_new_once() {
        let mut known = KnownKeys::default();
        assert!(known.insert(0, b"a"));
        assert!(!known.insert(0, b"a"));
        assert!(known.insert(1, b"a"), "another database has another key");
    }

    #[test]
    fn only_what_replaces_a_key_as_a_whole_makes_it_known() {
        for yes in ["SET k v", "SET k v PXAT 1", "DEL k", "RESTORE k 0 x REPLACE", "MSET a 1 b 2"] {
            assert!(replaces_whole_keys(&args(yes)), "{yes}");
        }
        for no in ["SET k v KEEPTTL", "SET k v NX", "RESTORE k 0 x", "APPEND k v", "HSET k f v", "RENAME a b"]
        {
            assert!(!replaces_whole_keys(&args(no)), "{no}");
        }
    }

    #[test]
    fn a_move_touches_two_databases() {
        let key = |db| SourceKey { db, key: "k".into() };
        assert_eq!(keys_touched(2, &args("MOVE k 5")), [key(2), key(5)]);
        assert_eq!(keys_touched(2, &args("SADD k 5")), [key(2)]);
    }
}
