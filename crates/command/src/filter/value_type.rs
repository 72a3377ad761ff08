//! Types as a filter names them.

use bytes::Bytes;
use rdb::Kind;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValueType {
    /// A string, HyperLogLogs among them.
    String,
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set.
    Zset,
    /// A hash.
    Hash,
    /// A stream.
    Stream,
    /// A JSON document.
    Json,
    /// A Bloom filter.
    Bloom,
    /// A count-min sketch.
    Cms,
    /// A Top-K.
    TopK,
    /// A cuckoo filter.
    Cuckoo,
}

impl ValueType {
    /// Every type with its word.
    pub const ALL: [(&'static str, ValueType); 11] = [
        ("string", ValueType::String),
        ("list", ValueType::List),
        ("set", ValueType::Set),
        ("zset", ValueType::Zset),
        ("hash", ValueType::Hash),
        ("stream", ValueType::Stream),
        ("json", ValueType::Json),
        ("bloom", ValueType::Bloom),
        ("cms", ValueType::Cms),
        ("topk", ValueType::TopK),
        ("cuckoo", ValueType::Cuckoo),
    ];

    /// The type of a word of [`ValueType::ALL`].
    #[must_use]
    pub fn from_word(word: &str) -> Option<ValueType> {
        Self::ALL.iter().find(|(own, _)| *own == word).map(|(_, kind)| *kind)
    }

    /// The type of an encoding.
    #[must_use]
    pub fn of(kind: Kind) -> ValueType {
        match kind {
            Kind::Bloom | Kind::BloomChunked => ValueType::Bloom,
            Kind::Cms => ValueType::Cms,
            Kind::TopK => ValueType::TopK,
            Kind::Cuckoo => ValueType::Cuckoo,
            other => match other.family() {
                rdb::Family::String => ValueType::String,
                rdb::Family::List => ValueType::List,
                rdb::Family::Set => ValueType::Set,
                rdb::Family::Hash => ValueType::Hash,
                rdb::Family::Zset => ValueType::Zset,
                rdb::Family::Stream => ValueType::Stream,
                rdb::Family::Json | rdb::Family::Probabilistic => ValueType::Json,
            },
        }
    }

    /// The type that `TYPE` names, at a source or a target; `None` for `none` and for what neither knows.
    ///
    /// Modules have names of nine characters (RedisBloom's `rm_bloom.h` and its like); Dragonfly v1.40.1 answers the same
    /// (`object.h`, `ObjTypeToString`).
    #[must_use]
    pub fn from_type_reply(word: &str) -> Option<ValueType> {
        match word {
            "ReJSON-RL" => Some(ValueType::Json),
            "MBbloom--" => Some(ValueType::Bloom),
            "MBbloomCF" => Some(ValueType::Cuckoo),
            "CMSk-TYPE" => Some(ValueType::Cms),
            "TopK-TYPE" => Some(ValueType::TopK),
            word => Self::from_word(word),
        }
    }

    /// The type that the keys a command writes have after it; `None` where the command does not tell.
    #[must_use]
    pub fn written_by(args: &[Bytes]) -> Option<ValueType> {
        let name = std::str::from_utf8(args.first()?).ok()?;
        Some(match name {
            "SET" | "SETEX" | "PSETEX" | "SETNX" | "GETSET" | "GETDEL" | "GETEX" | "APPEND" | "PREPEND"
            | "SETRANGE" | "INCR" | "INCRBY" | "DECR" | "DECRBY" | "INCRBYFLOAT" | "MSET" | "MSETNX"
            | "MSETEX" | "SETBIT" | "BITFIELD" | "BITOP" | "DELEX" | "CL.THROTTLE" | "PFADD" | "PFMERGE" => {
                ValueType::String
            }
            "LPUSH" | "LPUSHX" | "RPUSH" | "RPUSHX" | "LPOP" | "RPOP" | "LSET" | "LTRIM" | "LREM"
            | "LINSERT" | "RPOPLPUSH" | "LMOVE" | "LMPOP" | "BLPOP" | "BRPOP" | "BLMOVE" | "BRPOPLPUSH"
            | "BLMPOP" => ValueType::List,
            "SADD" | "SREM" | "SADDEX" | "SMOVE" | "SPOP" | "SUNIONSTORE" | "SINTERSTORE" | "SDIFFSTORE" => {
                ValueType::Set
            }
            "HSET" | "HMSET" | "HSETNX" | "HDEL" | "HINCRBY" | "HINCRBYFLOAT" | "HSETEX" | "HGETEX"
            | "HGETDEL" | "HEXPIRE" | "HPEXPIRE" | "HEXPIREAT" | "HPEXPIREAT" | "HPERSIST" => ValueType::Hash,
            "ZADD" | "ZINCRBY" | "ZREM" | "ZREMRANGEBYRANK" | "ZREMRANGEBYSCORE" | "ZREMRANGEBYLEX"
            | "ZPOPMIN" | "ZPOPMAX" | "ZMPOP" | "BZMPOP" | "BZPOPMIN" | "BZPOPMAX" | "ZRANGESTORE"
            | "GEOADD" | "GEORADIUS" | "GEORADIUSBYMEMBER" | "GEOSEARCHSTORE" => ValueType::Zset,
            "RESTORE" => {
                // The code of an old JSON value is that of a listpack set elsewhere.
                let parsed = rdb::dump::parse(args.get(3)?).ok();
                return parsed.map(|(kind, _)| kind).filter(|kind| *kind != Kind::JsonOld).map(ValueType::of);
            }
            name if name.starts_with("JSON.") => ValueType::Json,
            name if name.starts_with("BF.") => ValueType::Bloom,
            name if name.starts_with("CF.") => ValueType::Cuckoo,
            name if name.starts_with("CMS.") => ValueType::Cms,
            name if name.starts_with("TOPK.") => ValueType::TopK,
            name if name.starts_with('X') => ValueType::Stream,
            _ => return None,
        })
    }
}
