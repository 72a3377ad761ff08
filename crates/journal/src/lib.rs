//! The journal stream of a Dragonfly master, without I/O: the stable stream of a flow, and the journal blobs of a
//! snapshot.
//!
//! | module | what is in it |
//! |---|---|
//! | `decoder` | bytes in, [`Entry`]s out; [`decode_blob`] |
//! | `parse`, `buffer` | one entry; bytes that wait |
//! | `boundaries` | whole records and the end of a snapshot, found without decoding |
//! | `entry` | what comes out |
//! | `lsn` | which entries take a log sequence number |
//! | `limits`, `error` | what is refused, and how |
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod boundaries;
mod buffer;
mod decoder;
mod entry;
mod error;
mod limits;
mod lsn;
mod parse;

pub use boundaries::{Boundaries, TokenFinder, Whole};
pub use decoder::{Decoder, decode_blob};
pub use entry::{Entry, Record, RecordKind};
pub use error::{Class, Error};
pub use limits::Limits;
pub use lsn::{LsnCounter, LsnMismatch};
