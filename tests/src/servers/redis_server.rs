//! One redis-server.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::process::Process;
use super::{Certificates, free_port};
use crate::client::{Client, Endpoint};
use crate::wait;

/// How long a server may take until it answers; a loaded machine is slow, a broken one never answers.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// How often a start on another port is tried when somebody took the port meanwhile.
const PORT_TRIES: usize = 5;

/// How a redis-server is started. `RedisOptions::default()` has no login, no TLS and no persistence.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// `requirepass`: the password of the default user.
    pub password: Option<String>,
    /// ACL rules, one user each, as in the `user` directive: `"name on >secret ~* +@all"`.
    pub users: Vec<String>,
    /// Also listen with TLS; [`RedisServer::tls_addr`] is that port.
    pub tls: Option<Certificates>,
    /// Whether TLS clients must show a certificate of the CA.
    pub require_client_certificate: bool,
    /// `appendonly yes` with `appendfsync always`: a SIGKILL loses nothing that was acknowledged.
    pub appendonly: bool,
    /// `maxmemory`, e.g. `"64mb"` (policy noeviction).
    pub maxmemory: Option<String>,
    /// `databases`; 16 if `None`.
    pub databases: Option<u32>,
    /// Further arguments, one word each, e.g. `["--replicaof", "127.0.0.1", "7000"]`.
    pub extra: Vec<String>,
    /// `cluster-enabled yes` with its own bus port; [`super::Cluster`] sets it. A single server with it is a
    /// cluster without slots.
    pub cluster: bool,
}

/// A running redis-server. It gets SIGKILL on drop and its directory goes with it.
#[derive(Debug)]
pub struct RedisServer {
    options: RedisOptions,
    dir: TempDir,
    port: u16,
    tls_port: Option<u16>,
    bus_port: Option<u16>,
    process: Process,
}

impl RedisServer {
    /// Starts a server on a free port and waits until it answers PING.
    pub fn start(options: RedisOptions) -> Self {
        let mut server = Self::launch(options);
        server.wait_answering();
        server
    }

    /// Starts a server without waiting until it answers; [`RedisServer::wait_answering`] is due before use.
    pub(crate) fn launch(options: RedisOptions) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let port = free_port();
        let tls_port = options.tls.as_ref().map(|_| free_port());
        let bus_port = options.cluster.then(free_port);
        let process = spawn(&options, dir.path(), port, tls_port, bus_port);
        Self { options, dir, port, tls_port, bus_port, process }
    }

    /// Waits until the server answers PING; starts it on other ports if another process took one of them.
    pub(crate) fn wait_answering(&mut self) {
        for _ in 0..PORT_TRIES {
            let up = wait::try_until_some(START_DEADLINE, &mut || {
                if self.process.ended().is_some() {
                    return Some(false);
                }
                Client::open(&self.endpoint()).ok()?.try_call(&["PING"]).ok().map(|_| true)
            });
            match up {
                Some(true) => return,
                Some(false) if self.log().contains("Address already in use") => {
                    self.port = free_port();
                    self.tls_port = self.tls_port.map(|_| free_port());
                    self.bus_port = self.bus_port.map(|_| free_port());
                    self.spawn_again();
                }
                Some(false) => panic!("redis-server ended at its start:\n{}", self.log()),
                None => {
                    panic!(
                        "redis-server does not answer on {} after {START_DEADLINE:?}:\n{}",
                        self.addr(),
                        self.log()
                    )
                }
            }
        }
        panic!("redis-server found no free port in {PORT_TRIES} tries");
    }

    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The plain-text port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The cluster bus port, for `CLUSTER MEET`.
    pub(crate) fn bus_port(&self) -> Option<u16> {
        self.bus_port
    }

    /// `127.0.0.1:port` of the TLS port; panics without [`RedisOptions::tls`].
    pub fn tls_addr(&self) -> String {
        format!("127.0.0.1:{}", self.tls_port.expect("the server was started with TLS"))
    }

    /// The plain port with the login of the default user.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { password: self.options.password.clone(), ..Endpoint::new(self.addr()) }
    }

    /// A new connection, logged in as the default user.
    pub fn client(&self) -> Client {
        let endpoint = self.endpoint();
        Client::open(&endpoint).unwrap_or_else(|e| panic!("no connection to {}: {e}", endpoint.addr))
    }

    /// The server's directory, where it keeps its `dump.rdb` and `appendonlydir`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Everything the server logged since it was last started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether the process runs (a paused one does).
    pub fn is_running(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(&mut self) {
        self.process.signal("TERM");
        self.process.wait(START_DEADLINE, "the end of redis-server after SIGTERM");
    }

    /// SIGSTOP: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.process.signal("STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.signal("CONT");
    }

    /// Kills the server if it runs, starts it again on the same port and directory, and waits until it
    /// answers. Without persistence it comes back empty.
    pub fn restart(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Starts the server again on the same port and directory after it was killed, and waits until it answers.
    pub fn start_again(&mut self) {
        self.spawn_again();
        let answering = wait::try_until_some(START_DEADLINE, &mut || {
            Client::open(&self.endpoint()).ok()?.try_call(&["PING"]).ok()
        });
        assert!(answering.is_some(), "redis-server does not come back on {}:\n{}", self.addr(), self.log());
    }

    fn spawn_again(&mut self) {
        self.process = spawn(&self.options, self.dir.path(), self.port, self.tls_port, self.bus_port);
    }
}

