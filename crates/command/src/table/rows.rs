//! The rows. One line a command.

use super::{
    Handling::{self, Foreign, Ignore, OnlySent, Split, Verbatim},
    Keys, Spec,
};
use crate::{
    rewrite::{
        Rewrite, RewriteFn, expiry, global, json as documents, keyspace, members, store, streams, strings,
    },
    target::Effect::{self, Moving, NotRepeatable as Counts, Overwrite, Repeatable},
    treatment::{Ignored, MissingKind},
};

const KEY: Keys = Keys::At(1);
const KEY_2: Keys = Keys::At(2);
const LIST: Keys = Keys::Every { first: 1, step: 1 };
const PAIRS: Keys = Keys::Every { first: 1, step: 2 };
const TRIPLES: Keys = Keys::Every { first: 1, step: 3 };
const STORE_COUNTED: Keys = Keys::Counted { count: 2, destination: true };

const fn rewrite(with: RewriteFn) -> Handling {
    Handling::Rewrite(Rewrite(with))
}

const fn keyless(with: RewriteFn) -> Handling {
    Handling::Keyless(Rewrite(with))
}

/// A command of Redis since a release.
const fn redis(
    name: &'static str,
    keys: Keys,
    effect: Effect,
    since: (u32, u32),
    handling: Handling,
) -> Spec {
    Spec { name, keys, effect, handling, since: Some(since), missing: MissingKind::Command(name) }
}

/// A command of all Redis releases that matter.
const fn old(name: &'static str, keys: Keys, effect: Effect, handling: Handling) -> Spec {
    redis(name, keys, effect, (2, 0), handling)
}

/// A command of Dragonfly alone.
const fn own(name: &'static str, keys: Keys, effect: Effect, handling: Handling) -> Spec {
    Spec { name, keys, effect, handling, since: None, missing: MissingKind::Command(name) }
}

/// A write command of a module: its key is argument 1.
const fn module(name: &'static str, missing: MissingKind, effect: Effect) -> Spec {
    Spec { name, keys: KEY, effect, handling: Verbatim, since: None, missing }
}

const fn json(name: &'static str, effect: Effect) -> Spec {
    Spec { handling: rewrite(documents::part), ..module(name, MissingKind::Json, effect) }
}

/// Dragonfly's own encoding inside: no other server understands it.
const fn chunk(name: &'static str, missing: MissingKind) -> Spec {
    Spec { name, keys: KEY, effect: Counts, handling: Foreign, since: None, missing }
}

/// A command about TTLs of single hash fields.
const fn field(name: &'static str, since: (u32, u32), handling: Handling) -> Spec {
    Spec {
        name,
        keys: KEY,
        effect: Repeatable,
        handling,
        since: Some(since),
        missing: MissingKind::HashFieldTtl,
    }
}

