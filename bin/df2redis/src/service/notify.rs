//! The notify protocol of systemd (sd_notify(3)): datagrams to the socket that the environment names.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tracing::warn;

/// What a start asks for each time it shows that it is at work, and a stop once. The manager ends the process when it was
/// silent for so long and its own time limit (`TimeoutStartSec=`, `TimeoutStopSec=`) is over as well.
const EXTENSION: Duration = Duration::from_secs(15);

/// The way to the service manager; without one everything is said to nobody.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
    ready: AtomicBool,
    stopping: AtomicBool,
}

impl Notifier {
    /// From `NOTIFY_SOCKET` (a path, or `@` and an abstract name), `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub(crate) fn new(env: &dyn Fn(&str) -> Option<String>) -> Notifier {
        let socket = env("NOTIFY_SOCKET").filter(|name| !name.is_empty()).and_then(|name| {
            connect(&name)
                .inspect_err(
                    |error| warn!(%error, socket = name, "the service manager cannot be told anything"),
                )
                .ok()
        });
        let ours = env("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = env("WATCHDOG_USEC").filter(|_| ours && socket.is_some());
        let watchdog = watchdog.and_then(|usec| usec.parse().ok()).filter(|usec| *usec > 0);
        let watchdog = watchdog.map(Duration::from_micros);
        Notifier { socket, watchdog, ready: AtomicBool::new(false), stopping: AtomicBool::new(false) }
    }

    /// Within which the service manager wants a sign of life.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// `READY=1`, the first time.
    pub(crate) fn ready(&self) {
        if !self.stopping.load(Relaxed) && !self.ready.swap(true, Relaxed) {
            self.send("READY=1");
        }
    }

    /// `EXTEND_TIMEOUT_USEC=`, as long as `READY=1` was not said: the start is at work and asks for this much more time,
    /// counted from now.
    pub(crate) fn starting(&self) {
        if !self.stopping.load(Relaxed) && !self.ready.load(Relaxed) {
            self.send(&format!("EXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros()));
        }
    }

    /// `STATUS=`: one line for `systemctl status`.
    pub(crate) fn status(&self, line: &str) {
        self.send(&format!("STATUS={}", line.replace('\n', " ")));
    }

    /// `WATCHDOG=1`.
    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// `STOPPING=1`, the first time, with the time that a stop takes at most.
    pub(crate) fn stopping(&self) {
        if !self.stopping.swap(true, Relaxed) {
            let longest = EXTENSION.as_micros();
            self.send(&format!("STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC={longest}"));
        }
    }

    fn send(&self, state: &str) {
        // A manager that does not read, or is gone, is told again soon.
        let _ = self.socket.as_ref().map(|socket| socket.send(state.as_bytes()));
    }
}

fn connect(name: &str) -> io::Result<UnixDatagram> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // The replication does not wait for its manager.
    socket.set_nonblocking(true)?;
    Ok(socket)
}
