//! Expiry of whole keys: relative times become absolute, counted from the arrival of the record.

use bytes::Bytes;

use super::{Call, Context, Outcome, decimal, plain};
use crate::treatment::{Ignored, Treatment};

/// `EXPIRE` and `PEXPIRE`: logged as `PEXPIREAT` by all releases known.
pub(crate) fn expire(context: &Context, mut call: Call) -> Outcome {
    let unit = if call.spec.name == "EXPIRE" { 1000 } else { 1 };
    let at_ms = call.after_arrival(call.integer(2)?, unit);
    call.args[0] = Bytes::from_static(b"PEXPIREAT");
    call.args[2] = decimal(at_ms);
    let effect = call.spec.effect;
    plain::send(context, call, effect)
}

/// `GETEX key [option]`: logged as `PEXPIREAT` or `PERSIST` by all releases known.
pub(crate) fn getex(context: &Context, mut call: Call) -> Outcome {
    if call.args.len() == 2 {
        return Ok(Treatment::Ignore(Ignored::NoEffect));
    }
    let at_ms = if call.is(2, "PERSIST") {
        None
    } else if call.is(2, "EX") {
        Some(call.after_arrival(call.integer(3)?, 1000))
    } else if call.is(2, "PX") {
        Some(call.after_arrival(call.integer(3)?, 1))
    } else if call.is(2, "EXAT") {
        Some(call.integer(3)?.saturating_mul(1000))
    } else if call.is(2, "PXAT") {
        Some(call.integer(3)?)
    } else {
        return Err(call.malformed());
    };
    call.args.truncate(2);
    match at_ms {
        None => call.args[0] = Bytes::from_static(b"PERSIST"),
        Some(at_ms) => {
            call.args[0] = Bytes::from_static(b"PEXPIREAT");
            call.args.push(decimal(at_ms));
        }
    }
    let effect = call.spec.effect;
    plain::send(context, call, effect)
}
