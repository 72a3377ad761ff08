//! Who looks on.

use std::sync::Arc;

use crate::WhenFull;
use crate::queue::Shared;

/// Looks at a spool from elsewhere, without keeping it open.
#[derive(Debug, Clone)]
pub struct Gauge {
    pub(crate) shared: Arc<Shared>,
}

/// How full a spool is and was, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Levels {
    /// Pushed and not taken, wherever it is.
    pub waiting: u64,
    /// Held in memory, what is on its way to the disk included.
    pub memory: u64,
    /// Taken by segment files.
    pub disk: u64,
    /// Most that memory may hold.
    pub memory_limit: u64,
    /// Most that segment files may take; 0 where there is no disk part.
    pub disk_limit: u64,
    /// Most that memory ever held.
    pub memory_peak: u64,
    /// Most that segment files ever took.
    pub disk_peak: u64,
    /// A push waits for room now.
    pub stalled: bool,
    /// The disk refused the last write.
    pub disk_refused: bool,
}

impl Gauge {
    /// Bytes that wait, in memory and on disk.
    pub fn bytes(&self) -> usize {
        usize::try_from(self.shared.lock().waiting()).unwrap_or(usize::MAX)
    }

    /// How full the spool is and was.
    pub fn levels(&self) -> Levels {
        let state = self.shared.lock();
        Levels {
            waiting: state.waiting(),
            memory: (state.memory_bytes + state.handover_bytes) as u64,
            disk: state.files,
            memory_limit: state.memory_limit as u64,
            disk_limit: state.disk_limit,
            memory_peak: state.memory_peak as u64,
            disk_peak: state.files_peak,
            stalled: state.stalled,
            disk_refused: state.refused,
        }
    }

    /// Changes the bound of the memory part (bytes); a waiting push looks again.
    pub fn set_limit(&self, limit: usize) {
        self.shared.lock().memory_limit = limit;
        self.shared.writable.notify_one();
    }

    /// Changes the bound of the disk part (bytes); 0: nothing more is written. Without effect on a spool that was
    /// opened without a directory. A waiting push looks again.
    pub fn set_disk_limit(&self, limit: u64) {
        if self.shared.dir.is_some() {
            self.shared.lock().disk_limit = limit;
            self.shared.writable.notify_one();
        }
    }

    /// Changes what a full spool does; a waiting push looks again.
    pub fn set_when_full(&self, when_full: WhenFull) {
        self.shared.lock().when_full = when_full;
        self.shared.writable.notify_one();
    }
}
