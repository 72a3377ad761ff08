//! Differences of all kinds, put into a target that holds what [`crate::workload::fill`] wrote.

use std::collections::BTreeSet;

use redis::Value as Reply;

use crate::client::{Client, Endpoint, Error, as_number, as_text};
use crate::workload::Rng;

/// A key that was changed on the target, under its name at the source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Injury {
    /// Database at the source.
    pub db: u32,
    /// Name at the source.
    pub key: String,
    /// `missing`, `extra`, `type`, `value` or `ttl`.
    pub kind: &'static str,
}

/// Keys of ten in a row that `fill` writes.
const BLOCK: u64 = 10;
/// Every so many blocks one has large collections.
const LARGE_EVERY: u64 = 500;

/// Changes `count` keys of a target that holds `keys` keys of `fill`, dealt over `dbs`, and returns which. `servers` is one
/// server, or all masters of a cluster; `name` maps names as the program does. Each kind of change comes up in turn.
pub fn injure(
    servers: &[Endpoint],
    keys: u64,
    dbs: &[u32],
    count: u64,
    name: impl Fn(u32, &str) -> (u32, String),
    seed: u64,
) -> BTreeSet<Injury> {
    println!("injuring {count} of {keys} keys, seed {seed}");
    let mut rng = Rng::new(seed);
    let mut servers = Servers::open(servers);
    let blocks = keys / dbs.len() as u64 / BLOCK;
    assert!(count * 2 <= blocks * dbs.len() as u64, "{count} injuries need more than {keys} keys");
    let mut taken = BTreeSet::new();
    let mut injuries = BTreeSet::new();
    while (injuries.len() as u64) < count {
        let number = injuries.len() as u64;
        let db = dbs[(number % dbs.len() as u64) as usize];
        // Now and then one of the large ones, as long as there are any.
        let large = rng.chance(5) && blocks >= LARGE_EVERY;
        let block = match large {
            true => rng.below(blocks / LARGE_EVERY) * LARGE_EVERY + LARGE_EVERY - 1,
            false => rng.below(blocks),
        };
        if taken.insert((db, block)) {
            injuries.insert(servers.injure(db, block, number, &name));
        }
    }
    injuries
}

struct Servers {
    clients: Vec<(Client, u32)>,
}

impl Servers {
    fn open(servers: &[Endpoint]) -> Servers {
        let open =
            |at: &Endpoint| Client::open(at).unwrap_or_else(|e| panic!("no connection to {}: {e}", at.addr));
        Servers { clients: servers.iter().map(|at| (open(at), 0)).collect() }
    }

    /// Calls whichever server takes the key.
    fn call(&mut self, db: u32, args: &[&[u8]]) -> Reply {
        for (client, selected) in &mut self.clients {
            if *selected != db {
                client.call(&["SELECT", &db.to_string()]);
                *selected = db;
            }
            match client.try_call(args) {
                Ok(reply) => return reply,
                Err(Error::Reply(line)) if line.starts_with("MOVED") => {}
                Err(error) => panic!("{args:?}: {error}"),
            }
        }
        panic!("no server takes {args:?}")
    }

    fn injure(
        &mut self,
        db: u32,
        block: u64,
        number: u64,
        name: &impl Fn(u32, &str) -> (u32, String),
    ) -> Injury {
        const KINDS: [&str; 16] = [
            "missing",
            "extra",
            "type",
            "string",
            "hash",
            "list",
            "set",
            "zset",
            "ttl",
            "missing",
            "extra list",
            "type",
            "append",
            "field",
            "push",
            "no ttl",
        ];
        let change = KINDS[(number % KINDS.len() as u64) as usize];
        let types = ["s", "n", "a", "h", "l", "e", "z"];
        let any = types[(number / KINDS.len() as u64 % types.len() as u64) as usize];
        let (kind, of) = match change {
            "missing" => ("missing", any),
            "extra" | "extra list" => ("extra", "extra"),
            "type" => ("type", any),
            "string" | "append" => ("value", "a"),
            "hash" | "field" => ("value", "h"),
            "list" | "push" => ("value", "l"),
            "set" => ("value", "e"),
            "zset" => ("value", "z"),
            _ => ("ttl", any),
        };
        // Four of each ten keys are strings of kind s.
        let own = if of == "s" { block * 4 } else { block };
        let key = format!("{of}:{own:06}");
        let (target_db, target) = name(db, &key);
        let to = target.as_bytes();
        match change {
            "missing" => assert_eq!(as_number(&self.call(target_db, &[b"DEL", to])), Some(1), "{target}"),
            "extra" => drop(self.call(target_db, &[b"SET", to, b"x"])),
            "extra list" => drop(self.call(target_db, &[b"RPUSH", to, b"x"])),
            "type" => {
                self.call(target_db, &[b"DEL", to]);
                let word: &[u8] = if of == "h" { b"SADD" } else { b"HSET" };
                let args: &[&[u8]] = if of == "h" { &[b"x"] } else { &[b"x", b"y"] };
                self.call(target_db, &[&[word, to], args].concat());
            }
            _ => self.change(change, target_db, to),
        }
        Injury { db, key, kind }
    }

    fn change(&mut self, change: &str, db: u32, key: &[u8]) {
        match change {
            "string" => {
                let Reply::BulkString(mut bytes) = self.call(db, &[b"GET", key]) else { panic!("no string") };
                match bytes.last_mut() {
                    Some(last) => *last ^= 1,
                    None => bytes.push(b'x'),
                }
                self.call(db, &[b"SET", key, &bytes, b"KEEPTTL"]);
            }
            "append" => drop(self.call(db, &[b"APPEND", key, b"\0"])),
            "hash" => drop(self.call(db, &[b"HSET", key, b"m0", b"another value altogether"])),
            "field" => drop(self.call(db, &[b"HSET", key, b"new", b"1"])),
            "list" => drop(self.call(db, &[b"LSET", key, b"-1", b"another value altogether"])),
            "push" => drop(self.call(db, &[b"RPUSH", key, b"one more"])),
            "set" => {
                // The set is never without a member, or its expiry would go with it.
                self.call(db, &[b"SADD", key, b"another"]);
                self.call(db, &[b"SREM", key, b"m0"]);
            }
            "zset" => {
                let score = as_text(&self.call(db, &[b"ZSCORE", key, b"m0"])).expect("a score is text");
                let next = f64::from_bits(score.parse::<f64>().expect("a number").to_bits() + 1);
                self.call(db, &[b"ZADD", key, format!("{next:?}").as_bytes(), b"m0"]);
            }
            _ => {
                let at = as_number(&self.call(db, &[b"PEXPIRETIME", key])).expect("a number");
                match (change, at) {
                    (_, -1) => self.call(db, &[b"PEXPIREAT", key, b"4102444800000"]),
                    ("no ttl", _) => self.call(db, &[b"PERSIST", key]),
                    (_, at) => self.call(db, &[b"PEXPIREAT", key, (at + 3_600_000).to_string().as_bytes()]),
                };
            }
        }
    }
}
