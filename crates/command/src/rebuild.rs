//! A value rebuilt by element commands, piece by piece.

mod batch;
mod ids;
mod stream;

use bytes::{Bytes, BytesMut};
use rdb::{Family, KeyMeta, Kind, Piece};

use crate::{
    mapping::Placement,
    rewrite::{Context, decimal},
    snapshot,
    target::{Commands, Effect, TargetCommand},
    treatment::{MemberExpiry, Missing, MissingKind, SourceKey, Treatment},
    types::JsonAs,
};
use batch::Batch;
use ids::Ids;

/// A value under way: removed first, then filled, its expiry set in the last step.
#[derive(Debug)]
pub(crate) struct Rebuild {
    db: u32,
    slot: u16,
    name: Bytes,
    source: SourceKey,
    kind: Kind,
    expire_at_ms: Option<u64>,
    first: TargetCommand,
    /// Whether anything was written since the removal.
    written: bool,
    /// JSON text so far: one command has to hold all of it.
    json: BytesMut,
    json_as: JsonAs,
    ids: Ids,
    /// What the target could not hold, and whether that was told already.
    missing: Option<MissingKind>,
    told: bool,
    /// When the first member expires that the target will not, unix seconds; of the last piece.
    earliest_s: Option<u64>,
}

impl Rebuild {
    pub(crate) fn new(context: &Context, place: &Placement, name: Bytes, meta: &KeyMeta, kind: Kind) -> Self {
        Self {
            db: place.db,
            slot: context.slot(&name),
            first: snapshot::unlink(context, place, name.clone()),
            name,
            source: SourceKey { db: meta.db, key: meta.key.clone() },
            kind,
            expire_at_ms: meta.expire_at_ms,
            written: false,
            json: BytesMut::new(),
            json_as: context.json,
            ids: Ids::default(),
            missing: None,
            told: false,
            earliest_s: None,
        }
    }

    /// Removes what is there.
    pub(crate) fn start(&self) -> TargetCommand {
        self.first.clone()
    }

    /// Adds some elements; `now_ms` decides which members have expired.
    pub(crate) fn piece(&mut self, context: &Context, piece: Piece, now_ms: u64) -> Vec<TargetCommand> {
        let mut out = Batch::new(self);
        match piece {
            Piece::String(bytes) if self.kind.family() == Family::Json => self.json.extend_from_slice(&bytes),
            Piece::String(bytes) => out.whole(if self.written { "APPEND" } else { "SET" }, [bytes]),
            Piece::List(elements) => elements.into_iter().for_each(|e| out.add("RPUSH", [e])),
            Piece::Set(members) => members.into_iter().for_each(|m| out.add("SADD", [m])),
            Piece::Hash(pairs) => pairs.into_iter().for_each(|(f, v)| out.add("HSET", [f, v])),
            Piece::Zset(pairs) => pairs.into_iter().for_each(|(m, s)| out.add("ZADD", [score(s), m])),
            Piece::SetTtl(members) => {
                let scheduled = context.schedules_sets();
                for (member, expiry) in members {
                    match expiry {
                        Some(at_s) if scheduled && context.keeps_member(expiry, now_ms) => self.expires(at_s),
                        Some(_) if !scheduled && alive(expiry, now_ms) => {
                            self.missing = Some(MissingKind::SetMemberTtl);
                        }
                        Some(_) => continue,
                        None => {}
                    }
                    out.add("SADD", [member]);
                }
            }
            Piece::HashTtl(fields) => {
                let ttls = context.dialect.has_hash_field_ttl();
                let scheduled = context.schedules_fields();
                let mut expiring: Vec<(u64, Bytes)> = Vec::new();
                for (field, value, expiry) in fields {
                    match expiry {
                        Some(at_s) if scheduled && context.keeps_member(expiry, now_ms) => self.expires(at_s),
                        Some(_) if scheduled || !alive(expiry, now_ms) => continue,
                        Some(at_s) if ttls => expiring.push((at_s, field.clone())),
                        Some(_) => self.missing = Some(MissingKind::HashFieldTtl),
                        None => {}
                    }
                    out.add("HSET", [field, value]);
                }
                out.field_ttls(expiring);
            }
            Piece::StreamEntries(entries) => {
                for entry in entries {
                    self.ids.push(entry.id);
                    stream::entry(&mut out, entry);
                }
            }

            Piece::StreamTail(tail) => {
                let counters = context.dialect.has_stream_counters();
                if counters && stream::misses_pending(&tail, &self.ids) {
                    self.missing = Some(MissingKind::DeletedPending);
                }
                stream::tail(&mut out, tail, counters);
            }
            Piece::Opaque(_) => {}
        }
        let commands = out.finish();
        self.written |= !commands.is_empty();
        commands
    }

    /// What remains: the JSON document, a string without bytes, and the expiry.
    pub(crate) fn finish(&mut self) -> Vec<TargetCommand> {
        let mut out = Batch::new(self);
        if self.kind.family() == Family::String && !self.written {
            out.whole("SET", [Bytes::new()]);
            self.written = true;
        }
        if self.kind.family() == Family::Json {
            let text = std::mem::take(&mut self.json).freeze();
            match self.json_as {
                JsonAs::Text => out.whole("SET", [text]),
                _ => out.whole("JSON.SET", [Bytes::from_static(b"$"), text]),
            }
            self.written = true;
        }
        if let Some(at_ms) = self.expire_at_ms.filter(|_| self.written) {
            out.whole("PEXPIREAT", [decimal(at_ms)]);
        }
        out.finish()
    }

    fn expires(&mut self, at_s: u64) {
        self.earliest_s = Some(self.earliest_s.map_or(at_s, |earliest| earliest.min(at_s)));
    }

    /// What becomes of the last piece, which gave these commands.
    pub(crate) fn treatment(&mut self, commands: Commands) -> Treatment {
        if let Some(at_s) = self.earliest_s.take() {
            let expiry = MemberExpiry { key: self.source.clone(), at_ms: at_s.saturating_mul(1000) };
            return Treatment::Expiring { commands, expiry };
        }
        match self.missing() {
            None => Treatment::Send(commands),
            Some(missing) => Treatment::Reduced { commands, missing },
        }
    }

    /// What the target cannot hold of this value. Tells it once.
    fn missing(&mut self) -> Option<Missing> {
        let kind = self.missing.filter(|_| !self.told)?;
        self.told = true;
        Some(Missing { kind, keys: vec![self.source.clone()] })
    }
}

/// Whether a member without TTL or with this one (unix seconds) still lives.
fn alive(expire_at_s: Option<u64>, now_ms: u64) -> bool {
    expire_at_s.is_none_or(|at| at.saturating_mul(1000) > now_ms)
}

/// A score that reads back as the same number: shortest digits, with an exponent where long.
fn score(score: f64) -> Bytes {
    format!("{score:?}").into()
}

/// How a second execution of an element command turns out.
fn effect(verb: &str) -> Effect {
    match verb {
        "SET" => Effect::Overwrite,
        "APPEND" | "RPUSH" | "XADD" | "XGROUP" => Effect::NotRepeatable,
        _ => Effect::Repeatable,
    }
}
