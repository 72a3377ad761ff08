//! A blocking client for tests: the `redis` crate with raw commands and pipelines.

use std::time::Duration;

use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisError, Value};

/// Where a server listens and how to log in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// `host:port` of the plain-text port.
    pub addr: String,
    /// ACL user; `None` is the default user.
    pub username: Option<String>,
    /// Password, if the server wants one.
    pub password: Option<String>,
}

impl Endpoint {
    /// An endpoint without a login.
    pub fn new(addr: impl Into<String>) -> Self {
        Self { addr: addr.into(), username: None, password: None }
    }

    fn host_and_port(&self) -> (String, u16) {
        let (host, port) = self.addr.rsplit_once(':').expect("an endpoint is host:port");
        (host.to_owned(), port.parse().expect("a port is a number"))
    }
}

/// Why a call has no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The server's error line, without the `-`, e.g. `MOVED 3999 127.0.0.1:7001`.
    Reply(String),
    /// No connection, or it broke: why.
    Broken(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reply(line) => f.write_str(line),
            Self::Broken(reason) => write!(f, "connection: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// One connection to a server.
pub struct Client {
    connection: redis::Connection,
    /// Commands not yet sent, encoded.
    queued: Vec<u8>,
    /// How many commands `queued` holds.
    count: usize,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("queued", &self.count).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects (2 s) and logs in. A reply may take 60 s, then the call fails.
    pub fn open(endpoint: &Endpoint) -> Result<Self, Error> {
        let (host, port) = endpoint.host_and_port();
        let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(username) = &endpoint.username {
            login = login.set_username(username);
        }
        if let Some(password) = &endpoint.password {
            login = login.set_password(password);
        }
        let info = ConnectionAddr::Tcp(host, port).into_connection_info()?.set_redis_settings(login);
        let connection = redis::Client::open(info)?.get_connection_with_timeout(Duration::from_secs(2))?;
        connection.set_read_timeout(Some(Duration::from_secs(60)))?;
        connection.set_write_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { connection, queued: Vec::new(), count: 0 })
    }

    /// How long a reply may take from now on (60 s unless set).
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.connection.set_read_timeout(Some(timeout)).expect("a timeout above zero is accepted");
    }

    /// Sends one command and returns its reply; an error reply is an `Err`. Nothing may be queued.
    pub fn try_call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Value, Error> {
        assert_eq!(self.count, 0, "a call would overtake the queued commands");
        self.queue(args);
        let reply = self.flush()?.pop().expect("one command has one reply");
        as_error(&reply).map_or(Ok(reply), |line| Err(Error::Reply(line)))
    }

    /// [`Client::try_call`] that panics on an error reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        self.try_call(args).unwrap_or_else(|e| panic!("{}: {e}", readable_command(args)))
    }

    /// [`Client::call`] whose reply is text (simple or bulk string, or a number).
    pub fn text<A: AsRef<[u8]>>(&mut self, args: &[A]) -> String {
        let reply = self.call(args);
        as_text(&reply).unwrap_or_else(|| panic!("{}: not text: {reply:?}", readable_command(args)))
    }

    /// [`Client::call`] whose reply is a number.
    pub fn number<A: AsRef<[u8]>>(&mut self, args: &[A]) -> i64 {
        let reply = self.call(args);
        as_number(&reply).unwrap_or_else(|| panic!("{}: no number: {reply:?}", readable_command(args)))
    }

    /// One field of an `INFO` section, e.g. `info("replication", "master_repl_offset")`.
    pub fn info(&mut self, section: &str, field: &str) -> Option<String> {
        let text = self.text(&["INFO", section]);
        text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(|v| v.trim().to_owned()))
    }

    /// Adds a command to the pipeline without sending it.
    pub fn queue<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        let out = &mut self.queued;
        out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
        for arg in args {
            let arg = arg.as_ref();
            out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            out.extend_from_slice(arg);
            out.extend_from_slice(b"\r\n");
        }
        self.count += 1;
    }

    /// How many commands wait in the pipeline.
    pub fn queued(&self) -> usize {
        self.count
    }

    /// Sends the pipeline and returns one reply per command, in order; error replies are
    /// [`Value::ServerError`]. `Err` only when the connection broke, and then the pipeline is empty too.
    pub fn flush(&mut self) -> Result<Vec<Value>, Error> {
        let count = std::mem::take(&mut self.count);
        if count == 0 {
            return Ok(Vec::new());
        }
        let sent = self.connection.send_packed_command(&self.queued);
        self.queued.clear();
        sent?;
        (0..count).map(|_| Ok(self.connection.recv_response()?)).collect()
    }
}

/// The line of an error reply.
pub fn as_error(reply: &Value) -> Option<String> {
    let Value::ServerError(error) = reply else { return None };
    Some(
        error
            .details()
            .map_or_else(|| error.code().to_owned(), |details| format!("{} {details}", error.code())),
    )
}

/// Text of a simple string, a bulk string that is UTF-8, or a number.
pub fn as_text(reply: &Value) -> Option<String> {
    match reply {
        Value::Okay => Some("OK".to_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::VerbatimString { text, .. } => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A number, sent as such or as text.
pub fn as_number(reply: &Value) -> Option<i64> {
    match reply {
        Value::Int(number) => Some(*number),
        other => as_text(other)?.parse().ok(),
    }
}

/// Bytes as text: printable ASCII as it is, the rest as `\xNN`, cut after 120 bytes.
pub fn readable(bytes: &[u8]) -> String {
    const SHOWN: usize = 120;
    let mut text = String::from("\"");
    for byte in bytes.iter().take(SHOWN) {
        text.extend(std::ascii::escape_default(*byte).map(char::from));
    }
    text.push('"');
    if bytes.len() > SHOWN {
        text.push_str(&format!("... ({} bytes)", bytes.len()));
    }
    text
}

fn readable_command<A: AsRef<[u8]>>(args: &[A]) -> String {
    args.iter().map(|a| readable(a.as_ref())).collect::<Vec<_>>().join(" ")
}
