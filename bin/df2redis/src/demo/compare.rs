//! Reads both sides by ordinary commands and compares: types, values, order, expiry. Nothing of the replication's own
//! decoders is used.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use resp::{ConnectOptions, Connection, Reply};

/// Differences that are described.
const SHOWN: usize = 10;

/// One key as an ordinary client sees it.
#[derive(Debug, PartialEq, Eq)]
struct Value {
    kind: String,
    /// Sorted where the type has no order.
    content: Vec<Bytes>,
    expires_at_ms: i64,
}

/// By name on the target.
type Side = BTreeMap<Bytes, Value>;

/// What the comparison found.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// Keys at the source, by type.
    pub(crate) kinds: BTreeMap<String, u64>,
    /// Keys with an expiry.
    pub(crate) expiring: usize,
    /// Keys that differ, or are on one side only.
    pub(crate) differences: usize,
    /// The first of them, in words.
    pub(crate) described: Vec<String>,
}

/// Compares databases 0 and 1 of `source` with the cluster of `masters`.
pub(crate) async fn compare(source: &str, masters: &[String]) -> Result<Comparison> {
    let mut expected = Side::new();
    for (db, prefix) in [(0, ""), (1, "db1:")] {
        let mut connection = open(source).await?;
        expect_ok(connection.call(&["SELECT", &db.to_string()]).await?)?;
        read(&mut connection, prefix, &mut expected).await?;
    }
    let mut found = Side::new();
    for master in masters {
        read(&mut open(master).await?, "", &mut found).await?;
    }
    let mut comparison = Comparison {
        kinds: BTreeMap::new(),
        expiring: expected.values().filter(|value| value.expires_at_ms > 0).count(),
        differences: 0,
        described: Vec::new(),
    };
    for value in expected.values() {
        *comparison.kinds.entry(value.kind.clone()).or_default() += 1;
    }
    for (name, value) in &expected {
        match found.remove(name) {
            Some(there) if there == *value => {}
            Some(there) => comparison.differ(name, &describe(value, &there)),
            None => comparison.differ(name, "not on the target"),
        }
    }
    for name in found.keys() {
        comparison.differ(name, "only on the target");
    }
    Ok(comparison)
}

impl Comparison {
    fn differ(&mut self, name: &Bytes, how: &str) {
        self.differences += 1;
        if self.described.len() < SHOWN {
            self.described.push(format!("{}: {how}", name.escape_ascii()));
        }
    }
}

fn describe(source: &Value, target: &Value) -> String {
    if source.kind != target.kind {
        return format!("a {} at the source, a {} on the target", source.kind, target.kind);
    }
    if source.expires_at_ms != target.expires_at_ms {
        return format!(
            "expires at {} ms, on the target at {} ms",
            source.expires_at_ms, target.expires_at_ms
        );
    }
    format!(
        "{} elements at the source and {} on the target, not the same",
        source.content.len(),
        target.content.len()
    )
}

async fn open(addr: &str) -> Result<Connection> {
    Ok(Connection::open(&ConnectOptions::new(addr)).await?)
}

/// Reads everything in the selected database. `prefix` is what the mapping puts before each name.
async fn read(connection: &mut Connection, prefix: &str, side: &mut Side) -> Result<()> {
    let mut cursor = "0".to_owned();
    loop {
        let reply = answered(connection.call(&["SCAN", &cursor, "COUNT", "500"]).await?)?;
        let [next, keys] = reply.as_array().context("SCAN")? else {
            bail!("SCAN answered with another shape")
        };
        cursor = next.as_str().context("SCAN without a cursor")?.to_owned();
        let keys: Vec<Bytes> =
            keys.as_array().context("SCAN")?.iter().filter_map(|key| key.as_bytes().cloned()).collect();
        for (key, value) in read_keys(connection, &keys).await? {
            side.insert([prefix.as_bytes(), &key].concat().into(), value);
        }
        if cursor == "0" {
            return Ok(());
        }
    }
}

async fn read_keys(connection: &mut Connection, keys: &[Bytes]) -> Result<Vec<(Bytes, Value)>> {
    let types: Vec<_> = keys.iter().map(|key| command("TYPE", key, &[])).collect();
    let kinds = connection.pipeline(&types).await?;
    let mut kept = Vec::new();
    let mut reads = Vec::new();
    for (key, kind) in keys.iter().zip(kinds) {
        let kind = answered(kind)?.as_str().unwrap_or_default().to_owned();
        reads.push(match kind.as_str() {
            "string" => command("GET", key, &[]),
            "hash" => command("HGETALL", key, &[]),
            "list" => command("LRANGE", key, &["0", "-1"]),
            "set" => command("SMEMBERS", key, &[]),
            "zset" => command("ZRANGE", key, &["0", "-1", "WITHSCORES"]),
            // It expired in between.
            "none" => continue,
            other => bail!("{} is a {other}, which the demo does not make", key.escape_ascii()),
        });
        reads.push(command("PEXPIRETIME", key, &[]));
        kept.push((key.clone(), kind));
    }
    let replies = connection.pipeline(&reads).await?;
    let mut values = Vec::new();
    for ((key, kind), replies) in kept.into_iter().zip(replies.chunks_exact(2)) {
        let content = content(&kind, answered(replies[0].clone())?)?;
        let expires_at_ms = answered(replies[1].clone())?.as_integer().context("PEXPIRETIME")?;
        values.push((key, Value { kind, content, expires_at_ms }));
    }
    Ok(values)
}

fn content(kind: &str, reply: Reply) -> Result<Vec<Bytes>> {
    let items = match reply {
        Reply::Array(items) => items,
        single => vec![single],
    };
    let mut content: Vec<Bytes> = items.iter().filter_map(|item| item.as_bytes().cloned()).collect();
    match kind {
        "set" => content.sort_unstable(),
        "hash" => {
            let mut pairs: Vec<_> = content.chunks_exact(2).map(|p| (p[0].clone(), p[1].clone())).collect();
            pairs.sort_unstable();
            content = pairs.into_iter().flat_map(|(field, value)| [field, value]).collect();
        }
        "zset" => {
            // Two servers may write the same score differently.
            for score in content.iter_mut().skip(1).step_by(2) {
                let number: f64 = std::str::from_utf8(score)?.parse()?;
                *score = Bytes::copy_from_slice(&number.to_bits().to_be_bytes());
            }
        }
        _ => {}
    }
    Ok(content)
}

fn command(name: &'static str, key: &Bytes, rest: &[&'static str]) -> Vec<Bytes> {
    let mut args = vec![Bytes::from_static(name.as_bytes()), key.clone()];
    args.extend(rest.iter().map(|word| Bytes::from_static(word.as_bytes())));
    args
}

fn expect_ok(reply: Reply) -> Result<()> {
    answered(reply).map(|_| ())
}

fn answered(reply: Reply) -> Result<Reply> {
    match reply {
        Reply::Error(line) => bail!("refused: {}", resp::printable(&line)),
        reply => Ok(reply),
    }
}

#[cfg(test)]
mod tests;
