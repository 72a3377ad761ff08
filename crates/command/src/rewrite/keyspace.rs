//! Keys of any type: moved, copied, restored.

use bytes::Bytes;

use super::{Call, Context, Outcome, decimal, plain};
use crate::{
    snapshot,
    target::Effect,
    treatment::{CrossKey, CrossOperation, Ignored, Reason, Treatment},
};

/// The source cuts longer TTLs to this (v1.40.1 `common.h` `kMaxExpireDeadlineMs`), but logs a client's `RESTORE` as it
/// was (`generic_family.cc` `RestoreArgs`; capture `commands`, key `j:restored2`). Other records have the result.
const LONGEST_TTL_MS: i64 = ((1 << 28) - 1) * 1000;

/// `RENAME a b` and `RENAMENX a b`: logged as they are where both keys lie on one shard.
pub(crate) fn rename(context: &Context, call: Call) -> Outcome {
    if call.args.len() != 3 {
        return Err(call.malformed());
    }
    let operation =
        if call.spec.name == "RENAME" { CrossOperation::Rename } else { CrossOperation::RenameNx };
    let to = call.db;
    across(context, call, operation, to)
}

/// `COPY a b [DB n] [REPLACE]`: logged as `RESTORE` by all releases known.
pub(crate) fn copy(context: &Context, call: Call) -> Outcome {
    let mut to = call.db;
    let mut replace = false;
    let mut at = 3;
    while at < call.args.len() {
        if call.is(at, "REPLACE") {
            replace = true;
            at += 1;
        } else if call.is(at, "DB") {
            to = u32::try_from(call.integer(at + 1)?).map_err(|_| call.malformed())?;
            at += 2;
        } else {
            return Err(call.malformed());
        }
    }
    if call.args.len() < 3 {
        return Err(call.malformed());
    }
    across(context, call, CrossOperation::Copy { replace }, to)
}

/// Sends a command from key 1 to key 2, or hands it over where the two lie on different slots or databases.
fn across(context: &Context, mut call: Call, operation: CrossOperation, to_db: u32) -> Outcome {
    let mut to = call.source(2)?;
    to.db = to_db;
    let from = call.source(1)?;
    if to_db != call.db
        && let Err(collision) = context.mapping.note_database(to_db)
    {
        return Ok(Treatment::Collision(collision));
    }
    match (context.place(from.clone())?, context.place(to.clone())?) {
        (Some(from), Some(to)) if from.db == to.db && from.slot == to.slot && call.available => {
            call.args[1] = from.name.clone();
            call.args[2] = to.name;
            if let CrossOperation::Copy { replace } = operation {
                call.args.truncate(3);
                call.args.extend(replace.then_some(Bytes::from_static(b"REPLACE")));
            }
            let command = context.command(&call.place, from.name, call.args, Effect::Moving);
            Ok(Treatment::Send(command.into()))
        }
        (Some(from), Some(to)) => Ok(Treatment::CrossKey(Box::new(CrossKey { operation, from, to }))),
        _ => Ok(Treatment::NotInSync { keys: vec![from, to], reason: Reason::DroppedDatabase }),
    }
}

/// `MOVE key db`: logged once, with the source database, even when it moved nothing (v1.40.1, capture `commands`).
pub(crate) fn move_key(context: &Context, call: Call) -> Outcome {
    if call.args.len() != 3 {
        return Err(call.malformed());
    }
    let to_db = u32::try_from(call.integer(2)?).map_err(|_| call.malformed())?;
    let from = call.source(1)?;
    let mut to = from.clone();
    to.db = to_db;
    if let Err(collision) = context.mapping.note_database(to_db) {
        return Ok(Treatment::Collision(collision));
    }
    match (context.place(from.clone())?, context.place(to.clone())?) {
        (Some(from), Some(to)) if from.name == to.name && !context.dialect.cluster && call.available => {
            let args = vec![call.args[0].clone(), from.name.clone(), decimal(to.db)];
            let command = context.command(&call.place, from.name, args, Effect::Moving);
            Ok(Treatment::Send(command.into()))
        }
        (Some(from), Some(to)) => {
            Ok(Treatment::CrossKey(Box::new(CrossKey { operation: CrossOperation::Move, from, to })))
        }
        (None, None) => Ok(Treatment::Ignore(Ignored::DroppedDatabase)),
        (from_place, _) => {
            let key = if from_place.is_some() { from } else { to };
            Ok(Treatment::NotInSync { keys: vec![key], reason: Reason::DroppedDatabase })
        }
    }
}

/// `RESTORE key ttl payload [REPLACE] [ABSTTL] [STICK] ...`.
///
/// The source logs `REPLACE ABSTTL [STICK]` after a `RENAME` or `COPY` across shards, and a client's `RESTORE` as it
/// was (v1.40.1 `generic_family.cc`). It succeeded there, so it replaces here in any case.
pub(crate) fn restore(context: &Context, mut call: Call) -> Outcome {
    let ttl = call.integer(2)?;
    let absolute = (4..call.args.len()).any(|i| call.is(i, "ABSTTL"));
    let expire_at_ms = match ttl {
        0 => None,
        ttl if absolute => Some(ttl),
        ttl => Some(call.after_arrival(ttl, 1)),
    };
    let expire_at_ms = expire_at_ms.map(|at| at.min(call.after_arrival(LONGEST_TTL_MS, 1)));
    let payload = call.arg(3)?.clone();
    let newer = version(&payload).is_some_and(|v| v > rdb::dump::VERSION);
    // a listpack set has the code that old Dragonfly releases used for JSON; only the version tells them apart
    let listpack_set = newer && payload.first() == Some(&rdb::Kind::JsonOld.code());
    if listpack_set {
        return send_payload(
            context,
            call,
            expire_at_ms,
            context.dialect.restore_accepts(rdb::Kind::Stream3),
        );
    }
    let Ok((kind, raw)) = rdb::dump::parse(&payload) else { return Ok(call.not_in_sync(Reason::BadPayload)) };
    if call.available && context.dialect.restore_accepts(kind) {
        if newer {
            call.args[3] = rdb::dump::payload(kind, &raw);
        }
        return send_payload(context, call, expire_at_ms, true);
    }
    let meta = rdb::KeyMeta {
        db: call.db,
        key: call.arg(1)?.clone(),
        expire_at_ms: expire_at_ms.map(|ms| u64::try_from(ms).unwrap_or(0)),
        sticky: false,
        mc_flags: None,
    };
    let value = rdb::Value { meta, kind, payload: raw };
    match snapshot::value(context, &call.place, value, call.arrived_ms) {
        Ok(treatment) => Ok(treatment),
        Err(_) => Ok(call.not_in_sync(Reason::BadPayload)),
    }
}

fn send_payload(context: &Context, mut call: Call, expire_at_ms: Option<i64>, accepted: bool) -> Outcome {
    if !accepted {
        return Ok(call.not_in_sync(Reason::BadPayload));
    }
    call.args.truncate(4);
    call.args[2] = decimal(expire_at_ms.unwrap_or(0));
    call.args.extend([Bytes::from_static(b"REPLACE"), Bytes::from_static(b"ABSTTL")]);
    plain::send(context, call, Effect::Overwrite)
}

/// The RDB version in a payload's footer.
fn version(payload: &[u8]) -> Option<u16> {
    let footer = payload.len().checked_sub(10)?;
    Some(u16::from_le_bytes([payload[footer], payload[footer + 1]]))
}
