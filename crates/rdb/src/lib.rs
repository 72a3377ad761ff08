//! The snapshot (full sync) stream of a Dragonfly master, without I/O.
//!
//! Bytes go in with [`Decoder::feed`], [`Item`]s come out of [`Decoder::next`]; sockets, tasks and clocks live
//! elsewhere. A value of at most [`Limits::whole_value`] bytes comes as one [`Value`], in the encoding of the source;
//! a larger one as [`Begin`], [`Piece`]s of bounded size, and an end.
//!
//! | module | what is in it |
//! |---|---|
//! | [`dump`] | payloads of `DUMP` and `RESTORE`: build, check, re-encode |
//! | `decoder` | the stream: opcodes, attributes, entries, tagged chunks, token |
//! | `source`, `window`, `compressed` | where its bytes come from: the flow, blobs, chunks |
//! | `pieces`, `reader`, `element` | a value element by element |
//! | `scan` | where a value ends, without decoding it |
//! | `cursor`, `lzf`, `compact` | primitives; strings; listpack, ziplist, intset |
//! | `item`, `stream`, `kind` | what comes out |
//! | `limits`, `error` | what is refused, and how |
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod dump;

mod compact;
mod compressed;
mod cursor;
mod decoder;
mod element;
mod error;
mod item;
mod kind;
mod limits;
mod lzf;
mod pieces;
mod reader;
mod scan;
mod source;
mod stream;
mod window;

pub use decoder::Decoder;
pub use error::{Class, Error};
pub use item::{Begin, Item, KeyMeta, Piece, Value};
pub use kind::{Family, Kind};
pub use limits::Limits;
pub use pieces::Pieces;
pub use stream::{Pending, StreamConsumer, StreamEntry, StreamGroup, StreamId, StreamTail};

/// Unix seconds that a member TTL of types 31 and 32 counts from: 2023-02-01 00:00:00 UTC.
///
/// Dragonfly `common.h` `kMemberExpiryBase`, the same in v1.13 to v1.40.1.
pub const MEMBER_TTL_BASE: u64 = 1_675_209_600;
