//! The fence of many small keys: one round trip.

use std::collections::BTreeSet;

use bytes::Bytes;
use command::SourceKey;
use rdb::KeyMeta;
use resp::Reply;

use super::look::Plan;
use super::script::{Replies, Script, word};
use super::{Abilities, Fence, Link, Reader, Void, encode};
use crate::{Batch, Value};

/// Where the replies about one key are.
#[derive(Debug)]
struct Asked {
    type_at: usize,
    value_at: Option<usize>,
    ttls_at: std::ops::Range<usize>,
    expiry: Expiry,
}

/// Where the replies about an expiry are.
#[derive(Debug)]
pub(super) enum Expiry {
    At(usize),
    /// The remaining time, and the source's clock.
    Left {
        time: usize,
        pttl: usize,
    },
}

impl Expiry {
    pub(super) fn ask(script: &mut Script, abilities: Abilities, key: &[u8]) -> Expiry {
        if abilities.pexpiretime {
            return Expiry::At(script.push([b"PEXPIRETIME", key]));
        }
        let time = script.push([b"TIME"]);
        Expiry::Left { time, pttl: script.push([b"PTTL", key]) }
    }

    /// `None`: the key is gone. An error line: the command does not exist.
    pub(super) fn read(
        &self,
        replies: &Replies,
        abilities: &mut Abilities,
    ) -> Result<Option<Option<u64>>, Void> {
        let (reply, base) = match self {
            Expiry::At(at) => (replies.at(*at), 0),
            Expiry::Left { time, pttl } => {
                let part = |i: usize| replies.at(*time).as_array()?.get(i)?.as_integer();
                let now = part(0).zip(part(1)).map(|(s, us)| s * 1000 + us / 1000);
                (replies.at(*pttl), now.ok_or_else(|| Void::unexpected("TIME", replies.at(*time)))?)
            }
        };
        match reply.as_integer() {
            Some(-2) => Ok(None),
            Some(-1) => Ok(Some(None)),
            Some(ms) => Ok(Some(Some(u64::try_from(base.saturating_add(ms)).unwrap_or(0)))),
            None => {
                abilities.pexpiretime = false;
                Err(Void::unexpected("PEXPIRETIME", reply))
            }
        }
    }
}

impl Reader {
    pub(super) async fn read_small(
        &mut self,
        link: &mut Link,
        batch: &Batch,
        replid: &str,
    ) -> Result<Fence, Void> {
        let plans = self.look(link, &batch.keys, batch.tries > 0).await?;
        let mut script = Script::new(link);
        let pause = self.pause(batch);
        if let Some(ms) = pause {
            script.push([b"CLIENT", b"PAUSE", ms.to_string().as_bytes(), b"WRITE"]);
        }
        let info = script.push([b"INFO", b"replication"]);
        let r0 = script.push([b"DFLY", b"REPLICAOFFSET"]);
        let time = script.push([b"TIME"]);
        let asked: Vec<Asked> =
            plans.iter().zip(&batch.keys).map(|(plan, key)| self.ask(&mut script, plan, key)).collect();
        let r1 = script.push([b"DFLY", b"REPLICAOFFSET"]);
        if pause.is_some() {
            script.push([b"CLIENT", b"UNPAUSE"]);
        }
        let mut replies = script.run(link).await?;
        if self.rules.on(13) {
            replies.check_incarnation(info, replid)?;
        }
        let mut fence = Fence::new(replies.vector(r0)?, replies.vector(r1)?)?;
        let now_s = replies.seconds(time)?;
        for ((asked, plan), key) in asked.into_iter().zip(plans).zip(&batch.keys) {
            if let Some(value) = self.value(asked, plan, key, &mut replies, now_s)? {
                fence.values.push((key.clone(), value));
            }
        }
        Ok(fence)
    }

