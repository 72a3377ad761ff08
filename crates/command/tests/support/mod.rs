//! Treatments as one line of text, so that a table of cases can be read.

#![allow(dead_code)]

pub(crate) mod apply;

use std::sync::Arc;

use bytes::Bytes;
use command::{
    Commands, Dialect, Flavour, Mapping, Missing, Place, Reason, SourceKey, TargetCommand, Translator,
    Treatment, Version,
};

/// Arrival of all records: 1 000 000 000 s.
pub(crate) const NOW_MS: u64 = 1_000_000_000_000;

pub(crate) fn dialect(version: Version, cluster: bool) -> Arc<Dialect> {
    Arc::new(Dialect::assumed(Flavour::Redis, version, cluster))
}

/// Redis 7.0 with databases.
pub(crate) fn standalone() -> Translator {
    Translator::new(Mapping::keep(), dialect((7, 0, 15), false))
}

/// A cluster of Redis 7.0 with the default prefixes.
pub(crate) fn cluster() -> Translator {
    Translator::new(Mapping::prefixed(), dialect((7, 0, 15), true))
}

/// Arguments of a line: words, `""` for an empty one, escapes as in Rust's byte strings (`\x00`).
pub(crate) fn words(line: &str) -> Vec<Bytes> {
    line.split(' ').map(|word| if word == "\"\"" { Bytes::new() } else { unescape(word) }).collect()
}

fn unescape(word: &str) -> Bytes {
    let mut out = Vec::new();
    let mut rest = word.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'\\' && tail.first() == Some(&b'x') {
            out.push(u8::from_str_radix(std::str::from_utf8(&tail[1..3]).unwrap(), 16).unwrap());
            rest = &tail[3..];
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    out.into()
}

pub(crate) fn record(db: u32, line: &str) -> journal::Record {
    journal::Record { db, txid: 0, kind: journal::RecordKind::Command, args: words(line) }
}

/// What the translator makes of one record, as text.
pub(crate) fn treat(translator: &mut Translator, db: u32, line: &str) -> String {
    show(&translator.record(record(db, line), NOW_MS))
}

pub(crate) fn show(treatment: &Treatment) -> String {
    match treatment {
        Treatment::Send(commands) => show_commands(commands),
        Treatment::Expiring { commands, expiry } => {
            format!(
                "expiring({} at {}): {}",
                show_keys(std::slice::from_ref(&expiry.key)),
                expiry.at_ms,
                show_commands(commands)
            )
        }
        Treatment::Reduced { commands, missing } => {
            format!("reduced({}): {}", show_missing(missing), show_commands(commands))
        }
        Treatment::Global(global) => format!("{global:?}"),
        Treatment::Broadcast(args) => format!("broadcast: {}", show_args(args)),
        Treatment::CrossKey(cross) => {
            format!("{:?} {} -> {}", cross.operation, show_place(&cross.from), show_place(&cross.to))
        }
        Treatment::Ignore(reason) => format!("ignore({})", reason.words()),
        Treatment::Lacking(missing) => format!("lacking({})", show_missing(missing)),
        Treatment::NotInSync { keys, reason } => {
            let reason = match reason {
                Reason::Unknown(name) => format!("unknown {}", name.escape_ascii()),
                Reason::NoCommand(name) => format!("no {name}"),
                other => format!("{other:?}").to_lowercase(),
            };
            format!("{reason}: {}", show_keys(keys))
        }
        Treatment::Collision(collision) => format!("collision: {collision}"),
    }
}

fn show_commands(commands: &Commands) -> String {
    commands.as_slice().iter().map(show_command).collect::<Vec<_>>().join(" ; ")
}

fn show_command(command: &TargetCommand) -> String {
    let db = if command.db == 0 { String::new() } else { format!("[{}] ", command.db) };
    db + &show_args(&command.args)
}

fn show_args(args: &[Bytes]) -> String {
    let show = |arg: &Bytes| if arg.is_empty() { "\"\"".into() } else { arg.escape_ascii().to_string() };
    args.iter().map(show).collect::<Vec<_>>().join(" ")
}

fn show_missing(missing: &Missing) -> String {
    format!("{}: {}", missing.kind, show_keys(&missing.keys))
}

fn show_keys(keys: &[SourceKey]) -> String {
    let show = |key: &SourceKey| {
        let db = if key.db == 0 { String::new() } else { format!("[{}]", key.db) };
        db + &key.key.escape_ascii().to_string()
    };
    keys.iter().map(show).collect::<Vec<_>>().join(" ")
}

fn show_place(place: &Place) -> String {
    let db = if place.db == 0 { String::new() } else { format!("[{}]", place.db) };
    db + &place.name.escape_ascii().to_string()
}
