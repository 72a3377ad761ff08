//! Data commands: the table, and running one.

mod args;
mod bits;
mod documents;
mod expiry;
mod group_reports;
mod groups;
mod hashes;
mod keys;
mod lists;
mod members;
mod pops;
mod sets;
mod slots;
mod streams;
mod strings;
mod table;
mod zranges;
mod zsets;
mod zstores;

use bytes::Bytes;

use crate::engine::{Engine, Failure, Tx};
use crate::reply::Reply;

pub(crate) use args::is;
pub(crate) use table::{Spec, find};

/// What became of a command.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done(Reply),
    /// A blocking command that has to wait.
    Blocked,
}

/// The error for a wrong number of arguments.
pub(crate) fn wrong_arity(name: &str) -> Reply {
    Reply::Error(format!("ERR wrong number of arguments for '{}' command", name.to_ascii_lowercase()))
}

/// Runs a command of the table. `txid` is 0 outside MULTI.
pub(crate) fn run(engine: &mut Engine, db: u16, txid: u64, spec: &Spec, args: &[Bytes]) -> Outcome {
    if !spec.accepts(args.len()) {
        return Outcome::Done(wrong_arity(spec.name));
    }
    let mut tx = Tx::new(engine, db, txid);
    match (spec.run)(&mut tx, args) {
        Ok(reply) => {
            if spec.auto && !tx.is_quiet() {
                let mut record: Vec<&[u8]> = Vec::with_capacity(args.len());
                let upper = args[0].to_ascii_uppercase();
                record.push(&upper);
                record.extend(args[1..].iter().map(|a| &a[..]));
                tx.log(&args[spec.key], &record);
            }
            Outcome::Done(reply)
        }
        Err(Failure::Line(line)) => Outcome::Done(Reply::Error(line)),
        Err(Failure::Blocked) => Outcome::Blocked,
    }
}
