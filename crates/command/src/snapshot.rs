//! Complete snapshot values.

use bytes::Bytes;
use rdb::{Family, Kind, Limits, Value, dump};

use crate::{
    mapping::Placement,
    rebuild::Rebuild,
    rewrite::{Context, decimal},
    target::{Commands, Effect, TargetCommand},
    translator::{Error, StringEntry},
    treatment::{Missing, MissingKind, SourceKey, Treatment},
    types::JsonAs,
};

/// The fast way for strings.
pub(crate) fn string(
    context: &Context,
    place: &Placement,
    value: &Value,
) -> Result<Option<StringEntry>, Error> {
    let name = place.name(&value.meta.key);
    if context.mapping.check(value.meta.db, place.db, &name).is_err() {
        return Ok(None);
    }
    Ok(Some(StringEntry {
        db: place.db,
        slot: context.slot(&name),
        value: value.as_string()?,
        key: name,
        expire_at_ms: value.meta.expire_at_ms,
    }))
}

/// Replaces a key by a complete value.
pub(crate) fn value(
    context: &Context,
    place: &Placement,
    value: Value,
    now_ms: u64,
) -> Result<Treatment, Error> {
    let name = match context.name(value.meta.db, place, &value.meta.key) {
        Ok(name) => name,
        Err(treatment) => return Ok(*treatment),
    };
    if context.has_expired(value.meta.expire_at_ms, now_ms) {
        return Ok(Treatment::Send(expire(context, place, name).into()));
    }
    if value.is_empty_collection()? {
        return Ok(Treatment::Send(unlink(context, place, name).into()));
    }
    if let Some(kind) = lacks(context, value.kind) {
        let key = SourceKey { db: value.meta.db, key: value.meta.key };
        return Ok(Treatment::Lacking(Missing { kind, keys: vec![key] }));
    }
    if value.kind == Kind::String || (value.kind.family() == Family::Json && context.json == JsonAs::Text) {
        let string = value.as_string()?;
        return Ok(Treatment::Send(set(context, place, name, string, value.meta.expire_at_ms).into()));
    }
    if let Some(payload) = payload(context, &value)? {
        let ttl = decimal(value.meta.expire_at_ms.unwrap_or(0));
        let args = vec![
            Bytes::from_static(b"RESTORE"),
            name.clone(),
            ttl,
            payload,
            Bytes::from_static(b"REPLACE"),
            Bytes::from_static(b"ABSTTL"),
        ];
        return Ok(Treatment::Send(context.command(place, name, args, Effect::Overwrite).into()));
    }
    let mut rebuild = Rebuild::new(context, place, name, &value.meta, value.kind);
    let mut commands = vec![rebuild.start()];
    for piece in value.pieces(&Limits::default()) {
        commands.extend(rebuild.piece(context, piece?, now_ms));
    }
    commands.extend(rebuild.finish());
    let commands = Commands::from(commands);
    Ok(match rebuild.missing() {
        None => Treatment::Send(commands),
        Some(missing) => Treatment::Reduced { commands, missing },
    })
}

/// The payload for `RESTORE`, re-encoded where the target needs it; `None` where no encoding will do.
fn payload(context: &Context, value: &Value) -> Result<Option<Bytes>, Error> {
    if !context.dialect.has("RESTORE") {
        return Ok(None);
    }
    if context.dialect.restore_accepts(value.kind) {
        return Ok(Some(dump::payload(value.kind, &value.payload)));
    }
    if value.kind.family() != Family::Stream {
        return Ok(dump::plain_payload(value.kind, &value.payload)?);
    }
    let kind = context.dialect.stream_kind();
    let raw = dump::stream_as(value.kind, &value.payload, kind)?;
    Ok(Some(dump::payload(kind, &raw)))
}

/// What the target lacks to hold a value of this kind at all.
pub(crate) fn lacks(context: &Context, kind: Kind) -> Option<MissingKind> {
    match kind {
        Kind::Json | Kind::JsonOld => match context.json {
            JsonAs::Module => (!context.dialect.has("JSON.SET")).then_some(MissingKind::Json),
            JsonAs::Text => None,
            JsonAs::Nothing => Some(MissingKind::Json),
        },
        Kind::Bloom | Kind::BloomChunked => Some(MissingKind::Bloom),
        Kind::Cms => Some(MissingKind::CountMin),
        Kind::TopK => Some(MissingKind::TopK),
        Kind::Cuckoo => Some(MissingKind::Cuckoo),
        _ => None,
    }
}

/// Lets a name expire. Unlike a removal this leaves no doubt that the key had an expiry: where the source has renewed it,
/// a record that comes later tells (repair rules 31 and 32).
pub(crate) fn expire(context: &Context, place: &Placement, name: Bytes) -> TargetCommand {
    let args = vec![Bytes::from_static(b"PEXPIREAT"), name.clone(), Bytes::from_static(b"1")];
    context.command(place, name, args, Effect::Overwrite)
}

/// Removes a name, whatever it holds.
pub(crate) fn unlink(context: &Context, place: &Placement, name: Bytes) -> TargetCommand {
    let verb = if context.dialect.has("UNLINK") { "UNLINK" } else { "DEL" };
    let args = vec![Bytes::from_static(verb.as_bytes()), name.clone()];
    context.command(place, name, args, Effect::Overwrite)
}

fn set(
    context: &Context,
    place: &Placement,
    name: Bytes,
    value: Bytes,
    expire_at_ms: Option<u64>,
) -> TargetCommand {
    let mut args = Vec::with_capacity(5);
    args.extend([Bytes::from_static(b"SET"), name.clone(), value]);
    if let Some(at_ms) = expire_at_ms {
        args.extend([Bytes::from_static(b"PXAT"), decimal(at_ms)]);
    }
    context.command(place, name, args, Effect::Overwrite)
}
