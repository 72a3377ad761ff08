//! The control connection.

use std::time::Duration;

use resp::{ConnectOptions, Connection, Reply};
use tracing::{debug, warn};

use crate::error::{Error, expect_ok};
use crate::greeting::Greeting;
use crate::release::Release;

/// Newest protocol version we ask for. 4 keeps masters of 1.37 and later from sending HNSW graphs and repeated
/// search indices, and changes nothing else (v1.40.1 `rdb_save.cc` SaveAux, `snapshot.cc` Start).
const CLIENT_VERSION: u32 = 4;

/// How this replica introduces itself; shown in the master's INFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// A port to show, nothing listens on it.
    pub listening_port: u16,
    /// A label, best one that is the same after a restart.
    pub client_id: String,
}

/// A control connection that has been greeted. The attachment lives as long as it and all flows do.
#[derive(Debug)]
pub struct Control {
    connection: Connection,
    greeting: Greeting,
}

/// What INFO and HELLO reveal, as far as the user may run them.
#[derive(Debug, Default)]
struct Server {
    dragonfly_version: Option<String>,
    /// A name for the operator where it is no Dragonfly.
    other: Option<String>,
    replica: bool,
    /// The slots that it has, in words, where it does not have all of them.
    part_of_cluster: Option<String>,
}

impl Control {
    /// Connects and introduces itself: PING, the release, and the REPLCONF sequence (v1.40.1 `replica.cc` Greet).
    ///
    /// `known_release` serves where the master's own word cannot be had; the AUX field `df-ver` of an earlier flow
    /// tells it.
    ///
    /// # Errors
    /// See [`Error`]; everything that is wrong with a source shows here, except that a loading one may show only with
    /// the first flow.
    pub async fn greet(
        options: &ConnectOptions,
        identity: &Identity,
        known_release: Option<Release>,
    ) -> Result<Control, Error> {
        let mut connection = Connection::open(options).await?;
        let reply = connection.call(&["PING"]).await?;
        pong(connection.addr(), &reply)?;
        let server = ask_server(&mut connection).await?;
        let addr = connection.addr().to_owned();
        let release = server.dragonfly_version.as_deref().and_then(Release::parse);
        let unsupported = |release: String| Error::UnsupportedRelease { addr: addr.clone(), release };
        if let Some(release) = release.filter(|release| !release.is_supported()) {
            return Err(unsupported(release.to_string()));
        }
        if server.replica {
            return Err(Error::SourceIsReplica { addr });
        }
        if let Some(slots) = server.part_of_cluster {
            return Err(Error::PartOfCluster { addr, slots });
        }
        let port = identity.listening_port.to_string();
        replconf(&mut connection, &["listening-port", &port]).await?;
        replconf(&mut connection, &["capa", "eof", "capa", "psync2"]).await?;

        // Exactly these two words, in lower case: any other form is answered with OK and creates nothing.
        let reply = connection.call(&["REPLCONF", "capa", "dragonfly"]).await?;
        const REQUEST: &str = "REPLCONF capa dragonfly";
        let mut greeting = match &reply {
            Reply::Error(line) => {
                return Err(not_dragonfly_or(&addr, &server, Error::from_line(&addr, REQUEST, line)));
            }
            reply if reply.is_ok() => return Err(not_dragonfly(addr, &server)),
            reply => Greeting::parse(reply).map_err(|reason| Error::unknown(&addr, REQUEST, reason))?,
        };
        match greeting.version {
            None => return Err(unsupported("1.0 to 1.3".to_owned())),
            Some(0 | 1) => return Err(unsupported("1.4 to 1.10".to_owned())),
            Some(_) => {}
        }
        if server.dragonfly_version.is_some() {
            greeting.release = release;
            greeting.custom_build = greeting.release.is_none();
        } else {
            greeting.release = known_release;
        }

        // Masters that do not know the label lose nothing by it.
        if let Err(error @ (Error::Refused { .. } | Error::UnknownReply { .. })) =
            replconf(&mut connection, &["CLIENT-ID", &identity.client_id]).await
        {
            debug!(%error, "client id not taken");
        }
        // Only here: without an attachment behind it this command ends the master's process (observed, v1.40.1).
        if let Some(version) = greeting.version {
            let version = version.min(CLIENT_VERSION).to_string();
            replconf(&mut connection, &["CLIENT-VERSION", &version]).await?;
        }
        Ok(Control { connection, greeting })
    }

