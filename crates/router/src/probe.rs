//! What the target understands, asked without leaving anything behind.

use std::collections::BTreeSet;

use bytes::Bytes;
use command::{Dialect, Restore};
use rdb::{Kind, dump};
use resp::{Connection, Reply};
use tracing::{info, warn};

use crate::error::Error;

/// Begin of the names that are asked about; none is ever made.
const NAME: &str = "df2redis:probe:";
/// Versions that `RESTORE` is asked about: those of Redis, and those that Valkey 9 counts from.
const VERSIONS: [std::ops::RangeInclusive<u16>; 2] = [9..=16, 80..=84];
/// Names tried until one lies on a node.
const NAMES: u32 = 1 << 17;

/// What the engine asks of a target besides its data, how it is asked for without effect, and what is weaker without.
const NEEDS: &[(&str, &[&str], &str)] = &[
    ("CLIENT LIST", &["CLIENT", "LIST"], "connections of a program that crashed cannot be looked for"),
    (
        "CLIENT KILL",
        // No connection has it: ids begin with 1.
        &["CLIENT", "KILL", "ID", "9223372036854775807"],
        "connections of a program that crashed are waited for instead of being ended",
    ),
    (
        "CONFIG GET",
        &["CONFIG", "GET", "appendfsync"],
        "whether a restarted node kept its last second is taken from target.loss_window",
    ),
    ("WAIT", &["WAIT", "0", "1"], "replicas are asked once a second whether they have what was written"),
    (
        "SCRIPT",
        &["SCRIPT", "EXISTS", "0000000000000000000000000000000000000000"],
        "Lua scripts of the source are not loaded",
    ),
    ("EVAL", &["EVAL", "return 1", "0"], "records that need a script are listed as not in sync"),
    ("TIME", &["TIME"], "clocks cannot be compared"),
];

/// Flavour, version, and which commands the server has.
pub(crate) async fn dialect(
    connection: &mut Connection,
    info: &str,
    cluster: bool,
) -> Result<Dialect, Error> {
    let addr = connection.addr().to_owned();
    let (flavour, version) =
        Dialect::identify(info).ok_or(Error::Unexpected { addr: addr.clone(), command: "INFO".into() })?;
    let wanted = Dialect::wanted_commands();
    let mut request = vec!["COMMAND", "INFO"];
    request.extend(wanted);
    let dialect = match connection.call(&request).await? {
        Reply::Array(entries) => {
            let known = wanted.iter().zip(entries).filter(|(_, entry)| *entry != Reply::Nil);
            Dialect::new(flavour, version, cluster, known.map(|(name, _)| name))
        }
        Reply::Error(line) => {
            let message = resp::printable(&line);
            warn!(addr, message, "COMMAND INFO refused: taking the version's commands");
            Dialect::assumed(flavour, version, cluster)
        }
        _ => return Err(Error::Unexpected { addr, command: "COMMAND INFO".into() }),
    };
    Ok(dialect.forbidding(forbidden(connection).await?))
}

/// What the target does not let this user do, and what is weaker without.
async fn forbidden(connection: &mut Connection) -> Result<Vec<(&'static str, &'static str)>, Error> {
    let questions: Vec<Vec<Bytes>> = NEEDS.iter().map(|(_, words, _)| words_of(words)).collect();
    let replies = connection.pipeline(&questions).await?;
    let refused = NEEDS.iter().zip(replies).filter(|(_, reply)| is_forbidden(reply));
    Ok(refused.map(|((name, _, weaker), _)| (*name, *weaker)).collect())
}

/// No permission, or no such command; other errors mean that it exists.
fn is_forbidden(reply: &Reply) -> bool {
    let Some(line) = reply.as_error() else { return false };
    let line = String::from_utf8_lossy(line).to_ascii_lowercase();
    [
        "noperm",
        "unknown command",
        "unknown subcommand",
        "not allowed",
        "disabled",
        "not supported",
        "forbidden",
    ]
    .iter()
    .any(|words| line.contains(words))
}

