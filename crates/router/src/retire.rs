//! Making sure that a connection can no longer execute anything (rule 8).
//!
//! A server goes on executing what it has read, or finds in the socket's buffer, of a connection whose other end is
//! long gone. So before somebody else writes, the old connection is closed by the server itself. A server executes one
//! command at a time and frees a killed client before it answers `CLIENT KILL`: behind the reply nothing of that client
//! runs any more.

use std::collections::BTreeSet;
use std::time::Duration;

use resp::{Connection, Reply};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::error::Error;
use crate::target::Target;
use crate::topology::address;

/// Between two looks at the list of clients.
const PAUSE: Duration = Duration::from_millis(50);

/// How long connections that cannot be killed are waited for before that is an error.
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of the connections of an earlier process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retired {
    /// None is left on any node.
    Gone {
        /// How many had to be killed.
        killed: usize,
    },
    /// The user may neither kill nor list clients on these nodes (`host:port`). The caller waits until whatever they
    /// had read must have been executed.
    Unknown {
        /// The nodes that tell nothing.
        nodes: Vec<String>,
    },
}

/// A client as `CLIENT LIST` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Client {
    id: i64,
    name: String,
}

/// What a server says about its clients.
enum Listed {
    Clients(Vec<Client>),
    /// The user may not ask.
    Forbidden,
}

/// What became of one connection that has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The server says so.
    Surely,
    /// The user may neither kill nor list.
    Unknown,
}

impl Target {
    /// Ends every connection called `name`, or `name:` and anything behind it, on every node: those of an earlier process that
    /// used the same checkpoint.
    ///
    /// To be called before the first connection with this name is opened; that one would be ended with them.
    ///
    /// # Errors
    /// A node that owns slots cannot be asked, or [`Error::StillConnected`] after half a minute of waiting for a
    /// connection that may not be killed.
    pub async fn retire(&self, name: &str) -> Result<Retired, Error> {
        let mut masters: BTreeSet<String> =
            self.masters().into_iter().map(|node| self.address(node)).collect();
        let mut replicas = BTreeSet::new();
        let mut unknown = Vec::new();
        let mut total = 0;
        let mut asked = BTreeSet::new();
        while let Some(addr) = masters.pop_first() {
            let mut connection = self.open_addr(&addr).await?;
            if self.is_cluster() && asked.is_empty() {
                // A node that was a master when its connection was made may be a replica now, and a master again soon.
                replicas = all_nodes(&mut connection).await?;
            }
            match end_named(&mut connection, name).await? {
                Some(killed) => total += killed,
                None => unknown.push(addr.clone()),
            }
            asked.insert(addr);
        }
        for addr in replicas.difference(&asked) {
            let ended = async { end_named(&mut self.open_addr(addr).await?, name).await };
            match ended.await {
                Ok(Some(killed)) => total += killed,
                Ok(None) => unknown.push(addr.clone()),
                // It cannot execute writes as long as it is no master.
                Err(error) => {
                    warn!(addr, %error, "connections of an earlier process not looked for at a replica")
                }
            }
        }
        if total > 0 {
            info!(killed = total, "ended the connections that an earlier process left behind");
        }
        Ok(if unknown.is_empty() {
            Retired::Gone { killed: total }
        } else {
            Retired::Unknown { nodes: unknown }
        })
    }
}

/// Ends all clients of this name, and says how many it killed; `None` where the user may not even see them.
async fn end_named(connection: &mut Connection, name: &str) -> Result<Option<usize>, Error> {
    let patience = Instant::now() + PATIENCE;
    let mut killed = BTreeSet::new();
    loop {
        let found: Vec<i64> = match list(connection).await? {
            Listed::Clients(clients) => {
                let ours = |c: &Client| {
                    c.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
                };
                clients.into_iter().filter(ours).map(|c| c.id).collect()
            }
            Listed::Forbidden => return Ok(None),
        };
        if found.is_empty() {
            return Ok(Some(killed.len()));
        }
        for id in &found {
            if kill(connection, *id).await? == Kill::Killed {
                killed.insert(*id);
            }
        }
        wait(connection.addr(), patience, found.len()).await?;
    }
}

/// Makes sure that client `id` is gone: killed, or waited for where the user may not kill.
///
/// # Errors
/// The connection's, and [`Error::StillConnected`].
pub(crate) async fn end_client(connection: &mut Connection, id: i64) -> Result<Ended, Error> {
    let patience = Instant::now() + PATIENCE;
    if kill(connection, id).await? != Kill::Forbidden {
        return Ok(Ended::Surely);
    }
    loop {
        match list(connection).await? {
            Listed::Clients(clients) if clients.iter().all(|client| client.id != id) => {
                return Ok(Ended::Surely);
            }
            Listed::Clients(_) => wait(connection.addr(), patience, 1).await?,
            Listed::Forbidden => return Ok(Ended::Unknown),
        }
    }
}

