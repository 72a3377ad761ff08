//! DUMP payloads: written for DUMP and for journaled RESTORE, read for RESTORE.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use crc::{CRC_64_REDIS, Crc};

use super::listpack;
use super::primitive::{len, string};
use super::rdb::code;
use super::{values, ziplist};
use crate::Profile;
use crate::engine::shard::Members;
use crate::engine::stream::{Consumer, Group, Id, Pending, Stream};
use crate::engine::value::{Value, Zset};

const CRC: Crc<u64> = Crc::<u64>::new(&CRC_64_REDIS);
/// The RDB version in the footer of every payload (`RDB_SER_VERSION`).
const VERSION: u16 = 9;

/// The DUMP payload of a value: type, value, version 9, CRC64.
pub(crate) fn write(v: &Value, members: &Members, profile: &Profile) -> Vec<u8> {
    let encoded = values::value(v, members, profile);
    let mut out = vec![encoded.kind];
    encoded.pieces.iter().for_each(|p| out.extend_from_slice(p));
    seal(out)
}

/// The payload of a hash or set some of whose members have so many seconds left; `None` for any other type. They expire
/// at a second counted from February 2023 (v1.40.1 `common.h` `kMemberExpiryBase`), -1 is never.
pub(crate) fn with_member_ttls(v: &Value, left: &HashMap<Bytes, u64>, now_s: u64) -> Option<Vec<u8>> {
    let ttl = |member: &Bytes| {
        left.get(member).map_or("-1".to_owned(), |s| (now_s - values::MEMBER_BASE + s).to_string())
    };
    let mut out = Vec::new();
    match v {
        Value::Hash(fields) => {
            out.push(code::HASH_WITH_EXPIRY);
            len(&mut out, fields.len() as u64);
            for (field, value) in fields {
                [field, value, &Bytes::from(ttl(field))].iter().for_each(|part| string(&mut out, part));
            }
        }
        Value::Set(members) => {
            out.push(code::SET_WITH_EXPIRY);
            len(&mut out, members.len() as u64);
            for member in members {
                [member, &Bytes::from(ttl(member))].iter().for_each(|part| string(&mut out, part));
            }
        }
        _ => return None,
    }
    Some(seal(out))
}

