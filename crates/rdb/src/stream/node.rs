//! Nodes of a stream: a listpack of entries that share a master id and field names.
//!
//! ```text
//! count deleted num_fields field... 0                                  the master entry
//! flags ms_delta seq_delta [value... | num_fields (field value)...] n  an entry; n is its number of elements
//! ```
//! Deltas are relative to the node's key (the layout is that of Redis; `rdb_save.cc` `SaveStreamObject`, v1.40.1).

use bytes::Bytes;

use super::{StreamEntry, StreamId};
use crate::Error;
use crate::compact::{Element, Listpack};
use crate::cursor::Cursor;

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// A node that is being read.
#[derive(Debug)]
pub(crate) struct Node {
    master: StreamId,
    fields: Vec<Bytes>,
    pack: Listpack,
}

impl Node {
    /// Opens the node of 16 bytes `key` and listpack `blob`.
    pub(crate) fn new(key: &[u8], blob: Bytes) -> Result<Self, Error> {
        if key.len() != 16 {
            return Err(bad("a node's key is not 16 bytes long"));
        }
        let master = read_id(&mut Cursor::new(key)).map_err(|stop| stop.at_end_of("stream"))?;
        let mut node = Self { master, fields: Vec::new(), pack: Listpack::new(blob)? };
        node.int()?;
        node.int()?;
        let count = node.count()?;
        node.fields.reserve_exact(count);
        for _ in 0..count {
            let field = node.element()?.into_bytes();
            node.fields.push(field);
        }
        if node.int()? != 0 {
            return Err(bad("a node's master entry does not end where it should"));
        }
        Ok(node)
    }

    /// The next entry that is not deleted.
    pub(crate) fn next(&mut self) -> Result<Option<StreamEntry>, Error> {
        loop {
            let Some(flags) = self.pack.next()? else { return Ok(None) };
            let Element::Int(flags) = flags else { return Err(bad("an entry's flags are no number")) };
            // Differences of unsigned numbers, kept as signed ones.
            let ms = self.master.ms.wrapping_add_signed(self.int()?);
            let seq = self.master.seq.wrapping_add_signed(self.int()?);
            let mut fields;
            if flags & SAME_FIELDS != 0 {
                fields = Vec::with_capacity(self.fields.len());
                for i in 0..self.fields.len() {
                    let value = self.element()?.into_bytes();
                    fields.push((self.fields[i].clone(), value));
                }
            } else {
                let count = self.count()?;
                fields = Vec::with_capacity(count);
                for _ in 0..count {
                    fields.push((self.element()?.into_bytes(), self.element()?.into_bytes()));
                }
            }
            self.int()?;
            if flags & DELETED == 0 {
                return Ok(Some(StreamEntry { id: StreamId { ms, seq }, fields }));
            }
        }
    }

    fn element(&mut self) -> Result<Element, Error> {
        self.pack.next()?.ok_or(bad("a node ends inside an entry"))
    }

    fn int(&mut self) -> Result<i64, Error> {
        match self.element()? {
            Element::Int(number) => Ok(number),
            Element::Bytes(_) => Err(bad("a node holds text where a number should be")),
        }
    }

    /// A number of elements that follow: never more than the node has bytes left.
    fn count(&mut self) -> Result<usize, Error> {
        let count = usize::try_from(self.int()?).ok().filter(|count| *count <= self.pack.remaining());
        count.ok_or(bad("an entry has more fields than its node has room for"))
    }
}

/// An id as 16 raw bytes.
pub(super) fn read_id(cursor: &mut Cursor<'_>) -> Result<StreamId, crate::cursor::Stop> {
    Ok(StreamId { ms: cursor.u64_be()?, seq: cursor.u64_be()? })
}

pub(super) fn bad(detail: &'static str) -> Error {
    Error::malformed("stream", detail)
}
