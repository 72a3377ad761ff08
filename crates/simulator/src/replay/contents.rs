//! What a recorded master held, and its answers to whoever reads it.
//!
//! A replica repairs a key by reading it between two LSN vectors. This master answers with the LSNs of the end of its
//! recording, and so with its contents there. They are kept by a live master's engine that journals nothing, and are read
//! by its own commands.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde_json::Value as Json;

use crate::commands::{self, Outcome};
use crate::engine::shard::DBS;
use crate::engine::stream::{Consumer, Group, Id, Pending, Stream};
use crate::engine::value::{Value, Zset};
use crate::engine::{Engine, Tx};
use crate::reply::Reply;
use crate::wire::dump;
use crate::{Builder, Error, Faults};

/// The keys of a `.jsonl` listing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents {
    keys: Vec<Key>,
}

#[derive(Debug, Clone)]
struct Key {
    db: u16,
    key: Bytes,
    expire_at: Option<u64>,
    value: Value,
    /// Of a type of which the listing has only the name.
    opaque: Option<String>,
    /// Seconds left.
    member_ttls: HashMap<Bytes, u64>,
}

impl Contents {
    /// # Errors
    /// [`Error::Capture`] when a line is not one of a listing.
    pub(super) fn parse(jsonl: &[u8]) -> Result<Contents, Error> {
        let lines = jsonl.split(|&b| b == b'\n').filter(|line| !line.is_empty());
        let keys = lines.map(|line| {
            let row: Json = serde_json::from_slice(line).map_err(|e| Error::Capture(e.to_string()))?;
            Key::parse(&row).ok_or_else(|| Error::Capture(format!("not a line of a listing: {row}")))
        });
        Ok(Contents { keys: keys.collect::<Result<_, _>>()? })
    }

    /// Per database: keys, and how many of them expire.
    pub(super) fn keyspace(&self) -> BTreeMap<u32, (usize, usize)> {
        let mut keyspace = BTreeMap::new();
        for key in &self.keys {
            let (keys, expires): &mut (usize, usize) = keyspace.entry(u32::from(key.db)).or_default();
            *keys += 1;
            *expires += usize::from(key.expire_at.is_some());
        }
        keyspace
    }
}

impl Key {
    fn parse(row: &Json) -> Option<Key> {
        let value = &row["value"];
        let mut opaque = None;
        let value = match row["type"].as_str()? {
            "string" => Value::String(bytes(value)?),
            "ReJSON-RL" => Value::Json(bytes(value)?),
            "list" => Value::List(value.as_array()?.iter().map(bytes).collect::<Option<VecDeque<_>>>()?),
            "set" => Value::Set(value.as_array()?.iter().map(bytes).collect::<Option<_>>()?),
            "hash" => Value::Hash(
                value
                    .as_object()?
                    .iter()
                    .map(|(f, v)| Some((latin1(f)?, bytes(v)?)))
                    .collect::<Option<_>>()?,
            ),
            "zset" => {
                let mut zset = Zset::default();
                for pair in value.as_array()? {
                    zset.insert(bytes(&pair[0])?, pair[1].as_str()?.parse().ok()?);
                }
                Value::Zset(zset)
            }
            "stream" => Value::Stream(Box::new(stream(value)?)),
            other => {
                opaque = Some(other.to_owned());
                Value::Json(Bytes::new())
            }
        };
        let mut member_ttls = HashMap::new();
        for (member, ttl) in row["member_ttl_s"].as_object().into_iter().flatten() {
            member_ttls.insert(latin1(member)?, ttl.as_u64()?);
        }
        let expire_at = match &row["expire_at_ms"] {
            Json::Null => None,
            at => Some(at.as_u64()?),
        };
        let db = u16::try_from(row["db"].as_u64()?).ok().filter(|db| *db < DBS)?;
        Some(Key { db, key: bytes(&row["key"])?, expire_at, value, opaque, member_ttls })
    }
}

