//! What a filter leaves of one flow's records and values.

use std::collections::HashSet;

use bytes::Bytes;
use journal::Record;
use rdb::Kind;

use super::{Excluded, ValueType};
use crate::{
    mapping::Mapping,
    touches::{Shape, keep_keys, touches},
    treatment::SourceKey,
};

/// Most keys, and most bytes of names, that are remembered to be of an excluded type.
const REMEMBERED: usize = 100_000;
const REMEMBERED_BYTES: usize = 8 << 20;

/// What is left of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sieved {
    /// All of it.
    Whole(Record),
    /// A part, or what it means for the target: why the rest is left out.
    Part(Record, Excluded),
    /// Nothing: why.
    Nothing(Excluded),
    /// It cannot be carried out, because it also concerns what is left out; these keys of ours it changes.
    Read(Vec<SourceKey>, Excluded),
    /// It concerns a key of which the target holds foreign data, and that is to end the run.
    Conflict(SourceKey),
}

/// Applies a [`Mapping`]'s filter to the records and values of one flow.
#[derive(Debug)]
pub struct Sieve {
    mapping: Mapping,
    /// Keys that certainly have an excluded type, so that the target has nothing of theirs. Forgotten when they become too
    /// many: it only saves commands.
    elsewhere: HashSet<SourceKey>,
    bytes: usize,
}

impl Sieve {
    /// A sieve that has seen nothing.
    #[must_use]
    pub fn new(mapping: Mapping) -> Sieve {
        Sieve { mapping, elsewhere: HashSet::new(), bytes: 0 }
    }

