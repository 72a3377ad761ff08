//! Which commands there are.

use std::collections::HashMap;
use std::sync::OnceLock;

use bytes::Bytes;

use super::{
    bits, documents, expiry, group_reports, groups, hashes, keys, lists, members, pops, sets, slots, streams,
    strings, zranges, zsets, zstores,
};
use crate::engine::{Failure, Tx};
use crate::reply::Reply;

type Run = fn(&mut Tx<'_>, &[Bytes]) -> Result<Reply, Failure>;

/// One command.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    /// As COMMAND says it: exact, or negative for "at least".
    pub(crate) arity: i32,
    pub(crate) write: bool,
    /// Journaled as it came, with the canonical name, on the shard of its key.
    pub(crate) auto: bool,
    /// Position of the (first) key.
    pub(crate) key: usize,
    pub(crate) run: Run,
}

impl Spec {
    pub(crate) fn accepts(&self, n: usize) -> bool {
        if self.arity < 0 { n >= self.arity.unsigned_abs() as usize } else { n == self.arity as usize }
    }
}

const fn read(name: &'static str, arity: i32, run: Run) -> Spec {
    Spec { name, arity, write: false, auto: false, key: 1, run }
}

/// Journaled verbatim.
const fn auto(name: &'static str, arity: i32, run: Run) -> Spec {
    Spec { name, arity, write: true, auto: true, key: 1, run }
}

/// Journals what it did by itself.
const fn own(name: &'static str, arity: i32, run: Run) -> Spec {
    Spec { name, arity, write: true, auto: false, key: 1, run }
}

