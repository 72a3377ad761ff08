//! One time for everybody: it goes on when the runtime's paused clock does, and from one runtime to the next.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// Where the first runtime begins, in milliseconds since the Unix epoch.
const BEGIN_MS: u64 = 1_790_000_000_000;

/// The clock of one schedule; clones show the same time.
#[derive(Clone)]
pub(crate) struct Clock(Arc<Mutex<(u64, Option<Instant>)>>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now_ms())
    }
}

impl Clock {
    pub(crate) fn new() -> Self {
        Clock(Arc::new(Mutex::new((BEGIN_MS, None))))
    }

    /// A runtime begins; called inside it.
    pub(crate) fn resume(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(Instant::now());
    }

    /// The time at which the runtime began, and the Unix milliseconds that it stands for.
    pub(crate) fn origin(&self) -> (Instant, u64) {
        let (base, start) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (start.unwrap_or_else(|| panic!("outside of a runtime")), base)
    }

    /// A runtime ends; called inside it.
    pub(crate) fn suspend(&self) {
        let now = self.now_ms();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (now, None);
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn now_ms(&self) -> u64 {
        let (base, start) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        base + start.map_or(0, |start| start.elapsed().as_millis() as u64)
    }

    /// Milliseconds since the schedule began.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.now_ms() - BEGIN_MS
    }
}
