//! Members and fields: their TTLs, and flags of `ZADD`.
//!
//! Dragonfly logs relative member TTLs (v1.40.1, capture `commands`); they count from the arrival of the record here.

use bytes::Bytes;

use super::{Call, Context, Outcome, decimal, plain};
use crate::{
    target::{Commands, Effect, TargetCommand},
    treatment::{Ignored, MissingKind, Reason, Treatment},
};

/// `FIELDEXPIRE` for the target: only hashes have field TTLs there, and only the target knows the key's type. A set
/// gives an error, so that the key is listed.
const FIELDEXPIRE: &str = "local t=redis.call('TYPE',KEYS[1]).ok \
    if t=='none' then return 0 end \
    if t~='hash' then return redis.error_reply('ERR members of a '..t..' cannot expire') end \
    return redis.call('HPEXPIREAT',KEYS[1],ARGV[1],'FIELDS',#ARGV-1,unpack(ARGV,2))";

/// The same where somebody else sees to the members of sets.
const FIELDEXPIRE_IN_HASHES: &str = "if redis.call('TYPE',KEYS[1]).ok~='hash' then return 0 end \
    return redis.call('HPEXPIREAT',KEYS[1],ARGV[1],'FIELDS',#ARGV-1,unpack(ARGV,2))";

/// `ZADD key [flags] score member ...`: with `INCR` every execution counts.
pub(crate) fn zadd(context: &Context, call: Call) -> Outcome {
    let flags = ["NX", "XX", "GT", "LT", "CH", "INCR"];
    let is_flag = |i: &usize| flags.iter().any(|flag| call.is(*i, flag));
    let increments = (2..call.args.len()).take_while(is_flag).any(|i| call.is(i, "INCR"));
    if !call.available {
        return Ok(plain::lacks(&call));
    }
    let effect = if increments { Effect::NotRepeatable } else { call.spec.effect };
    plain::send(context, call, effect)
}

/// `SADDEX key [KEEPTTL] seconds member ...`: no other server has member TTLs of sets.
pub(crate) fn saddex(context: &Context, mut call: Call) -> Outcome {
    let seconds = if call.is(2, "KEEPTTL") { 3 } else { 2 };
    let at_ms = call.after_arrival(call.integer(seconds)?, 1000);
    if call.args.len() <= seconds + 1 {
        return Err(call.malformed());
    }
    let missing = call.missing(MissingKind::SetMemberTtl);
    let expiry = call.member_expiry(at_ms)?;
    call.args.drain(2..=seconds);
    call.args[0] = Bytes::from_static(b"SADD");
    match plain::send(context, call, Effect::Repeatable)? {
        Treatment::Send(commands) if context.schedules_sets() => Ok(Treatment::Expiring { commands, expiry }),
        Treatment::Send(commands) => Ok(Treatment::Reduced { commands, missing }),
        other => Ok(other),
    }
}

/// What a command says about fields and their TTL.
#[derive(Debug, Default)]
struct Fields {
    /// Absolute unix ms.
    expire_at_ms: Option<i64>,
    persist: bool,
    keep_ttl: bool,
    /// `NX` of Dragonfly: for each field by itself.
    each_if_new: bool,
    /// `FNX` or `FXX` of Redis 8: for all fields together. `NX`, `XX`, `GT`, `LT` of `HEXPIRE`.
    condition: Option<Bytes>,
    /// Index of the first field.
    first: usize,
}

impl Fields {
    /// Reads options up to `FIELDS n`, or (`dragonfly`) up to a plain number of seconds.
    fn parse(call: &Call, mut at: usize, dragonfly: bool) -> Result<Self, Box<Treatment>> {
        let mut fields = Self::default();
        loop {
            if call.is(at, "FIELDS") {
                fields.first = at + 2;
                call.integer(at + 1)?;
                break;
            }
            let time = ["EX", "PX", "EXAT", "PXAT"].into_iter().find(|word| call.is(at, word));
            if let Some(word) = time {
                let amount = call.integer(at + 1)?;
                fields.expire_at_ms = Some(absolute(call, word, amount));
                at += 2;
                continue;
            }
            if call.is(at, "PERSIST") {
                fields.persist = true;
            } else if call.is(at, "KEEPTTL") {
                fields.keep_ttl = true;
            } else if dragonfly && call.is(at, "NX") {
                fields.each_if_new = true;
            } else if ["FNX", "FXX", "NX", "XX", "GT", "LT"].iter().any(|word| call.is(at, word)) {
                fields.condition = Some(call.args[at].clone());
            } else if dragonfly {
                fields.expire_at_ms = Some(absolute(call, "EX", call.integer(at)?));
                fields.first = at + 1;
                break;
            } else {
                return Err(call.malformed());
            }
            at += 1;
        }
        if fields.first >= call.args.len() { Err(call.malformed()) } else { Ok(fields) }
    }

