//! Connections of a server: requests in, replies out.

use bytes::{Bytes, BytesMut};
use resp::Reply;

use super::data::{self, Done};
use super::texts;
use crate::network::ConnId;
use crate::world::{Event, State};

/// Executes what a connection's receive buffer holds.
pub(crate) fn serve(state: &mut State, now: u64, id: ConnId) {
    let Some(conn) = state.conns.get_mut(&id) else { return };
    let crate::network::Place::Server(server) = conn.place else { return };
    let arrived = conn.up.arrived.split();
    let ended = conn.up.ended(now);
    let mut out = BytesMut::new();
    let Some(session) = state.target.servers[server].clients.get_mut(&id) else { return };
    session.decoder.feed(&arrived);
    // Until it has killed itself, or there is nothing more.
    while let Some(session) = state.target.servers[server].clients.get_mut(&id) {
        let args = match session.decoder.next() {
            Ok(Some(args)) if !args.is_empty() => args,
            Ok(Some(_)) => continue,
            Ok(None) => break,
            Err(error) => panic!("a client of {server} does not speak the protocol: {error}"),
        };
        let reply = request(state, now, server, id, &args);
        let shown = |reply: &Reply| match reply {
            Reply::Bulk(bytes) if bytes.len() > 60 => format!("({} bytes)", bytes.len()),
            Reply::Array(items) if items.len() > 20 => format!("({} items)", items.len()),
            reply => format!("{reply:?}"),
        };
        state.note(now, "execute", &args.concat(), || {
            let words: Vec<String> = args.iter().take(8).map(|arg| arg.escape_ascii().to_string()).collect();
            let words = words.join(" ");
            format!("#{id} server {server}: {} -> {}", &words[..words.len().min(150)], shown(&reply))
        });
        resp::write_reply(&mut out, &reply);
    }
    if !out.is_empty() {
        send(state, now, id, &out);
    }
    if ended {
        state.server_closes(now, id);
    }
}

fn send(state: &mut State, now: u64, id: ConnId, bytes: &[u8]) {
    let latency = state.latency();
    let State { conns, random, .. } = &mut *state;
    let Some(conn) = conns.get_mut(&id) else { return };
    if conn.client_gone {
        return;
    }
    let times = conn.down.put(now, bytes, latency, random);
    times.into_iter().for_each(|at| state.schedule(at, Event::Down(id)));
}

fn error(text: impl AsRef<str>) -> Reply {
    Reply::Error(Bytes::copy_from_slice(text.as_ref().as_bytes()))
}

fn ok() -> Reply {
    Reply::Simple(Bytes::from_static(b"OK"))
}

fn request(state: &mut State, now: u64, server: usize, id: ConnId, args: &[Bytes]) -> Reply {
    let name = String::from_utf8_lossy(&args[0]).to_ascii_uppercase();
    let target = &mut state.target;
    let Some(session) = target.servers[server].clients.get_mut(&id) else { return Reply::Nil };
    if let Some(queue) = &mut session.queue
        && !matches!(name.as_str(), "EXEC" | "DISCARD" | "MULTI")
    {
        queue.push(args.to_vec());
        return Reply::Simple(Bytes::from_static(b"QUEUED"));
    }
    let word = |at: usize| args.get(at).map(|word| String::from_utf8_lossy(word).to_ascii_uppercase());
    let second = word(1).unwrap_or_default();
    match (name.as_str(), second.as_str()) {
        ("PING", _) => Reply::Simple(Bytes::from_static(b"PONG")),
        ("AUTH" | "READONLY" | "READWRITE", _) => ok(),
        ("SELECT", "0") => ok(),
        ("SELECT", _) if target.cluster => error("ERR SELECT is not allowed in cluster mode"),
        ("SELECT", _) => error("ERR DB index is out of range"),
        ("ASKING", _) => {
            session.asking = true;
            ok()
        }
        ("MULTI", _) => {
            session.queue = Some(Vec::new());
            ok()
        }
        ("DISCARD", _) => {
            session.queue = None;
            ok()
        }
        ("EXEC", _) => {
            let Some(queue) = session.queue.take() else { return error("ERR EXEC without MULTI") };
            Reply::Array(queue.iter().map(|args| request(state, now, server, id, args)).collect())
        }
        ("CLIENT", "ID") => Reply::Integer(id as i64),
        ("CLIENT", "SETNAME") => {
            session.name =
                args.get(2).map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default();
            ok()
        }
        ("CLIENT", "GETNAME") => Reply::Bulk(Bytes::from(session.name.clone())),
        ("CLIENT", "LIST") => Reply::Bulk(Bytes::from(texts::clients(target, server))),
        ("CLIENT", "KILL") => kill(state, now, server, id, args),
        ("CLIENT", _) => ok(),
        ("INFO", _) => Reply::Bulk(Bytes::from(texts::info(target, server, now))),
        ("CONFIG", "GET") => texts::config(target, &args[2..]),
        ("COMMAND", "INFO") => texts::commands(&args[2..]),
        ("CLUSTER", "SLOTS") => texts::slots(target),
        ("CLUSTER", "NODES") => Reply::Bulk(Bytes::from(texts::nodes(target, server))),
        ("CLUSTER", "MYID") => Reply::Bulk(Bytes::from(target.servers[server].id.clone())),
        ("CLUSTER", "COUNTKEYSINSLOT") => {
            let slot: u16 = String::from_utf8_lossy(&args[2]).parse().unwrap_or(0);
            let shard = &target.shards[target.servers[server].shard];
            Reply::Integer(shard.data.keys().filter(|key| command::slot(key) == slot).count() as i64)
        }
        // It asks the replica, and so learns how far that is.
        ("WAIT", _) => {
            let shard = &mut target.shards[target.servers[server].shard];
            shard.acknowledged = shard.replicated.offset;
            Reply::Integer(i64::from(shard.online && shard.acknowledged >= shard.offset))
        }
        ("CLUSTER", "REPLICAS") => {
            let shard = &target.shards[target.servers[server].shard];
            let line = |replica: usize| {
                let replica = &target.servers[replica];
                let (id, master) = (&replica.id, &target.servers[shard.master].id);
                format!("{id} {}@17000 slave {master} 0 0 1 connected", replica.addr)
            };
            let lines = shard.replica.filter(|_| shard.online).map(line);
            Reply::Array(lines.map(|line| Reply::Bulk(Bytes::from(line))).into_iter().collect())
        }
        _ => keyed(state, now, server, id, &name, args),
    }
}

