//! Log sequence numbers: nothing on the wire carries one but the LSN op, so they are counted.

use thiserror::Error;

use crate::Entry;

/// Counts the LSNs of one flow, beginning with the value of JOURNAL_OFFSET or of the resume request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LsnCounter {
    next: u64,
}

/// The source says that the last entry had another LSN than we counted: one of both lost something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the source counts lsn {said} where {counted} was counted")]
pub struct LsnMismatch {
    /// LSN of the last entry as counted here.
    pub counted: u64,
    /// LSN of the last entry as the source says.
    pub said: u64,
}

impl LsnCounter {
    /// A counter whose first record will have LSN `next`.
    pub fn new(next: u64) -> Self {
        Self { next }
    }

    /// LSN that the next record will have: what an ACK carries once everything before it is applied.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Takes note of an entry; returns its LSN if it has one.
    ///
    /// # Errors
    /// An LSN op that contradicts the count.
    pub fn observe(&mut self, entry: &Entry) -> Result<Option<u64>, LsnMismatch> {
        match entry {
            Entry::Record(_) | Entry::Ping | Entry::Exec { .. } => {
                let lsn = self.next;
                self.next += 1;
                Ok(Some(lsn))
            }
            Entry::Lsn(said) => {
                let counted = self.next.wrapping_sub(1);
                if *said == counted { Ok(None) } else { Err(LsnMismatch { counted, said: *said }) }
            }
            Entry::Fin => Ok(None),
        }
    }
}