    fn ask(&self, script: &mut Script, plan: &Plan, key: &SourceKey) -> Asked {
        script.select(key.db);
        let name = &key.key;
        let type_at = script.push([b"TYPE", name]);
        let expiry = Expiry::ask(script, self.abilities, name);
        let value_at = match plan {
            Plan::Absent | Plan::TooBig => None,
            Plan::String => Some(script.push([b"GET", name])),
            Plan::List => Some(script.push([b"LRANGE", name, b"0", b"-1"])),
            Plan::Zset => Some(script.push([b"ZRANGE", name, b"0", b"-1", b"WITHSCORES"])),
            Plan::Members { hash: true, .. } => Some(script.push([b"HGETALL", name])),
            Plan::Members { hash: false, .. } => Some(script.push([b"SMEMBERS", name])),
            Plan::Json => Some(script.push([b"JSON.GET", name])),
            Plan::Dump => Some(script.push([b"DUMP", name])),
        };
        let mut ttls_at = 0..0;
        if let Plan::Members { members, .. } = plan {
            for (i, member) in members.iter().enumerate() {
                let at = script.push_all(vec![word("FIELDTTL"), name.clone(), member.clone()]);
                ttls_at = if i == 0 { at..at + 1 } else { ttls_at.start..at + 1 };
            }
        }
        Asked { type_at, value_at, ttls_at, expiry }
    }

    /// `None`: the key is not as it was looked at; it is read again.
    fn value(
        &mut self,
        asked: Asked,
        plan: Plan,
        key: &SourceKey,
        replies: &mut Replies,
        now_s: u64,
    ) -> Result<Option<Value>, Void> {
        let type_name = match replies.at(asked.type_at) {
            Reply::Simple(name) | Reply::Bulk(name) => name.clone(),
            other => return Err(Void::unexpected("TYPE", other)),
        };
        let expiry = asked.expiry.read(replies, &mut self.abilities)?;
        if type_name == "none" {
            self.member_ttls.remove(key);
            return Ok(Some(Value::Absent));
        }
        if plan == Plan::TooBig {
            return Ok(Some(Value::TooBig));
        }
        let (Some(expire_at_ms), Some(value_at)) = (expiry, asked.value_at) else { return Ok(None) };
        let meta = KeyMeta { db: key.db, key: key.key.clone(), expire_at_ms, sticky: false, mc_flags: None };
        let reply = replies.take(value_at);
        if let (Plan::Dump, Some(line)) = (&plan, reply.as_error()) {
            return Ok(Some(Value::Unreadable(resp::printable(line))));
        }
        if let (Plan::Json, Some(line)) = (&plan, reply.as_error()) {
            // A user who may not: DUMP serves as well, and is slower.
            self.abilities.json_get &= line.starts_with(b"WRONGTYPE");
            return Ok(None);
        }
        Ok(match (plan, type_name.as_ref()) {
            (Plan::Json, b"ReJSON-RL") => encode::json(meta, reply),
            (Plan::Dump, _) => encode::dump(meta, reply, now_s),
            (Plan::String, b"string") => encode::string(meta, reply),
            (Plan::List, b"list") => encode::list(meta, reply, self.id()),
            (Plan::Zset, b"zset") => encode::zset(meta, reply),
            (Plan::Members { hash, members }, b"set" | b"hash") if hash == (type_name == "hash") => {
                if !self.no_ttls(key, &members, asked.ttls_at, replies) {
                    return Ok(None);
                }
                let looked: BTreeSet<Bytes> = members.into_iter().collect();
                encode::members(meta, reply, hash, &looked)
            }
            _ => None,
        })
    }

    /// Whether none of the members has a TTL (`FIELDTTL` answers -1; -3: no such member). Others are dumped.
    fn no_ttls(
        &mut self,
        key: &SourceKey,
        members: &[Bytes],
        at: std::ops::Range<usize>,
        replies: &Replies,
    ) -> bool {
        for reply in at.map(|at| replies.at(at)) {
            match reply.as_integer() {
                Some(-1) => {}
                Some(n) if n >= 0 => {
                    self.member_ttls.insert(key.clone());
                    return false;
                }
                Some(_) => return false,
                None => {
                    self.abilities.field_ttl = false;
                    return false;
                }
            }
        }
        !members.is_empty()
    }
}
