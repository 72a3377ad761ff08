//! What is to be done with a record or a snapshot value.

use std::fmt;

use bytes::Bytes;

use crate::{mapping::Collision, target::Commands};

/// A key at the source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey {
    /// Database at the source.
    pub db: u32,
    /// Name at the source.
    pub key: Bytes,
}

impl SourceKey {
    /// The same with a name in memory of its own. A name taken from a record is a slice of a large buffer, which stays
    /// for as long as the name does.
    #[must_use]
    pub fn detached(&self) -> SourceKey {
        SourceKey { db: self.db, key: Bytes::copy_from_slice(&self.key) }
    }
}

/// What a record or a snapshot value becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Treatment {
    /// Send these, in order.
    Send(Commands),
    /// Send these, and list the keys: the target cannot hold a part of the meaning (a member's TTL, for instance).
    Reduced {
        /// What can be sent.
        commands: Commands,
        /// What is lost.
        missing: Missing,
    },
    /// Send these. Members of the key expire, which the target does not do by itself and somebody has to.
    Expiring {
        /// What can be sent; perhaps nothing.
        commands: Commands,
        /// When the first does.
        expiry: MemberExpiry,
    },
    /// Executed once for all flows, behind a barrier.
    Global(Global),
    /// Execute on every master (`SCRIPT LOAD`). No key is involved; a second execution changes nothing.
    Broadcast(Vec<Bytes>),
    /// One key's value moves to another name that one command cannot reach.
    CrossKey(Box<CrossKey>),
    /// Nothing to do.
    Ignore(Ignored),
    /// The target lacks the type or the command: nothing is sent, the keys are counted and listed.
    Lacking(Missing),
    /// The record does not say what the source did: nothing is sent, the keys are not in sync until they are read again.
    NotInSync {
        /// The keys concerned; empty where the record does not even tell those.
        keys: Vec<SourceKey>,
        /// Why.
        reason: Reason,
    },
    /// Two source keys would take the same target name: stop before anything is written.
    Collision(Box<Collision>),
}

/// When members of a key expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberExpiry {
    /// The key at the source.
    pub key: SourceKey,
    /// When the first of them expires, unix ms by the source's clock.
    pub at_ms: u64,
}

/// A command over all keys of a database or of slots.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Global {
    /// `FLUSHALL`: every mapped database, and nothing foreign.
    FlushAll,
    /// `FLUSHDB` of this source database. A dropped database is [`Ignored::DroppedDatabase`] instead.
    FlushDb(u32),
    /// `DFLYCLUSTER FLUSHSLOTS`: inclusive ranges of slots of the *source* (of source names, that is).
    FlushSlots(Vec<(u16, u16)>),
}

/// One key's value under a second name; the two names lie on different slots or databases, so no single command does
/// it. The lane must be drained first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrossKey {
    /// What the source did.
    pub operation: CrossOperation,
    /// Where the value comes from.
    pub from: Place,
    /// Where the value goes.
    pub to: Place,
}

/// What [`CrossKey`] does. A missing `from` means: the source did nothing (`MOVE`), or the two sides differ already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CrossOperation {
    /// `RENAME`: replaces `to`, removes `from`.
    Rename,
    /// `RENAMENX`: nothing if `to` exists.
    RenameNx,
    /// `MOVE` between databases: nothing if `to` exists. Logged even when it moved nothing.
    Move,
    /// `COPY`: `from` stays; `replace` says whether an existing `to` is overwritten.
    Copy {
        /// With `REPLACE`.
        replace: bool,
    },
}

/// A name on the target, with the source key it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// Key at the source.
    pub source: SourceKey,
    /// Database on a standalone target; 0 on a cluster.
    pub db: u32,
    /// Slot on a cluster; 0 on a standalone target.
    pub slot: u16,
    /// Name on the target.
    pub name: Bytes,
}

/// Keys of which the target cannot hold something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What the target lacks.
    pub kind: MissingKind,
    /// The keys concerned.
    pub keys: Vec<SourceKey>,
}

/// What a target may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MissingKind {
    /// JSON documents.
    Json,
    /// Bloom filters.
    Bloom,
    /// Count-min sketches.
    CountMin,
    /// Top-K lists.
    TopK,
    /// Cuckoo filters.
    Cuckoo,
    /// Expiry of single hash fields.
    HashFieldTtl,
    /// Expiry of single set members.
    SetMemberTtl,
    /// Expiry of a member of a hash or set: the record does not tell which.
    MemberTtl,
    /// Pending entries of a large stream whose entry is deleted: cannot be rebuilt by commands.
    DeletedPending,
    /// A command, by its name; the value can be had without it ([`Reason::NoCommand`]).
    Command(&'static str),
}

impl MissingKind {
    /// Whether a target without it cannot hold the key at all, not even in part.
    #[must_use]
    pub fn is_type(self) -> bool {
        matches!(
            self,
            MissingKind::Json
                | MissingKind::Bloom
                | MissingKind::CountMin
                | MissingKind::TopK
                | MissingKind::Cuckoo
        )
    }

