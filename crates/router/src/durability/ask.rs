//! What a node is asked, and what comes of the answers.

use bytes::Bytes;
use resp::{Connection, Reply};

use crate::durability::info::{Fsync, NodeInfo, Persistence, Replication, keys};
use crate::error::Error;

/// How long a node may take to bring its replicas up to date within one poll.
const PATIENCE_MS: &str = "100";

/// Answer to a question that a user may not be allowed to ask.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    Told(T),
    Denied,
}

fn command(words: &[&str]) -> Vec<Bytes> {
    words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

/// The texts of several INFO replies, or `None` where one was refused.
fn text(connection: &Connection, replies: &[Reply]) -> Result<Option<String>, Error> {
    let mut text = String::new();
    for reply in replies {
        match reply {
            Reply::Error(line) => match resp::Error::from_error_line(connection.addr(), line) {
                None | Some(resp::Error::NoPermission { .. }) => return Ok(None),
                Some(error) => return Err(error.into()),
            },
            reply => text.push_str(reply.as_str().unwrap_or_default()),
        }
        text.push_str("\r\n");
    }
    Ok(Some(text))
}

/// Everything about a node; its process and history above all.
pub(crate) async fn whole(connection: &mut Connection) -> Result<Answer<NodeInfo>, Error> {
    let sections = ["server", "replication", "persistence", "keyspace"];
    let questions: Vec<_> = sections.iter().map(|section| command(&["INFO", section])).collect();
    let replies = connection.pipeline(&questions).await?;
    let Some(text) = text(connection, &replies)? else { return Ok(Answer::Denied) };
    // A server that says nothing about replication is asked as one that may not be asked.
    let Some(info) = NodeInfo::parse(&text) else { return Ok(Answer::Denied) };
    if info.persistence.is_some_and(|persistence| persistence.loading) {
        return Err(resp::Error::Loading { addr: connection.addr().to_owned() }.into());
    }
    Ok(Answer::Told(info))
}

/// One poll: the offset, then what the replicas have, and what is on the disk if that is asked for.
#[derive(Debug)]
pub(crate) struct Polled {
    pub(crate) before: Replication,
    pub(crate) after: Replication,
    pub(crate) disk: Option<(Persistence, u64)>,
}

/// `replicas` is how many must have acknowledged what is there: replicas tell by themselves once a second, and `WAIT`
/// makes their master ask them at once (Redis 7.0.15, `waitCommand`). Where it may not be used it takes that second.
pub(crate) async fn poll(
    connection: &mut Connection,
    replicas: usize,
    disk: bool,
) -> Result<Answer<Polled>, Error> {
    let mut questions = vec![command(&["INFO", "replication"])];
    if disk {
        questions.push(command(&["INFO", "persistence"]));
        questions.push(command(&["INFO", "keyspace"]));
    }
    let asked = questions.len();
    if replicas > 0 {
        questions.push(command(&["WAIT", &replicas.to_string(), PATIENCE_MS]));
        questions.push(command(&["INFO", "replication"]));
    }
    let replies = connection.pipeline(&questions).await?;
    let Some(first) = text(connection, &replies[..asked])? else { return Ok(Answer::Denied) };
    let last = match replies.get(asked + 1) {
        Some(reply) => text(connection, std::slice::from_ref(reply))?,
        None => None,
    };
    let parsed = Replication::parse(&first).map(|before| Polled {
        after: last.and_then(|text| Replication::parse(&text)).unwrap_or_else(|| before.clone()),
        before,
        disk: Persistence::parse(&first).map(|persistence| (persistence, keys(&first))).filter(|_| disk),
    });
    Ok(parsed.map_or(Answer::Denied, Answer::Told))
}

/// When the append-only file reaches the disk; `None` where the user may not ask.
pub(crate) async fn fsync(connection: &mut Connection) -> Result<Option<Fsync>, Error> {
    let reply = connection.call(&["CONFIG", "GET", "appendfsync"]).await?;
    Ok(match reply.as_array() {
        Some([_, policy]) => policy.as_str().map(Fsync::named),
        _ => None,
    })
}

/// Whether the cluster knows replicas of this node that have not failed.
pub(crate) async fn has_replicas(connection: &mut Connection) -> Result<bool, Error> {
    let id = match connection.call(&["CLUSTER", "MYID"]).await? {
        reply if reply.as_str().is_some() => reply,
        _ => return Ok(false),
    };
    let id = id.as_str().unwrap_or_default();
    let reply = connection.call(&["CLUSTER", "REPLICAS", id]).await?;
    let lines = reply.as_array().unwrap_or_default().iter().filter_map(Reply::as_str);
    Ok(lines.into_iter().any(|line| {
        let flags = line.split(' ').nth(2).unwrap_or_default();
        !flags.split(',').any(|flag| flag == "fail")
    }))
}
