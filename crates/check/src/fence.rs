//! Between two rounds: until what the source had is on the target.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::Error;

/// Waits, on behalf of a check.
pub type Waiting<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// What is waited for between two rounds.
pub trait Fence: Send + Sync + std::fmt::Debug {
    /// Returns when everything below these LSNs of the source (its next ones, by flow; `None` where it has none) is on
    /// the target.
    ///
    /// # Errors
    /// [`Error::Behind`] where that does not come about.
    fn pass(&self, lsns: Option<Vec<u64>>) -> Waiting<'_>;
}

/// Nobody tells how far the target is: a pause has to do.
#[derive(Debug, Clone, Copy)]
pub struct Pause(pub Duration);

impl Fence for Pause {
    fn pass(&self, _lsns: Option<Vec<u64>>) -> Waiting<'_> {
        Box::pin(async {
            tokio::time::sleep(self.0).await;
            Ok(())
        })
    }
}
