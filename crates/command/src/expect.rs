//! What a command that repeats a change of the source must be answered with, and what it does to a key's expiry.
//!
//! The source journals a command only where it succeeded (v1.40.1 `transaction.cc` `LogAutoJournalOnShard`), which is
//! not the same as having changed something: `SREM`, `HDEL`, `ZREM`, `LREM` of what is not there succeed, and so does
//! `LPUSHX` without a list (`list_family.cc` `OpPush`). Their zero contradicts nothing. A pop without an element, a
//! `PERSIST` without an expiry or a `RENAMENX` onto a key fails, and is not journaled; nor is a `SETNX` that set nothing.
//! `DEL` and `GETDEL` leave the key absent either way.
//!
//! Both functions know names in upper case only, as the source writes them and this crate sends them. They are asked
//! for every record, hence no look into the table.

use bytes::Bytes;

/// Replies that contradict what the source saw (repair rule 31).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Expect {
    /// None.
    #[default]
    Anything,
    /// The integer 0: the target changed nothing.
    Change,
    /// Nil, or an array without elements: the target had nothing to take, or did not meet a condition.
    Value,
}

/// What a command does to the expiry of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deadline {
    /// Nothing.
    Kept,
    /// Argument 1 has one now.
    Given,
    /// The keys have none any more: every `step`-th argument from 1 on, or only that one if `step` is 0.
    Cleared {
        /// Distance of two keys.
        step: usize,
    },
    /// Takes part of what it does from another key; its keys may have one if any of them had.
    Shared,
}

/// The replies that contradict a record which became this command. An error reply is a failure of its own.
#[must_use]
pub fn expect(args: &[Bytes]) -> Expect {
    let Some(name) = args.first() else { return Expect::Anything };
    match &name[..] {
        // a condition that the source found met is all that makes SET answer nil
        b"SET" | b"LPOP" | b"RPOP" | b"ZPOPMIN" | b"ZPOPMAX" | b"SPOP" | b"LMOVE" | b"RPOPLPUSH" => {
            Expect::Value
        }
        // with NOMKSTREAM
        b"XADD" | b"JSON.SET" => Expect::Value,
        b"PEXPIREAT" | b"EXPIREAT" | b"PERSIST" => Expect::Change,
        b"SETNX" | b"MSETNX" | b"RENAMENX" | b"SMOVE" | b"COPY" => Expect::Change,
        // journaled even where it moved nothing (v1.40.1, capture `commands`): rare enough to be read again
        b"MOVE" => Expect::Change,
        // 0: no list; -1: no such element, which the source journals too
        b"LINSERT" => Expect::Change,
        _ => Expect::Anything,
    }
}

/// What a command does to the expiry of its keys.
#[must_use]
pub fn deadline(args: &[Bytes]) -> Deadline {
    let Some(name) = args.first() else { return Deadline::Kept };
    match &name[..] {
        b"SET" => set(&args[3.min(args.len())..]),
        b"SETEX" | b"PSETEX" | b"EXPIRE" | b"PEXPIRE" | b"EXPIREAT" | b"PEXPIREAT" | b"GETEX" => {
            Deadline::Given
        }
        b"RESTORE" => match args.get(2).map(|ttl| &ttl[..]) {
            Some(b"0") => Deadline::Cleared { step: 0 },
            _ => Deadline::Given,
        },
        b"PERSIST" | b"GETSET" | b"GETDEL" => Deadline::Cleared { step: 0 },
        b"DEL" | b"UNLINK" => Deadline::Cleared { step: 1 },
        b"MSET" => Deadline::Cleared { step: 2 },
        b"RENAME" | b"RENAMENX" | b"COPY" | b"MOVE" => Deadline::Shared,
        _ => Deadline::Kept,
    }
}

fn set(options: &[Bytes]) -> Deadline {
    let has = |word: &[u8]| options.iter().any(|option| option.eq_ignore_ascii_case(word));
    if options.is_empty() {
        Deadline::Cleared { step: 0 }
    } else if has(b"PXAT") || has(b"EXAT") || has(b"PX") || has(b"EX") {
        Deadline::Given
    } else {
        // KEEPTTL, or a condition
        Deadline::Kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    fn args(line: &str) -> Vec<Bytes> {
        line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
    }

    #[test]
    fn replies_that_contradict_a_record() {
        let cases = [
            ("SET a 1", Expect::Value),
            ("SETNX a 1", Expect::Change),
            ("DEL a", Expect::Anything),
            ("GETDEL a", Expect::Anything),
            ("SREM s m", Expect::Anything),
            ("LPUSHX l m", Expect::Anything),
            ("LPUSH l m", Expect::Anything),
            ("LPOP l", Expect::Value),
            ("LPOP l 2", Expect::Value),
            ("ZPOPMAX z", Expect::Value),
            ("XADD s NOMKSTREAM 1-1 f v", Expect::Value),
            ("PEXPIREAT a 5", Expect::Change),
            ("PERSIST a", Expect::Change),
            ("RENAMENX a b", Expect::Change),
            ("LINSERT l BEFORE a b", Expect::Change),
            ("INCR n", Expect::Anything),
            ("PING", Expect::Anything),
        ];
        for (line, expected) in cases {
            assert_eq!(expect(&args(line)), expected, "{line}");
        }
        assert_eq!(expect(&[]), Expect::Anything);
    }

    #[test]
    fn what_becomes_of_an_expiry() {
        let cases = [
            ("SET a 1", Deadline::Cleared { step: 0 }),
            ("SET a 1 PXAT 5", Deadline::Given),
            ("SET a 1 keepttl", Deadline::Kept),
            ("SET a 1 XX ex 5", Deadline::Given),
            ("RESTORE a 0 p REPLACE ABSTTL", Deadline::Cleared { step: 0 }),
            ("RESTORE a 5 p REPLACE ABSTTL", Deadline::Given),
            ("PEXPIREAT a 5", Deadline::Given),
            ("PERSIST a", Deadline::Cleared { step: 0 }),
            ("DEL a b", Deadline::Cleared { step: 1 }),
            ("MSET a 1 b 2", Deadline::Cleared { step: 2 }),
            ("RENAME a b", Deadline::Shared),
            ("HPEXPIREAT h 5 FIELDS 1 f", Deadline::Kept),
            ("INCR n", Deadline::Kept),
            ("SET a", Deadline::Cleared { step: 0 }),
        ];
        for (line, expected) in cases {
            assert_eq!(deadline(&args(line)), expected, "{line}");
        }
        assert_eq!(deadline(&[]), Deadline::Kept);
    }

    #[test]
    fn every_name_is_one_of_the_table() {
        for spec in table::all() {
            let line = [Bytes::from_static(spec.name.as_bytes())];
            if matches!(spec.effect, crate::Effect::Overwrite)
                && !matches!(spec.handling, table::Handling::Keyless(_))
            {
                let known = deadline(&line) != Deadline::Kept || spec.name == "DELEX";
                assert!(known, "{} overwrites and must be known to the expiry's rules", spec.name);
            }
        }
    }
}
