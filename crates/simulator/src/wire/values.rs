//! Values as the releases encode them.

use std::collections::VecDeque;

use bytes::Bytes;

use super::listpack::Listpack;
use super::primitive::{canonical_i64, len, raw_string, string};
use super::rdb::{CHUNK, code};
use super::ziplist;
use crate::Profile;
use crate::engine::shard::Members;
use crate::engine::stream::{Id, Stream};
use crate::engine::value::{Value, Zset};

/// A hash stays a listpack up to this size (`max_listpack_map_bytes`).
const HASH_LISTPACK_MAX: usize = 1024;

/// A value's type code and its bytes, cut where Dragonfly may cut them.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) kind: u8,
    /// Joined: the value. More than one piece only when the value exceeds [`CHUNK`].
    pub(crate) pieces: Vec<Vec<u8>>,
}

impl Encoded {
    fn whole(kind: u8, bytes: Vec<u8>) -> Self {
        Encoded { kind, pieces: vec![bytes] }
    }
}

struct Cutter {
    done: Vec<Vec<u8>>,
    at: Vec<u8>,
}

impl Cutter {
    fn new(count: usize) -> Self {
        let mut at = Vec::new();
        len(&mut at, count as u64);
        Cutter { done: Vec::new(), at }
    }

    /// Marks an element boundary.
    fn boundary(&mut self) {
        if self.at.len() > CHUNK {
            self.done.push(std::mem::take(&mut self.at));
        }
    }

    fn finish(mut self, kind: u8) -> Encoded {
        if !self.at.is_empty() {
            self.done.push(self.at);
        }
        Encoded { kind, pieces: self.done }
    }
}

/// Unix seconds that the expiry of a member counts from (`common.h kMemberExpiryBase`).
pub(crate) const MEMBER_BASE: u64 = 1_675_209_600;

/// The expiry of a member, as decimal text.
fn member_expiry(out: &mut Vec<u8>, members: &Members, member: &Bytes) {
    let at = members.get(member).map_or_else(|| "-1".to_owned(), |at_s| (at_s - MEMBER_BASE).to_string());
    string(out, at.as_bytes());
}

/// Encodes a value as the release does. Members that have expired are written like the others.
pub(crate) fn value(v: &Value, members: &Members, profile: &Profile) -> Encoded {
    match v {
        Value::Set(set) if !members.is_empty() => {
            let mut c = Cutter::new(set.len());
            for m in set {
                string(&mut c.at, m);
                member_expiry(&mut c.at, members, m);
                c.boundary();
            }
            c.finish(code::SET_WITH_EXPIRY)
        }
        Value::Hash(hash) if !members.is_empty() => {
            let mut c = Cutter::new(hash.len());
            for (f, v) in hash {
                string(&mut c.at, f);
                string(&mut c.at, v);
                member_expiry(&mut c.at, members, f);
                c.boundary();
            }
            c.finish(code::HASH_WITH_EXPIRY)
        }
        Value::String(s) => {
            let mut out = Vec::with_capacity(s.len() + 9);
            string(&mut out, s);
            Encoded::whole(code::STRING, out)
        }
        Value::Json(s) => {
            let mut out = Vec::with_capacity(s.len() + 9);
            string(&mut out, s);
            Encoded::whole(profile.json, out)
        }
        Value::Set(members) => match intset(members.iter()) {
            Some(blob) => {
                let mut out = Vec::new();
                raw_string(&mut out, &blob);
                Encoded::whole(code::SET_INTSET, out)
            }
            None => {
                let mut c = Cutter::new(members.len());
                for m in members {
                    string(&mut c.at, m);
                    c.boundary();
                }
                c.finish(code::SET)
            }
        },
        Value::Hash(fields) => {
            if fields.len() <= 512 && fields.iter().all(|(f, v)| f.len() <= 64 && v.len() <= 64) {
                let mut lp = Listpack::new();
                for (f, v) in fields {
                    lp.push(f);
                    lp.push(v);
                }
                if lp.size() < HASH_LISTPACK_MAX {
                    return packed(profile.small.0, lp);
                }
            }
            let mut c = Cutter::new(fields.len());
            for (f, v) in fields {
                string(&mut c.at, f);
                string(&mut c.at, v);
                c.boundary();
            }
            c.finish(code::HASH)
        }
        Value::Zset(z) => zset(z, profile.small.1),
        Value::List(items) => list(items, profile.list),
        Value::Stream(s) => stream(s, profile.stream),
    }
}

fn packed(kind: u8, lp: Listpack) -> Encoded {
    let mut out = Vec::new();
    let lp = lp.finish();
    let ziplist = matches!(kind, code::HASH_ZIPLIST | code::ZSET_ZIPLIST);
    raw_string(&mut out, &if ziplist { ziplist::of_listpack(&lp) } else { lp });
    Encoded::whole(kind, out)
}

/// The intset blob when every member is canonical decimal text and there are at most 256 of them.
fn intset<'a>(members: impl ExactSizeIterator<Item = &'a Bytes>) -> Option<Vec<u8>> {
    if members.len() > 256 {
        return None;
    }
    let mut numbers = members.map(|m| canonical_i64(m)).collect::<Option<Vec<i64>>>()?;
    numbers.sort_unstable();
    let width: u32 = match (numbers.first()?, numbers.last()?) {
        (&lo, &hi) if i16::try_from(lo).is_ok() && i16::try_from(hi).is_ok() => 2,
        (&lo, &hi) if i32::try_from(lo).is_ok() && i32::try_from(hi).is_ok() => 4,
        _ => 8,
    };
    let mut out = width.to_le_bytes().to_vec();
    out.extend_from_slice(&(numbers.len() as u32).to_le_bytes());
    for n in numbers {
        out.extend_from_slice(&n.to_le_bytes()[..width as usize]);
    }
    Some(out)
}

