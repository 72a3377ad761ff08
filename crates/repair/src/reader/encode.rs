//! Replies as items of a snapshot.
//!
//! Strings, sets, hashes and sorted sets become one value in the plain encodings (types 0, 2, 4 and 5), which every
//! target's `RESTORE` takes whole; scores stay binary. Lists come in pieces, because their plain encoding is gone from
//! the targets. `None`: the reply is not what the type answers.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};
use rdb::{Begin, Item, KeyMeta, Kind, Piece};
use resp::Reply;

use crate::Value;

/// A length as RDB files have it: 6, 14, 32 or 64 bits.
fn put_len(out: &mut BytesMut, len: usize) {
    match len {
        0..=0x3f => out.put_u8(len as u8),
        0x40..=0x3fff => out.put_u16(0x4000 | len as u16),
        _ => match u32::try_from(len) {
            Ok(len) => {
                out.put_u8(0x80);
                out.put_u32(len);
            }
            Err(_) => {
                out.put_u8(0x81);
                out.put_u64(len as u64);
            }
        },
    }
}

fn put_string(out: &mut BytesMut, string: &[u8]) {
    put_len(out, string.len());
    out.put_slice(string);
}

fn whole(meta: KeyMeta, kind: Kind, payload: Bytes) -> Option<Value> {
    Some(Value::Items(vec![Item::Value(rdb::Value { meta, kind, payload })]))
}

pub(super) fn string(meta: KeyMeta, reply: Reply) -> Option<Value> {
    let Reply::Bulk(string) = reply else { return None };
    let mut out = BytesMut::with_capacity(string.len() + 9);
    put_string(&mut out, &string);
    whole(meta, Kind::String, out.freeze())
}

/// A document's text.
pub(super) fn json(meta: KeyMeta, reply: Reply) -> Option<Value> {
    let Reply::Bulk(text) = reply else { return None };
    let mut out = BytesMut::with_capacity(text.len() + 9);
    put_string(&mut out, &text);
    whole(meta, Kind::Json, out.freeze())
}

/// The elements of an array of strings.
pub(super) fn strings(reply: Reply) -> Option<Vec<Bytes>> {
    let Reply::Array(items) = reply else { return None };
    items.into_iter().map(|item| item.as_bytes().cloned()).collect()
}

pub(super) fn list(meta: KeyMeta, reply: Reply, id: u64) -> Option<Value> {
    let elements = strings(reply).filter(|elements| !elements.is_empty())?;
    Some(Value::Items(vec![
        Item::Begin(Begin { id, meta, kind: Kind::ListQuicklist2 }),
        Item::Piece { id, piece: Piece::List(elements) },
        Item::End { id },
    ]))
}

/// Members and scores, which Dragonfly prints with as many digits as tell them apart (v1.40.1, seen on the wire: also
/// subnormal and largest numbers; only the sign of a zero is lost).
pub(super) fn scores(reply: Reply) -> Option<Vec<(Bytes, f64)>> {
    let strings = strings(reply)?;
    let (pairs, []) = strings.as_chunks::<2>() else { return None };
    pairs
        .iter()
        .map(|[member, score]| {
            let score: f64 = std::str::from_utf8(score).ok()?.parse().ok()?;
            (!score.is_nan()).then(|| (member.clone(), score))
        })
        .collect()
}

pub(super) fn zset(meta: KeyMeta, reply: Reply) -> Option<Value> {
    let pairs = scores(reply).filter(|pairs| !pairs.is_empty())?;
    let mut out = BytesMut::new();
    put_len(&mut out, pairs.len());
    for (member, score) in pairs {
        put_string(&mut out, &member);
        out.put_f64_le(score);
    }
    whole(meta, Kind::Zset, out.freeze())
}

/// A set or hash whose members are just those whose TTLs were asked for.
pub(super) fn members(meta: KeyMeta, reply: Reply, hash: bool, looked: &BTreeSet<Bytes>) -> Option<Value> {
    let strings = strings(reply).filter(|strings| !strings.is_empty())?;
    let each = if hash { 2 } else { 1 };
    if strings.len() != looked.len() * each || strings.chunks(each).any(|member| !looked.contains(&member[0]))
    {
        return None;
    }
    let mut out = BytesMut::new();
    put_len(&mut out, looked.len());
    strings.iter().for_each(|string| put_string(&mut out, string));
    whole(meta, if hash { Kind::Hash } else { Kind::Set }, out.freeze())
}

/// `now_s`: the source's clock before it was asked for the payload, which holds expired members all the same.
pub(super) fn dump(meta: KeyMeta, reply: Reply, now_s: u64) -> Option<Value> {
    let Reply::Bulk(payload) = reply else { return None };
    let parsed = rdb::dump::parse(&payload);
    let living = parsed.and_then(|(kind, raw)| Ok((kind, rdb::dump::living(kind, &raw, now_s)?)));
    match living {
        Ok((kind, Some(payload))) => whole(meta, kind, payload),
        Ok((_, None)) => Some(Value::Absent),
        Err(error) => Some(Value::Unreadable(format!("DUMP: {error}"))),
    }
}
