//! What a command sees of the engine: one database, typed keys, the journal.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::Engine;
use super::shard::{Entry, Place};
use super::stream::Stream;
use super::value::{Value, Zset};
use crate::wire::journal as record;
use crate::{Omits, Profile};

/// Why a command did not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The error line, with its code.
    Line(String),
    /// A blocking command has nothing to take yet.
    Blocked,
}

impl Failure {
    pub(crate) fn line(text: &str) -> Failure {
        Failure::Line(text.to_owned())
    }

    pub(crate) fn err(text: &str) -> Failure {
        Failure::Line(format!("ERR {text}"))
    }

    pub(crate) fn syntax() -> Failure {
        Failure::err("syntax error")
    }

    pub(crate) fn wrong_type() -> Failure {
        Failure::line("WRONGTYPE Operation against a key holding the wrong kind of value")
    }

    pub(crate) fn not_integer() -> Failure {
        Failure::err("value is not an integer or out of range")
    }

    pub(crate) fn not_float() -> Failure {
        Failure::err("value is not a valid float")
    }
}

/// One command's view.
pub(crate) struct Tx<'a> {
    pub(crate) engine: &'a mut Engine,
    pub(crate) db: u16,
    pub(crate) now: u64,
    /// 0 for commands on one shard outside MULTI, as seen on the wire.
    pub(crate) txid: u64,
    /// Whether it runs in MULTI.
    multi: bool,
    /// Set by a command that changed nothing which would be journaled.
    quiet: bool,
}

macro_rules! typed {
    ($read:ident, $write:ident, $create:ident, $variant:ident, $ty:ty) => {
        /// The value for reading; `None` when the key is missing.
        pub(crate) fn $read(&mut self, key: &[u8]) -> Result<Option<&$ty>, Failure> {
            self.expire_members(key);
            match self.peek(key).map(|e| &e.value) {
                None => Ok(None),
                Some(Value::$variant(v)) => Ok(Some(v)),
                Some(_) => Err(Failure::wrong_type()),
            }
        }

        /// The value for writing; `None` when the key is missing.
        #[allow(dead_code)]
        pub(crate) fn $write(&mut self, key: &[u8]) -> Result<Option<&mut $ty>, Failure> {
            if self.$read(key)?.is_none() {
                return Ok(None);
            }
            match self.entry_mut(key).map(|e| &mut e.value) {
                Some(Value::$variant(v)) => Ok(Some(v)),
                _ => Ok(None),
            }
        }

        /// The value for writing, made when the key is missing.
        #[allow(dead_code)]
        pub(crate) fn $create(&mut self, key: &[u8]) -> Result<&mut $ty, Failure> {
            if self.$read(key)?.is_none() {
                self.put(key, Value::$variant(Default::default()), None);
            }
            match self.entry_mut(key).map(|e| &mut e.value) {
                Some(Value::$variant(v)) => Ok(v),
                _ => Err(Failure::wrong_type()),
            }
        }
    };
}

impl<'a> Tx<'a> {
    pub(crate) fn new(engine: &'a mut Engine, db: u16, txid: u64) -> Self {
        let now = engine.settings.clock.now_ms();
        Tx { engine, db, now, txid, multi: txid != 0, quiet: false }
    }

    typed!(string, string_mut, string_or_new, String, Bytes);
    typed!(list, list_mut, list_or_new, List, VecDeque<Bytes>);
    typed!(set, set_mut, set_or_new, Set, BTreeSet<Bytes>);
    typed!(hash, hash_mut, hash_or_new, Hash, BTreeMap<Bytes, Bytes>);
    typed!(zset, zset_mut, zset_or_new, Zset, Zset);
    typed!(stream, stream_mut, stream_or_new, Stream, Box<Stream>);

