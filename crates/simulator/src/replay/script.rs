//! What a replaying or prepared master sends and answers.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::contents::Contents;

/// Everything that is known before the first replica attaches.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) replid: String,
    /// The number in the `SYNC<n>` of the first attachment; later ones count on.
    pub(crate) first_sync: u32,
    /// The ordinal in the greeting.
    pub(crate) ordinal: i64,
    /// Whether the greeting has a lineage (v1.40 and later). Such a master also resumes in journal style.
    pub(crate) lineage: bool,
    /// As in `INFO server`, e.g. `df-v1.40.1`.
    pub(crate) release: String,
    pub(crate) style: Style,
    pub(crate) flows: Vec<FlowScript>,
    /// Per database: keys, and how many of them expire.
    pub(crate) keyspace: BTreeMap<u32, (usize, usize)>,
    pub(crate) held: Held,
}

/// How the recorded replica was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// FULL.
    Full,
    /// PARTIAL, then DFLY SYNC and an RDB frame around the journal (v1.34 and earlier).
    PartialRdb,
    /// PARTIAL, then the journal (v1.35 and later).
    PartialJournal,
}

/// One flow.
#[derive(Debug, Clone)]
pub(crate) struct FlowScript {
    pub(crate) token: String,
    pub(crate) bytes: Bytes,
    /// How much goes out at DFLY SYNC.
    pub(crate) sync_end: usize,
    /// How much goes out before the journal is released.
    pub(crate) gate: usize,
    /// Where the raw journal begins.
    pub(crate) journal_at: usize,
    /// The LSN that the recorded replica asked for.
    pub(crate) asked: Option<u64>,
    /// `DFLY REPLICAOFFSET` while the gate is closed, and afterwards.
    pub(crate) next_lsn: [u64; 2],
}

impl FlowScript {
    /// Where the record with this LSN begins; the end for the LSN of the next record.
    pub(super) fn position(&self, lsn: u64, released: bool) -> Option<usize> {
        if lsn > self.next_lsn[usize::from(released)] {
            return None;
        }
        let starts = super::records::starts(&self.bytes[self.journal_at..])?;
        let first = self.next_lsn[1].checked_sub(starts.len() as u64)?;
        let index = usize::try_from(lsn.checked_sub(first)?).ok()?;
        match starts.get(index) {
            Some(start) => Some(self.journal_at + start),
            None => (index == starts.len()).then_some(self.bytes.len()),
        }
    }
}

/// What can be read besides the stream.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    /// Nothing is known of it: EXISTS finds nothing, and no command that reads is served.
    Unknown,
    /// What was recorded at the end.
    Recorded(Contents),
    /// Only EXISTS is served: in database 0 are the keys that [`crate::prepared::key`] makes of the numbers below this.
    Numbered(usize),
}
