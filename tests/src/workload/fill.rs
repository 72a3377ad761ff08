//! Loading many keys quickly.

use super::{Rng, names};
use crate::client::{Client, Endpoint, as_error};

/// Commands per pipeline.
const DEPTH: usize = 500;

/// One key in so many is a large collection.
const LARGE_EVERY: u64 = 5_000;

/// Elements of a large collection: far more than one packed encoding or one chunk of a snapshot holds.
const LARGE: u64 = 4_000;

/// Loads `n` keys of mixed types, dealt over the databases, pipelined. The same seed gives the same keys, and
/// the names are those that the writers use. One in ten has an expiry far away.
pub fn fill(endpoint: &Endpoint, n: u64, dbs: &[u32], seed: u64) {
    println!("filling {} with {n} keys, seed {seed}", endpoint.addr);
    let mut client =
        Client::open(endpoint).unwrap_or_else(|e| panic!("no connection to {}: {e}", endpoint.addr));
    let mut rng = Rng::new(seed);
    let dbs_count = dbs.len() as u64;
    for (index, db) in dbs.iter().enumerate() {
        client.call(&["SELECT", &db.to_string()]);
        // The databases differ by one key at most.
        let count = n / dbs_count + u64::from((index as u64) < n % dbs_count);
        for number in 0..count {
            queue_key(&mut client, &mut rng, number);
            if client.queued() >= DEPTH {
                flush(&mut client);
            }
        }
        flush(&mut client);
    }
}

fn queue_key(client: &mut Client, rng: &mut Rng, number: u64) {
    const KINDS: [&str; 10] = ["s", "s", "s", "s", "n", "a", "h", "l", "e", "z"];
    let kind = KINDS[(number % 10) as usize];
    // Strings take four numbers of each ten, the other kinds one.
    let own = if kind == "s" { number / 10 * 4 + number % 10 } else { number / 10 };
    let key = names::key(kind, own);
    let elements = if number % LARGE_EVERY >= LARGE_EVERY - 10 { LARGE } else { 1 + rng.below(20) };
    match kind {
        "n" => client.queue(&[b"SET".as_slice(), &key, rng.below(1_000_000).to_string().as_bytes()]),
        "s" | "a" => client.queue(&[b"SET".as_slice(), &key, &rng.value(120)]),
        _ => {
            let name = match kind {
                "h" => "HSET",
                "l" => "RPUSH",
                "e" => "SADD",
                _ => "ZADD",
            };
            let mut command = vec![name.as_bytes().to_vec(), key.clone()];
            for element in 0..elements {
                match kind {
                    "h" => command.extend([names::member(element), rng.value(40)]),
                    "l" => command.push(rng.value(40)),
                    "e" => command.push(names::member(element)),
                    _ => command
                        .extend([format!("{}.5", rng.below(10_000)).into_bytes(), names::member(element)]),
                }
            }
            client.queue(&command);
        }
    }
    if rng.chance(10) {
        let at = (names::far_away() + rng.below(1_000_000_000)).to_string();
        client.queue(&[b"PEXPIREAT".as_slice(), &key, at.as_bytes()]);
    }
}

fn flush(client: &mut Client) {
    let replies = client.flush().unwrap_or_else(|e| panic!("filling: {e}"));
    if let Some(error) = replies.iter().find_map(as_error) {
        panic!("filling: {error}");
    }
}
