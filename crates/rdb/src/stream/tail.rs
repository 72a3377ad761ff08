//! What follows the nodes of a stream: ids, counters, consumer groups.

use bytes::Bytes;

use super::node::{bad, read_id};
use super::{Pending, StreamConsumer, StreamGroup, StreamId, StreamTail};
use crate::cursor::{Cursor, Stop};
use crate::{Error, Kind};

/// Entries read so far of a group that does not know: -1.
const UNKNOWN: u64 = u64::MAX;

/// Decodes a complete tail.
pub(crate) fn decode(kind: Kind, raw: &Bytes, max_string: usize) -> Result<StreamTail, Error> {
    let mut reader = Tail { kind, cursor: Cursor::new(raw), raw, max_string };
    let tail = reader.tail().map_err(|stop| stop.at_end_of("stream"))?;
    if reader.cursor.pos() == raw.len() { Ok(tail) } else { Err(Error::Trailing("stream")) }
}

struct Tail<'a> {
    kind: Kind,
    cursor: Cursor<'a>,
    raw: &'a Bytes,
    max_string: usize,
}

impl Tail<'_> {
    fn tail(&mut self) -> Result<StreamTail, Stop> {
        let mut tail =
            StreamTail { length: self.cursor.len()?, last_id: self.id()?, ..StreamTail::default() };
        if self.kind != Kind::Stream {
            tail.first_id = Some(self.id()?);
            tail.max_deleted_id = Some(self.id()?);
            tail.entries_added = Some(self.cursor.len()?);
        }
        for _ in 0..self.cursor.len()? {
            tail.groups.push(self.group()?);
        }
        Ok(tail)
    }

    fn group(&mut self) -> Result<StreamGroup, Stop> {
        let name = self.cursor.string(self.raw, self.max_string)?;
        let last_delivered = self.id()?;
        let entries_read = match self.kind {
            Kind::Stream => None,
            _ => Some(self.cursor.len()?).filter(|read| *read != UNKNOWN),
        };
        // Delivery times and counts come first for the whole group, then which consumer has which of them.
        let mut pending = Vec::new();
        for _ in 0..self.cursor.len()? {
            let entry = Pending {
                id: read_id(&mut self.cursor)?,
                delivery_time_ms: self.cursor.u64_le()?,
                delivery_count: self.cursor.len()?,
            };
            pending.push((entry, false));
        }
        pending.sort_unstable_by_key(|(entry, _)| entry.id);
        let mut consumers = Vec::new();
        for _ in 0..self.cursor.len()? {
            consumers.push(self.consumer(&mut pending)?);
        }
        let unowned = pending.into_iter().filter(|(_, owned)| !owned).map(|(entry, _)| entry).collect();
        Ok(StreamGroup { name, last_delivered, entries_read, consumers, unowned })
    }

    fn consumer(&mut self, group: &mut [(Pending, bool)]) -> Result<StreamConsumer, Stop> {
        let name = self.cursor.string(self.raw, self.max_string)?;
        let seen_time_ms = self.cursor.u64_le()?;
        let active_time_ms = match self.kind {
            Kind::Stream3 => Some(self.cursor.u64_le()?).filter(|time| *time != u64::MAX),
            _ => None,
        };
        let mut pending = Vec::new();
        for _ in 0..self.cursor.len()? {
            let id = read_id(&mut self.cursor)?;
            let at = group.binary_search_by_key(&id, |(entry, _)| entry.id);
            let at = at.map_err(|_| bad("a consumer has an entry that its group does not have"))?;
            let (entry, owned) = &mut group[at];
            *owned = true;
            pending.push(*entry);
        }
        Ok(StreamConsumer { name, seen_time_ms, active_time_ms, pending })
    }

    fn id(&mut self) -> Result<StreamId, Stop> {
        Ok(StreamId { ms: self.cursor.len()?, seq: self.cursor.len()? })
    }
}
