//! Looking at keys before the fence: how each is to be read.

use bytes::Bytes;
use command::SourceKey;
use resp::Reply;

use super::script::{Script, word};
use super::{Link, Reader, Void};

/// How a key is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// It is not there.
    Absent,
    /// `GET`.
    String,
    /// `LRANGE`.
    List,
    /// `ZRANGE … WITHSCORES`.
    Zset,
    /// `SMEMBERS` or `HGETALL`, and the TTL of each of these members.
    Members { hash: bool, members: Vec<Bytes> },
    /// `JSON.GET`.
    Json,
    /// `DUMP`.
    Dump,
    /// By itself.
    TooBig,
}

/// Most members whose TTLs are asked for one by one (1 µs each); beyond that `DUMP` is cheaper.
const MOST_TTLS: u64 = 64;

/// What a key is.
#[derive(Debug)]
struct Seen {
    type_name: Bytes,
    bytes: u64,
    elements: u64,
}

impl Reader {
    /// One plan for each key that fits into the batch: of `keys` so many from the beginning, at least one.
    pub(super) async fn look(
        &mut self,
        link: &mut Link,
        keys: &[SourceKey],
        again: bool,
    ) -> Result<Vec<Plan>, Void> {
        let mut seen = self.look_at_types(link, keys).await?;
        let mut bytes = 0u64;
        let fits = seen.iter().position(|one| {
            bytes = bytes.saturating_add(if one.bytes > self.options.big_bytes { 0 } else { one.bytes });
            bytes > self.options.batch_bytes
        });
        seen.truncate(fits.unwrap_or(seen.len()).max(1));
        self.look_at_lengths(link, &keys[..seen.len()], &mut seen).await?;
        let mut plans: Vec<Plan> =
            seen.iter().zip(keys).map(|(one, key)| self.plan(one, key, again)).collect();
        self.look_at_members(link, keys, &mut plans).await?;
        Ok(plans)
    }

    async fn look_at_types(&mut self, link: &mut Link, keys: &[SourceKey]) -> Result<Vec<Seen>, Void> {
        let mut script = Script::new(link);
        let usage = self.abilities.memory_usage;
        let mut at = Vec::new();
        for key in keys {
            script.select(key.db);
            let type_at = script.push([b"TYPE", &key.key]);
            at.push((type_at, usage.then(|| script.push([b"MEMORY", b"USAGE", &key.key]))));
        }
        let mut replies = script.run(link).await?;
        let mut seen = Vec::new();
        for (type_at, usage_at) in at {
            let type_name = match replies.take(type_at) {
                Reply::Simple(name) | Reply::Bulk(name) => name,
                other => return Err(Void::unexpected("TYPE", &other)),
            };
            let usage = usage_at.map(|at| replies.at(at));
            if usage.is_some_and(|reply| reply.as_error().is_some()) {
                self.abilities.memory_usage = false;
            }
            let bytes = usage.and_then(Reply::as_integer).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
            seen.push(Seen { type_name, bytes, elements: 0 });
        }
        Ok(seen)
    }

    /// Elements of collections; bytes of strings where nothing else tells them.
    async fn look_at_lengths(
        &self,
        link: &mut Link,
        keys: &[SourceKey],
        seen: &mut [Seen],
    ) -> Result<(), Void> {
        let mut script = Script::new(link);
        let mut at = Vec::new();
        for (i, (one, key)) in seen.iter().zip(keys).enumerate() {
            if let Some(command) = length_command(&one.type_name) {
                script.select(key.db);
                at.push((i, script.push([command.as_bytes(), &key.key])));
            }
        }
        if at.is_empty() {
            return Ok(());
        }
        let replies = script.run(link).await?;
        for (i, at) in at {
            // an error line: the type has changed meanwhile, which the fence will notice
            let length = replies.at(at).as_integer().and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
            if seen[i].type_name == "string" {
                seen[i].bytes = seen[i].bytes.max(length);
            } else {
                seen[i].elements = length;
            }
        }
        Ok(())
    }

    fn plan(&self, seen: &Seen, key: &SourceKey, again: bool) -> Plan {
        if seen.type_name == "none" {
            return Plan::Absent;
        }
        if seen.bytes > self.options.big_bytes || seen.elements > self.options.big_elements {
            return Plan::TooBig;
        }
        match seen.type_name.as_ref() {
            b"string" => Plan::String,
            b"list" => Plan::List,
            b"zset" => Plan::Zset,
            b"ReJSON-RL" if self.abilities.json_get => Plan::Json,
            b"set" | b"hash" => {
                let one_by_one = self.abilities.field_ttl
                    && seen.elements <= MOST_TTLS
                    && !self.member_ttls.contains(key)
                    // its members change too fast to be looked at before
                    && !again;
                match one_by_one {
                    true => Plan::Members { hash: seen.type_name == "hash", members: Vec::new() },
                    false => Plan::Dump,
                }
            }
            _ => Plan::Dump,
        }
    }

    /// The names whose TTLs the fence will ask for.
    async fn look_at_members(
        &self,
        link: &mut Link,
        keys: &[SourceKey],
        plans: &mut [Plan],
    ) -> Result<(), Void> {
        let mut script = Script::new(link);
        let mut at = Vec::new();
        for (plan, key) in plans.iter_mut().zip(keys) {
            if let Plan::Members { hash, members } = plan {
                script.select(key.db);
                let command: &[u8] = if *hash { b"HKEYS" } else { b"SMEMBERS" };
                at.push((members, script.push_all(vec![word(command), key.key.clone()])));
            }
        }
        if at.is_empty() {
            return Ok(());
        }
        let mut replies = script.run(link).await?;
        for (members, at) in at {
            if let Reply::Array(items) = replies.take(at) {
                members.extend(items.into_iter().filter_map(|item| item.as_bytes().cloned()));
            }
        }
        Ok(())
    }
}

/// What tells the length of a key of this type.
pub(super) fn length_command(type_name: &[u8]) -> Option<&'static str> {
    Some(match type_name {
        b"string" => "STRLEN",
        b"list" => "LLEN",
        b"set" => "SCARD",
        b"hash" => "HLEN",
        b"zset" => "ZCARD",
        b"stream" => "XLEN",
        _ => return None,
    })
}
