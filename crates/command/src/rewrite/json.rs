//! Documents on a target with a JSON module.
//!
//! Only what replaces a whole document is sent. What a path means, which numbers a document may hold, and what a command
//! does where its path meets nothing, is not the same in Dragonfly, RedisJSON and Valkey's module; and Dragonfly journals
//! commands that changed nothing as well (see [`plain::lacks`]). So every other record makes the engine read the
//! document: the target is exact, whatever its module does.

use bytes::Bytes;

use super::{Call, Context, Outcome, plain};
use crate::{
    target::{Commands, Effect, TargetCommand},
    treatment::{Reason, Treatment},
};

/// Replaces whatever has the name by a document without expiry, as the source does (v1.40.1 `json_family.cc`
/// `SetFullJson`). RedisJSON and Valkey's module differ in what becomes of an expiry.
const WHOLE: &str = "redis.call('DEL',KEYS[1]) return redis.call('JSON.SET',KEYS[1],'$',ARGV[1])";

/// A record that changes a part of a document, or may have changed nothing.
pub(crate) fn part(_context: &Context, call: Call) -> Outcome {
    Ok(match call.available {
        true => call.not_in_sync(Reason::Document),
        false => plain::lacks(&call),
    })
}

/// `JSON.SET key path text [NX|XX]`, and `JSON.MSET (key path text)…`, of which every part succeeded: one after another
/// if each of the documents is replaced as a whole.
pub(crate) fn set(context: &Context, call: Call) -> Outcome {
    if !call.available {
        return Ok(plain::lacks(&call));
    }
    let triples = call.args[1..].chunks_exact(3);
    if !triples.remainder().is_empty() || !triples.clone().all(|triple| is_root(&triple[1])) {
        return Ok(call.not_in_sync(Reason::Document));
    }
    let mut commands = Vec::with_capacity(triples.len());
    for triple in triples {
        let name = context.name(call.db, &call.place, &triple[0])?;
        commands.extend(whole(context, &call, name, &triple[2]));
    }
    Ok(Treatment::Send(Commands::from(commands)))
}

fn whole(context: &Context, call: &Call, name: Bytes, text: &Bytes) -> Vec<TargetCommand> {
    let command = |args| context.command(&call.place, name.clone(), args, Effect::Overwrite);
    let word = Bytes::from_static;
    if context.dialect.has("EVAL") {
        // In one step: nobody who reads the target meanwhile finds the document gone.
        return vec![command(vec![word(b"EVAL"), WHOLE.into(), word(b"1"), name.clone(), text.clone()])];
    }
    vec![
        command(vec![word(b"DEL"), name.clone()]),
        command(vec![word(b"JSON.SET"), name.clone(), word(b"$"), text.clone()]),
    ]
}

/// Whether a path names the whole document.
fn is_root(path: &Bytes) -> bool {
    matches!(&path[..], b"$" | b".")
}
