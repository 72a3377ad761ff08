//! Ports that nobody listens on.

/// A loopback port that is free now and that the kernel does not hand out to outgoing connections.
pub fn free_port() -> u16 {
    unimplemented!()
}
