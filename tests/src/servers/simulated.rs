//! The simulated Dragonfly master for tests that are not asynchronous.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::Runtime;

use crate::client::{Client, Endpoint};

/// Runs a future of the simulator to its end; what it spawns goes on in the background of this test process.
pub fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .thread_name("simulator")
            .build()
            .expect("threads can be started")
    });
    runtime.block_on(future)
}

/// A running simulated master; it stops on drop.
#[derive(Debug)]
pub struct Simulated {
    handle: simulator::Handle,
    password: Option<String>,
}

impl Simulated {
    /// Two shards, release 1.40, no password.
    pub fn start() -> Self {
        Self::start_with(simulator::Simulator::builder())
    }

    /// A master with other settings. One with a password is started by [`Simulated::with_password`].
    pub fn start_with(builder: simulator::Builder) -> Self {
        let handle =
            on_runtime(builder.start()).unwrap_or_else(|e| panic!("the simulator does not start: {e}"));
        Self { handle, password: None }
    }

    /// A master that wants this password.
    pub fn with_password(builder: simulator::Builder, password: &str) -> Self {
        Self { password: Some(password.to_owned()), ..Self::start_with(builder.password(password)) }
    }

    /// The simulator's own handle: faults, attachments, LSNs, commands without a socket.
    pub fn handle(&self) -> &simulator::Handle {
        &self.handle
    }

    /// `127.0.0.1:port`, also where it listens on every address.
    pub fn addr(&self) -> String {
        let addr = self.handle.addr();
        if addr.ip().is_unspecified() { format!("127.0.0.1:{}", addr.port()) } else { addr.to_string() }
    }

    /// The port with the login of the default user.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { password: self.password.clone(), ..Endpoint::new(self.addr()) }
    }

    /// A new connection, logged in.
    pub fn client(&self) -> Client {
        let endpoint = self.endpoint();
        Client::open(&endpoint).unwrap_or_else(|e| panic!("no connection to {}: {e}", endpoint.addr))
    }

    /// The next LSN of every flow.
    pub fn next_lsns(&self) -> Vec<u64> {
        self.handle.lsns()
    }

    /// Behaves as if the process had been restarted on the same port: connections closed, another replication id,
    /// LSNs from 1.
    pub fn restart(&self, keep_data: bool) {
        on_runtime(self.handle.restart(keep_data));
    }
}
