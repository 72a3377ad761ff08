//! Commands that compute one key from others.
//!
//! Where their keys lie on several shards, each shard logs only its own keys, and no options (v1.40.1
//! `transaction.cc` `LogAutoJournalOnShard`; captures `commands` of v1.40.1 and v1.34.0: `SORT j:sorted`,
//! `GEORADIUS geo`, `SORT STORE`). Such a record says nothing; the keys it names must be read again.

use super::{Call, Context, Outcome, plain};
use crate::{
    table::Keys,
    treatment::{Reason, Treatment},
};

/// Sends a complete record; lists the keys of a truncated one.
pub(crate) fn store(context: &Context, call: Call) -> Outcome {
    if !complete(&call) {
        return Ok(truncated(&call));
    }
    if !call.available {
        return Ok(plain::lacks(&call));
    }
    if reads_by_pattern(&call) && (context.dialect.cluster || !call.place.prefix.is_empty()) {
        return Ok(call.not_in_sync(Reason::CrossSlot));
    }
    let effect = call.spec.effect;
    plain::send(context, call, effect)
}

/// Whether the record has everything that the client sent. A list of nothing but keys cannot tell.
fn complete(call: &Call) -> bool {
    match call.spec.keys {
        Keys::Store { .. } => call.spec.keys.positions(&call.args).count() == 2,
        Keys::Counted { count, .. } => {
            let listed = call.integer(count).ok().and_then(|n| usize::try_from(n).ok());
            listed.is_some_and(|n| n > 0 && call.args.len() - count > n)
        }
        // destination, source, and at least two arguments that select
        Keys::Two => call.args.len() >= 5,
        _ => false,
    }
}

fn truncated(call: &Call) -> Treatment {
    // `SORT STORE` is what v1.34.0 logs on the destination's shard: no key in it
    let nameless = call.args.len() == 2 && call.is(1, "STORE");
    let mut keys = call.keys();
    if nameless {
        keys.clear();
    }
    if matches!(call.spec.keys, Keys::Counted { .. }) {
        // nothing but keys, so the count is one of them
        keys = (1..call.args.len()).filter_map(|i| call.source(i).ok()).collect();
    }
    Treatment::NotInSync { keys, reason: Reason::Truncated }
}

/// `SORT … BY pattern` and `GET pattern` read keys that are not in the record.
fn reads_by_pattern(call: &Call) -> bool {
    call.spec.name == "SORT"
        && (2..call.args.len()).any(|i| {
            let pattern = call.args.get(i + 1).is_some_and(|p| p.contains(&b'*'));
            pattern && (call.is(i, "BY") || call.is(i, "GET"))
        })
}