    /// Whether the TTL is over when the record arrives.
    fn over(&self, call: &Call) -> bool {
        self.expire_at_ms.is_some_and(|ms| u64::try_from(ms).is_ok_and(|ms| ms <= call.arrived_ms) || ms < 0)
    }
}

fn absolute(call: &Call, word: &str, amount: i64) -> i64 {
    match word {
        "EX" => call.after_arrival(amount, 1000),
        "PX" => call.after_arrival(amount, 1),
        "EXAT" => amount.saturating_mul(1000),
        _ => amount,
    }
}

/// A command about `FIELDS n field ...` of one hash.
fn with_fields(
    context: &Context,
    call: &Call,
    head: &'static str,
    options: Vec<Bytes>,
    fields: Vec<Bytes>,
) -> Result<TargetCommand, Box<Treatment>> {
    let name = context.name(call.db, &call.place, call.arg(1)?)?;
    let mut args = vec![Bytes::from_static(head.as_bytes()), name.clone()];
    args.extend(options);
    args.extend([Bytes::from_static(b"FIELDS"), decimal(fields.len())]);
    args.extend(fields);
    Ok(context.command(&call.place, name, args, Effect::Repeatable))
}

/// `head key rest...`.
fn plain_command(
    context: &Context,
    call: &Call,
    head: &'static str,
    rest: impl IntoIterator<Item = Bytes>,
) -> Result<TargetCommand, Box<Treatment>> {
    let name = context.name(call.db, &call.place, call.arg(1)?)?;
    let args = [Bytes::from_static(head.as_bytes()), name.clone()].into_iter().chain(rest).collect();
    Ok(context.command(&call.place, name, args, Effect::Repeatable))
}

/// `HSETEX key [NX] [KEEPTTL] seconds field value ...` (Dragonfly), or
/// `HSETEX key [FNX|FXX] [EX|PX|EXAT|PXAT t|KEEPTTL] FIELDS n field value ...` (Redis 8, Dragonfly v1.40 and later).
pub(crate) fn hsetex(context: &Context, call: Call) -> Outcome {
    let fields = Fields::parse(&call, 2, true)?;
    let pairs = call.args[fields.first..].to_vec();
    if !pairs.len().is_multiple_of(2) {
        return Err(call.malformed());
    }
    let names: Vec<Bytes> = pairs.iter().step_by(2).cloned().collect();
    let ttls = context.dialect.has_hash_field_ttl();
    if fields.condition.is_some() || (ttls && (fields.each_if_new || fields.keep_ttl)) {
        return Ok(call.not_in_sync(Reason::Conditional));
    }
    if fields.over(&call) && !fields.each_if_new {
        return Ok(Treatment::Send(plain_command(context, &call, "HDEL", names)?.into()));
    }
    let commands = if fields.each_if_new {
        let each = pairs.chunks_exact(2).map(|pair| plain_command(context, &call, "HSETNX", pair.to_vec()));
        Commands::from(each.collect::<Result<Vec<_>, _>>()?)
    } else {
        Commands::One(plain_command(context, &call, "HSET", pairs)?)
    };
    match fields.expire_at_ms {
        None => Ok(Treatment::Send(commands)),
        Some(at_ms) if ttls => {
            let mut commands: Vec<TargetCommand> = commands.into_iter().collect();
            commands.push(with_fields(context, &call, "HPEXPIREAT", vec![decimal(at_ms)], names)?);
            Ok(Treatment::Send(commands.into()))
        }
        Some(at_ms) if context.schedules_fields() => call.expiring(commands, at_ms),
        Some(_) => Ok(Treatment::Reduced { commands, missing: call.missing(MissingKind::HashFieldTtl) }),
    }
}

