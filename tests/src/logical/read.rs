//! Reading a server with ordinary commands, pipelined.

use std::collections::{BTreeMap, BTreeSet};

use redis::Value as Reply;

use super::{Contents, Entry, Group, Logical, Stream, Value};
use crate::client::{Client, Endpoint, Error, as_error, as_number, as_text, readable};

/// Databases that are looked into although `INFO keyspace` may not name them.
const USUAL_DATABASES: u32 = 16;

/// How many keys one `SCAN` and one round of pipelines deal with.
const BATCH: &str = "1000";

/// The contents of one server over all its databases, read at the same time. Keys that go, or change their type,
/// while it is read are left out; for an exact picture nobody may write meanwhile.
pub fn read_server(endpoint: &Endpoint) -> Contents {
    let dbs = databases(&mut connect(endpoint));
    let parts = at_once(dbs, |db| {
        let mut client = connect(endpoint);
        let mut contents = Contents::new();
        match client.try_call(&["SELECT", &db.to_string()]) {
            Ok(_) => read_database(&mut client, db, &mut contents),
            // The server may have fewer databases than usual.
            Err(Error::Reply(_)) if db > 0 => {}
            Err(error) => panic!("SELECT {db} on {}: {error}", endpoint.addr),
        }
        contents
    });
    parts.into_iter().flatten().collect()
}

/// The contents of a cluster: db 0 of all masters, read at the same time. A key found on two masters panics.
pub fn read_cluster(masters: &[Endpoint]) -> Contents {
    let parts = at_once(masters, |endpoint| {
        let mut contents = Contents::new();
        read_database(&mut connect(endpoint), 0, &mut contents);
        contents
    });
    let mut all = Contents::new();
    for (name, logical) in parts.into_iter().flatten() {
        let text = readable(&name.1);
        assert!(all.insert(name, logical).is_none(), "{text} is on two masters");
    }
    all
}

/// One thread for each part of a server or cluster.
fn at_once<T: Send>(
    parts: impl IntoIterator<Item = T>,
    read: impl Fn(T) -> Contents + Sync,
) -> Vec<Contents> {
    let read = &read;
    std::thread::scope(|scope| {
        let readers: Vec<_> = parts.into_iter().map(|part| scope.spawn(move || read(part))).collect();
        let join = |reader: std::thread::ScopedJoinHandle<'_, Contents>| {
            reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        readers.into_iter().map(join).collect()
    })
}

fn connect(endpoint: &Endpoint) -> Client {
    Client::open(endpoint).unwrap_or_else(|e| panic!("cannot read {}: {e}", endpoint.addr))
}

fn databases(client: &mut Client) -> BTreeSet<u32> {
    let keyspace = client.text(&["INFO", "keyspace"]);
    let named = keyspace.lines().filter_map(|line| line.strip_prefix("db")?.split_once(':')?.0.parse().ok());
    (0..USUAL_DATABASES).chain(named).collect()
}

fn read_database(client: &mut Client, db: u32, contents: &mut Contents) {
    let mut cursor = b"0".to_vec();
    // A key may come up in several rounds of a SCAN.
    let mut seen = BTreeSet::new();
    loop {
        let Reply::Array(reply) = client.call(&[b"SCAN".as_slice(), &cursor, b"COUNT", BATCH.as_bytes()])
        else {
            panic!("SCAN does not answer with an array");
        };
        let [next, Reply::Array(found)] = <[Reply; 2]>::try_from(reply).expect("SCAN: cursor and keys")
        else {
            panic!("SCAN: no array of keys");
        };
        let keys: Vec<_> = found.into_iter().map(bytes).filter(|key| seen.insert(key.clone())).collect();
        read_keys(client, db, keys, contents);
        cursor = as_text(&next).expect("a cursor is a number").into_bytes();
        if cursor == b"0" {
            return;
        }
    }
}

