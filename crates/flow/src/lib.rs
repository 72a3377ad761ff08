//! The flows of one attachment to a Dragonfly master: one connection per shard, opened together, answered together.
//!
//! * [`attach`]: greets the master and opens every flow; [`Resume`] asks for what was missed, [`FullReason`] says
//!   why that was not to be had.
//! * [`attach_after`], [`Parting`]: going on at a replica that has taken over.
//! * [`look`]: who answers at an address.
//! * [`Attachment`]: SYNC, STARTSTABLE and the teardown; it never touches the flows' bytes.
//! * [`FlowSocket`]: one flow, split into [`FlowReader`] and [`AckWriter`].
//! * [`Acker`]: sends REPLCONF ACK when it is due.

mod acker;
mod alive;
mod attach;
mod attachment;
mod error;
mod socket;
mod takeover;

pub use acker::{AckState, Acker, Cadence};
pub use attach::{Answer, FullReason, Resume, attach, attach_after, look};
pub use attachment::{Attachment, SourceOptions, Timeouts};
pub use error::AttachError;
pub use socket::{AckWriter, FlowReader, FlowSocket};
pub use takeover::Parting;

pub use handshake::{EofToken, Greeting, Release, ResumeStyle};
