//! Every durable step goes through here, so that the tests can stop the program or fail the system at each of them.

use std::io;
use std::path::Path;

/// One thing done to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<'p> {
    /// Sled opens its files: creates or recovers them.
    Open(&'p Path),
    /// Sled takes a batch into its buffers and perhaps writes some of them.
    Apply(&'p Path),
    /// Sled writes its buffers.
    Flush(&'p Path),
    /// fsync of a file.
    SyncFile(&'p Path),
    /// fsync of a directory: the names in it.
    SyncDir(&'p Path),
    /// A file is created, or emptied.
    Create(&'p Path),
    /// Bytes are written to a file.
    Write(&'p Path),
    /// A file takes the name of another.
    Rename(&'p Path),
}

/// Does the steps; in tests something may watch them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steps {
    #[cfg(test)]
    pub(crate) watch: Option<std::sync::Arc<dyn Watch>>,
}

/// Sees every step before and after it; an error is taken for the system's.
#[cfg(test)]
pub(crate) trait Watch: std::fmt::Debug + Send + Sync {
    fn before(&self, step: Step<'_>) -> io::Result<()>;
    fn after(&self, step: Step<'_>) -> io::Result<()>;
}

impl Steps {
    #[cfg_attr(not(test), expect(clippy::unused_self, unused_variables, reason = "only tests watch"))]
    pub(crate) fn run<T, E: From<io::Error>>(
        &self,
        step: Step<'_>,
        action: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        #[cfg(test)]
        if let Some(watch) = &self.watch {
            watch.before(step)?;
            let done = action()?;
            watch.after(step)?;
            return Ok(done);
        }
        action()
    }
}
