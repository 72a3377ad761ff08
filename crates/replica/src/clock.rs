//! What time it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The clock that expiries and reports go by.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    System,
    /// One that goes with the runtime's timers, so that a test can stand still or jump.
    Runtime {
        /// The runtime's time that stands for the Unix epoch plus `at_ms`.
        start: Instant,
        /// Milliseconds since the Unix epoch at `start`.
        at_ms: u64,
    },
}

impl Clock {
    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        match self {
            // A clock before 1970 is as good as none.
            Clock::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis),
            Clock::Runtime { start, at_ms } => at_ms + millis(start.elapsed()),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
