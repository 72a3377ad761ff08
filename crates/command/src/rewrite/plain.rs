//! Records that are sent as they are, whole or split by slot.

use std::collections::HashMap;

use bytes::Bytes;

use super::{Call, Context, Outcome, json};
use crate::{
    table::Keys,
    target::{Commands, Effect, TargetCommand},
    treatment::{MissingKind, Reason, Treatment},
};

/// Sends the record with target names. Several keys must lie on one slot.
pub(crate) fn verbatim(context: &Context, call: Call) -> Outcome {
    if !call.available {
        return Ok(lacks(&call));
    }
    let effect = call.spec.effect;
    send(context, call, effect)
}

/// The target lacks the command. A value that it can hold all the same is read from the source. Of a type that it cannot hold either there is nothing under the key's name already, unless
/// the record makes the key one of that type.
///
/// Dragonfly journals what changed nothing as well: `JSON.DEL` of a key of another type, `JSON.SET … NX` where there is a key
/// (v1.40.1, on the wire). Only `JSON.SET` and `JSON.MSET` of the whole document replace a key of any type
/// (`json_family.cc` `OpSet`), where `XX` without a key finds nothing on the target either.
pub(crate) fn lacks(call: &Call) -> Treatment {
    if let MissingKind::Command(name) = call.spec.missing {
        return call.not_in_sync(Reason::NoCommand(name));
    }
    let replaces = match call.spec.name {
        "JSON.SET" => !(4..call.args.len()).any(|i| call.is(i, "NX")),
        "JSON.MSET" => true,
        _ => false,
    };
    match call.spec.missing.is_type() && !replaces {
        true => Treatment::Reduced {
            commands: Commands::Many(Vec::new()),
            missing: call.missing(call.spec.missing),
        },
        false => call.lacking(call.spec.missing),
    }
}

/// Sends the record's arguments as they stand now, with target names.
pub(crate) fn send(context: &Context, mut call: Call, effect: Effect) -> Outcome {
    let mut positions = call.spec.keys.positions(&call.args);
    let Some(first) = positions.next() else { return Err(call.malformed()) };
    let name = context.name(call.db, &call.place, &call.args[first])?;
    let slot = context.slot(&name);
    let rest = positions.clone();
    for position in positions {
        let other = context.name(call.db, &call.place, &call.args[position])?;
        if context.slot(&other) != slot {
            return Ok(call.not_in_sync(Reason::CrossSlot));
        }
    }
    if !call.place.prefix.is_empty() {
        call.args[first] = name.clone();
        for position in rest {
            call.args[position] = call.place.name(&call.args[position]);
        }
    }
    Ok(Treatment::Send(TargetCommand { db: call.place.db, slot, args: call.args, key: name, effect }.into()))
}

/// Sends a record that only lists keys (with what belongs to each), one command for each slot. The order within a
/// slot stays.
pub(crate) fn split(context: &Context, mut call: Call) -> Outcome {
    if !call.available {
        return Ok(lacks(&call));
    }
    if call.spec.missing == MissingKind::Json {
        return json::set(context, call);
    }
    let Keys::Every { first, step } = call.spec.keys else { return Err(call.malformed()) };
    if call.args.len() <= first || !(call.args.len() - first).is_multiple_of(step) {
        return Err(call.malformed());
    }
    let mut slots = Vec::with_capacity((call.args.len() - first) / step);
    for position in (first..call.args.len()).step_by(step) {
        let name = context.name(call.db, &call.place, &call.args[position])?;
        slots.push(context.slot(&name));
        call.args[position] = name;
    }
    let (db, effect) = (call.place.db, call.spec.effect);
    if slots.windows(2).all(|pair| pair[0] == pair[1]) {
        let key = call.args[first].clone();
        return Ok(Treatment::Send(
            TargetCommand { db, slot: slots[0], args: call.args, key, effect }.into(),
        ));
    }
    let mut by_slot: HashMap<u16, usize> = HashMap::new();
    let mut commands: Vec<TargetCommand> = Vec::new();
    for (group, slot) in call.args[first..].chunks(step).zip(slots) {
        let at = *by_slot.entry(slot).or_insert_with(|| {
            let head: Vec<Bytes> = call.args[..first].to_vec();
            commands.push(TargetCommand { db, slot, args: head, key: group[0].clone(), effect });
            commands.len() - 1
        });
        commands[at].args.extend_from_slice(group);
    }
    Ok(Treatment::Send(Commands::Many(commands)))
}