pub(super) static ROWS: &[Spec] = &[
    // strings
    old("SET", KEY, Overwrite, rewrite(strings::set)),
    old("SETEX", KEY, Overwrite, rewrite(strings::setex)),
    redis("PSETEX", KEY, Overwrite, (2, 6), rewrite(strings::setex)),
    old("SETNX", KEY, Repeatable, Verbatim),
    old("GETSET", KEY, Overwrite, Verbatim),
    redis("GETDEL", KEY, Overwrite, (6, 2), Verbatim),
    redis("GETEX", KEY, Repeatable, (6, 2), rewrite(expiry::getex)),
    old("APPEND", KEY, Counts, Verbatim),
    own("PREPEND", KEY, Counts, rewrite(strings::prepend)),
    redis("SETRANGE", KEY, Repeatable, (2, 2), Verbatim),
    old("INCR", KEY, Counts, Verbatim),
    old("INCRBY", KEY, Counts, Verbatim),
    old("DECR", KEY, Counts, Verbatim),
    old("DECRBY", KEY, Counts, Verbatim),
    redis("INCRBYFLOAT", KEY, Counts, (2, 6), Verbatim),
    old("MSET", PAIRS, Overwrite, Split),
    old("MSETNX", PAIRS, Repeatable, rewrite(strings::msetnx)),
    redis("SETBIT", KEY, Repeatable, (2, 2), Verbatim),
    redis("BITFIELD", KEY, Counts, (3, 2), Verbatim),
    // logged as SET; where it stands by itself it may lack the sources of other shards
    redis("BITOP", Keys::Every { first: 2, step: 1 }, Moving, (2, 6), rewrite(store::store)),
    redis("DELEX", KEY, Overwrite, (8, 4), rewrite(strings::delex)),
    own("CL.THROTTLE", KEY, Counts, rewrite(strings::throttle)),
    // keys of any type
    old("DEL", LIST, Overwrite, Split),
    redis("UNLINK", LIST, Overwrite, (4, 0), Split),
    redis("RESTORE", KEY, Overwrite, (2, 6), rewrite(keyspace::restore)),
    old("RENAME", Keys::Two, Moving, rewrite(keyspace::rename)),
    old("RENAMENX", Keys::Two, Moving, rewrite(keyspace::rename)),
    redis("COPY", Keys::Two, Moving, (6, 2), rewrite(keyspace::copy)),
    old("MOVE", KEY, Moving, rewrite(keyspace::move_key)),
    own("STICK", LIST, Repeatable, Ignore(Ignored::Stick)),
    own("SHRINK", LIST, Repeatable, Ignore(Ignored::Shrink)),
    redis("TOUCH", LIST, Repeatable, (3, 2), Ignore(Ignored::NoEffect)),
    old("SORT", Keys::Store { from: 2 }, Moving, rewrite(store::store)),
    // expiry
    old("EXPIRE", KEY, Repeatable, rewrite(expiry::expire)),
    redis("PEXPIRE", KEY, Repeatable, (2, 6), rewrite(expiry::expire)),
    old("EXPIREAT", KEY, Repeatable, Verbatim),
    redis("PEXPIREAT", KEY, Repeatable, (2, 6), Verbatim),
    redis("PERSIST", KEY, Repeatable, (2, 2), Verbatim),
    // lists
    old("LPUSH", KEY, Counts, Verbatim),
    redis("LPUSHX", KEY, Counts, (2, 2), Verbatim),
    old("RPUSH", KEY, Counts, Verbatim),
    redis("RPUSHX", KEY, Counts, (2, 2), Verbatim),
    old("LPOP", KEY, Counts, Verbatim),
    old("RPOP", KEY, Counts, Verbatim),
    old("LSET", KEY, Repeatable, Verbatim),
    old("LTRIM", KEY, Counts, Verbatim),
    old("LREM", KEY, Counts, Verbatim),
    redis("LINSERT", KEY, Counts, (2, 2), Verbatim),
    old("RPOPLPUSH", Keys::Two, Moving, Verbatim),
    redis("LMOVE", Keys::Two, Moving, (6, 2), Verbatim),
    // sets
    old("SADD", KEY, Repeatable, Verbatim),
    old("SREM", KEY, Repeatable, Verbatim),
    own("SADDEX", KEY, Repeatable, rewrite(members::saddex)),
    old("SMOVE", Keys::Two, Moving, Verbatim),
    old("SUNIONSTORE", LIST, Moving, rewrite(store::store)),
    old("SINTERSTORE", LIST, Moving, rewrite(store::store)),
    old("SDIFFSTORE", LIST, Moving, rewrite(store::store)),
    // hashes
    old("HSET", KEY, Repeatable, Verbatim),
    old("HMSET", KEY, Repeatable, Verbatim),
    old("HSETNX", KEY, Repeatable, Verbatim),
    old("HDEL", KEY, Repeatable, Verbatim),
    old("HINCRBY", KEY, Counts, Verbatim),
    redis("HINCRBYFLOAT", KEY, Counts, (2, 6), Verbatim),
    field("HSETEX", (8, 0), rewrite(members::hsetex)),
    field("HGETEX", (8, 0), rewrite(members::hgetex)),
    field("HGETDEL", (8, 0), rewrite(members::hgetdel)),
    field("HEXPIRE", (7, 4), rewrite(members::hexpire)),
    field("HPEXPIRE", (7, 4), rewrite(members::hexpire)),
    field("HEXPIREAT", (7, 4), rewrite(members::hexpire)),
    field("HPEXPIREAT", (7, 4), rewrite(members::hexpire)),
    field("HPERSIST", (7, 4), rewrite(members::hpersist)),
    own("FIELDEXPIRE", KEY, Repeatable, rewrite(members::fieldexpire)),
    // sorted sets
    old("ZADD", KEY, Repeatable, rewrite(members::zadd)),
    old("ZINCRBY", KEY, Counts, Verbatim),
    old("ZREM", KEY, Repeatable, Verbatim),
    old("ZREMRANGEBYRANK", KEY, Counts, Verbatim),
    old("ZREMRANGEBYSCORE", KEY, Repeatable, Verbatim),
    redis("ZREMRANGEBYLEX", KEY, Repeatable, (2, 8), Verbatim),
    redis("ZPOPMIN", KEY, Counts, (5, 0), Verbatim),
    redis("ZPOPMAX", KEY, Counts, (5, 0), Verbatim),
    redis("GEOADD", KEY, Repeatable, (3, 2), Verbatim),
    redis("GEORADIUS", Keys::Store { from: 6 }, Moving, (3, 2), rewrite(store::store)),
    redis("GEORADIUSBYMEMBER", Keys::Store { from: 5 }, Moving, (3, 2), rewrite(store::store)),
    redis("ZRANGESTORE", Keys::Two, Moving, (6, 2), rewrite(store::store)),
    redis("GEOSEARCHSTORE", Keys::Two, Moving, (6, 2), rewrite(store::store)),
    old("ZUNIONSTORE", STORE_COUNTED, Moving, rewrite(store::store)),
    old("ZINTERSTORE", STORE_COUNTED, Moving, rewrite(store::store)),
    redis("ZDIFFSTORE", STORE_COUNTED, Moving, (6, 2), rewrite(store::store)),
    // a read that releases up to 1.21 log
    redis(
        "ZINTER",
        Keys::Counted { count: 1, destination: false },
        Repeatable,
        (6, 2),
        Ignore(Ignored::NoEffect),
    ),
    // HyperLogLogs; PFMERGE is logged as SET, PFCOUNT by releases up to 1.13
    redis("PFADD", KEY, Repeatable, (2, 8), Verbatim),
    redis("PFCOUNT", LIST, Repeatable, (2, 8), Ignore(Ignored::NoEffect)),
    redis("PFMERGE", LIST, Moving, (2, 8), rewrite(store::store)),
    // streams
    redis("XADD", KEY, Counts, (5, 0), Verbatim),
    redis("XTRIM", KEY, Repeatable, (5, 0), Verbatim),
    redis("XDEL", KEY, Repeatable, (5, 0), Verbatim),
    redis("XACK", KEY, Repeatable, (5, 0), Verbatim),
    redis("XCLAIM", KEY, Counts, (5, 0), rewrite(streams::claim)),
    redis("XAUTOCLAIM", KEY, Counts, (6, 2), rewrite(streams::claim)),
    redis("XGROUP", KEY_2, Counts, (5, 0), rewrite(streams::xgroup)),
    redis("XSETID", KEY, Repeatable, (5, 0), rewrite(streams::xsetid)),
    // JSON: see `rewrite/json.rs`
    Spec { handling: rewrite(documents::set), ..json("JSON.SET", Repeatable) },
    Spec { keys: TRIPLES, handling: Split, ..json("JSON.MSET", Repeatable) },
    json("JSON.MERGE", Repeatable),
    json("JSON.DEL", Counts),
    json("JSON.FORGET", Counts),
    json("JSON.CLEAR", Repeatable),
    json("JSON.NUMINCRBY", Counts),
    json("JSON.NUMMULTBY", Counts),
    json("JSON.STRAPPEND", Counts),
    json("JSON.TOGGLE", Counts),
    json("JSON.ARRAPPEND", Counts),
    json("JSON.ARRINSERT", Counts),
    json("JSON.ARRPOP", Counts),
    json("JSON.ARRTRIM", Counts),
    // probabilistic types
    module("BF.RESERVE", MissingKind::Bloom, Repeatable),
    module("BF.ADD", MissingKind::Bloom, Repeatable),
    module("BF.MADD", MissingKind::Bloom, Repeatable),
    module("BF.INSERT", MissingKind::Bloom, Repeatable),
    chunk("BF.LOADCHUNK", MissingKind::Bloom),
    module("CF.RESERVE", MissingKind::Cuckoo, Repeatable),
    module("CF.ADD", MissingKind::Cuckoo, Counts),
    module("CF.ADDNX", MissingKind::Cuckoo, Repeatable),
    module("CF.INSERT", MissingKind::Cuckoo, Counts),
    module("CF.INSERTNX", MissingKind::Cuckoo, Repeatable),
    module("CF.DEL", MissingKind::Cuckoo, Counts),
    module("CF.COMPACT", MissingKind::Cuckoo, Repeatable),
    chunk("CF.LOADCHUNK", MissingKind::Cuckoo),
    module("CMS.INITBYDIM", MissingKind::CountMin, Repeatable),
    module("CMS.INITBYPROB", MissingKind::CountMin, Repeatable),
    module("CMS.INCRBY", MissingKind::CountMin, Counts),
    Spec {
        keys: STORE_COUNTED,
        handling: rewrite(store::store),
        ..module("CMS.MERGE", MissingKind::CountMin, Moving)
    },
    module("TOPK.RESERVE", MissingKind::TopK, Repeatable),
    module("TOPK.ADD", MissingKind::TopK, Counts),
    module("TOPK.INCRBY", MissingKind::TopK, Counts),
    // search indexes: logged once on every flow, not replicated
    own("FT.CREATE", Keys::None, Repeatable, Ignore(Ignored::Search)),
    own("FT.ALTER", Keys::None, Repeatable, Ignore(Ignored::Search)),
    own("FT.DROPINDEX", Keys::None, Repeatable, Ignore(Ignored::Search)),
    own("FT.SYNUPDATE", Keys::None, Repeatable, Ignore(Ignored::Search)),
    own("FT.CONFIG", Keys::None, Repeatable, Ignore(Ignored::Search)),
    // without keys
    old("PING", Keys::None, Repeatable, Ignore(Ignored::Ping)),
    old("FLUSHALL", Keys::None, Overwrite, keyless(global::flushall)),
    old("FLUSHDB", Keys::None, Overwrite, keyless(global::flushdb)),
    own("DFLYCLUSTER", Keys::None, Overwrite, keyless(global::dflycluster)),
    redis("SCRIPT", Keys::None, Repeatable, (2, 6), keyless(global::script)),
    // never logged
    redis("EVAL", Keys::Counted { count: 2, destination: false }, Counts, (2, 6), OnlySent),
];
