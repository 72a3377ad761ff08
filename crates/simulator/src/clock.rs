//! What time it is for a live master.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The wall clock of a live master: expiries, stream ids, TIME. Waiting and timeouts follow tokio's clock, whatever
/// this one says.
#[derive(Clone, Default)]
pub struct Clock(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    System,
    Tokio {
        at: Instant,
        unix_ms: u64,
    },
    Given(Arc<dyn Fn() -> u64 + Send + Sync>),
}

impl Clock {
    /// The clock of this machine.
    pub fn system() -> Clock {
        Clock(Source::System)
    }

    /// A clock that shows `unix_ms` now and goes on as tokio's does: under a paused clock every run shows the same.
    /// To be called inside the runtime whose clock counts.
    pub fn starting_at(unix_ms: u64) -> Clock {
        Clock(Source::Tokio { at: Instant::now(), unix_ms })
    }

    /// A clock that asks `unix_ms` for the unix time in milliseconds.
    pub fn from_fn(unix_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Clock {
        Clock(Source::Given(Arc::new(unix_ms)))
    }

    /// Unix time in milliseconds.
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            Source::System => {
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
            }
            Source::Tokio { at, unix_ms } => unix_ms + at.elapsed().as_millis() as u64,
            Source::Given(f) => f(),
        }
    }

    /// Whether it runs as fast as tokio's, so that one can sleep until a time.
    pub(crate) fn is_steady(&self) -> bool {
        !matches!(self.0, Source::Given(_))
    }

    /// Unix time in seconds.
    pub(crate) fn now_s(&self) -> u64 {
        self.now_ms() / 1000
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System => "Clock(system)",
            Source::Tokio { .. } => "Clock(tokio)",
            Source::Given(_) => "Clock(given)",
        })
    }
}