    /// Whether a target that has the commands can hold values of the source. Of filters and sketches it cannot: what is
    /// in them stands where the source's own hash functions put it ([`MissingKind::why`]), and records on top of an empty
    /// one would make a filter that denies what is in it.
    #[must_use]
    pub fn can_be_carried(self) -> bool {
        !self.is_type() || self == MissingKind::Json
    }

    /// The kind in words, as the operator reads it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            MissingKind::Json => "JSON",
            MissingKind::Bloom => "Bloom filter",
            MissingKind::CountMin => "count-min sketch",
            MissingKind::TopK => "Top-K",
            MissingKind::Cuckoo => "cuckoo filter",
            MissingKind::HashFieldTtl => "hash field TTL",
            MissingKind::SetMemberTtl => "set member TTL",
            MissingKind::MemberTtl => "member TTL",
            MissingKind::DeletedPending => "pending entries of deleted stream entries",
            MissingKind::Command(name) => name,
        }
    }
}

impl MissingKind {
    /// Why the target cannot hold it.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            MissingKind::Json => "it has no JSON module, or types.json says so",
            MissingKind::Bloom => "its bits stand where the source's own hash functions put them",
            MissingKind::CountMin => "its counters stand where the source's own hash functions put them",
            MissingKind::TopK => {
                "the counters below the list stand where the source's own hash functions put them"
            }
            MissingKind::Cuckoo => "its fingerprints are made by the source's own hash functions",
            MissingKind::HashFieldTtl => "it has no HPEXPIREAT (Redis 7.4 and Valkey 9 have)",
            MissingKind::SetMemberTtl => "no other server has it",
            MissingKind::MemberTtl => "it has no HPEXPIREAT, or the key may be a set",
            MissingKind::DeletedPending => "Redis does not claim entries that are deleted",
            MissingKind::Command(_) => "it does not have the command",
        }
    }
}

impl fmt::Display for MissingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// Why a record needs nothing done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ignored {
    /// `PING` as a command: left by a failed `JSON.MSET` (v1.40.1 `json_family.cc` `OpMSet`).
    Ping,
    /// `STICK`: exempts a key from eviction; the target has no such mark.
    Stick,
    /// `SHRINK`: memory compaction at the source.
    Shrink,
    /// `SCRIPT FLAGS` and the like: nothing a target could use.
    ScriptFlags,
    /// `FT.*`: search indexes are not replicated.
    Search,
    /// The mapping drops this database.
    DroppedDatabase,
    /// A part of a value that was [`Treatment::Lacking`] (or expired, or dropped) at its beginning.
    RestOfValue,
    /// The record changes nothing (a command without effect is logged all the same).
    NoEffect,
}

impl Ignored {
    /// The reason in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Ignored::Ping => "ping",
            Ignored::Stick => "stick",
            Ignored::Shrink => "shrink",
            Ignored::ScriptFlags => "script flags",
            Ignored::Search => "search index",
            Ignored::DroppedDatabase => "dropped database",
            Ignored::RestOfValue => "rest of a value that is not sent",
            Ignored::NoEffect => "no effect",
        }
    }
}

/// Why a record cannot be executed although the target has everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The source logged only a part of the command (`SORT`, `GEORADIUS`, `CMS.MERGE` across shards, v1.40.1
    /// `transaction.cc` `LogAutoJournalOnShard`).
    Truncated,
    /// Executed by the source under a condition or clock that the record does not carry (`DELEX`, `CL.THROTTLE`).
    Conditional,
    /// A command that the table does not have. Its keys are unknown; the first argument is listed as a hint.
    Unknown(Bytes),
    /// The target does not have this command.
    NoCommand(&'static str),
    /// One command over keys that lie on different slots of the target.
    CrossSlot,
    /// The arguments are not what the command takes.
    Malformed,
    /// A value whose bytes do not decode.
    BadPayload,
    /// A key came from, or went to, a database that the mapping drops.
    DroppedDatabase,
    /// A part of a document changed that the target holds as text.
    AsText,
    /// A part of a document changed, or perhaps nothing: paths and numbers mean other things in the target's module.
    Document,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Truncated => f.write_str("truncated by the source"),
            Reason::Conditional => f.write_str("depends on a condition that only the source knows"),
            Reason::Unknown(name) => write!(f, "unknown command {}", name.escape_ascii()),
            Reason::NoCommand(name) => write!(f, "the target has no {name}"),
            Reason::CrossSlot => f.write_str("its keys lie on different slots"),
            Reason::Malformed => f.write_str("arguments do not fit the command"),
            Reason::BadPayload => f.write_str("payload does not decode"),
            Reason::Document => f.write_str("a part of a document changed, which modules do differently"),
            Reason::AsText => f.write_str("the target holds the document as text"),
            Reason::DroppedDatabase => f.write_str("moved from or to a dropped database"),
        }
    }
}
