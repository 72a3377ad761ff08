//! The byte queue of one flow: what the source sent and the target has not taken yet.
//!
//! ```text
//!                      fits                               oldest first
//! socket -> push --+---------> memory ---------------------------------> next -> decoder
//!                  |             ^  ^
//!                  | does not    |  | read back, one frame ahead
//!                  v             |  |
//!                hand-over --> segment files      once there is a file (or a hand-over), everything newer goes
//!                  |             |                behind it, until both are empty
//!                  +-------------+ drained
//! ```
//!
//! The queue keeps the order of the bytes and nothing else: it does not know records. Every flow has
//! a queue and limits of its own. A budget shared by all flows could be used up by the flows that
//! wait at a global command, and then the flow they wait for could not bring its copy in.
//!
//! **Memory.** [`Options::memory`] bounds everything: what waits, the hand-over (whatever memory leaves free, at least
//! some quarter of it), the frame that is being written and at most two frames read back. A frame is a sixteenth of the
//! memory, at most 256 KiB. A single chunk that is larger than its part is taken nevertheless where nothing else is.
//!
//! **Disk.** Nothing is created before memory is full, and all of it is removed when the receiver has caught up. A
//! thread of its own does all file operations, and it lives only as long as there is something to write or to read.
//! Segments are not synced: what a crash loses the source still has, and the next start attaches there. So what a
//! crashed process left behind is worthless, and [`clean`] removes it; no segment is ever read by another process or
//! another spool than the one that wrote it. A frame that does not come back as it was written is an [`enum@Error`] of the
//! receiver. A disk that refuses to take more counts as used up; it is tried again every second.
//!
//! **Full.** [`WhenFull`] decides. With [`WhenFull::Stall`] the socket is not read, and after its own buffers are full
//! the source blocks its writers (Dragonfly v1.40.1 `streamer.cc`, `replication_stream_output_limit`). A disk that is
//! slower than the socket for a moment is not full: [`Sender::push`] waits for it in either case.
//!
//! | module | what is in it |
//! |---|---|
//! | `options`, `error` | what the caller decides; what can go wrong |
//! | `queue`, `gauge` | the two ends, and who looks on |
//! | `state` | where a chunk goes: all decisions, without waiting and without files |
//! | `worker` | the thread that moves chunks to the disk and back |
//! | `segment` | the format of one file |
//! | `clean` | what a crashed process left behind |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod clean;
mod error;
mod gauge;
mod options;
mod queue;
mod segment;
mod state;
mod worker;

pub use clean::clean;
pub use error::{Error, PushError};
pub use gauge::{Gauge, Levels};
pub use options::{Disk, Options, WhenFull};
pub use queue::{Receiver, Sender, channel, open};