fn seal(mut out: Vec<u8>) -> Vec<u8> {
    out.extend_from_slice(&VERSION.to_le_bytes());
    let crc = CRC.checksum(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// The value in a DUMP payload, with the expiries of its members; `None` when checksum, version or contents are wrong or the
/// type is unknown here.
pub(crate) fn read(payload: &[u8]) -> Option<(Value, Members)> {
    let (body, crc) = payload.split_last_chunk::<8>()?;
    if CRC.checksum(body) != u64::from_le_bytes(*crc) && *crc != [0; 8] {
        return None;
    }
    let (body, version) = body.split_last_chunk::<2>()?;
    if u16::from_le_bytes(*version) > 12 {
        return None;
    }
    let (&kind, rest) = body.split_first()?;
    let mut r = Reader { rest };
    let mut members = Members::new();
    let v = value(kind, &mut r, &mut members)?;
    r.rest.is_empty().then_some((v, members))
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn len(&mut self) -> Option<u64> {
        let b = self.array::<1>()?[0];
        match b {
            0..=0x3F => Some(u64::from(b)),
            0x40..=0x7F => Some((u64::from(b & 0x3F) << 8) | u64::from(self.array::<1>()?[0])),
            0x80 => Some(u64::from(u32::from_be_bytes(self.array()?))),
            0x81 => Some(u64::from_be_bytes(self.array()?)),
            _ => None,
        }
    }

    fn string(&mut self) -> Option<Bytes> {
        let text = |n: i64| Bytes::from(n.to_string());
        match *self.rest.first()? {
            0xC0 => self.take(1).and_then(|_| Some(text(i64::from(self.array::<1>()?[0] as i8)))),
            0xC1 => self.take(1).and_then(|_| Some(text(i64::from(i16::from_le_bytes(self.array()?))))),
            0xC2 => self.take(1).and_then(|_| Some(text(i64::from(i32::from_le_bytes(self.array()?))))),
            0xC3 => {
                self.take(1)?;
                let (packed, raw) = (self.len()?, self.len()?);
                lzf(self.take(usize::try_from(packed).ok()?)?, usize::try_from(raw).ok()?).map(Bytes::from)
            }
            _ => {
                let n = usize::try_from(self.len()?).ok()?;
                Some(Bytes::copy_from_slice(self.take(n)?))
            }
        }
    }

    fn double(&mut self) -> Option<f64> {
        Some(f64::from_le_bytes(self.array()?))
    }

    fn id16(&mut self) -> Option<Id> {
        Some(Id(u64::from_be_bytes(self.array()?), u64::from_be_bytes(self.array()?)))
    }

    fn id_len(&mut self) -> Option<Id> {
        Some(Id(self.len()?, self.len()?))
    }
}

/// Decompresses LZF: literal runs (control byte below 32) and back references.
fn lzf(packed: &[u8], raw: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.min(packed.len().saturating_mul(300)));
    let mut r = Reader { rest: packed };
    while let Some([control]) = r.array::<1>() {
        if control < 32 {
            out.extend_from_slice(r.take(usize::from(control) + 1)?);
            continue;
        }
        let mut n = usize::from(control >> 5);
        if n == 7 {
            n += usize::from(r.array::<1>()?[0]);
        }
        let back = (usize::from(control & 31) << 8) + usize::from(r.array::<1>()?[0]) + 1;
        let from = out.len().checked_sub(back)?;
        (0..n + 2).for_each(|i| out.push(out[from + i]));
    }
    (out.len() == raw).then_some(out)
}

/// A member that may expire, in seconds since the base; -1: never.
fn member_expiry(r: &mut Reader<'_>, member: &Bytes, members: &mut Members) -> Option<()> {
    let at: i64 = std::str::from_utf8(&r.string()?).ok()?.parse().ok()?;
    if at >= 0 {
        members.insert(member.clone(), values::MEMBER_BASE + at as u64);
    }
    Some(())
}

fn value(kind: u8, r: &mut Reader<'_>, members: &mut Members) -> Option<Value> {
    Some(match kind {
        code::STRING => Value::String(r.string()?),
        code::JSON => Value::Json(r.string()?),
        code::SET => Value::Set((0..r.len()?).map(|_| r.string()).collect::<Option<BTreeSet<_>>>()?),
        code::HASH => Value::Hash(
            (0..r.len()?).map(|_| Some((r.string()?, r.string()?))).collect::<Option<BTreeMap<_, _>>>()?,
        ),
        code::SET_WITH_EXPIRY => {
            let mut set = BTreeSet::new();
            for _ in 0..r.len()? {
                let member = r.string()?;
                member_expiry(r, &member, members)?;
                set.insert(member);
            }
            Value::Set(set)
        }
        code::HASH_WITH_EXPIRY => {
            let mut hash = BTreeMap::new();
            for _ in 0..r.len()? {
                let (field, value) = (r.string()?, r.string()?);
                member_expiry(r, &field, members)?;
                hash.insert(field, value);
            }
            Value::Hash(hash)
        }
        code::ZSET_2 => {
            let mut z = Zset::default();
            for _ in 0..r.len()? {
                let member = r.string()?;
                z.insert(member, r.double()?);
            }
            Value::Zset(z)
        }
        code::SET_INTSET => Value::Set(intset(&r.string()?)?),
        code::JSON_OLD => Value::Json(r.string()?),
        code::HASH_LISTPACK => Value::Hash(pairs(listpack::elements(&r.string()?)?)?.into_iter().collect()),
        code::HASH_ZIPLIST => Value::Hash(pairs(ziplist::elements(&r.string()?)?)?.into_iter().collect()),
        code::ZSET_LISTPACK | code::ZSET_ZIPLIST => {
            let blob = r.string()?;
            let elements = match kind {
                code::ZSET_ZIPLIST => ziplist::elements(&blob),
                _ => listpack::elements(&blob),
            };
            let mut z = Zset::default();
            for (m, score) in pairs(elements?)? {
                z.insert(m, std::str::from_utf8(&score).ok()?.parse().ok()?);
            }
            Value::Zset(z)
        }
        code::LIST_QUICKLIST_2 => {
            let mut items = VecDeque::new();
            for _ in 0..r.len()? {
                let container = r.len()?;
                let data = r.string()?;
                match container {
                    1 => items.push_back(data),
                    2 => items.extend(listpack::elements(&data)?.into_iter().map(Bytes::from)),
                    _ => return None,
                }
            }
            Value::List(items)
        }
        code::LIST_QUICKLIST => {
            let mut items = VecDeque::new();
            for _ in 0..r.len()? {
                items.extend(ziplist::elements(&r.string()?)?.into_iter().map(Bytes::from));
            }
            Value::List(items)
        }
        code::STREAM_LISTPACKS | 19 | code::STREAM_LISTPACKS_3 => Value::Stream(Box::new(stream(kind, r)?)),
        _ => return None,
    })
}

fn pairs(items: Vec<Vec<u8>>) -> Option<Vec<(Bytes, Bytes)>> {
    items.len().is_multiple_of(2).then(|| {
        items
            .chunks_exact(2)
            .map(|p| (Bytes::copy_from_slice(&p[0]), Bytes::copy_from_slice(&p[1])))
            .collect()
    })
}

fn intset(blob: &[u8]) -> Option<BTreeSet<Bytes>> {
    let mut r = Reader { rest: blob };
    let width = u32::from_le_bytes(r.array()?);
    let count = u32::from_le_bytes(r.array()?);
    (0..count)
        .map(|_| {
            let n = match width {
                2 => i64::from(i16::from_le_bytes(r.array()?)),
                4 => i64::from(i32::from_le_bytes(r.array()?)),
                8 => i64::from_le_bytes(r.array()?),
                _ => return None,
            };
            Some(Bytes::from(n.to_string()))
        })
        .collect()
}

fn stream(kind: u8, r: &mut Reader<'_>) -> Option<Stream> {
    let mut s = Stream::default();
    for _ in 0..r.len()? {
        let key = r.string()?;
        let mut k = Reader { rest: &key };
        let master = k.id16()?;
        stream_node(&mut s, master, &listpack::elements(&r.string()?)?)?;
    }
    let _live = r.len()?;
    s.last_id = r.id_len()?;
    if kind == 15 {
        s.added = s.entries.len() as u64;
    } else {
        r.id_len()?;
        s.max_deleted = r.id_len()?;
        s.added = r.len()?;
    }
    for _ in 0..r.len()? {
        let name = r.string()?;
        let mut g = Group { last_id: r.id_len()?, ..Group::default() };
        if kind != 15 {
            g.entries_read = Some(r.len()?).filter(|&n| n != u64::MAX);
        }
        let mut times = BTreeMap::new();
        for _ in 0..r.len()? {
            let id = r.id16()?;
            let time_ms = u64::from_le_bytes(r.array()?);
            times.insert(id, (time_ms, r.len()?));
        }
        for _ in 0..r.len()? {
            let consumer = r.string()?;
            let seen_ms = u64::from_le_bytes(r.array()?);
            let active_ms =
                if kind == code::STREAM_LISTPACKS_3 { u64::from_le_bytes(r.array()?) } else { seen_ms };
            for _ in 0..r.len()? {
                let id = r.id16()?;
                let &(time_ms, count) = times.get(&id)?;
                g.pending.insert(id, Pending { consumer: consumer.clone(), time_ms, count });
            }
            g.consumers.insert(consumer, Consumer { seen_ms, active_ms });
        }
        s.groups.insert(name, g);
    }
    Some(s)
}

fn stream_node(s: &mut Stream, master: Id, lp: &[Vec<u8>]) -> Option<()> {
    let mut at = lp.iter();
    let int = |e: Option<&Vec<u8>>| std::str::from_utf8(e?).ok()?.parse::<i64>().ok();
    let (count, deleted) = (int(at.next())?, int(at.next())?);
    let fields = (0..int(at.next())?).map(|_| at.next()).collect::<Option<Vec<_>>>()?;
    at.next()?;
    for _ in 0..count + deleted {
        let flags = int(at.next())?;
        let (ms, seq) = (int(at.next())?, int(at.next())?);
        let id = Id(master.0.wrapping_add(ms as u64), master.1.wrapping_add(seq as u64));
        let text = |b: &Vec<u8>| Bytes::copy_from_slice(b);
        let pairs = if flags & 2 != 0 {
            fields.iter().map(|f| Some((text(f), text(at.next()?)))).collect::<Option<Vec<_>>>()?
        } else {
            (0..int(at.next())?)
                .map(|_| Some((text(at.next()?), text(at.next()?))))
                .collect::<Option<Vec<_>>>()?
        };
        at.next()?;
        if flags & 1 == 0 {
            s.entries.insert(id, pairs);
        }
    }
    Some(())
}
