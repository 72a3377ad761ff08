//! One large key, in pages, through a file.
//!
//! Nothing of the key changes while the window is untouched, so positions stay what they are and a scan returns every
//! element at least once. If something does change the fence is of no use anyway.

use bytes::Bytes;
use command::SourceKey;
use rdb::{Begin, Item, KeyMeta, Kind, Piece};
use resp::Reply;

use super::look::length_command;
use super::script::{Script, word};
use super::small::Expiry;
use super::{Fence, Link, Reader, Void, encode};
use crate::spill::Spill;
use crate::{Batch, Value};

/// Bytes that a page is aimed at.
const PAGE: u64 = 256 << 10;
/// Most elements of a page.
const PAGE_ELEMENTS: u64 = 1000;

/// What `FIELDTTL` answers where there is no such member.
const NO_MEMBER: i64 = -3;

/// A page of a collection.
struct Pages<'a> {
    link: &'a mut Link,
    spill: &'a mut Spill,
    key: &'a Bytes,
    id: u64,
    length: u64,
    /// Elements a page.
    step: u64,
    /// Whether a member was seen that expires.
    expiring: bool,
}

impl Reader {
    pub(super) async fn read_big(
        &mut self,
        link: &mut Link,
        key: &SourceKey,
        batch: &Batch,
        replid: &str,
    ) -> Result<Fence, Void> {
        let mut script = Script::new(link);
        if let Some(ms) = self.pause(batch) {
            script.push([b"CLIENT", b"PAUSE", ms.to_string().as_bytes(), b"WRITE"]);
        }
        let info = script.push([b"INFO", b"replication"]);
        let r0 = script.push([b"DFLY", b"REPLICAOFFSET"]);
        script.select(key.db);
        let type_at = script.push([b"TYPE", &key.key]);
        let expiry = Expiry::ask(&mut script, self.abilities, &key.key);
        let usage_at = script.push([b"MEMORY", b"USAGE", &key.key]);
        let replies = script.run(link).await?;
        if self.rules.on(13) {
            replies.check_incarnation(info, replid)?;
        }
        let r0 = replies.vector(r0)?;
        let type_name = replies.at(type_at).as_bytes().cloned();
        let type_name = type_name.ok_or_else(|| Void::unexpected("TYPE", replies.at(type_at)))?;
        let bytes = replies.at(usage_at).as_integer().and_then(|n| u64::try_from(n).ok());
        let value = match expiry.read(&replies, &mut self.abilities)? {
            _ if type_name == "none" => Some(Value::Absent),
            None => None,
            Some(expire_at_ms) => {
                let meta =
                    KeyMeta { db: key.db, key: key.key.clone(), expire_at_ms, sticky: false, mc_flags: None };
                self.big_value(link, meta, &type_name, bytes).await?
            }
        };
        let mut script = Script::new(link);
        let r1 = script.push([b"DFLY", b"REPLICAOFFSET"]);
        if self.pause(batch).is_some() {
            script.push([b"CLIENT", b"UNPAUSE"]);
        }
        let r1 = script.run(link).await?.vector(r1)?;
        let mut fence = Fence::new(r0, r1)?;
        fence.values.extend(value.map(|value| (key.clone(), value)));
        Ok(fence)
    }

    async fn big_value(
        &mut self,
        link: &mut Link,
        meta: KeyMeta,
        type_name: &[u8],
        bytes: Option<u64>,
    ) -> Result<Option<Value>, Void> {
        let of = SourceKey { db: meta.db, key: meta.key.clone() };
        // It will be read again and again: whole, so that it can be written in one command.
        let whole = bytes.is_some_and(|bytes| bytes <= Self::LARGEST_DUMP) && self.member_ttls.contains(&of);
        let kind = match type_name {
            b"set" | b"hash" if whole => return self.big_dump(link, meta, type_name, bytes).await,
            b"string" => Kind::String,
            b"list" => Kind::ListQuicklist2,
            b"set" => Kind::Set,
            b"hash" => Kind::Hash,
            b"zset" => Kind::Zset,
            _ => return self.big_dump(link, meta, type_name, bytes).await,
        };
        let command = length_command(type_name).expect("these types have one");
        let length = call(link, &[command.as_bytes(), &meta.key]).await?;
        let Some(length) = length.as_integer().and_then(|n| u64::try_from(n).ok()) else { return Ok(None) };
        let id = self.id();
        let key = meta.key.clone();
        let mut spill = Spill::create(&self.options.directory)?;
        spill.write(&Item::Begin(Begin { id, meta, kind }))?;
        let each = (bytes.unwrap_or(0) / length.max(1)).max(1);
        let step = (PAGE / each).clamp(1, PAGE_ELEMENTS);
        let mut pages = Pages { link, spill: &mut spill, key: &key, id, length, step, expiring: false };
        let complete = match kind {
            Kind::String => pages.string().await?,
            Kind::ListQuicklist2 => pages.list().await?,
            Kind::Zset => pages.zset().await?,
            _ => pages.scan(kind == Kind::Hash, self.abilities.field_ttl).await?,
        };
        if pages.expiring {
            self.member_ttls.insert(of);
        }
        spill.write(&Item::End { id })?;
        Ok(if complete { Some(Value::File(spill.finish()?)) } else { None })
    }

