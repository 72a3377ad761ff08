//! Strings.

use bytes::Bytes;

use super::{Call, Context, Outcome, decimal, plain};
use crate::{
    target::{Effect, TargetCommand},
    treatment::{Reason, Treatment},
};

/// `PREPEND` as a script, which keeps the expiry. The source logs it verbatim.
const PREPEND: &str = "return redis.call('SET',KEYS[1],ARGV[1]..(redis.call('GET',KEYS[1]) or ''),'KEEPTTL')";

/// `SET key value [options]`: without `STICK`, `_MCFLAGS n` and `GET`; relative times become `PXAT`.
///
/// The source logs `SET key value [PXAT ms] [KEEPTTL] [STICK] [_MCFLAGS n]` (v1.40.1 `string_family.cc`
/// `SetCmd::RecordJournal`); other options occur where a client's command was logged as it was.
pub(crate) fn set(context: &Context, mut call: Call) -> Outcome {
    if call.args.len() == 3 {
        return plain::send(context, call, Effect::Overwrite);
    }
    let mut effect = Effect::Overwrite;
    let mut options: Vec<Bytes> = Vec::with_capacity(2);
    let mut at = 3;
    while at < call.args.len() {
        if call.is(at, "STICK") || call.is(at, "GET") {
            at += 1;
        } else if call.is(at, "_MCFLAGS") {
            at += 2;
        } else if call.is(at, "PXAT") || call.is(at, "EXAT") {
            options.extend([call.args[at].clone(), call.arg(at + 1)?.clone()]);
            at += 2;
        } else if call.is(at, "EX") || call.is(at, "PX") {
            let unit = if call.is(at, "EX") { 1000 } else { 1 };
            let at_ms = call.after_arrival(call.integer(at + 1)?, unit);
            options.extend([Bytes::from_static(b"PXAT"), decimal(at_ms)]);
            at += 2;
        } else if call.is(at, "KEEPTTL") || call.is(at, "NX") || call.is(at, "XX") {
            effect = Effect::Repeatable;
            options.push(call.args[at].clone());
            at += 1;
        } else {
            return Err(call.malformed());
        }
    }
    if call.args.len() < 3 {
        return Err(call.malformed());
    }
    call.args.truncate(3);
    call.args.extend(options);
    plain::send(context, call, effect)
}

/// `SETEX key s value` and `PSETEX key ms value`: logged as `SET` by all releases known; relative times drift.
pub(crate) fn setex(context: &Context, mut call: Call) -> Outcome {
    if call.args.len() != 4 {
        return Err(call.malformed());
    }
    let unit = if call.spec.name == "SETEX" { 1000 } else { 1 };
    let at_ms = call.after_arrival(call.integer(2)?, unit);
    let value = call.args.swap_remove(3);
    call.args.truncate(2);
    call.args[0] = Bytes::from_static(b"SET");
    call.args.extend([value, Bytes::from_static(b"PXAT"), decimal(at_ms)]);
    plain::send(context, call, Effect::Overwrite)
}

/// `PREPEND key value`: Dragonfly alone has it.
pub(crate) fn prepend(context: &Context, call: Call) -> Outcome {
    if call.args.len() != 3 {
        return Err(call.malformed());
    }
    if !context.dialect.has("EVAL") {
        return Ok(call.not_in_sync(Reason::NoCommand("EVAL")));
    }
    let name = context.name(call.db, &call.place, &call.args[1])?;
    let script = [Bytes::from_static(b"EVAL"), PREPEND.into(), Bytes::from_static(b"1")];
    let args = script.into_iter().chain([name.clone(), call.args[2].clone()]).collect();
    let command: TargetCommand = context.command(&call.place, name, args, Effect::NotRepeatable);
    Ok(Treatment::Send(command.into()))
}

/// `DELEX key [condition]`: logged even where the condition failed (v1.40.1, capture `commands`).
pub(crate) fn delex(context: &Context, mut call: Call) -> Outcome {
    match call.args.len() {
        2 => {
            call.args[0] = Bytes::from_static(b"DEL");
            plain::send(context, call, Effect::Overwrite)
        }
        4 if call.available => plain::send(context, call, Effect::Repeatable),
        4 => Ok(call.not_in_sync(Reason::Conditional)),
        _ => Err(call.malformed()),
    }
}

/// `MSETNX key value ...`: up to v1.19 each shard logs its own pairs, also if nothing was set because a key on another shard
/// existed (v1.11.0 `string_family.cc` MSetNx). Later it is logged as `MSET`.
pub(crate) fn msetnx(_context: &Context, call: Call) -> Outcome {
    Ok(call.not_in_sync(Reason::Conditional))
}

/// `CL.THROTTLE key ...`: computed anew with the clock of whoever executes it.
pub(crate) fn throttle(_context: &Context, call: Call) -> Outcome {
    Ok(call.not_in_sync(Reason::Conditional))
}