fn zset(z: &Zset, small: u8) -> Encoded {
    if z.len() <= 128 && z.iter().all(|(m, _)| m.len() <= 64) {
        let mut lp = Listpack::new();
        for (m, score) in z.iter() {
            lp.push(m);
            lp.push(crate::reply::score(score).as_bytes());
        }
        return packed(small, lp);
    }
    let mut c = Cutter::new(z.len());
    for (m, score) in z.iter() {
        string(&mut c.at, m);
        c.at.extend_from_slice(&score.to_le_bytes());
        c.boundary();
    }
    c.finish(code::ZSET_2)
}

/// Quicklist nodes: listpacks of at most 8 KiB, a plain node for an element that does not fit one. With ziplists there are
/// no plain nodes.
fn list(items: &VecDeque<Bytes>, kind: u8) -> Encoded {
    let ziplists = kind == code::LIST_QUICKLIST;
    const NODE: usize = 8192;
    enum Node<'a> {
        Plain(&'a Bytes),
        Packed(Vec<u8>),
    }
    let mut nodes = Vec::new();
    let mut lp = Listpack::new();
    for item in items {
        if item.len() + 11 > NODE {
            if !lp.is_empty() {
                nodes.push(Node::Packed(std::mem::replace(&mut lp, Listpack::new()).finish()));
            }
            if ziplists {
                let mut alone = Listpack::new();
                alone.push(item);
                nodes.push(Node::Packed(alone.finish()));
            } else {
                nodes.push(Node::Plain(item));
            }
            continue;
        }
        if lp.size() + item.len() + 11 > NODE {
            nodes.push(Node::Packed(std::mem::replace(&mut lp, Listpack::new()).finish()));
        }
        lp.push(item);
    }
    if !lp.is_empty() {
        nodes.push(Node::Packed(lp.finish()));
    }
    let mut c = Cutter::new(nodes.len());
    for node in nodes {
        match node {
            Node::Plain(s) => {
                len(&mut c.at, 1);
                string(&mut c.at, s);
            }
            Node::Packed(lp) if ziplists => raw_string(&mut c.at, &ziplist::of_listpack(&lp)),
            Node::Packed(lp) => {
                len(&mut c.at, 2);
                raw_string(&mut c.at, &lp);
            }
        }
        c.boundary();
    }
    c.finish(kind)
}

fn id16(out: &mut Vec<u8>, id: Id) {
    out.extend_from_slice(&id.0.to_be_bytes());
    out.extend_from_slice(&id.1.to_be_bytes());
}

fn id_len(out: &mut Vec<u8>, id: Id) {
    len(out, id.0);
    len(out, id.1);
}

fn stream(s: &Stream, kind: u8) -> Encoded {
    // Counters came with 19, the time of activity with 21.
    let third = kind == code::STREAM_LISTPACKS_3;
    const NODE_ENTRIES: usize = 100;
    let entries: Vec<_> = s.entries.iter().collect();
    let nodes: Vec<_> = entries.chunks(NODE_ENTRIES).collect();
    let mut c = Cutter::new(nodes.len());
    for (i, node) in nodes.iter().enumerate() {
        if i > 0 {
            // Never after the last node: the tail of the value stays with it.
            c.boundary();
        }
        let (&master, fields) = node[0];
        let mut key = Vec::new();
        id16(&mut key, master);
        raw_string(&mut c.at, &key);
        let mut lp = Listpack::new();
        lp.push_int(node.len() as i64);
        lp.push_int(0);
        lp.push_int(fields.len() as i64);
        fields.iter().for_each(|(f, _)| lp.push(f));
        lp.push_int(0);
        for (id, pairs) in node.iter() {
            let same = pairs.len() == fields.len() && pairs.iter().zip(fields).all(|(a, b)| a.0 == b.0);
            lp.push_int(if same { 2 } else { 0 });
            lp.push_int(id.0.wrapping_sub(master.0) as i64);
            lp.push_int(id.1.wrapping_sub(master.1) as i64);
            if same {
                pairs.iter().for_each(|(_, v)| lp.push(v));
                lp.push_int(pairs.len() as i64 + 3);
            } else {
                lp.push_int(pairs.len() as i64);
                pairs.iter().for_each(|(f, v)| {
                    lp.push(f);
                    lp.push(v);
                });
                lp.push_int(pairs.len() as i64 * 2 + 4);
            }
        }
        raw_string(&mut c.at, &lp.finish());
    }
    let out = &mut c.at;
    len(out, s.entries.len() as u64);
    id_len(out, s.last_id);
    if third {
        id_len(out, s.first_id());
        id_len(out, s.max_deleted);
        len(out, s.added);
    }
    len(out, s.groups.len() as u64);
    for (name, g) in &s.groups {
        string(out, name);
        id_len(out, g.last_id);
        if third {
            len(out, g.entries_read.unwrap_or(u64::MAX));
        }
        len(out, g.pending.len() as u64);
        for (&id, p) in &g.pending {
            id16(out, id);
            out.extend_from_slice(&p.time_ms.to_le_bytes());
            len(out, p.count);
        }
        len(out, g.consumers.len() as u64);
        for (consumer, seen) in &g.consumers {
            string(out, consumer);
            out.extend_from_slice(&seen.seen_ms.to_le_bytes());
            if third {
                out.extend_from_slice(&seen.active_ms.to_le_bytes());
            }
            let own: Vec<_> = g.pending.iter().filter(|(_, p)| p.consumer == *consumer).collect();
            len(out, own.len() as u64);
            own.iter().for_each(|(id, _)| id16(out, **id));
        }
    }
    c.finish(kind)
}
