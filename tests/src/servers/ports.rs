//! Ports that nobody listens on.

use std::net::TcpListener;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// First port handed out. Below Linux's default range for outgoing connections (32768 and up), so that no
/// client socket takes the port between the look and the server's own bind.
const FIRST: u32 = 10_000;

/// How many ports there are from [`FIRST`] on.
const COUNT: u32 = 20_000;

/// A loopback port that is free now. Test processes that run at the same time start at different places, and
/// one process does not hand out a port twice in a row; whoever starts a server still has to retry when
/// another process was faster.
pub fn free_port() -> u16 {
    static START: OnceLock<u32> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = *START.get_or_init(|| {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
        std::process::id().wrapping_mul(2_654_435_761).wrapping_add(nanos)
    });
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = (FIRST + start.wrapping_add(step) % COUNT) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST} to {}", FIRST + COUNT);
}
