//! One redis-server.

use super::Certificates;
use crate::client::{Client, Endpoint};

/// How a redis-server is started. `RedisOptions::default()` has no login, no TLS and no persistence.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// `requirepass`: the password of the default user.
    pub password: Option<String>,
    /// ACL rules, one user each, as in `--user`: `"name on >secret ~* +@all"`.
    pub users: Vec<String>,
    /// Also listen with TLS; [`RedisServer::tls_addr`] is that port.
    pub tls: Option<Certificates>,
    /// Whether TLS clients must show a certificate of the CA.
    pub require_client_certificate: bool,
    /// `appendonly yes` with `appendfsync always`.
    pub appendonly: bool,
    /// `maxmemory`, e.g. `"64mb"` (policy noeviction).
    pub maxmemory: Option<String>,
    /// `databases`; 16 if `None`.
    pub databases: Option<u32>,
    /// Further arguments, e.g. `["--replicaof", "127.0.0.1 7000"]`.
    pub extra: Vec<String>,
}

/// A running redis-server.
#[derive(Debug)]
pub struct RedisServer {
    options: RedisOptions,
}

impl RedisServer {
    /// Starts a server on a free port and waits until it answers PING.
    pub fn start(options: RedisOptions) -> Self {
        Self { options }
    }
    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        unimplemented!()
    }
    /// `127.0.0.1:port` of the TLS port.
    pub fn tls_addr(&self) -> String {
        unimplemented!()
    }
    /// The plain port with the login of the default user.
    pub fn endpoint(&self) -> Endpoint {
        unimplemented!("{:?}", self.options)
    }
    /// A new connection, logged in as the default user.
    pub fn client(&self) -> Client {
        unimplemented!()
    }
    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        unimplemented!()
    }
    /// SIGTERM, and waits for the end.
    pub fn terminate(&mut self) {
        unimplemented!()
    }
    /// SIGSTOP: connections stay open and nothing answers.
    pub fn pause(&self) {
        unimplemented!()
    }
    /// SIGCONT.
    pub fn resume(&self) {
        unimplemented!()
    }
    /// Kills the server if it runs and starts it again on the same port and directory.
    pub fn restart(&mut self) {
        unimplemented!()
    }
}
