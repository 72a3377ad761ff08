//! Stream commands whose options an old target lacks.

use super::{Call, Context, Outcome, plain};
use crate::{target::Effect, treatment::Treatment};

/// `XGROUP subcommand key group ...`, logged as the client sent it, and `XGROUP SETID key group id ENTRIESREAD n`
/// after `XREADGROUP` (v1.37 and later): Redis 6 has no `ENTRIESREAD`.
pub(crate) fn xgroup(context: &Context, mut call: Call) -> Outcome {
    if call.args.len() < 4 {
        return Err(call.malformed());
    }
    if !context.dialect.has_stream_counters() {
        remove_option(&mut call, 4, "ENTRIESREAD");
    }
    let repeatable = call.is(1, "SETID") || call.is(1, "DELCONSUMER") || call.is(1, "CREATECONSUMER");
    let effect = if repeatable { Effect::Repeatable } else { call.spec.effect };
    available(context, call, effect)
}

/// `XSETID key id [ENTRIESADDED n] [MAXDELETEDID id]`: Redis 6 knows only the id.
pub(crate) fn xsetid(context: &Context, mut call: Call) -> Outcome {
    if call.args.len() < 3 {
        return Err(call.malformed());
    }
    if !context.dialect.has_stream_counters() {
        call.args.truncate(3);
    }
    let effect = call.spec.effect;
    available(context, call, effect)
}

fn available(context: &Context, call: Call, effect: Effect) -> Result<Treatment, Box<Treatment>> {
    if call.available { plain::send(context, call, effect) } else { Ok(call.lacking(call.spec.missing)) }
}

/// Removes an option and its value, looked for from index `from` on.
fn remove_option(call: &mut Call, from: usize, option: &str) {
    if let Some(at) = (from..call.args.len()).find(|i| call.is(*i, option)) {
        call.args.drain(at..(at + 2).min(call.args.len()));
    }
}
