//! A full sync over existing data: which keys the target has from the source, and not from before.
//!
//! The entry of a key precedes every record that changes it (`serializer_base.cc`, docs/shard-serialization.md of the
//! source). So a record of a key that neither an entry nor a record named before was executed at the source on a key that
//! did not exist: whatever the target has under that name is stale, and has to go first. Otherwise an `SADD` would add to a
//! set that the source deleted long ago.
//!
//! This holds for the task that has read the snapshot from its beginning, and for no other. It costs about 16 bytes a key
//! until the removal of stale keys is done.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use command::SourceKey;

use super::{End, FlowTask};

/// Keys that came from the source, by their hash.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl KnownKeys {
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

    /// A record comes: what the target has of its keys from before the full sync goes first.
    pub(crate) async fn remove_stale(&mut self, db: u32, args: &[Bytes]) -> Result<(), End> {
        if self.known.is_none() || args.first().is_some_and(|name| is_global(name)) {
            return Ok(());
        }
        for key in keys_touched(db, args) {
            if !self.known.as_mut().is_some_and(|known| known.insert(key.db, &key.key)) {
                continue;
            }
            let mapping = &self.shared.mapping;
            let Some((target_db, name)) = mapping.target_name(key.db, &key.key) else { continue };
            // A name that two keys would take is not touched: the record itself stops the run.
            if mapping.check(key.db, target_db, &name).is_ok() {
                self.check_database(target_db).await?;
                self.room().await?;
                self.send_removal(&key);
            }
        }
        Ok(())
    }
}

/// Whether it concerns more than the keys it names.
pub(super) fn is_global(name: &[u8]) -> bool {
    matches!(name, b"FLUSHALL" | b"FLUSHDB" | b"DFLYCLUSTER")
}

/// The keys of a record, in both databases where it moves one.
pub(super) fn keys_touched(db: u32, args: &[Bytes]) -> Vec<SourceKey> {
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
    fn a_move_touches_two_databases() {
        let key = |db| SourceKey { db, key: "k".into() };
        assert_eq!(keys_touched(2, &args("MOVE k 5")), [key(2), key(5)]);
        assert_eq!(keys_touched(2, &args("SADD k 5")), [key(2)]);
    }
}