    pub(crate) fn profile(&self) -> &'static Profile {
        self.engine.profile()
    }

    pub(crate) fn place(&self, key: &[u8]) -> Place {
        self.engine.place(key)
    }

    /// The entry, after lazy expiry.
    pub(crate) fn peek(&mut self, key: &[u8]) -> Option<&Entry> {
        self.peek_in(self.db, key)
    }

    /// [`Tx::peek`] in another database.
    pub(crate) fn peek_in(&mut self, db: u16, key: &[u8]) -> Option<&Entry> {
        let at = self.place(key);
        let due =
            self.engine.shards[at.shard].entry(db, at.bucket, key)?.expire_at.is_some_and(|t| t <= self.now);
        if due {
            if self.engine.paused().is_none() {
                self.engine.expire(at.shard, at.bucket, db, key);
            }
            return None;
        }
        self.engine.shards[at.shard].entry(db, at.bucket, key)
    }

    /// Lazy expiry of members: when somebody looks at what is in the key. Only that the key goes with its last one is
    /// journaled.
    fn expire_members(&mut self, key: &[u8]) {
        let now_s = self.now / 1000;
        let Some(entry) = self.peek(key).filter(|entry| !entry.members.is_empty()) else { return };
        let holds = |member: &Bytes| match &entry.value {
            Value::Set(set) => set.contains(member),
            Value::Hash(hash) => hash.contains_key(member),
            _ => false,
        };
        let gone: Vec<Bytes> = entry.members.keys().filter(|member| !holds(member)).cloned().collect();
        let due = entry.members.iter().filter(|(_, at_s)| **at_s <= now_s);
        let due: Vec<Bytes> = due.map(|(member, _)| member.clone()).collect();
        if gone.is_empty() && due.is_empty() || self.engine.paused().is_some() {
            return;
        }
        let Some(entry) = self.entry_mut(key) else { return };
        for member in gone.iter().chain(&due) {
            entry.members.remove(member);
            match &mut entry.value {
                Value::Set(set) => {
                    set.remove(member);
                }
                Value::Hash(hash) => {
                    hash.remove(member);
                }
                _ => {}
            }
        }
        if self.drop_if_empty(key) {
            self.log(key, &[b"DEL".as_slice(), key]);
        }
    }

    /// When a member expires (unix seconds).
    pub(crate) fn set_member_expiry(&mut self, key: &[u8], member: &Bytes, at_s: Option<u64>) {
        let Some(entry) = self.entry_mut(key) else { return };
        match at_s {
            Some(at_s) => entry.members.insert(member.clone(), at_s),
            None => entry.members.remove(member),
        };
    }

    pub(crate) fn exists(&mut self, key: &[u8]) -> bool {
        self.peek(key).is_some()
    }

    /// The entry for writing; snapshots get the bucket first.
    pub(crate) fn entry_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        self.peek(key)?;
        let at = self.place(key);
        let shard = &mut self.engine.shards[at.shard];
        shard.before_write(self.db, at.bucket);
        shard.entry_mut(self.db, at.bucket, key)
    }

    /// Creates or replaces a key.
    pub(crate) fn put(&mut self, key: &[u8], value: Value, expire_at: Option<u64>) {
        let at = self.place(key);
        self.engine.shards[at.shard].before_write(self.db, at.bucket);
        self.put_unseen(key, value, expire_at, false);
    }

    /// Like [`Tx::put`] without a pre-image: for writes the journal omits, and after the pre-image is out.
    pub(crate) fn put_unseen(&mut self, key: &[u8], value: Value, expire_at: Option<u64>, sticky: bool) {
        let at = self.place(key);
        let entry = Entry { value, expire_at, sticky, members: Default::default() };
        self.engine.shards[at.shard].insert(self.db, at.bucket, Bytes::copy_from_slice(key), entry);
    }

    /// Removes a key.
    pub(crate) fn del(&mut self, key: &[u8]) -> Option<Entry> {
        self.peek(key)?;
        let at = self.place(key);
        self.engine.shards[at.shard].before_write(self.db, at.bucket);
        self.engine.shards[at.shard].remove(self.db, at.bucket, key)
    }

    /// Removes the key when its container has become empty; says whether it did.
    pub(crate) fn drop_if_empty(&mut self, key: &[u8]) -> bool {
        let empty = self.peek(key).is_some_and(|e| e.value.is_empty_container());
        empty && self.del(key).is_some()
    }

    pub(crate) fn set_expiry(&mut self, key: &[u8], expire_at: Option<u64>) {
        let at = self.place(key);
        let shard = &mut self.engine.shards[at.shard];
        shard.before_write(self.db, at.bucket);
        shard.set_expiry(self.db, at.bucket, key, expire_at);
    }

    /// Exempts a key from eviction; says whether that is new.
    pub(crate) fn stick(&mut self, key: &[u8]) -> bool {
        self.entry_mut(key).is_some_and(|e| !std::mem::replace(&mut e.sticky, true))
    }

    /// Whether a SET or DEL of this key goes without a record at the moment; `least`: from which releases on it may.
    pub(crate) fn omits(&self, key: &[u8], least: Omits) -> bool {
        let at = self.place(key);
        self.profile().omits >= least
            && self.engine.settings.journal_omit
            && self.engine.shards[at.shard].omittable(self.db, at.bucket)
    }

    /// Accounts for a write without a record.
    pub(crate) fn omit(&mut self, key: &[u8]) {
        let shard = self.place(key).shard;
        self.engine.shards[shard].journal.skip();
    }

    /// Says that nothing happened which an automatic record would have to tell.
    pub(crate) fn no_record(&mut self) {
        self.quiet = true;
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Journals a record on the shard of `key`.
    pub(crate) fn log<A: AsRef<[u8]>>(&mut self, key: &[u8], args: &[A]) {
        self.log_on(self.place(key).shard, args);
    }

    /// Journals a record on `shard`.
    pub(crate) fn log_on<A: AsRef<[u8]>>(&mut self, shard: usize, args: &[A]) {
        if !self.engine.shards[shard].journal.is_on() {
            return;
        }
        let mut out = Vec::with_capacity(16 + args.iter().map(|a| a.as_ref().len() + 2).sum::<usize>());
        if self.multi && self.profile().transactions {
            self.engine.transaction.insert(shard);
            record::multi_command(&mut out, self.db, self.txid, args);
        } else {
            record::command(&mut out, self.db, self.txid, args);
        }
        self.engine.shards[shard].append(out);
    }

    /// Journals records on the shard of `key` as one transaction with its own end, which releases without transactions do
    /// not do.
    pub(crate) fn log_transaction(&mut self, key: &[u8], records: &[Vec<Bytes>]) {
        let (multi, shard) = (self.multi, self.place(key).shard);
        self.multi = true;
        for args in records {
            self.log_on(shard, args);
        }
        self.multi = multi;
        if !multi {
            self.engine.end_transaction(self.txid);
        }
    }

    /// Gives the command a transaction id, as commands that run in several hops or on all shards have one.
    pub(crate) fn transact(&mut self) {
        if self.txid == 0 {
            self.txid = self.engine.next_txid();
        }
    }

    /// Gives the command a transaction id if its keys live on several shards.
    pub(crate) fn span<'k>(&mut self, keys: impl IntoIterator<Item = &'k Bytes>) {
        if self.txid != 0 {
            return;
        }
        let mut keys = keys.into_iter().map(|k| self.place(k).shard);
        if let Some(first) = keys.next()
            && keys.any(|s| s != first)
        {
            self.txid = self.engine.next_txid();
        }
    }
}
