//! Ports that nobody listens on.

use std::net::TcpListener;

use anyhow::{Result, bail};

/// Where the search begins and how far it goes: below the range that outgoing connections take their ports from, so
/// that a port is still free when a server is started on it, or started again.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// Hands out ports of the loopback interface, none of them twice.
#[derive(Debug)]
pub(crate) struct Ports {
    next: u16,
    left: u16,
}

impl Ports {
    /// Different processes begin at different places.
    pub(crate) fn new() -> Ports {
        let start = std::process::id().wrapping_mul(7919) % u32::from(COUNT);
        Ports { next: u16::try_from(start).unwrap_or(0), left: COUNT }
    }

    /// The next one that is free.
    pub(crate) fn free(&mut self) -> Result<u16> {
        while self.left > 0 {
            let port = FIRST + self.next;
            self.next = (self.next + 1) % COUNT;
            self.left -= 1;
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return Ok(port);
            }
        }
        bail!("no port between {FIRST} and {} is free", FIRST + COUNT)
    }
}