    /// What the master answered.
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// host:port as configured.
    pub fn addr(&self) -> &str {
        self.connection.addr()
    }

    /// `DFLY SYNC`: the snapshot starts on every flow. Bytes arrive on the flows before this returns, and the master
    /// holds all its clients until they are read.
    pub async fn sync(&mut self, limit: Duration) -> Result<(), Error> {
        self.dfly("SYNC", "DFLY SYNC", limit).await
    }

    /// `DFLY STARTSTABLE`: the snapshot ends and the journal follows. In a full sync it may only be sent once
    /// FULLSYNC_END was read on every flow; sent earlier, the master stalls all its clients for the rest of the
    /// snapshot. The flows must be read while this waits.
    pub async fn start_stable(&mut self, limit: Duration) -> Result<(), Error> {
        self.dfly("STARTSTABLE", "DFLY STARTSTABLE", limit).await
    }

    /// Asks whether the other side is still there. Whatever it answers: it is.
    ///
    /// # Errors
    /// The connection's own: no answer within `limit`, or its end.
    pub async fn ping(&mut self, limit: Duration) -> Result<(), Error> {
        self.connection.call_within(limit, &["PING"]).await?;
        Ok(())
    }

    /// Whether a replica is just taking over from this master: it then refuses everything but PING and what
    /// administrators run, with the words of a master that loads, before it looks at the user's rights. ECHO is served
    /// while loading, so that the two are told apart (v1.40.1 `main_service.cc` VerifyCommandState; observed).
    ///
    /// On an admin port the answer is always no.
    pub async fn is_taken_over(&mut self, limit: Duration) -> Result<bool, Error> {
        let reply = self.connection.call_within(limit, &["ECHO", "takeover"]).await?;
        Ok(matches!(reply, Reply::Error(line) if line.starts_with(b"LOADING")))
    }

    /// Closes the connection, and with it the attachment; waits, at most `limit`, until the master has noticed.
    pub async fn close(self, limit: Duration) {
        self.connection.shutdown(limit).await;
    }

    async fn dfly(&mut self, command: &str, request: &'static str, limit: Duration) -> Result<(), Error> {
        let reply = self.connection.call_within(limit, &["DFLY", command, &self.greeting.sync_id]).await?;
        expect_ok(self.connection.addr(), request, &reply)
    }
}

fn pong(addr: &str, reply: &Reply) -> Result<(), Error> {
    match reply {
        Reply::Error(line) => Err(Error::from_line(addr, "PING", line)),
        _ => Ok(()),
    }
}

async fn replconf(connection: &mut Connection, args: &[&str]) -> Result<(), Error> {
    let mut words = vec!["REPLCONF"];
    words.extend_from_slice(args);
    let reply = connection.call(&words).await?;
    expect_ok(connection.addr(), &format!("REPLCONF {}", args[0]), &reply)
}

/// Finds out what the server is by INFO, else by HELLO without arguments, which does not change the protocol. A user
/// who may run neither (an ACL user needs no more than PING, REPLCONF and DFLY) leaves the answer open.
async fn ask_server(connection: &mut Connection) -> Result<Server, Error> {
    let mut server = Server::default();
    if let Some(text) = connection.call(&["INFO", "server"]).await?.as_str() {
        server.read_info(text);
    } else if let Reply::Array(fields) = connection.call(&["HELLO"]).await? {
        server.read_hello(&fields);
    } else {
        warn!(addr = connection.addr(), "the user may run neither INFO nor HELLO, release unknown");
    }
    if server.dragonfly_version.is_some() {
        server.part_of_cluster = ask_slots(connection).await?;
    }
    // Replicas of later releases refuse by themselves.
    let release = server.dragonfly_version.as_deref().and_then(Release::parse);
    if release.is_some_and(|r| !r.refuses_replicas_of_replicas()) {
        let reply = connection.call(&["INFO", "replication"]).await?;
        server.replica =
            info_field(reply.as_str().unwrap_or_default(), "role").is_some_and(|r| r != "master");
    }
    Ok(server)
}

