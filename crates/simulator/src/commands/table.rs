//! Which commands there are.

use std::collections::HashMap;
use std::sync::OnceLock;

use bytes::Bytes;

use super::{expiry, keys, strings};
use crate::engine::{Failure, Tx};
use crate::reply::Reply;

type Run = fn(&mut Tx<'_>, &[Bytes]) -> Result<Reply, Failure>;

/// One command.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    /// As COMMAND says it: exact, or negative for "at least".
    arity: i32,
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
    auto("SETBIT", 4, strings::setbit),
    read("GETBIT", 3, strings::getbit),
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
    auto("RESTORE", -4, keys::restore),
    own("RENAME", 3, keys::rename),
    own("RENAMENX", 3, keys::renamenx),
    own("COPY", -3, keys::copy),
    own("MOVE", 3, keys::move_key),
    own("STICK", -2, keys::stick),
    own("FLUSHDB", -1, keys::flushdb),
    own("FLUSHALL", -1, keys::flushall),
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
