//! What a [`crate::Decoder`] hands out.

use bytes::Bytes;

use crate::cursor::Cursor;
use crate::{Error, Family, Kind, Limits, Pieces, StreamEntry, StreamTail};

/// One step of a snapshot stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// `REDIS` and the RDB version: the first item of every stream.
    Header {
        /// Always 9 so far.
        version: u32,
    },
    /// A property of the source: `df-ver`, `lua`, `search-index`, ... Unknown ones are to be ignored.
    Aux {
        /// Its name.
        key: Bytes,
        /// Its value; numbers as decimal text.
        value: Bytes,
    },
    /// Entries that follow belong to this database. Repeated after every flush; [`KeyMeta::db`] already has it.
    SelectDb(u32),
    /// A key with its complete value: replace the key.
    Value(Value),
    /// A key whose value follows in pieces, with other items in between: replace the key.
    Begin(Begin),
    /// Some elements of an open value.
    Piece {
        /// The [`Begin::id`] it belongs to.
        id: u64,
        /// The elements, to be added in order.
        piece: Piece,
    },
    /// An open value is complete: its expiry may be set.
    End {
        /// The [`Begin::id`] it belongs to.
        id: u64,
    },
    /// One journal record that was executed while the snapshot ran, to be decoded by the `journal` room.
    JournalBlob(Bytes),
    /// This flow's snapshot is complete up to the cut (opcode `C8`).
    FullSyncEnd,
    /// LSN that the first record after the token will have (opcode `D3`).
    JournalOffset(u64),
    /// End of the stream, with the 40 bytes that must equal the token of the `DFLY FLOW` reply.
    Eof {
        /// The token.
        token: [u8; 40],
    },
}

/// A key and its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyMeta {
    /// Database at the source.
    pub db: u32,
    /// Key at the source.
    pub key: Bytes,
    /// Absolute expiry in unix ms. May be in the past: masters do not filter expired keys out.
    pub expire_at_ms: Option<u64>,
    /// Dragonfly's STICK flag: never evicted.
    pub sticky: bool,
    /// Flags of the memcached protocol, v1.22 and later.
    pub mc_flags: Option<u32>,
}

/// A key with its complete value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The key.
    pub meta: KeyMeta,
    /// How `payload` is encoded.
    pub kind: Kind,
    /// The value as on the wire, without type and key: what [`crate::dump::payload`] takes.
    pub payload: Bytes,
}

/// The beginning of a value that comes in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// Names the value until its end; never used twice by one decoder.
    pub id: u64,
    /// The key.
    pub meta: KeyMeta,
    /// The source's encoding; says which pieces follow.
    pub kind: Kind,
}

/// Some elements of a value, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Bytes to append: strings and JSON text.
    String(Bytes),
    /// Elements to push at the tail.
    List(Vec<Bytes>),
    /// Members.
    Set(Vec<Bytes>),
    /// Fields and values.
    Hash(Vec<(Bytes, Bytes)>),
    /// Members and scores; infinities occur, NaN does not.
    Zset(Vec<(Bytes, f64)>),
    /// Members and their expiry in unix seconds. Expired ones are not dropped.
    SetTtl(Vec<(Bytes, Option<u64>)>),
    /// Fields, values and their expiry in unix seconds. Expired ones are not dropped.
    HashTtl(Vec<(Bytes, Bytes, Option<u64>)>),
    /// Live entries of a stream.
    StreamEntries(Vec<StreamEntry>),
    /// Ids, counters and groups of a stream; comes once, last.
    StreamTail(StreamTail),
    /// That many raw bytes of a Bloom filter, sketch, Top-K or cuckoo filter were passed over.
    Opaque(usize),
}

impl Value {
    /// The bytes of a string or JSON value.
    ///
    /// # Errors
    /// [`Error::Malformed`] for other kinds, and what a bad string encoding gives.
    pub fn as_string(&self) -> Result<Bytes, Error> {
        match self.kind.family() {
            Family::String | Family::Json => whole_string(&self.payload),
            _ => Err(Error::malformed("string", "the value is of another type")),
        }
    }

    /// The value's elements, through the same decoder as values that come in pieces.
    pub fn pieces(&self, limits: &Limits) -> Pieces {
        Pieces::new(self.kind, self.payload.clone(), limits)
    }

    /// Whether it is a collection without elements, which a target cannot hold and old masters sometimes send: skip
    /// the key. Strings, JSON, probabilistic types and streams are never empty in this sense.
    ///
    /// # Errors
    /// What a bad encoding gives.
    pub fn is_empty_collection(&self) -> Result<bool, Error> {
        match self.kind.family() {
            Family::List | Family::Set | Family::Hash | Family::Zset => {
                let limits = Limits { piece: 1, ..Limits::default() };
                Ok(self.pieces(&limits).next().transpose()?.is_none())
            }
            Family::String | Family::Stream | Family::Json | Family::Probabilistic => Ok(false),
        }
    }
}

/// The string that `payload` is.
fn whole_string(payload: &Bytes) -> Result<Bytes, Error> {
    let mut cursor = Cursor::new(payload);
    let string = cursor.string(payload, usize::MAX).map_err(|stop| stop.at_end_of("string"))?;
    if cursor.pos() == payload.len() { Ok(string) } else { Err(Error::Trailing("string")) }
}
