//! A Dragonfly master to test against.
//!
//! Three kinds, all listening on a socket and speaking the replication protocol:
//!
//! * [`Simulator`]: a live master. Ordinary clients write to it; it journals, serves full and partial sync,
//!   and behaves like one of the [`Release`]s, each with its [`Profile`].
//! * [`Replay`]: sends the recorded bytes of a real master, flow by flow, with pacing and cuts.
//! * [`Prepared`]: sends a prepared snapshot and journal as fast as the socket takes them, for benchmarks.
//!
//! The encoders in here share nothing with the decoders of the `rdb` and `journal` rooms: this crate is the
//! oracle those are checked with.
//!
//! | module | what is in it |
//! |---|---|
//! | `builder`, `handle`, `faults`, `clock` | the live master as a test sees it |
//! | `server`, `session`, `request`, `reply`, `info` | its connections |
//! | `engine`, `commands` | its data: shards, buckets, journals; what each command does and journals |
//! | `release` | what the releases of Dragonfly do differently: one table |
//! | `takeover` | masters that go, replicas that are promoted |
//! | `attach`, `snapshot`, `outbox` | its replicas: stages, full-sync streams with pre-images, pending bytes |
//! | `wire` | encoders of the snapshot stream, the journal, DUMP payloads |
//! | `replay`, `prepared` | masters whose bytes are written down beforehand |
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod attach;
mod builder;
mod clock;
mod commands;
mod engine;
mod error;
mod faults;
mod handle;
mod info;
mod outbox;
mod prepared;
mod release;
mod replay;
mod reply;
mod request;
mod server;
mod session;
mod snapshot;
mod takeover;
mod wire;

pub use attach::AttachmentInfo;
pub use builder::{Builder, Cluster, Simulator};
pub use clock::Clock;
pub use error::Error;
pub use faults::Faults;
pub use handle::{Acceptor, Handle};
pub use prepared::{Prepared, PreparedBuilder};
pub use release::{Failover, Large, LsnOps, Omits, Profile, Release, Resume, ZStore};
pub use replay::{Capture, Pacing, Replay, ReplayBuilder, ReplayHandle};
pub use reply::Reply;
pub use takeover::Standby;
