//! Members of sets and hashes that expire at the source, and not on the target: when their keys have to be read again.
//!
//! A key with such members stands in the durable schedule, or is under repair and stands on the durable list; what the
//! repair reads tells when it is due next. A record or entry that gives a member a TTL puts its key on the schedule before
//! `applied` can pass it: what is noted here is written with the next checkpoint at the latest.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use checkpoint::{Plan, Planned};
use command::{MemberExpiry, SourceKey};

use super::{End, FlowTask};
use crate::apply::Place;
use crate::ledger::Entry;

/// How long (ms) after their expiry members are looked for, so that they are gone at the source by then.
const SLACK_MS: u64 = 1_000;
/// Least time (ms) between two readings of one key.
const PAUSE_MS: u64 = 1_000;
/// Bytes of a value that add another second to it.
const PAUSE_BYTES: usize = 1 << 20;
/// A record of which it is not known how old it is: the key is looked at after this time (ms).
const SOON_MS: u64 = 1_000;
/// Bytes in the spool from which on what is taken out of it is not new.
const SPOOLED: usize = 1 << 20;
/// Keys that are written down together during a snapshot.
const TOGETHER: usize = 1_000;

/// What is known of the members of a key that is being placed.
#[derive(Debug, Default)]
pub(super) struct Placing {
    earliest_ms: Option<u64>,
}

impl FlowTask {
    /// Now, by the source's clock as far as it is known.
    pub(crate) fn source_ms(&self) -> u64 {
        self.now_ms.saturating_add_signed(self.shared.status.source_ahead_ms())
    }

    /// A member expires.
    pub(crate) fn member_expires(&mut self, expiry: MemberExpiry, place: Place) {
        let MemberExpiry { key, at_ms } = expiry;
        if let Place::Repair(_) = place {
            let earliest = &mut self.placing.earliest_ms;
            *earliest = Some(earliest.map_or(at_ms, |before| before.min(at_ms)));
            return;
        }
        // A relative TTL counts from the source's execution of the record, which may be long ago.
        let late = match place {
            Place::Blob => true,
            Place::Record => self.is_late(),
            _ => false,
        };
        let due_ms = at_ms.saturating_add(SLACK_MS);
        let due_ms = if late { due_ms.min(self.source_ms() + SOON_MS) } else { due_ms };
        self.plan(&key, Plan::By(due_ms));
    }

    /// Whether the record at hand may be older than it seems.
    fn is_late(&self) -> bool {
        let existed = self.shared.existed.get(self.flow).map_or(0, |lsn| lsn.load(Relaxed));
        self.next < existed || self.channels.input.bytes() > SPOOLED
    }

    /// The record gives a key the members of another, with their TTLs.
    pub(crate) fn members_move(&mut self, record: &journal::Record) {
        if self.shared.member_ttls.is_none() {
            return;
        }
        let moves = |name: &Bytes| matches!(&name[..], b"RENAME" | b"RENAMENX" | b"COPY" | b"MOVE");
        if !record.args.first().is_some_and(moves) {
            return;
        }
        let keys = command::touches(record.db, &record.args).keys;
        if let [from, to] = keys.as_slice() {
            self.plan(to, Plan::With { db: from.db, key: from.key.to_vec() });
        }
    }

    /// A value of `bytes` was read and placed: from now on this is known of its members.
    pub(super) fn members_placed(&mut self, key: &SourceKey, bytes: usize) {
        let placing = std::mem::take(&mut self.placing);
        if self.shared.member_ttls.is_none() {
            return;
        }
        self.plan(
            key,
            match placing.earliest_ms {
                Some(at_ms) => Plan::At {
                    due_ms: at_ms.saturating_add(SLACK_MS),
                    not_before_ms: self.source_ms() + pause_ms(bytes),
                },
                None => Plan::Never,
            },
        );
    }

    fn plan(&mut self, key: &SourceKey, plan: Plan) {
        let planned = Planned { db: key.db, key: key.key.to_vec(), plan };
        self.shared.ledger.note(Entry::default().plan(vec![planned]));
        self.planned += 1;
        if self.planned.is_multiple_of(TOGETHER) {
            self.shared.checkpoint_due.notify_one();
        }
    }

    /// During a snapshot there are no checkpoints: what was noted is written once it is much.
    pub(crate) async fn write_planned(&mut self) -> Result<(), End> {
        if self.planned < TOGETHER {
            return Ok(());
        }
        self.planned = 0;
        let written = self.shared.ledger.write(Entry::default()).await;
        written.map_err(|error| End::Fatal(error.into()))
    }
}

/// How long (ms) a key of so many bytes is left alone after it was read: reading it costs the source, and placing it the
/// target.
fn pause_ms(bytes: usize) -> u64 {
    PAUSE_MS.saturating_mul(1 + (bytes / PAUSE_BYTES) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_are_left_alone_for_longer() {
        assert_eq!((pause_ms(0), pause_ms(PAUSE_BYTES - 1)), (1_000, 1_000));
        assert_eq!((pause_ms(PAUSE_BYTES), pause_ms(32 << 20)), (2_000, 33_000));
    }
}
