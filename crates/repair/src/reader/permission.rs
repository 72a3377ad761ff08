//! Whether the source lets us read.

use resp::{Class, Connection, Error, Reply};

/// A name that hardly exists; it is only read.
const NOBODY: &str = "df2redis:may-read";

/// Commands without which there is no repair. `ACL DRYRUN` exists, but needs a permission of its own (v1.40.1).
const READS: &[&[&str]] = &[
    &["DFLY", "REPLICAOFFSET"],
    &["INFO", "replication"],
    &["TYPE", NOBODY],
    &["PEXPIRETIME", NOBODY],
    &["DUMP", NOBODY],
    &["GET", NOBODY],
    &["STRLEN", NOBODY],
    &["GETRANGE", NOBODY, "0", "0"],
    &["LLEN", NOBODY],
    &["LRANGE", NOBODY, "0", "0"],
    &["SCARD", NOBODY],
    &["SMEMBERS", NOBODY],
    &["SSCAN", NOBODY, "0"],
    &["HLEN", NOBODY],
    &["HKEYS", NOBODY],
    &["HGETALL", NOBODY],
    &["HSCAN", NOBODY, "0"],
    &["ZCARD", NOBODY],
    &["ZRANGE", NOBODY, "0", "0"],
    &["XLEN", NOBODY],
];

/// The first read that is refused, in the server's words.
///
/// # Errors
/// The connection's; the source refuses everything for the moment: it loads, or is being taken over.
pub(super) async fn ask(connection: &mut Connection) -> Result<Result<(), String>, Error> {
    for command in READS {
        let reply = connection.call(command).await?;
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
        // an old release without it: PTTL and TIME do
        if let Some(message) = refused.filter(|m| command[0] != "PEXPIRETIME" || m.starts_with("NOPERM")) {
            return Ok(Err(format!("{}: {message}", command[0])));
        }
        if command[0] == "DFLY" && reply.as_array().is_none_or(<[Reply]>::is_empty) {
            return Ok(Err("DFLY REPLICAOFFSET: not a vector".to_owned()));
        }
    }
    Ok(Ok(()))
}