fn spawn(
    options: &RedisOptions,
    dir: &Path,
    port: u16,
    tls_port: Option<u16>,
    bus_port: Option<u16>,
) -> Process {
    let log = dir.join("log");
    Process::spawn("redis-server", arguments(options, dir, port, tls_port, bus_port), dir, &log, &log)
}

fn arguments(
    options: &RedisOptions,
    dir: &Path,
    port: u16,
    tls_port: Option<u16>,
    bus_port: Option<u16>,
) -> Vec<String> {
    let mut args = Vec::new();
    let mut set = |name: &str, value: &str| args.extend([format!("--{name}"), value.to_owned()]);
    set("port", &port.to_string());
    set("bind", "127.0.0.1");
    set("protected-mode", "no");
    set("dir", &dir.to_string_lossy());
    set("save", "");
    set("daemonize", "no");
    // A replica waits 5 s for others by default before its full sync starts.
    set("repl-diskless-sync-delay", "0");
    set("enable-debug-command", "yes");
    if options.appendonly {
        set("appendonly", "yes");
        set("appendfsync", "always");
    }
    if let Some(password) = &options.password {
        set("requirepass", password);
        set("masterauth", password);
    }
    if let Some(maxmemory) = &options.maxmemory {
        set("maxmemory", maxmemory);
        set("maxmemory-policy", "noeviction");
    }
    if let Some(databases) = options.databases {
        set("databases", &databases.to_string());
    }
    if let (Some(certificates), Some(tls_port)) = (&options.tls, tls_port) {
        set("tls-port", &tls_port.to_string());
        set("tls-ca-cert-file", &certificates.ca_file.to_string_lossy());
        set("tls-cert-file", &certificates.server_cert.to_string_lossy());
        set("tls-key-file", &certificates.server_key.to_string_lossy());
        set("tls-auth-clients", if options.require_client_certificate { "yes" } else { "no" });
    }
    if let Some(bus_port) = bus_port {
        set("cluster-enabled", "yes");
        set("cluster-port", &bus_port.to_string());
        set("cluster-node-timeout", "2000");
        set("cluster-replica-validity-factor", "0");
        set("repl-ping-replica-period", "1");
        set("cluster-allow-replica-migration", "no");
    }
    for user in &options.users {
        // One argument per rule: redis-server quotes an argument with spaces into a single word.
        args.push("--user".to_owned());
        args.extend(user.split_whitespace().map(str::to_owned));
    }
    args.extend(options.extra.iter().cloned());
    args
}