    /// Whether everything goes through.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.mapping.takes_everything()
    }

    /// Whether a value of the snapshot, or one read from the source, is carried.
    ///
    /// # Errors
    /// Why it is not.
    pub fn value(&mut self, db: u32, key: &Bytes, kind: Kind) -> Result<(), Excluded> {
        if let Some(why) = self.mapping.excludes(db, key) {
            return Err(why);
        }
        let key = SourceKey { db, key: key.clone() };
        if self.mapping.filter().allows_type(ValueType::of(kind)) {
            self.forget(&key);
            return Ok(());
        }
        self.remember(key);
        Err(Excluded::Type)
    }

    /// What is left of a record.
    pub fn record(&mut self, record: Record) -> Sieved {
        let Some(name) = record.args.first() else { return Sieved::Whole(record) };
        let filter = self.mapping.filter();
        let touched = touches(record.db, &record.args);
        if touched.shape != Shape::Keyless && !filter.allows_command(name) {
            return Sieved::Nothing(Excluded::Command);
        }
        match touched.shape {
            // Nothing that a filter names; or its keys are read from the source, and what is excluded stays out then.
            Shape::Keyless | Shape::Unknown => return Sieved::Whole(record),
            Shape::Global => {
                if name == "FLUSHDB" && !filter.allows_database(record.db) {
                    return Sieved::Nothing(Excluded::Database);
                }
                self.forget_all();
                return Sieved::Whole(record);
            }
            Shape::One | Shape::List | Shape::Moving => {}
        }
        let out: Vec<Option<Excluded>> =
            touched.keys.iter().map(|key| self.mapping.excludes(key.db, &key.key)).collect();
        let Some(why) = out.iter().find_map(|why| *why) else {
            return self.by_type(record, &touched.keys, touched.shape);
        };
        if self.mapping.stops_at_existing()
            && let Some(at) = out.iter().position(|why| *why == Some(Excluded::Existing))
        {
            return Sieved::Conflict(touched.keys[at].clone());
        }
        let ours: Vec<SourceKey> = touched
            .keys
            .iter()
            .zip(&out)
            .filter(|(_, out)| out.is_none())
            .map(|(key, _)| key.clone())
            .collect();
        if ours.is_empty() {
            return Sieved::Nothing(why);
        }
        if touched.shape == Shape::List {
            let keep = |key: &[u8]| self.mapping.excludes(record.db, &Bytes::copy_from_slice(key)).is_none();
            let Some(args) = keep_keys(&record.args, &keep) else { return Sieved::Nothing(why) };
            return match self.by_type(Record { args, ..record }, &ours, Shape::List) {
                Sieved::Whole(record) => Sieved::Part(record, why),
                other => other,
            };
        }
        if name == "RENAME" && out[0].is_none() {
            // Its value went to where the target has nothing of it.
            self.forget(&touched.keys[0]);
            return Sieved::Part(unlink(record, [touched.keys[0].key.clone()]), why);
        }
        ours.iter().for_each(|key| self.forget(key));
        Sieved::Read(ours, why)
    }

    /// All keys are ours: what their types leave of it.
    fn by_type(&mut self, record: Record, keys: &[SourceKey], shape: Shape) -> Sieved {
        if !self.mapping.filter().chooses_types() {
            return Sieved::Whole(record);
        }
        let name = record.args[0].clone();
        match name.as_ref() {
            b"DEL" | b"UNLINK" => {
                let gone: Vec<&SourceKey> = keys.iter().filter(|key| self.elsewhere.contains(*key)).collect();
                if gone.is_empty() {
                    return Sieved::Whole(record);
                }
                let keep = |name: &[u8]| !gone.iter().any(|key| key.key == name);
                let rest = keep_keys(&record.args, &keep);
                keys.iter().for_each(|key| self.forget(key));
                return match rest {
                    Some(args) => Sieved::Part(Record { args, ..record }, Excluded::Type),
                    None => Sieved::Nothing(Excluded::Type),
                };
            }
            b"EXPIRE" | b"PEXPIRE" | b"EXPIREAT" | b"PEXPIREAT" | b"PERSIST" | b"TOUCH" | b"STICK"
            | b"SHRINK" => {
                return match keys.iter().all(|key| self.elsewhere.contains(key)) {
                    true => Sieved::Nothing(Excluded::Type),
                    false => Sieved::Whole(record),
                };
            }
            _ => {}
        }
        match ValueType::written_by(&record.args) {
            Some(kind) if self.mapping.filter().allows_type(kind) => {
                keys.iter().for_each(|key| self.forget(key));
                Sieved::Whole(record)
            }
            Some(_) => self.of_excluded_type(record, keys, shape),
            // The value of one becomes that of another, or a set becomes a sorted set: the source knows what it is.
            None => {
                keys.iter().for_each(|key| self.forget(key));
                Sieved::Read(keys.to_vec(), Excluded::Type)
            }
        }
    }

    /// A record behind which its keys have an excluded type. What they held before may be on the target.
    fn of_excluded_type(&mut self, record: Record, keys: &[SourceKey], shape: Shape) -> Sieved {
        let replaces = matches!(
            record.args[0].as_ref(),
            b"SET"
                | b"SETEX"
                | b"PSETEX"
                | b"GETSET"
                | b"MSET"
                | b"MSETEX"
                | b"BITOP"
                | b"PFMERGE"
                | b"RESTORE"
                | b"SUNIONSTORE"
                | b"SINTERSTORE"
                | b"SDIFFSTORE"
                | b"ZRANGESTORE"
                | b"GEOSEARCHSTORE"
                | b"GEORADIUS"
                | b"GEORADIUSBYMEMBER"
                | b"JSON.SET"
                | b"JSON.MSET"
                | b"CMS.MERGE"
        );
        let written: &[SourceKey] = match (shape, record.args[0].as_ref()) {
            // The destination stands last here, and first everywhere else.
            (Shape::Moving, b"GEORADIUS" | b"GEORADIUSBYMEMBER") => &keys[keys.len() - 1..],
            (Shape::Moving, _) => &keys[..1],
            _ => keys,
        };
        let mut stale = Vec::new();
        if replaces {
            let known = |key: &&SourceKey| !self.elsewhere.contains(*key);
            stale = written.iter().filter(known).map(|key| key.key.clone()).collect();
        }
        let remember = if replaces { written } else { keys };
        remember.iter().for_each(|key| self.remember(key.clone()));
        match stale.is_empty() {
            true => Sieved::Nothing(Excluded::Type),
            false => Sieved::Part(unlink(record, stale), Excluded::Type),
        }
    }

    /// Keys that are remembered, and their bytes.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> (usize, usize) {
        (self.elsewhere.len(), self.bytes)
    }

    fn remember(&mut self, key: SourceKey) {
        if self.elsewhere.contains(&key) {
            return;
        }
        if self.elsewhere.len() >= REMEMBERED || self.bytes + key.key.len() > REMEMBERED_BYTES {
            self.forget_all();
        }
        if key.key.len() <= REMEMBERED_BYTES {
            self.bytes += key.key.len();
            // Its own memory: a record's would be held as a whole.
            self.elsewhere.insert(SourceKey { db: key.db, key: Bytes::copy_from_slice(&key.key) });
        }
    }

    fn forget(&mut self, key: &SourceKey) {
        if !self.elsewhere.is_empty() && self.elsewhere.remove(key) {
            self.bytes -= key.key.len();
        }
    }

    fn forget_all(&mut self) {
        self.elsewhere.clear();
        self.bytes = 0;
    }
}

fn unlink(record: Record, keys: impl IntoIterator<Item = Bytes>) -> Record {
    let args = [Bytes::from_static(b"UNLINK")].into_iter().chain(keys).collect();
    Record { args, ..record }
}
