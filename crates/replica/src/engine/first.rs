//! Before a first full sync writes anything: names that two keys would take, and keys that stay as they are.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use checkpoint::Phase as Stored;
use command::{Existing, Mapping, SourceKey};
use config::{Conflict, ExistingData};
use resp::Class;
use router::side::Side;
use router::sweep::{Walk, used_databases};
use tracing::{error, info, warn};

use super::{Replica, Run};
use crate::error::Error;
use crate::ledger::{Ledger, blocking};
use crate::source::{SourceSide, Unanswered};

/// Most keys of the target that can stay as they are, and most bytes of their names: they are kept in memory and in one file.
const MOST: usize = 1_000_000;
const MOST_BYTES: usize = 64 << 20;
/// Collisions that are named in the log.
const NAMED: usize = 10;

impl Replica {
    /// Looks through the source for keys that begin with the prefix of another database that is in use.
    ///
    /// # Errors
    /// [`Error::Collision`] with the first one; others are in the log.
    pub(super) async fn refuse_collisions(&self, mapping: &Mapping, source: usize) -> Result<(), Error> {
        let databases = mapping.databases();
        let mut side = SourceSide::new(self.settings.sources[source].connect.clone());
        let mut first = None;
        let mut count = 0usize;
        for &prefixed in &databases {
            let Some(taken) = mapping.placement(prefixed).filter(|place| !place.prefix.is_empty()) else {
                continue;
            };
            for &plain in databases.iter().filter(|db| **db != prefixed) {
                let Some(own) = mapping.placement(plain).filter(|own| own.db == taken.db) else { continue };
                let Some(beginning) = taken.prefix.strip_prefix(&own.prefix[..]) else { continue };
                let pattern = command::mapping::begins_with(beginning);
                let mut cursor = Bytes::from_static(b"0");
                loop {
                    let (next, keys) = match side.scan(plain, &cursor, &pattern).await {
                        Ok(page) => page,
                        Err(Unanswered::Connection(error)) if error.class() == Class::Retry => {
                            return Err(Error::SourceSilent(error.to_string()));
                        }
                        Err(error) => {
                            info!(%error, "names are not looked through for collisions; each is checked when it comes");
                            return Ok(());
                        }
                    };
                    for key in keys {
                        let Some((db, name)) = mapping.target_name(plain, &key) else { continue };
                        let Err(collision) = mapping.check(plain, db, &name) else { continue };
                        count += 1;
                        if count <= NAMED {
                            error!(%collision, "two keys want one name");
                        }
                        first.get_or_insert(collision);
                    }
                    if next == "0" {
                        break;
                    }
                    cursor = next;
                }
            }
        }
        match first {
            None => Ok(()),
            Some(collision) => {
                error!(keys = count, "nothing was written: names of the source collide on the target");
                Err(Error::Collision(collision))
            }
        }
    }

    /// Whether keys that the target holds before the first full sync stay as they are.
    pub(super) fn keeps_existing(&self) -> bool {
        self.settings.conflict != Conflict::Overwrite
            && matches!(self.settings.on_existing_data, ExistingData::Merge | ExistingData::Reconcile)
    }

    /// The mapping without the keys that the target held before this checkpoint's first full sync.
    pub(super) async fn recall_existing(&self, mapping: Mapping, ledger: &Ledger) -> Result<Mapping, Error> {
        let known = ledger.state().is_some_and(|state| state.phase != Stored::None);
        if !known || !self.keeps_existing() {
            return Ok(mapping);
        }
        let (dir, name) = (self.settings.checkpoint_dir.clone(), ledger.name());
        let Some(keys) = blocking(move || checkpoint::existing(&dir, &name)).await? else {
            info!(
                "the first full sync of this checkpoint was made without conflict.policy: no key of the target counts as foreign"
            );
            return Ok(mapping);
        };
        let names = keys.into_iter().map(|(db, name)| (db, Bytes::from(name))).collect();
        Ok(self.without(mapping, names))
    }

    /// Writes down which keys the target holds, before anything is written to it: they stay as they are.
    ///
    /// # Errors
    /// [`Error::TooManyExisting`]; with `conflict.policy: panic` [`Error::Conflict`] where the source has one of them.
    pub(super) async fn find_existing(&self, run: &mut Run, source: usize) -> Result<(), Error> {
        let mut side = Side::new(run.target.clone());
        let cluster = run.target.is_cluster();
        let databases = if cluster { vec![0] } else { used_databases(&mut side).await? };
        let mut names: HashSet<(u32, Bytes)> = HashSet::new();
        let mut bytes = 0;
        for db in databases {
            loop {
                let mut walk = Walk::new(&side, db, None);
                while let Some(page) = walk.page(&mut side).await? {
                    let ours = page.into_iter().filter(|name| run.mapping.source_name(db, name).is_some());
                    for name in ours {
                        // Its own memory: a page's would be held as a whole.
                        let name = Bytes::copy_from_slice(&name);
                        let length = name.len();
                        if names.insert((db, name)) {
                            bytes += length;
                        }
                    }
                    if names.len() > MOST || bytes > MOST_BYTES {
                        return Err(Error::TooManyExisting { keys: names.len() });
                    }
                }
                if !walk.disturbed(&side) {
                    break;
                }
            }
        }
        if self.settings.conflict == Conflict::Panic {
            self.refuse_conflicts(&run.mapping, &names, source).await?;
        }
        let mut sorted: Vec<(u32, Bytes)> = names.iter().cloned().collect();
        sorted.sort_unstable();
        let (dir, name) = (self.settings.checkpoint_dir.clone(), run.ledger.name());
        blocking(move || {
            let keys = sorted.iter().map(|(db, name)| (*db, &name[..]));
            checkpoint::keep_existing(&dir, &name, keys)
        })
        .await?;
        if !names.is_empty() {
            warn!(
                keys = names.len(),
                "the target holds keys of its own; they stay as they are (conflict.policy)"
            );
        }
        run.mapping = self.without(run.mapping.clone(), names);
        Ok(())
    }

    /// Before anything is written; what the source makes afterwards is noticed when it comes.
    async fn refuse_conflicts(
        &self,
        mapping: &Mapping,
        names: &HashSet<(u32, Bytes)>,
        source: usize,
    ) -> Result<(), Error> {
        let mut keys: Vec<SourceKey> =
            names.iter().filter_map(|(db, name)| mapping.source_name(*db, name)).collect();
        keys.sort_unstable();
        let mut side = SourceSide::new(self.settings.sources[source].connect.clone());
        let carried = |word: &str| crate::global::carried(mapping, word);
        for page in keys.chunks(1_000) {
            let absent = match side.missing_or_other(page, carried).await {
                Ok(absent) => absent,
                Err(Unanswered::Connection(error)) if error.class() == Class::Retry => {
                    return Err(Error::SourceSilent(error.to_string()));
                }
                // Noticed when it comes.
                Err(_) => return Ok(()),
            };
            if let Some(key) = page.iter().find(|key| !absent.contains(key)) {
                return Err(Error::Conflict { db: key.db, key: key.key.escape_ascii().to_string() });
            }
        }
        Ok(())
    }

    fn without(&self, mapping: Mapping, names: HashSet<(u32, Bytes)>) -> Mapping {
        self.status.set_existing(names.len() as u64);
        let stop = self.settings.conflict == Conflict::Panic;
        mapping.without(Arc::new(Existing { names, stop }))
    }
}