/// When a pending entry was delivered is not recorded.
fn stream(value: &Json) -> Option<Stream> {
    let mut stream = Stream {
        last_id: id(&value["last_id"])?,
        max_deleted: id(&value["max_deleted_id"])?,
        added: value["entries_added"].as_u64()?,
        ..Stream::default()
    };
    for entry in value["entries"].as_array()? {
        let fields = entry[1].as_array()?.iter().map(|pair| Some((bytes(&pair[0])?, bytes(&pair[1])?)));
        stream.entries.insert(id(&entry[0])?, fields.collect::<Option<_>>()?);
    }
    for row in value["groups"].as_array()? {
        let mut group = Group {
            last_id: id(&row["last-delivered-id"])?,
            entries_read: row["entries-read"].as_u64(),
            ..Group::default()
        };
        for name in row["consumer_names"].as_array()? {
            group.consumers.insert(bytes(name)?, Consumer::default());
        }
        for entry in row["pel"].as_array()? {
            let (consumer, count) = (bytes(&entry[1])?, entry[2].as_u64()?);
            group.pending.insert(id(&entry[0])?, Pending { consumer, time_ms: 0, count });
        }
        stream.groups.insert(bytes(&row["name"])?, group);
    }
    Some(stream)
}

fn id(value: &Json) -> Option<Id> {
    Id::parse(value.as_str()?.as_bytes(), 0)
}

fn bytes(value: &Json) -> Option<Bytes> {
    latin1(value.as_str()?)
}

/// The bytes behind a latin-1 string.
fn latin1(text: &str) -> Option<Bytes> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<u8>>>().map(Bytes::from)
}

/// A recorded master's data set.
#[derive(Debug)]
pub(super) struct Keyspace {
    engine: Mutex<Engine>,
    opaque: HashMap<(u16, Bytes), String>,
    member_ttls: HashMap<(u16, Bytes), HashMap<Bytes, u64>>,
}

impl Keyspace {
    pub(super) fn new(contents: &Contents) -> Keyspace {
        let mut engine = Engine::new(Builder::default(), Faults::default(), 0);
        let (mut opaque, mut member_ttls) = (HashMap::new(), HashMap::new());
        for key in &contents.keys {
            let name = (key.db, key.key.clone());
            Tx::new(&mut engine, key.db, 0).put(&key.key, key.value.clone(), key.expire_at);
            if let Some(kind) = &key.opaque {
                opaque.insert(name.clone(), kind.clone());
            }
            if !key.member_ttls.is_empty() {
                member_ttls.insert(name, key.member_ttls.clone());
            }
        }
        Keyspace { engine: Mutex::new(engine), opaque, member_ttls }
    }

    /// The answer to a command that reads; `None` for all others.
    pub(super) fn read(&self, db: u32, args: &[Bytes]) -> Option<Reply> {
        let spec = commands::find(args.first()?).filter(|spec| !spec.write)?;
        let Some(db) = u16::try_from(db).ok().filter(|db| *db < DBS) else {
            return Some(Reply::Error("ERR DB index is out of range".to_owned()));
        };
        let name = (db, args.get(1).cloned().unwrap_or_default());
        if let Some(kind) = self.opaque.get(&name) {
            match spec.name {
                "TYPE" => return Some(Reply::Status(kind.clone())),
                "DUMP" => return Some(Reply::Error("ERR the recording has no payload of this".to_owned())),
                _ => {}
            }
        }
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ttls) = self.member_ttls.get(&name) {
            match (spec.name, args.get(2).and_then(|member| ttls.get(member))) {
                ("FIELDTTL", Some(left)) => return Some(Reply::Int(*left as i64)),
                ("DUMP", _) => {
                    let now = engine.settings.clock.now_ms() / 1_000;
                    let entry = Tx::new(&mut engine, db, 0).peek(&name.1)?.value.clone();
                    return Some(Reply::Bulk(dump::with_member_ttls(&entry, ttls, now)?.into()));
                }
                _ => {}
            }
        }
        match commands::run(&mut engine, db, 0, spec, args) {
            Outcome::Done(reply) => Some(reply),
            // Only commands that write wait.
            Outcome::Blocked => None,
        }
    }
}