    /// Streams, documents and filters have no pages that tell everything.
    async fn big_dump(
        &self,
        link: &mut Link,
        meta: KeyMeta,
        type_name: &[u8],
        bytes: Option<u64>,
    ) -> Result<Option<Value>, Void> {
        if let Some(bytes) = bytes.filter(|bytes| *bytes > Self::LARGEST_DUMP) {
            let reason = format!(
                "a {} of {bytes} bytes: the source has no way to read it in parts, and {} is the bound for the whole",
                type_name.escape_ascii(),
                Self::LARGEST_DUMP,
            );
            return Ok(Some(Value::Unreadable(reason)));
        }
        let mut script = Script::new(link);
        let time = script.push([b"TIME"]);
        let dump = script.push([b"DUMP", &meta.key]);
        let mut replies = script.run(link).await?;
        let now_s = replies.seconds(time)?;
        let reply = replies.take(dump);
        Ok(match reply.as_error() {
            Some(line) => Some(Value::Unreadable(resp::printable(line))),
            None => encode::dump(meta, reply, now_s),
        })
    }
}

async fn call(link: &mut Link, args: &[&[u8]]) -> Result<Reply, Void> {
    Ok(link.connection.call(args).await?)
}

impl Pages<'_> {
    fn write(&mut self, piece: Piece) -> Result<(), Void> {
        Ok(self.spill.write(&Item::Piece { id: self.id, piece })?)
    }

    /// Elements `from` to the end of its page.
    async fn range(&mut self, command: &str, from: u64, step: u64, scores: bool) -> Result<Reply, Void> {
        let (from, to) = (from.to_string(), (from + step - 1).to_string());
        let mut args: Vec<&[u8]> = vec![command.as_bytes(), self.key, from.as_bytes(), to.as_bytes()];
        args.extend(scores.then_some(b"WITHSCORES".as_slice()));
        call(self.link, &args).await
    }

    async fn string(&mut self) -> Result<bool, Void> {
        for from in (0..self.length).step_by(PAGE as usize) {
            match self.range("GETRANGE", from, PAGE, false).await? {
                Reply::Bulk(part) => self.write(Piece::String(part))?,
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    async fn list(&mut self) -> Result<bool, Void> {
        for from in (0..self.length).step_by(self.step as usize) {
            let page = self.range("LRANGE", from, self.step, false).await?;
            let Some(elements) = encode::strings(page) else { return Ok(false) };
            self.write(Piece::List(elements))?;
        }
        Ok(true)
    }

    async fn zset(&mut self) -> Result<bool, Void> {
        for from in (0..self.length).step_by(self.step as usize) {
            let page = self.range("ZRANGE", from, self.step, true).await?;
            let Some(pairs) = encode::scores(page) else { return Ok(false) };
            self.write(Piece::Zset(pairs))?;
        }
        Ok(true)
    }

    async fn scan(&mut self, hash: bool, field_ttl: bool) -> Result<bool, Void> {
        let command: &[u8] = if hash { b"HSCAN" } else { b"SSCAN" };
        let count = self.step.to_string();
        let mut cursor = word("0");
        loop {
            let page = call(self.link, &[command, self.key, &cursor, b"COUNT", count.as_bytes()]).await?;
            let Reply::Array(mut page) = page else { return Ok(false) };
            let (Some(elements), Some(next)) = (page.pop(), page.pop()) else { return Ok(false) };
            let (Some(elements), Some(next)) = (encode::strings(elements), next.as_bytes().cloned()) else {
                return Ok(false);
            };
            for part in elements.chunks(PAGE_ELEMENTS as usize * 2) {
                self.members(part, hash, field_ttl).await?;
            }
            if next == "0" {
                return Ok(true);
            }
            cursor = next;
        }
    }

    /// A page of a set or hash, with the TTLs of its members.
    async fn members(&mut self, elements: &[Bytes], hash: bool, field_ttl: bool) -> Result<(), Void> {
        let each = if hash { 2 } else { 1 };
        // `None`: it has expired since its page was read.
        let mut expiries = vec![Some(None); elements.len() / each];
        if field_ttl && !elements.is_empty() {
            let mut script = Script::new(self.link);
            let time = script.push([b"TIME"]);
            for member in elements.chunks_exact(each) {
                script.push([b"FIELDTTL", self.key, &member[0]]);
            }
            let replies = script.run(self.link).await?;
            let now_s = replies.seconds(time)?;
            for (i, expiry) in expiries.iter_mut().enumerate() {
                *expiry = match replies.at(time + 1 + i).as_integer() {
                    Some(left_s @ 0..) => Some(Some(now_s.saturating_add(left_s.unsigned_abs()))),
                    Some(NO_MEMBER) => None,
                    _ => Some(None),
                };
                self.expiring |= matches!(expiry, Some(Some(_)) | None);
            }
        }
        let members = elements.chunks_exact(each).zip(expiries);
        let members = members.filter_map(|(member, expiry)| Some((member, expiry?)));
        let piece = match hash {
            true => Piece::HashTtl(members.map(|(m, expiry)| (m[0].clone(), m[1].clone(), expiry)).collect()),
            false => Piece::SetTtl(members.map(|(m, expiry)| (m[0].clone(), expiry)).collect()),
        };
        self.write(piece)
    }
}
