//! Writing contents with ordinary commands, to put a target into the state a test begins with.

use super::{Contents, Logical, Stream, Value};
use crate::client::{Client, Endpoint, Error, readable};

/// Most elements of one command.
const BATCH: usize = 500;

/// Writes everything that plain Redis can hold: JSON and opaque types, and the TTLs of members, are left out.
/// `servers` is one server, or all masters of a cluster (then everything must be in database 0).
pub fn write(servers: &[Endpoint], contents: &Contents) {
    let open =
        |endpoint| Client::open(endpoint).unwrap_or_else(|e| panic!("cannot write {}: {e}", endpoint.addr));
    let mut clients: Vec<Client> = servers.iter().map(open).collect();
    let mut selected = 0;
    for ((db, key), logical) in contents {
        if *db != selected {
            assert_eq!(clients.len(), 1, "a cluster has only database 0");
            clients[0].call(&["SELECT", &db.to_string()]);
            selected = *db;
        }
        let owner = owner(&mut clients, key);
        for command in commands(key, logical) {
            clients[owner].call(&command);
        }
    }
}

/// Which of the servers takes the key.
fn owner(clients: &mut [Client], key: &[u8]) -> usize {
    let taken = |client: &mut Client| match client.try_call(&[b"EXISTS".as_slice(), key]) {
        Ok(_) => true,
        Err(Error::Reply(line)) if line.starts_with("MOVED") => false,
        Err(error) => panic!("{}: {error}", readable(key)),
    };
    clients.iter_mut().position(taken).unwrap_or_else(|| panic!("no server takes {}", readable(key)))
}

fn commands(key: &[u8], logical: &Logical) -> Vec<Vec<Vec<u8>>> {
    let words = |name: &str, rest: &[Vec<u8>]| [&[name.as_bytes().to_vec(), key.to_vec()], rest].concat();
    let batches = |name: &str, items: Vec<Vec<Vec<u8>>>| -> Vec<Vec<Vec<u8>>> {
        items.chunks(BATCH).map(|chunk| words(name, &chunk.concat())).collect()
    };
    let mut all = match &logical.value {
        Value::String(bytes) => vec![words("SET", std::slice::from_ref(bytes))],
        Value::List(items) => batches("RPUSH", items.iter().map(|item| vec![item.clone()]).collect()),
        Value::Set(members) => batches("SADD", members.iter().map(|member| vec![member.clone()]).collect()),
        Value::Hash(fields) => {
            batches("HSET", fields.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect())
        }
        Value::Zset(members) => {
            let score = |bits: &u64| format!("{:?}", f64::from_bits(*bits)).into_bytes();
            batches("ZADD", members.iter().map(|(name, bits)| vec![score(bits), name.clone()]).collect())
        }
        Value::Stream(stream) => stream_commands(key, stream),
        Value::Json(_) | Value::Opaque(_) => return Vec::new(),
    };
    if let Some(at) = logical.expire_at_ms {
        all.push(words("PEXPIREAT", &[at.to_string().into_bytes()]));
    }
    all
}

fn stream_commands(key: &[u8], stream: &Stream) -> Vec<Vec<Vec<u8>>> {
    let words = |line: String, rest: &[&[u8]]| -> Vec<Vec<u8>> {
        let place = |word: &str| if word == "KEY" { key.to_vec() } else { word.as_bytes().to_vec() };
        let rest = rest.iter().map(|word| word.to_vec());
        line.split(' ').map(place).chain(rest).collect()
    };
    let mut all = Vec::new();
    if stream.entries.is_empty() {
        // Only a deleted entry leaves a stream without entries that has a history.
        all.push(words("XADD KEY 0-1 f v".into(), &[]));
        all.push(words("XDEL KEY 0-1".into(), &[]));
    }
    for entry in &stream.entries {
        let fields: Vec<&[u8]> =
            entry.fields.iter().flat_map(|(name, value)| [name.as_slice(), value.as_slice()]).collect();
        all.push(words(format!("XADD KEY {}", entry.id), &fields));
    }
    let Stream { last_id, entries_added, max_deleted_id, .. } = stream;
    all.push(words(
        format!("XSETID KEY {last_id} ENTRIESADDED {entries_added} MAXDELETEDID {max_deleted_id}"),
        &[],
    ));
    for (name, group) in &stream.groups {
        let read = group.entries_read.map(|n| format!(" ENTRIESREAD {n}")).unwrap_or_default();
        let mut create = words(format!("XGROUP CREATE KEY {}{read}", group.last_delivered_id), &[]);
        create.insert(3, name.clone());
        all.push(create);
        for consumer in &group.consumers {
            all.push(words("XGROUP CREATECONSUMER KEY".into(), &[name, consumer]));
        }
        for (id, (consumer, times)) in &group.pending {
            let tail = format!("0 {id} RETRYCOUNT {times} FORCE JUSTID");
            let tail: Vec<&[u8]> = tail.split(' ').map(str::as_bytes).collect();
            all.push(words("XCLAIM KEY".into(), &[&[name.as_slice(), consumer], tail.as_slice()].concat()));
        }
    }
    all
}