/// Commands on keys.
fn keyed(state: &mut State, now: u64, server: usize, id: ConnId, name: &str, args: &[Bytes]) -> Reply {
    let writes = data::WRITES.contains(&name);
    if !writes && !data::READS.contains(&name) {
        return error(format!("ERR unknown command '{name}'"));
    }
    if let Some(conn) = state.conns.get_mut(&id).filter(|_| writes) {
        conn.wrote = true;
    }
    let State { target, random, .. } = &mut *state;
    let asking = target.servers[server].clients.get_mut(&id).is_some_and(|s| std::mem::take(&mut s.asking));
    let index = target.servers[server].shard;
    let keys = keys(name, args);
    if target.cluster {
        let mut slots = keys.iter().map(|key| command::slot(key));
        if let Some(slot) = slots.next() {
            if slots.any(|other| other != slot) {
                return error("CROSSSLOT Keys in request don't hash to the same slot");
            }
            if let Some(line) = target.redirects(now, server, slot, &keys, asking) {
                return error(line);
            }
        }
    }
    if writes && !target.is_master(server) {
        return error("READONLY You can't write against a read only replica.");
    }
    let keeping = target.keeping;
    let shard = &mut target.shards[index];
    if let Some((until, percent, line)) = shard.refusing
        && writes
        && until > now
        && random.chance(percent)
    {
        return error(line);
    }
    if writes && std::mem::take(&mut shard.refuse_next) {
        return error("ERR refused by the schedule");
    }
    let clock = shard.clock(now);
    if data::expire(&mut shard.data, clock) {
        shard.wrote(now, 30, keeping);
    }
    match data::execute(&mut shard.data, clock, name, args) {
        Ok(Done { reply, wrote }) => {
            if wrote {
                let bytes = args.iter().map(|arg| arg.len() as u64 + 6).sum();
                shard.wrote(now, bytes, keeping);
            }
            reply
        }
        Err(line) => error(line),
    }
}

fn keys(name: &str, args: &[Bytes]) -> Vec<Bytes> {
    let list = match name {
        "SCAN" | "KEYS" | "FLUSHALL" | "FLUSHDB" => &[],
        "MSET" => return args[1..].iter().step_by(2).cloned().collect(),
        "DEL" | "UNLINK" | "EXISTS" => &args[1..],
        "RENAME" | "RENAMENX" | "COPY" | "LMOVE" | "RPOPLPUSH" => args.get(1..3).unwrap_or_default(),
        _ => args.get(1..2).unwrap_or_default(),
    };
    list.to_vec()
}

/// `CLIENT KILL ID n`, and the forms that name what to look for.
fn kill(state: &mut State, now: u64, server: usize, own: ConnId, args: &[Bytes]) -> Reply {
    let text = |at: usize| args.get(at).map(|arg| String::from_utf8_lossy(arg).to_ascii_uppercase());
    let (Some("ID"), Some(id)) = (text(2).as_deref(), text(3).and_then(|id| id.parse::<ConnId>().ok()))
    else {
        return error("ERR syntax error");
    };
    if !state.target.servers[server].clients.contains_key(&id) {
        return Reply::Integer(0);
    }
    if id != own {
        state.note(now, "kill", &id.to_le_bytes(), || format!("#{id} on server {server}"));
        state.server_closes(now, id);
    }
    Reply::Integer(1)
}