async fn wait(addr: &str, until: Instant, count: usize) -> Result<(), Error> {
    if Instant::now() >= until {
        return Err(Error::StillConnected { addr: addr.to_owned(), count });
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Kill {
    Killed,
    Gone,
    Forbidden,
}

async fn kill(connection: &mut Connection, id: i64) -> Result<Kill, Error> {
    let reply = connection.call(&["CLIENT", "KILL", "ID", &id.to_string()]).await?;
    Ok(match reply {
        // The number of clients that were killed.
        Reply::Integer(0) => Kill::Gone,
        Reply::Error(line) if starts_with_no_such_client(&line) => Kill::Gone,
        Reply::Error(line) => match resp::Error::from_error_line(connection.addr(), &line) {
            None | Some(resp::Error::NoPermission { .. }) => Kill::Forbidden,
            Some(error) => return Err(error.into()),
        },
        _ => Kill::Killed,
    })
}

fn starts_with_no_such_client(line: &[u8]) -> bool {
    line.starts_with(b"ERR No such client")
}

async fn list(connection: &mut Connection) -> Result<Listed, Error> {
    match connection.call(&["CLIENT", "LIST"]).await? {
        Reply::Error(line) => match resp::Error::from_error_line(connection.addr(), &line) {
            None | Some(resp::Error::NoPermission { .. }) => Ok(Listed::Forbidden),
            Some(error) => Err(error.into()),
        },
        reply => match reply.as_bytes() {
            Some(text) => Ok(Listed::Clients(parse(&String::from_utf8_lossy(text)))),
            None => {
                let addr = connection.addr().to_owned();
                Err(Error::Unexpected { addr, command: "CLIENT LIST".into() })
            }
        },
    }
}

/// One line a client, `field=value` separated by blanks; a name has no blanks in it.
fn parse(text: &str) -> Vec<Client> {
    let client = |line: &str| {
        let field = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        Some(Client { id: field("id")?.parse().ok()?, name: field("name").unwrap_or_default().to_owned() })
    };
    text.lines().filter_map(client).collect()
}

/// Every node that the asked one knows. `CLUSTER SLOTS`, for which any user of a cluster has the right, leaves out
/// replicas that have not told their offset yet (Redis 7.0 `cluster.c` `isReplicaAvailable`).
async fn all_nodes(connection: &mut Connection) -> Result<BTreeSet<String>, Error> {
    let asked = connection.addr().to_owned();
    match connection.call(&["CLUSTER", "NODES"]).await? {
        Reply::Error(_) => {
            let slots = crate::target::ask(connection, &["CLUSTER", "SLOTS"]).await?;
            Ok(replicas_of(&slots, &asked))
        }
        reply => {
            Ok(reply.as_str().unwrap_or_default().lines().filter_map(|line| node_of(line, &asked)).collect())
        }
    }
}

/// The address in a line of `CLUSTER NODES`: `id host:port@bus[,name] flags ...`.
fn node_of(line: &str, asked: &str) -> Option<String> {
    let (place, _) = line.split(' ').nth(1)?.split_once('@')?;
    let (host, port) = place.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    Some(address(host, port, asked))
}

/// The replicas in a reply to `CLUSTER SLOTS`.
fn replicas_of(slots: &Reply, asked: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in slots.as_array().unwrap_or_default() {
        for node in entry.as_array().unwrap_or_default().iter().skip(3) {
            if let Some([host, port, ..]) = node.as_array()
                && let Some(port) = port.as_integer().and_then(|port| u16::try_from(port).ok())
            {
                found.insert(address(host.as_str().unwrap_or_default(), port, asked));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_by_id_and_name() {
        let text = "id=3 addr=127.0.0.1:5 laddr=127.0.0.1:6 fd=8 name=df2redis:a age=0 cmd=set\n\
                    id=14 addr=[::1]:5 fd=9 name= age=1 cmd=client|list\n";
        let client = |id, name: &str| Client { id, name: name.into() };
        assert_eq!(parse(text), [client(3, "df2redis:a"), client(14, "")]);
        assert_eq!(parse(""), []);
    }

    #[test]
    fn nodes_with_and_without_an_address() {
        let nodes = [
            ("a1 127.0.0.1:7000@17000,name myself,master - 0 0 1 connected 0-5", Some("127.0.0.1:7000")),
            ("a2 :7001@17001 slave a1 0 0 1 connected", Some("seed:7001")),
            ("a3 ::1:7002@17002 master,fail - 0 0 1 disconnected", Some("[::1]:7002")),
            ("a4 :0@0 master,noaddr - 0 0 1 disconnected", None),
            ("", None),
        ];
        for (line, expected) in nodes {
            assert_eq!(node_of(line, "seed:1").as_deref(), expected, "{line}");
        }
    }
}
