//! A real redis-server for one test.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Killed when dropped.
pub(crate) struct RedisServer {
    child: Child,
    pub(crate) addr: String,
    _dir: TempDir,
}

impl RedisServer {
    /// One that listens without TLS, with these options besides.
    pub(crate) fn plain<A: AsRef<OsStr>>(args: &[A]) -> Self {
        Self::start("--port", args)
    }

    pub(crate) fn start<A: AsRef<OsStr>>(port_option: &str, args: &[A]) -> Self {
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let dir = tempfile::tempdir().unwrap();
            let mut child = Command::new("redis-server")
                .args([port_option, &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
                .arg("--dir")
                .arg(dir.path())
                .args(args)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("redis-server is on the PATH");
            let mut log = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
            let ready = log.by_ref().any(|line| line.contains("Ready to accept connections"));
            // The log is read on, or the server would stop at a full pipe.
            std::thread::spawn(move || log.for_each(drop));
            if ready {
                return RedisServer { child, addr: format!("127.0.0.1:{port}"), _dir: dir };
            }
            // Somebody took the port in between.
            child.wait().unwrap();
        }
        panic!("redis-server does not start");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