fn read_keys(client: &mut Client, db: u32, keys: Vec<Vec<u8>>, contents: &mut Contents) {
    for key in &keys {
        client.queue(&[b"TYPE".as_slice(), key]);
        client.queue(&[b"PEXPIRETIME".as_slice(), key]);
    }
    let mut replies = flush(client).into_iter();
    let mut known = Vec::with_capacity(keys.len());
    for key in keys {
        let kind = replies.next().and_then(|reply| as_text(&reply)).expect("TYPE answers with a name");
        let expiry = replies.next().and_then(|reply| as_number(&reply));
        let expiry = expiry.unwrap_or_else(|| panic!("PEXPIRETIME {}", readable(&key)));
        if kind != "none" && expiry != -2 {
            known.push((key, kind, u64::try_from(expiry).ok()));
        }
    }
    for (key, kind, _) in &known {
        queue_value(client, key, kind);
    }
    let values = flush(client);
    for ((key, kind, expire_at_ms), reply) in known.into_iter().zip(values) {
        let Some(value) = parse_value(client, &key, kind, reply) else { continue };
        contents.insert((db, key), Logical { expire_at_ms, value, member_ttls: BTreeSet::new() });
    }
}

fn flush(client: &mut Client) -> Vec<Reply> {
    client.flush().unwrap_or_else(|e| panic!("reading a server: {e}"))
}

fn queue_value(client: &mut Client, key: &[u8], kind: &str) {
    match kind {
        "string" => client.queue(&[b"GET".as_slice(), key]),
        "list" => client.queue(&[b"LRANGE".as_slice(), key, b"0", b"-1"]),
        "set" => client.queue(&[b"SMEMBERS".as_slice(), key]),
        "hash" => client.queue(&[b"HGETALL".as_slice(), key]),
        "zset" => client.queue(&[b"ZRANGE".as_slice(), key, b"0", b"-1", b"WITHSCORES"]),
        "stream" => client.queue(&[b"XRANGE".as_slice(), key, b"-", b"+"]),
        "ReJSON-RL" => client.queue(&[b"JSON.GET".as_slice(), key]),
        _ => client.queue(&[b"EXISTS".as_slice(), key]),
    }
}

/// `None` if the key has gone, or become another type, since its type was asked.
fn parse_value(client: &mut Client, key: &[u8], kind: String, reply: Reply) -> Option<Value> {
    if let Some(error) = as_error(&reply) {
        if error.starts_with("WRONGTYPE") {
            return None;
        }
        panic!("reading {} {}: {error}", kind, readable(key));
    }
    let value = match kind.as_str() {
        "string" if reply == Reply::Nil => return None,
        "string" => Value::String(bytes(reply)),
        "list" => Value::List(items(reply).into_iter().map(bytes).collect()),
        "set" => Value::Set(items(reply).into_iter().map(bytes).collect()),
        "hash" => Value::Hash(pairs(reply).map(|(field, value)| (bytes(field), bytes(value))).collect()),
        "zset" => {
            Value::Zset(pairs(reply).map(|(member, score)| (bytes(member), score_bits(&score))).collect())
        }
        "stream" => Value::Stream(stream(client, key, reply)?),
        "ReJSON-RL" if reply == Reply::Nil => return None,
        "ReJSON-RL" => Value::Json(bytes(reply)),
        _ => Value::Opaque(kind),
    };
    let gone = match &value {
        Value::List(items) => items.is_empty(),
        Value::Set(members) => members.is_empty(),
        Value::Hash(fields) => fields.is_empty(),
        Value::Zset(members) => members.is_empty(),
        _ => false,
    };
    (!gone).then_some(value)
}