/// `HEXPIRE key t [condition] FIELDS n field ...` and its three relatives.
pub(crate) fn hexpire(context: &Context, call: Call) -> Outcome {
    let amount = call.integer(2)?;
    let word = match call.spec.name {
        "HEXPIRE" => "EX",
        "HPEXPIRE" => "PX",
        "HEXPIREAT" => "EXAT",
        _ => "PXAT",
    };
    let mut fields = Fields::parse(&call, 3, false)?;
    fields.expire_at_ms = Some(absolute(&call, word, amount));
    set_ttl(context, &call, &fields)
}

/// `HGETEX key [EX|PX|EXAT|PXAT t|PERSIST] FIELDS n field ...` (v1.40 and later).
pub(crate) fn hgetex(context: &Context, call: Call) -> Outcome {
    let fields = Fields::parse(&call, 2, false)?;
    if fields.persist {
        return persist(context, &call, &fields);
    }
    if fields.expire_at_ms.is_none() {
        return Ok(Treatment::Ignore(Ignored::NoEffect));
    }
    set_ttl(context, &call, &fields)
}

/// `HPERSIST key FIELDS n field ...`.
pub(crate) fn hpersist(context: &Context, call: Call) -> Outcome {
    let fields = Fields::parse(&call, 2, false)?;
    persist(context, &call, &fields)
}

/// `HGETDEL key FIELDS n field ...`.
pub(crate) fn hgetdel(context: &Context, call: Call) -> Outcome {
    let fields = Fields::parse(&call, 2, false)?;
    let names = call.args[fields.first..].to_vec();
    Ok(Treatment::Send(plain_command(context, &call, "HDEL", names)?.into()))
}

fn set_ttl(context: &Context, call: &Call, fields: &Fields) -> Outcome {
    let names = call.args[fields.first..].to_vec();
    if context.dialect.has_hash_field_ttl() {
        let time = decimal(fields.expire_at_ms.unwrap_or(0).max(0));
        let options = [time].into_iter().chain(fields.condition.clone()).collect();
        return Ok(Treatment::Send(with_fields(context, call, "HPEXPIREAT", options, names)?.into()));
    }
    if fields.over(call) && fields.condition.is_none() {
        return Ok(Treatment::Send(plain_command(context, call, "HDEL", names)?.into()));
    }
    match fields.expire_at_ms {
        Some(at_ms) if context.schedules_fields() => call.expiring(Commands::Many(Vec::new()), at_ms),
        _ => Ok(call.lacking(MissingKind::HashFieldTtl)),
    }
}

fn persist(context: &Context, call: &Call, fields: &Fields) -> Outcome {
    if !context.dialect.has_hash_field_ttl() {
        // the target's fields never expire
        return Ok(Treatment::Ignore(Ignored::NoEffect));
    }
    let names = call.args[fields.first..].to_vec();
    Ok(Treatment::Send(with_fields(context, call, "HPERSIST", Vec::new(), names)?.into()))
}

/// `FIELDEXPIRE key seconds member ...`: for fields of hashes and members of sets alike (v1.24 and later).
pub(crate) fn fieldexpire(context: &Context, call: Call) -> Outcome {
    let at_ms = call.after_arrival(call.integer(2)?, 1000);
    if call.args.len() < 4 {
        return Err(call.malformed());
    }
    let sets = context.schedules_sets();
    if !context.dialect.has_hash_field_ttl() || !context.dialect.has("EVAL") {
        // the record does not tell which of the two it is; whoever looks at the key finds out
        return match sets || context.schedules_fields() {
            true => call.expiring(Commands::Many(Vec::new()), at_ms),
            false => Ok(call.lacking(MissingKind::MemberTtl)),
        };
    }
    let script = if sets { FIELDEXPIRE_IN_HASHES } else { FIELDEXPIRE };
    let name = context.name(call.db, &call.place, &call.args[1])?;
    let mut args = vec![Bytes::from_static(b"EVAL"), script.into(), Bytes::from_static(b"1"), name.clone()];
    args.push(decimal(at_ms));
    args.extend_from_slice(&call.args[3..]);
    let commands = context.command(&call.place, name, args, Effect::Repeatable).into();
    if sets { call.expiring(commands, at_ms) } else { Ok(Treatment::Send(commands)) }
}
