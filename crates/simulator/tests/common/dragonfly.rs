//! A real Dragonfly, where `DRAGONFLY_BIN` names one.
#![allow(dead_code, unreachable_pub)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running Dragonfly of two shards without persistence; killed on drop.
pub struct Dragonfly {
    process: Child,
    addr: SocketAddr,
}

impl Dragonfly {
    /// Starts it with further flags; nothing where there is none to start, which is said.
    pub fn start(test: &str, flags: &[&str]) -> Option<Dragonfly> {
        let Some(binary) = std::env::var_os("DRAGONFLY_BIN").filter(|b| !b.is_empty()) else {
            println!("SKIPPED {test}: DRAGONFLY_BIN is not set");
            return None;
        };
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let fixed = ["--proactor_threads=2", "--dbfilename=", "--bind=127.0.0.1", "--version_check=false"];
        let process = Command::new(binary)
            .args(fixed)
            .args(["--maxmemory=1gb", &format!("--port={}", addr.port())])
            .args(flags)
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut dragonfly = Dragonfly { process, addr };
        let began = Instant::now();
        while TcpStream::connect(addr).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "Dragonfly does not listen");
            assert!(dragonfly.process.try_wait().unwrap().is_none(), "Dragonfly has ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(dragonfly)
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }
}

impl Drop for Dragonfly {
    fn drop(&mut self) {
        self.kill();
    }
}