/// `None` if the key has gone since its entries were read.
fn stream(client: &mut Client, key: &[u8], range: Reply) -> Option<Stream> {
    client.queue(&[b"XINFO".as_slice(), b"STREAM", key]);
    client.queue(&[b"XINFO".as_slice(), b"GROUPS", key]);
    let replies = flush(client);
    if replies.iter().filter_map(as_error).any(|line| line.contains("no such key")) {
        return None;
    }
    let mut replies = replies.into_iter();
    let info = map(replies.next().expect("XINFO STREAM has a reply"));
    let groups = items(replies.next().expect("XINFO GROUPS has a reply"));
    Some(Stream {
        entries: items(range).into_iter().map(entry).collect(),
        last_id: text_of(&info, "last-generated-id"),
        entries_added: u64::try_from(number_of(&info, "entries-added")).expect("a count"),
        max_deleted_id: text_of(&info, "max-deleted-entry-id"),
        groups: groups.into_iter().map(|group| read_group(client, key, &map(group))).collect(),
    })
}

fn entry(reply: Reply) -> Entry {
    let [id, fields] = <[Reply; 2]>::try_from(items(reply)).expect("an entry has an id and fields");
    Entry {
        id: as_text(&id).expect("an id is text"),
        fields: pairs(fields).map(|(name, value)| (bytes(name), bytes(value))).collect(),
    }
}

fn read_group(client: &mut Client, key: &[u8], info: &BTreeMap<String, Reply>) -> (Vec<u8>, Group) {
    let name = bytes(info["name"].clone());
    client.queue(&[b"XINFO".as_slice(), b"CONSUMERS", key, &name]);
    client.queue(&[b"XPENDING".as_slice(), key, &name, b"-", b"+", b"1000000"]);
    let mut replies = flush(client).into_iter();
    let consumers = items(replies.next().expect("XINFO CONSUMERS has a reply"));
    let pending: BTreeMap<_, _> = items(replies.next().expect("XPENDING has a reply"))
        .into_iter()
        .map(|row| {
            let [id, consumer, _idle, times] =
                <[Reply; 4]>::try_from(items(row)).expect("a pending entry has four parts");
            (as_text(&id).expect("an id"), (bytes(consumer), as_number(&times).expect("a count")))
        })
        .collect();
    assert_eq!(pending.len() as i64, number_of(info, "pending"), "XPENDING lists every pending entry");
    let group = Group {
        last_delivered_id: text_of(info, "last-delivered-id"),
        entries_read: info.get("entries-read").and_then(as_number),
        consumers: consumers.into_iter().map(|consumer| bytes(map(consumer)["name"].clone())).collect(),
        pending,
    };
    (name, group)
}

fn bytes(reply: Reply) -> Vec<u8> {
    match reply {
        Reply::BulkString(bytes) => bytes,
        Reply::SimpleString(text) => text.into_bytes(),
        Reply::Okay => b"OK".to_vec(),
        Reply::Int(number) => number.to_string().into_bytes(),
        other => panic!("not a string: {other:?}"),
    }
}

fn items(reply: Reply) -> Vec<Reply> {
    match reply {
        Reply::Array(items) | Reply::Set(items) => items,
        Reply::Nil => Vec::new(),
        other => panic!("not an array: {other:?}"),
    }
}

fn pairs(reply: Reply) -> impl Iterator<Item = (Reply, Reply)> {
    let mut flat = items(reply).into_iter();
    std::iter::from_fn(move || Some((flat.next()?, flat.next().expect("pairs come in twos"))))
}

fn map(reply: Reply) -> BTreeMap<String, Reply> {
    pairs(reply).map(|(name, value)| (as_text(&name).expect("a field's name is text"), value)).collect()
}

fn text_of(info: &BTreeMap<String, Reply>, field: &str) -> String {
    info.get(field).and_then(as_text).unwrap_or_else(|| panic!("no {field} in {info:?}"))
}

fn number_of(info: &BTreeMap<String, Reply>, field: &str) -> i64 {
    info.get(field).and_then(as_number).unwrap_or_else(|| panic!("no {field} in {info:?}"))
}

fn score_bits(reply: &Reply) -> u64 {
    let score: f64 =
        as_text(reply).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("score {reply:?}"));
    score.to_bits()
}
