//! Target servers of other releases, as far as they are at hand.

use std::path::{Path, PathBuf};

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
        let binaries = binaries();
        if binaries.len() == 1 {
            println!("skipped for other releases of the target (TARGET_BINS is not set): {test}");
        }
        binaries.into_iter().map(|binary| match Self::start(&binary, None) {
            Ok(server) => server,
            Err(log) => panic!("{} does not start: {log}", binary.display()),
        })
    }

    /// Each of these with each module in `TARGET_MODULES` (files, separated by colons) that has this command. A server that
    /// does not load a module is named and passed over; without `TARGET_MODULES` the test's name is printed as skipped.
    pub fn each_with_module(test: &str, command: &str) -> impl Iterator<Item = OtherServer> + use<> {
        let modules = paths("TARGET_MODULES");
        if modules.is_empty() {
            println!("skipped (TARGET_MODULES is not set): {test}");
        }
        let binaries = binaries();
        let pairs = modules
            .into_iter()
            .flat_map(move |module| binaries.clone().into_iter().map(move |binary| (binary, module.clone())));
        let command = command.to_owned();
        pairs.filter_map(move |(binary, module)| {
            let name = module.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match Self::start(&binary, Some(&module)) {
                Ok(mut server) => {
                    server.name = format!("{} with {name}", server.name);
                    let known = format!("{:?}", server.client().call(&["COMMAND", "INFO", &command]));
                    (!known.contains("nil")).then_some(server)
                }
                Err(log) => {
                    let reason = log.lines().find(|line| line.contains("odule")).unwrap_or_default();
                    println!("skipped: {} does not load {name}: {reason}", binary.display());
                    None
                }
            }
        })
    }

    /// `Err`: it ended at once; its log.
    fn start(binary: &Path, module: Option<&Path>) -> Result<OtherServer, String> {
        let dir = TempDir::new().expect("a temporary directory");
        let (port, log) = (free_port(), dir.path().join("log"));
        let args = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"];
        let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        args.push(dir.path().display().to_string());
        if let Some(module) = module {
            args.extend(["--loadmodule".to_owned(), module.display().to_string()]);
        }
        let mut process = Process::spawn(binary, args, dir.path(), &log, &log);
        let endpoint = Endpoint::new(format!("127.0.0.1:{port}"));
        let mut client =
            wait::until_some(std::time::Duration::from_secs(20), &binary.display().to_string(), || {
                if process.ended().is_some() {
                    return Some(Err(std::fs::read_to_string(&log).unwrap_or_default()));
                }
                let mut client = Client::open(&endpoint).ok()?;
                client.try_call(&["PING"]).ok().map(|_| Ok(client))
            })?;
        let mut server = OtherServer { name: String::new(), port, _process: process, _dir: dir };
        let valkey = client.info("server", "valkey_version").map(|version| format!("valkey-{version}"));
        let redis = client.info("server", "redis_version").map(|version| format!("redis-{version}"));
        server.name = valkey.or(redis).expect("a server says its version");
        Ok(server)
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

/// The `redis-server` of the path, and those that `TARGET_BINS` names.
fn binaries() -> Vec<PathBuf> {
    let mut binaries: Vec<PathBuf> = vec!["redis-server".into()];
    binaries.extend(paths("TARGET_BINS"));
    binaries
}

/// What a variable names, separated by colons.
fn paths(variable: &str) -> Vec<PathBuf> {
    let named = std::env::var_os(variable).unwrap_or_default();
    std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty()).collect()
}
