//! Target servers of other releases, as far as they are at hand.

use std::path::PathBuf;

use tempfile::TempDir;

use super::free_port;
use super::process::Process;
use crate::client::{Client, Endpoint};
use crate::wait;

/// A server of a release that `TARGET_BINS` names. It gets SIGKILL on drop.
#[derive(Debug)]
pub struct OtherServer {
    /// Product and version, such as `redis-7.4.1`.
    pub name: String,
    port: u16,
    _process: Process,
    _dir: TempDir,
}

impl OtherServer {
    /// One of each binary in `TARGET_BINS` (separated by colons), and the `redis-server` of the path. Without `TARGET_BINS` the
    /// test's name is printed as skipped for the others.
    pub fn each(test: &str) -> impl Iterator<Item = OtherServer> + use<> {
        let named = std::env::var_os("TARGET_BINS").unwrap_or_default();
        let mut binaries: Vec<PathBuf> = vec!["redis-server".into()];
        binaries.extend(std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty()));
        if binaries.len() == 1 {
            println!("skipped for other releases of the target (TARGET_BINS is not set): {test}");
        }
        binaries.into_iter().map(Self::start)
    }

    fn start(binary: PathBuf) -> OtherServer {
        let dir = TempDir::new().expect("a temporary directory");
        let (port, log) = (free_port(), dir.path().join("log"));
        let args = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"];
        let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        args.push(dir.path().display().to_string());
        let process = Process::spawn(&binary, args, dir.path(), &log, &log);
        let mut server = OtherServer { name: String::new(), port, _process: process, _dir: dir };
        let endpoint = server.endpoint();
        let mut client =
            wait::until_some(std::time::Duration::from_secs(20), &binary.display().to_string(), || {
                let mut client = Client::open(&endpoint).ok()?;
                client.try_call(&["PING"]).ok().map(|_| client)
            });
        let valkey = client.info("server", "valkey_version").map(|version| format!("valkey-{version}"));
        let redis = client.info("server", "redis_version").map(|version| format!("redis-{version}"));
        server.name = valkey.or(redis).expect("a server says its version");
        server
    }

    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// For ordinary clients.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.addr())
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::open(&self.endpoint()).unwrap_or_else(|e| panic!("{} does not answer: {e}", self.name))
    }
}