static COMMANDS: &[Spec] = &[
    own("SET", -3, strings::set),
    auto("SETNX", 3, strings::setnx),
    own("SETEX", 4, strings::setex),
    own("PSETEX", 4, strings::psetex),
    read("GET", 2, strings::get),
    own("GETEX", -2, strings::getex),
    auto("GETSET", 3, strings::getset),
    auto("GETDEL", 2, strings::getdel),
    own("MSET", -3, strings::mset),
    own("MSETNX", -3, strings::msetnx),
    read("MGET", -2, strings::mget),
    auto("APPEND", 3, strings::append),
    auto("PREPEND", 3, strings::prepend),
    read("STRLEN", 2, strings::strlen),
    auto("SETRANGE", 4, strings::setrange),
    read("GETRANGE", 4, strings::getrange),
    read("SUBSTR", 4, strings::getrange),
    auto("INCR", 2, strings::incr),
    auto("DECR", 2, strings::decr),
    auto("INCRBY", 3, strings::incrby),
    auto("DECRBY", 3, strings::decrby),
    auto("INCRBYFLOAT", 3, strings::incrbyfloat),
    auto("SETBIT", 4, bits::setbit),
    read("GETBIT", 3, bits::getbit),
    own("EXPIRE", -3, expiry::expire),
    own("PEXPIRE", -3, expiry::pexpire),
    own("EXPIREAT", -3, expiry::expireat),
    own("PEXPIREAT", -3, expiry::pexpireat),
    auto("PERSIST", 2, expiry::persist),
    read("TTL", 2, expiry::ttl),
    read("PTTL", 2, expiry::pttl),
    read("EXPIRETIME", 2, expiry::expiretime),
    read("PEXPIRETIME", 2, expiry::pexpiretime),
    own("DEL", -2, keys::del),
    own("UNLINK", -2, keys::del),
    read("EXISTS", -2, keys::exists),
    read("TOUCH", -2, keys::touch),
    read("TYPE", 2, keys::type_of),
    read("DBSIZE", 1, keys::dbsize),
    read("KEYS", 2, keys::keys),
    read("SCAN", -2, keys::scan),
    read("DUMP", 2, keys::dump_key),
    Spec { name: "MEMORY", arity: -2, write: false, auto: false, key: 2, run: keys::memory },
    read("FIELDTTL", 3, members::fieldttl),
    auto("FIELDEXPIRE", -4, members::fieldexpire),
    auto("HEXPIRE", -6, members::hexpire),
    auto("HSETEX", -5, members::hsetex),
    auto("SADDEX", -4, members::saddex),
    auto("RESTORE", -4, keys::restore),
    own("RENAME", 3, keys::rename),
    own("RENAMENX", 3, keys::renamenx),
    own("COPY", -3, keys::copy),
    own("MOVE", 3, keys::move_key),
    own("STICK", -2, keys::stick),
    own("FLUSHDB", -1, keys::flushdb),
    own("FLUSHALL", -1, keys::flushall),
    own("DFLYCLUSTER", -4, slots::dflycluster),
    own("BITOP", -4, bits::bitop),
    auto("HSET", -4, hashes::hset),
    auto("HMSET", -4, hashes::hmset),
    auto("HSETNX", 4, hashes::hsetnx),
    auto("HDEL", -3, hashes::hdel),
    auto("HINCRBY", 4, hashes::hincrby),
    auto("HINCRBYFLOAT", 4, hashes::hincrbyfloat),
    read("HGET", 3, hashes::hget),
    read("HMGET", -3, hashes::hmget),
    read("HLEN", 2, hashes::hlen),
    read("HEXISTS", 3, hashes::hexists),
    read("HSTRLEN", 3, hashes::hstrlen),
    read("HKEYS", 2, hashes::hkeys),
    read("HVALS", 2, hashes::hvals),
    read("HGETALL", 2, hashes::hgetall),
    read("HSCAN", -3, hashes::hscan),
    auto("LPUSH", -3, lists::lpush),
    auto("RPUSH", -3, lists::rpush),
    auto("LPUSHX", -3, lists::lpushx),
    auto("RPUSHX", -3, lists::rpushx),
    auto("LSET", 4, lists::lset),
    auto("LINSERT", 5, lists::linsert),
    auto("LREM", 4, lists::lrem),
    auto("LTRIM", 4, lists::ltrim),
    read("LLEN", 2, lists::llen),
    read("LRANGE", 4, lists::lrange),
    read("LINDEX", 3, lists::lindex),
    read("LPOS", -3, lists::lpos),
    auto("LPOP", -2, pops::lpop),
    auto("RPOP", -2, pops::rpop),
    own("LMOVE", 5, pops::lmove),
    own("RPOPLPUSH", 3, pops::rpoplpush),
    own("BLMOVE", 6, pops::blmove),
    own("BRPOPLPUSH", 4, pops::brpoplpush),
    own("BLPOP", -3, pops::blpop),
    own("BRPOP", -3, pops::brpop),
    own("LMPOP", -4, pops::lmpop),
    own("BLMPOP", -5, pops::blmpop),
    auto("SADD", -3, sets::sadd),
    auto("SREM", -3, sets::srem),
    own("SPOP", -2, sets::spop),
    own("SMOVE", 4, sets::smove),
    own("SUNIONSTORE", -3, sets::sunionstore),
    own("SINTERSTORE", -3, sets::sinterstore),
    own("SDIFFSTORE", -3, sets::sdiffstore),
    read("SUNION", -2, sets::sunion),
    read("SINTER", -2, sets::sinter),
    read("SDIFF", -2, sets::sdiff),
    read("SCARD", 2, sets::scard),
    read("SISMEMBER", 3, sets::sismember),
    read("SMISMEMBER", -3, sets::smismember),
    read("SMEMBERS", 2, sets::smembers),
    read("SRANDMEMBER", -2, sets::srandmember),
    read("SSCAN", -3, sets::sscan),
    auto("ZADD", -4, zsets::zadd),
    auto("ZINCRBY", 4, zsets::zincrby),
    auto("ZREM", -3, zsets::zrem),
    auto("ZPOPMIN", -2, zsets::zpopmin),
    auto("ZPOPMAX", -2, zsets::zpopmax),
    own("BZPOPMIN", -3, zsets::bzpopmin),
    own("BZPOPMAX", -3, zsets::bzpopmax),
    own("ZMPOP", -4, zsets::zmpop),
    own("BZMPOP", -5, zsets::bzmpop),
    read("ZSCORE", 3, zsets::zscore),
    read("ZMSCORE", -3, zsets::zmscore),
    read("ZCARD", 2, zsets::zcard),
    read("ZRANK", 3, zsets::zrank),
    read("ZREVRANK", 3, zsets::zrevrank),
    read("ZSCAN", -3, zsets::zscan),
    read("ZRANGE", -4, zranges::zrange),
    read("ZREVRANGE", -4, zranges::zrevrange),
    read("ZRANGEBYSCORE", -4, zranges::zrangebyscore),
    read("ZREVRANGEBYSCORE", -4, zranges::zrevrangebyscore),
    read("ZRANGEBYLEX", -4, zranges::zrangebylex),
    read("ZREVRANGEBYLEX", -4, zranges::zrevrangebylex),
    read("ZCOUNT", 4, zranges::zcount),
    read("ZLEXCOUNT", 4, zranges::zlexcount),
    auto("ZREMRANGEBYRANK", 4, zranges::zremrangebyrank),
    auto("ZREMRANGEBYSCORE", 4, zranges::zremrangebyscore),
    auto("ZREMRANGEBYLEX", 4, zranges::zremrangebylex),
    own("ZUNIONSTORE", -4, zstores::zunionstore),
    own("ZINTERSTORE", -4, zstores::zinterstore),
    own("ZDIFFSTORE", -4, zstores::zdiffstore),
    own("ZRANGESTORE", -5, zstores::zrangestore),
    own("XADD", -5, streams::xadd),
    own("XTRIM", -4, streams::xtrim),
    auto("XDEL", -3, streams::xdel),
    auto("XSETID", -3, streams::xsetid),
    read("XLEN", 2, streams::xlen),
    read("XRANGE", -4, streams::xrange),
    read("XREVRANGE", -4, streams::xrevrange),
    Spec { name: "XGROUP", arity: -4, write: true, auto: true, key: 2, run: groups::xgroup },
    own("XREADGROUP", -7, groups::xreadgroup),
    auto("XACK", -4, groups::xack),
    auto("XCLAIM", -6, groups::xclaim),
    auto("XAUTOCLAIM", -6, groups::xautoclaim),
    read("XPENDING", -3, group_reports::xpending),
    read("XINFO", -3, group_reports::xinfo),
    auto("JSON.SET", -4, documents::json_set),
    read("JSON.GET", -2, documents::json_get),
];

/// The command of this name, in any case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Spec> {
    static INDEX: OnceLock<HashMap<&'static [u8], &'static Spec>> = OnceLock::new();
    let mut upper = [0u8; 24];
    let upper = upper.get_mut(..name.len())?;
    upper.copy_from_slice(name);
    upper.make_ascii_uppercase();
    let index = INDEX.get_or_init(|| COMMANDS.iter().map(|c| (c.name.as_bytes(), c)).collect());
    index.get(&*upper).copied()
}
