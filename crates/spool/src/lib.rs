//! The byte queue of one flow: what the source sent and the target has not taken yet.
//!
//! ```text
//! flow socket -> Sender::push -> [ chunks, bounded in bytes ] -> Receiver::pop -> decoder
//! ```
//!
//! The queue keeps the order of the bytes and nothing else: it does not know records. Every flow has
//! a queue and a limit of its own. A budget shared by all flows could be used up by the flows that
//! wait at a global command, and then the flow they wait for could not bring its copy in.
//!
//! In this version the queue lives in memory only. When the limit is reached, [`Sender::push`] waits, the
//! socket is not read, and after its own buffers are full the source blocks its writers
//! (Dragonfly v1.40.1 `streamer.cc`, `replication_stream_output_limit`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod options;
mod queue;

pub use error::{Error, PushError};
pub use options::{Disk, Options, WhenFull};
pub use queue::{Gauge, Levels, Receiver, Sender, channel, clean, open};
