//! Types of keys, and what to ask about them.

use bytes::Bytes;
use command::{Dialect, JsonAs, ValueType};
use resp::Reply;

/// A key's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No such key.
    Absent,
    String,
    List,
    Set,
    Hash,
    Zset,
    Stream,
    Json,
    /// What only its own module reads.
    Other(Bytes),
}

impl Kind {
    /// From the reply to TYPE.
    pub(crate) fn from_type(reply: &Reply) -> Option<Kind> {
        let name = reply.as_bytes()?;
        Some(match name.as_ref() {
            b"none" => Kind::Absent,
            b"string" => Kind::String,
            b"list" => Kind::List,
            b"set" => Kind::Set,
            b"hash" => Kind::Hash,
            b"zset" => Kind::Zset,
            b"stream" => Kind::Stream,
            b"ReJSON-RL" => Kind::Json,
            _ => Kind::Other(name.clone()),
        })
    }

    /// As TYPE names it.
    pub(crate) fn name(&self) -> String {
        match self {
            Kind::Absent => "none".into(),
            Kind::String => "string".into(),
            Kind::List => "list".into(),
            Kind::Set => "set".into(),
            Kind::Hash => "hash".into(),
            Kind::Zset => "zset".into(),
            Kind::Stream => "stream".into(),
            Kind::Json => "ReJSON-RL".into(),
            Kind::Other(name) => resp::printable(name),
        }
    }

    /// What tells the number of elements of a collection.
    pub(crate) fn count_command(&self) -> Option<&'static [u8]> {
        Some(match self {
            Kind::List => b"LLEN",
            Kind::Set => b"SCARD",
            Kind::Hash => b"HLEN",
            Kind::Zset => b"ZCARD",
            Kind::Stream => b"XLEN",
            _ => return None,
        })
    }

    /// As a filter names it.
    pub(crate) fn value_type(&self) -> Option<ValueType> {
        Some(match self {
            Kind::Absent => return None,
            Kind::String => ValueType::String,
            Kind::List => ValueType::List,
            Kind::Set => ValueType::Set,
            Kind::Hash => ValueType::Hash,
            Kind::Zset => ValueType::Zset,
            Kind::Stream => ValueType::Stream,
            Kind::Json => ValueType::Json,
            Kind::Other(name) => match name.as_ref() {
                b"MBbloom--" => ValueType::Bloom,
                b"MBbloomCF" => ValueType::Cuckoo,
                b"CMSk-TYPE" => ValueType::Cms,
                b"TopK-TYPE" => ValueType::TopK,
                _ => return None,
            },
        })
    }

    /// Whether a target that has these commands can hold a value of the source. What only its own module reads cannot be
    /// carried even to a target that has it ([`command::MissingKind::can_be_carried`]).
    pub(crate) fn can_be_on(&self, dialect: &Dialect, json: JsonAs) -> bool {
        match self {
            Kind::Json => json == JsonAs::Text || dialect.has("JSON.SET"),
            Kind::Other(_) => false,
            _ => true,
        }
    }
}

/// An expiry: none, or Unix milliseconds.
pub(crate) type Expiry = Option<i64>;

/// From the reply to PEXPIRETIME, or to PTTL at the time `now_ms`. The outer `None`: no such key.
pub(crate) fn expiry(reply: &Reply, now_ms: i64) -> Result<Option<Expiry>, String> {
    match reply.as_integer() {
        Some(-2) => Ok(None),
        Some(-1) => Ok(Some(None)),
        Some(ms) => Ok(Some(Some(ms.saturating_add(now_ms)))),
        None => Err(told(reply)),
    }
}

/// From the reply to TIME.
pub(crate) fn time(reply: &Reply) -> Option<i64> {
    let part = |i: usize| reply.as_array()?.get(i)?.as_integer();
    Some(part(0)? * 1000 + part(1)? / 1000)
}

/// A reply that was not expected, in words.
pub(crate) fn told(reply: &Reply) -> String {
    match reply {
        Reply::Error(line) => resp::printable(line),
        other => resp::printable(format!("unexpected reply {other:?}").as_bytes()),
    }
}

/// Whether a key is of another type than the command is for.
pub(crate) fn wrong_type(reply: &Reply) -> bool {
    reply.as_error().is_some_and(|line| line.starts_with(b"WRONGTYPE"))
}