/// Which slots a master in cluster mode has, if not all. In emulated mode it has all; in the real one it depends, and
/// before it is told there is an error line (v1.11.0 to v1.40.1 `cluster_family.cc` ClusterSlots). A user who may not ask
/// leaves the answer open.
async fn ask_slots(connection: &mut Connection) -> Result<Option<String>, Error> {
    let info = connection.call(&["INFO", "cluster"]).await?;
    if info.as_str().and_then(|text| info_field(text, "cluster_enabled")) != Some("1") {
        return Ok(None);
    }
    let reply = connection.call(&["CLUSTER", "SLOTS"]).await?;
    match &reply {
        Reply::Array(ranges) => Ok(own_slots(ranges)),
        Reply::Error(line) if line.starts_with(b"NOPERM") => {
            warn!(
                addr = connection.addr(),
                "the user may not run CLUSTER, it is not known which slots the source has"
            );
            Ok(None)
        }
        Reply::Error(_) => Ok(Some("no slots yet".to_owned())),
        _ => Ok(None),
    }
}

/// `None`: one master has all of them. Each range is `[from, to, [ip, port, id], replicas...]`; the first master named is
/// the one that is told about, whichever it is.
fn own_slots(ranges: &[Reply]) -> Option<String> {
    let mut masters = Vec::new();
    let (mut slots, mut words) = (0, Vec::new());
    for range in ranges {
        let [from, to, master, ..] = range.as_array()? else { return None };
        let master = master.as_array()?.get(..2)?;
        if !masters.contains(&master) {
            masters.push(master);
        }
        let (from, to) = (from.as_integer()?, to.as_integer()?);
        slots += to - from + 1;
        words.push(format!("{from}-{to}"));
    }
    match (masters.len(), slots) {
        (1, 16_384) => None,
        (0, _) => Some("no slots".to_owned()),
        (1, _) => Some(format!("the slots {}", words.join(","))),
        (masters, _) => Some(format!("its part, one of {masters} masters,")),
    }
}

impl Server {
    fn read_info(&mut self, text: &str) {
        self.dragonfly_version = info_field(text, "dragonfly_version").map(str::to_owned);
        let valkey = info_field(text, "valkey_version").map(|v| format!("Valkey {v}"));
        let redis = info_field(text, "redis_version").map(|v| format!("Redis {v}"));
        self.other = valkey.or(redis);
    }

    fn read_hello(&mut self, fields: &[Reply]) {
        let field = |name: &str| {
            let pair = fields.chunks_exact(2).find(|p| p[0].as_str() == Some(name));
            pair.and_then(|p| p[1].as_str())
        };
        self.dragonfly_version = field("dragonfly_version").map(str::to_owned);
        let name = field("server").map(|s| if s == "valkey" { "Valkey" } else { "Redis" });
        self.other = name.map(|n| format!("{n} {}", field("version").unwrap_or_default()).trim().to_owned());
    }
}

fn info_field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

fn not_dragonfly(addr: String, server: &Server) -> Error {
    let found = server.other.clone().unwrap_or_else(|| "a Redis or Valkey".to_owned());
    Error::NotDragonfly { addr, found }
}

/// A server that calls itself something else may refuse the greeting instead of saying OK to it.
fn not_dragonfly_or(addr: &str, server: &Server, error: Error) -> Error {
    match error {
        Error::Refused { .. } if server.dragonfly_version.is_none() && server.other.is_some() => {
            not_dragonfly(addr.to_owned(), server)
        }
        other => other,
    }
}
