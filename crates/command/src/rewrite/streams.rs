//! Stream commands that mean something else on the target.

use bytes::Bytes;

use super::{Call, Context, Outcome, plain};
use crate::{
    target::{Effect, TargetCommand},
    treatment::Treatment,
};

/// `XGROUP SETID key group id` that keeps the group's counter of read entries, as the source does (v1.40.1
/// `stream_family.cc` `OpSetId`); Redis forgets it.
const SET_ID: &str = "local n=false \
    for _,g in ipairs(redis.call('XINFO','GROUPS',KEYS[1])) do if g[2]==ARGV[1] then \
    for i=1,#g,2 do if g[i]=='entries-read' then n=g[i+1] end end end end \
    if n then return redis.call('XGROUP','SETID',KEYS[1],ARGV[1],ARGV[2],'ENTRIESREAD',n) end \
    return redis.call('XGROUP','SETID',KEYS[1],ARGV[1],ARGV[2])";

/// `XGROUP subcommand key group ...`, logged as the client sent it, and `XGROUP SETID key group id ENTRIESREAD n`
/// after `XREADGROUP` (v1.37 and later). Redis 6 has no `ENTRIESREAD`.
pub(crate) fn xgroup(context: &Context, mut call: Call) -> Outcome {
    if call.args.len() < 4 {
        return Err(call.malformed());
    }
    let counters = context.dialect.has_stream_counters();
    if !counters {
        remove_option(&mut call, 4, "ENTRIESREAD");
    }
    if counters && call.is(1, "SETID") && call.args.len() == 5 && context.dialect.has("EVAL") {
        let name = context.name(call.db, &call.place, &call.args[2])?;
        let script = [Bytes::from_static(b"EVAL"), SET_ID.into(), Bytes::from_static(b"1"), name.clone()];
        let args = script.into_iter().chain([call.args[3].clone(), call.args[4].clone()]).collect();
        return Ok(Treatment::Send(context.command(&call.place, name, args, Effect::Repeatable).into()));
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

/// `XCLAIM` and `XAUTOCLAIM key group consumer ...`. The source creates the consumer even if nothing is claimed
/// (v1.40.1 `stream_family.cc` `OpClaim`, `OpAutoClaim`); Redis 7 does not. What `XREADGROUP` leaves in the journal
/// always claims something.
pub(crate) fn claim(context: &Context, call: Call) -> Outcome {
    if call.args.len() < 6 {
        return Err(call.malformed());
    }
    if is_read(&call) || !context.dialect.has("XGROUP") {
        let effect = call.spec.effect;
        return available(context, call, effect);
    }
    let create = [Bytes::from_static(b"XGROUP"), Bytes::from_static(b"CREATECONSUMER")];
    let consumer = [call.args[2].clone(), call.args[3].clone()];
    let (place, effect) = (call.place.clone(), call.spec.effect);
    match available(context, call, effect)? {
        Treatment::Send(commands) => {
            let mut all: Vec<TargetCommand> = commands.into_iter().collect();
            let name = all[0].key.clone();
            let args = create.into_iter().chain([name.clone()]).chain(consumer).collect();
            all.insert(0, context.command(&place, name, args, Effect::Repeatable));
            Ok(Treatment::Send(all.into()))
        }
        other => Ok(other),
    }
}

/// `XCLAIM key group consumer 0 id TIME ms RETRYCOUNT 1 FORCE JUSTID LASTID id`, with the same id twice, is what the source
/// journals for each entry that `XREADGROUP` delivers (v1.40.1 `stream_family.cc`, capture `commands`).
fn is_read(call: &Call) -> bool {
    let words =
        [(4, "0"), (6, "TIME"), (8, "RETRYCOUNT"), (9, "1"), (10, "FORCE"), (11, "JUSTID"), (12, "LASTID")];
    call.args.len() == 14
        && call.args[5] == call.args[13]
        && words.iter().all(|(at, word)| call.is(*at, word))
}

fn available(context: &Context, call: Call, effect: Effect) -> Outcome {
    if call.available { plain::send(context, call, effect) } else { Ok(plain::lacks(&call)) }
}

/// Removes an option and its value, looked for from index `from` on.
fn remove_option(call: &mut Call, from: usize, option: &str) {
    if let Some(at) = (from..call.args.len()).find(|i| call.is(*i, option)) {
        call.args.drain(at..(at + 2).min(call.args.len()));
    }
}
