//! Whether the source lets us read: every command that the reader and the engine's other questions use.

use resp::{Class, Connection, Error, Reply};

/// A name that hardly exists; it is only read.
const NOBODY: &str = "df2redis:may-read";

/// A command that the source's user needs.
#[derive(Debug)]
struct Needed {
    /// Asked as it stands, it changes nothing.
    probe: &'static [&'static str],
    /// A release that lacks it is read without it; a user who may not use it is not.
    dispensable: bool,
}

const fn needed(probe: &'static [&'static str]) -> Needed {
    Needed { probe, dispensable: false }
}

const fn dispensable(probe: &'static [&'static str]) -> Needed {
    Needed { probe, dispensable: true }
}

/// Commands without which there is no repair. `ACL DRYRUN` exists, but needs a permission of its own (v1.40.1).
const READS: &[Needed] = &[
    needed(&["DFLY", "REPLICAOFFSET"]),
    needed(&["INFO", "replication"]),
    needed(&["SELECT", "0"]),
    needed(&["EXISTS", NOBODY]),
    needed(&["SCAN", "0", "COUNT", "1"]),
    needed(&["TYPE", NOBODY]),
    // where it lacks, PTTL and TIME do
    dispensable(&["PEXPIRETIME", NOBODY]),
    needed(&["PTTL", NOBODY]),
    needed(&["TIME"]),
    dispensable(&["MEMORY", "USAGE", NOBODY]),
    // without it the TTLs of members would be lost unseen
    dispensable(&["FIELDTTL", NOBODY, "member"]),
    needed(&["DUMP", NOBODY]),
    needed(&["GET", NOBODY]),
    needed(&["STRLEN", NOBODY]),
    needed(&["GETRANGE", NOBODY, "0", "0"]),
    needed(&["LLEN", NOBODY]),
    needed(&["LRANGE", NOBODY, "0", "0"]),
    needed(&["SCARD", NOBODY]),
    needed(&["SMEMBERS", NOBODY]),
    needed(&["SSCAN", NOBODY, "0"]),
    needed(&["HLEN", NOBODY]),
    needed(&["HKEYS", NOBODY]),
    needed(&["HGETALL", NOBODY]),
    needed(&["HSCAN", NOBODY, "0"]),
    needed(&["ZCARD", NOBODY]),
    needed(&["ZRANGE", NOBODY, "0", "0"]),
    needed(&["XLEN", NOBODY]),
];

/// Where writes may be paused: `CLIENT PAUSE` and `CLIENT UNPAUSE`. Asked so that nothing is paused.
const PAUSE: Needed = dispensable(&["CLIENT", "PAUSE", "never", "WRITE"]);

/// The first command that is refused, in the server's words.
///
/// # Errors
/// The connection's; the source refuses everything for the moment: it loads, or is being taken over.
pub(super) async fn ask(connection: &mut Connection, pause: bool) -> Result<Result<(), String>, Error> {
    for Needed { probe, dispensable } in READS.iter().chain(pause.then_some(&PAUSE)) {
        let reply = connection.call(probe).await?;
        if let Reply::Error(line) = &reply
            && let Some(error) = Error::from_error_line(connection.addr(), line)
            && error.class() == Class::Retry
        {
            return Err(error);
        }
        let refused = match &reply {
            Reply::Error(line) => Some(resp::printable(line)),
            _ => None,
        };
        if let Some(message) = refused.filter(|message| !dispensable || message.starts_with("NOPERM")) {
            return Ok(Err(format!("{}: {message}", probe[0])));
        }
        if probe[0] == "DFLY" && reply.as_array().is_none_or(<[Reply]>::is_empty) {
            return Ok(Err("DFLY REPLICAOFFSET: not a vector".to_owned()));
        }
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Words in these files that are in capitals and no commands.
    const ARGUMENTS: &[&str] = &[
        "CONFIG",
        "COUNT",
        "MATCH",
        "KEYSPACE",
        "PAUSE",
        "REPLICAOFFSET",
        "UNPAUSE",
        "USAGE",
        "WITHSCORES",
        "WRITE",
        "WRONGTYPE",
    ];

    /// Every word in capitals that stands alone in quotes.
    fn words(source: &str) -> BTreeSet<&str> {
        let capitals = |word: &&str| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase());
        source.split('"').skip(1).step_by(2).filter(capitals).collect()
    }

    /// What the reader or the engine asks the source is asked here first. `CONFIG GET` may be refused: then
    /// `source.backlog_records` tells.
    #[test]
    fn every_command_that_the_source_is_asked_is_probed_at_the_start() {
        let sources = [
            include_str!("big.rs"),
            include_str!("look.rs"),
            include_str!("script.rs"),
            include_str!("small.rs"),
            include_str!("../../../replica/src/source.rs"),
        ];
        let probed: BTreeSet<&str> = READS.iter().chain([&PAUSE]).map(|needed| needed.probe[0]).collect();
        let mut asked = BTreeSet::new();
        for source in sources {
            asked.extend(words(source));
        }
        asked.retain(|word| !ARGUMENTS.contains(word));
        assert!(asked.len() > 20, "{asked:?}");
        let not_probed: Vec<_> = asked.difference(&probed).collect();
        assert!(not_probed.is_empty(), "{not_probed:?}");
    }
}
