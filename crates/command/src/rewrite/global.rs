//! Commands without keys.

use bytes::Bytes;

use super::{Call, Context, Outcome, integer};
use crate::{
    slot::SLOTS,
    treatment::{Global, Ignored, Treatment},
};

/// `FLUSHALL [ASYNC|SYNC]`: logged once on every flow.
pub(crate) fn flushall(_context: &Context, _call: Call) -> Outcome {
    Ok(Treatment::Global(Global::FlushAll))
}

/// `FLUSHDB [ASYNC|SYNC]` of the record's database: logged once on every flow.
pub(crate) fn flushdb(_context: &Context, call: Call) -> Outcome {
    Ok(Treatment::Global(Global::FlushDb(call.db)))
}

/// `DFLYCLUSTER FLUSHSLOTS start end ...`: the only trace of keys that a change of slots took away.
pub(crate) fn dflycluster(_context: &Context, call: Call) -> Outcome {
    let bounds = call.args.get(2..).unwrap_or_default();
    if !call.is(1, "FLUSHSLOTS") || bounds.is_empty() || !bounds.len().is_multiple_of(2) {
        return Err(call.malformed());
    }
    let slot = |arg: &Bytes| integer(arg).and_then(|n| u16::try_from(n).ok()).filter(|n| *n < SLOTS);
    let mut ranges = Vec::with_capacity(bounds.len() / 2);
    for range in bounds.chunks_exact(2) {
        match (slot(&range[0]), slot(&range[1])) {
            (Some(start), Some(end)) if start <= end => ranges.push((start, end)),
            _ => return Err(call.malformed()),
        }
    }
    Ok(Treatment::Global(Global::FlushSlots(ranges)))
}

/// `SCRIPT LOAD body` goes to every master, `SCRIPT FLAGS` nowhere. Logged on flow 0 only.
pub(crate) fn script(_context: &Context, call: Call) -> Outcome {
    if call.is(1, "LOAD") && call.args.len() == 3 {
        return Ok(Treatment::Broadcast(call.args));
    }
    Ok(Treatment::Ignore(Ignored::ScriptFlags))
}
