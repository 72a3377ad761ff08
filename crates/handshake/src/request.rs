//! Requests that travel on connections other than the control connection.

use std::fmt;

use resp::{Connection, Reply};

use crate::error::Error;
use crate::greeting::Greeting;

/// The 40 bytes (ASCII hex digits) that end the RDB part of a flow. They are new with every attachment.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EofToken(pub [u8; 40]);

impl fmt::Debug for EofToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl AsRef<[u8]> for EofToken {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What a flow shall begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowStart {
    /// A snapshot.
    Snapshot,
    /// The record with this LSN: the next one wanted, not the last one seen.
    Lsn(u64),
}

/// How the master answered one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowKind {
    /// A snapshot follows.
    Full,
    /// The journal follows from the LSN that was asked for.
    Partial,
}

/// Reply to DFLY FLOW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowReply {
    /// Snapshot or journal.
    pub kind: FlowKind,
    /// Ends the RDB part, if there is one.
    pub eof_token: EofToken,
}

/// Turns a connection into flow `flow` of the attachment that `greeting` describes (`DFLY FLOW`, v1.40.1
/// `dflycmd.cc` Flow). Nothing else may be sent on it before the stable sync.
///
/// # Errors
/// [`Error::BadMasterId`] and [`Error::SyncIdNotFound`] when the master or its attachment is another one by now,
/// loading as [`Error::is_loading`] (a loading master accepts the greeting but no flow).
pub async fn request_flow(
    connection: &mut Connection,
    greeting: &Greeting,
    flow: usize,
    start: FlowStart,
) -> Result<FlowReply, Error> {
    let position = match start {
        FlowStart::Snapshot => Vec::new(),
        FlowStart::Lsn(next) => vec![next.to_string()],
    };
    open_flow(connection, greeting, flow, &position).await
}

/// [`request_flow`] at a master that was a replica of the one the position belongs to: `former` is that one's
/// replication id, `lsns` the next LSN wanted of every flow (`DFLY FLOW` with five arguments, 1.34 and later).
///
/// The master answers [`FlowKind::Partial`] as soon as its journal has a record of that number, whoever wrote it: the
/// caller must know that its history is the former master's.
pub async fn request_flow_after(
    connection: &mut Connection,
    greeting: &Greeting,
    flow: usize,
    former: &str,
    lsns: &[u64],
) -> Result<FlowReply, Error> {
    let lsns: Vec<String> = lsns.iter().map(u64::to_string).collect();
    open_flow(connection, greeting, flow, &[former.to_owned(), lsns.join("-")]).await
}

async fn open_flow(
    connection: &mut Connection,
    greeting: &Greeting,
    flow: usize,
    position: &[String],
) -> Result<FlowReply, Error> {
    let flow = flow.to_string();
    let mut args = vec!["DFLY", "FLOW", &greeting.replid, &greeting.sync_id, &flow];
    args.extend(position.iter().map(String::as_str));
    let reply = connection.call(&args).await?;
    let addr = connection.addr();
    if let Reply::Error(line) = &reply {
        return Err(Error::from_line(addr, "DFLY FLOW", line));
    }
    flow_reply(&reply).ok_or_else(|| Error::unknown(addr, "DFLY FLOW", format!("{reply:?}")))
}

fn flow_reply(reply: &Reply) -> Option<FlowReply> {
    let [kind, token] = reply.as_array()? else { return None };
    let kind = match kind.as_str()? {
        "FULL" => FlowKind::Full,
        "PARTIAL" => FlowKind::Partial,
        _ => return None,
    };
    let token: [u8; 40] = token.as_bytes()?[..].try_into().ok()?;
    token.iter().all(u8::is_ascii_hexdigit).then_some(FlowReply { kind, eof_token: EofToken(token) })
}

/// The next LSN of every shard (`DFLY REPLICAOFFSET`; 0 where the journal was never started). Any connection will do.
pub async fn replica_offset(connection: &mut Connection) -> Result<Vec<u64>, Error> {
    const REQUEST: &str = "DFLY REPLICAOFFSET";
    let reply = connection.call(&["DFLY", "REPLICAOFFSET"]).await?;
    let addr = connection.addr();
    match &reply {
        Reply::Error(line) => Err(Error::from_line(addr, REQUEST, line)),
        Reply::Array(items) => items
            .iter()
            .map(|lsn| lsn.as_integer().and_then(|n| u64::try_from(n).ok()))
            .collect::<Option<_>>()
            .ok_or_else(|| Error::unknown(addr, REQUEST, "an offset is no number")),
        other => Err(Error::unknown(addr, REQUEST, format!("{other:?}"))),
    }
}
