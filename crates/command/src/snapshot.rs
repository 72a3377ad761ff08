//! Complete snapshot values.

use bytes::Bytes;
use rdb::{Family, Kind, Limits, Value, dump};

use crate::{
    mapping::Placement,
    rebuild::Rebuild,
    rewrite::{Context, decimal},
    target::{Commands, Effect, TargetCommand},
    translator::{Error, StringEntry},
    treatment::{MemberExpiry, Missing, MissingKind, SourceKey, Treatment},
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
        let command = restore(context, place, &name, payload, value.meta.expire_at_ms);
        return Ok(Treatment::Send(command.into()));
    }
    if let Some(treatment) = scheduled(context, place, &name, &value, now_ms)? {
        return Ok(treatment);
    }
    let mut rebuild = Rebuild::new(context, place, name, &value.meta, value.kind);
    let mut commands = vec![rebuild.start()];
    for piece in value.pieces(&Limits::default()) {
        commands.extend(rebuild.piece(context, piece?, now_ms));
    }
    commands.extend(rebuild.finish());
    let commands = Commands::from(commands);
    Ok(rebuild.treatment(commands))
}

/// A set or hash whose members are removed in time by somebody else: whole in one command, since it is written again and
/// again while its clients read it. `None`: another value.
fn scheduled(
    context: &Context,
    place: &Placement,
    name: &Bytes,
    value: &Value,
    now_ms: u64,
) -> Result<Option<Treatment>, Error> {
    let scheduled = match value.kind {
        Kind::SetTtl => context.schedules_sets(),
        Kind::HashTtl => context.schedules_fields(),
        _ => false,
    };
    if !scheduled || !context.dialect.has("RESTORE") {
        return Ok(None);
    }
    let keeps = |expiry| context.keeps_member(expiry, now_ms);
    let Some(untimed) = dump::untimed(value.kind, &value.payload, keeps)? else { return Ok(None) };
    if untimed.members == 0 {
        return Ok(Some(Treatment::Send(unlink(context, place, name.clone()).into())));
    }
    let command = restore(context, place, name, untimed.payload, value.meta.expire_at_ms);
    Ok(Some(match untimed.earliest_s {
        None => Treatment::Send(command.into()),
        Some(at_s) => {
            let key = SourceKey { db: value.meta.db, key: value.meta.key.clone() };
            let expiry = MemberExpiry { key, at_ms: at_s.saturating_mul(1000) };
            Treatment::Expiring { commands: command.into(), expiry }
        }
    }))
}

/// `RESTORE name ttl payload REPLACE ABSTTL`.
fn restore(
    context: &Context,
    place: &Placement,
    name: &Bytes,
    payload: Bytes,
    expire_at_ms: Option<u64>,
) -> TargetCommand {
    let args = vec![
        Bytes::from_static(b"RESTORE"),
        name.clone(),
        decimal(expire_at_ms.unwrap_or(0)),
        payload,
        Bytes::from_static(b"REPLACE"),
        Bytes::from_static(b"ABSTTL"),
    ];
    context.command(place, name.clone(), args, Effect::Overwrite)
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