/// Which encodings and RDB versions `RESTORE` takes on this node; `None` where it does not let us ask. `is_here`: whether
/// a name lies on it.
///
/// Every payload is given an expiry of 1970, and so is read and thrown away (Redis 6.2 to 8.0 `restoreCommand`,
/// `checkAlreadyExpired`).
pub(crate) async fn restore(
    connection: &mut Connection,
    is_here: impl Fn(&str) -> bool,
) -> Result<Option<Restore>, Error> {
    let Some(name) = (0..NAMES).map(|n| format!("{NAME}{n}")).find(|name| is_here(name)) else {
        return Ok(None);
    };
    let kinds: Vec<(Kind, Bytes)> =
        Kind::ALL.iter().filter_map(|kind| Some((*kind, dump::smallest(*kind)?))).collect();
    let versions: Vec<u16> = VERSIONS.into_iter().flatten().collect();
    let mut questions: Vec<Vec<Bytes>> = Vec::new();
    let payloads = kinds.iter().map(|(_, payload)| payload.clone());
    for payload in payloads.chain(versions.iter().map(|version| dump::of_no_type(*version))) {
        let mut question = words_of(&["RESTORE", &name, "1", "", "ABSTTL"]);
        question[3] = payload;
        questions.push(question);
    }
    let replies = connection.pipeline(&questions).await?;
    let (of_kinds, of_versions) = replies.split_at(kinds.len());
    let mut accepted = BTreeSet::new();
    for ((kind, _), reply) in kinds.iter().zip(of_kinds) {
        match reply {
            reply if reply.is_ok() => drop(accepted.insert(*kind)),
            reply if says(reply, "bad data format") || says(reply, "version or checksum") => {}
            reply => {
                let (addr, reply) = (connection.addr(), shown(reply));
                info!(addr, reply, "RESTORE does not tell what it takes: taking the version's encodings");
                return Ok(None);
            }
        }
    }
    if ![Kind::String, Kind::Set, Kind::Hash, Kind::Zset].iter().all(|kind| accepted.contains(kind)) {
        // What every server takes is refused for a reason of its own.
        return Ok(None);
    }
    let takes = versions.iter().zip(of_versions).filter(|(_, reply)| says(reply, "bad data format"));
    Ok(Some(Restore { kinds: accepted, version: takes.map(|(version, _)| *version).max() }))
}

fn says(reply: &Reply, words: &str) -> bool {
    reply.as_error().is_some_and(|line| String::from_utf8_lossy(line).to_ascii_lowercase().contains(words))
}

fn shown(reply: &Reply) -> String {
    reply.as_error().map_or_else(|| "no error".to_owned(), |line| resp::printable(line))
}

fn words_of(words: &[&str]) -> Vec<Bytes> {
    words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

/// Logs what was found.
pub(crate) fn tell(addr: &str, dialect: &Dialect) {
    let (major, minor, patch) = dialect.version;
    let modules = dialect.modules().join(",");
    info!(
        addr,
        flavour = ?dialect.flavour,
        version = format!("{major}.{minor}.{patch}"),
        cluster = dialect.cluster,
        restore_rdb_version = dialect.restore_version(),
        resp = if dialect.has("HELLO") { 3 } else { 2 },
        hash_field_ttl = dialect.has_hash_field_ttl(),
        modules,
        "target found"
    );
    for (command, weaker) in dialect.forbidden() {
        warn!(addr, command, weaker, "the target does not let this user do everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_forbidden_commands_from_other_errors() {
        let error = |line: &'static str| Reply::Error(Bytes::from_static(line.as_bytes()));
        for line in [
            "NOPERM User x has no permissions to run the 'client|list' command",
            "ERR unknown command 'CONFIG', with args beginning with: ",
            "ERR unknown subcommand 'KILL'. Try CLIENT HELP.",
            "ERR command is not allowed on this service",
        ] {
            assert!(is_forbidden(&error(line)), "{line}");
        }
        assert!(!is_forbidden(&error("LOADING Redis is loading the dataset in memory")));
        assert!(!is_forbidden(&Reply::Integer(0)));
    }
}
