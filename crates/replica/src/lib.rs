//! The engine: one state machine that composes the other rooms.
//!
//! ```text
//!                    +--------------------------- engine ---------------------------+
//!  source  <=======> | attachment: phases, barrier, checkpoint                      |
//!                    |   flow task 0: spool -> decoder -> translator -> router ==== | ==> target
//!                    |   flow task 1: ...                                           |
//!                    +--------------------------------------------------------------+
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`engine`] | attach, run, back off, attach again |
//! | [`session`] | the flows of one LSN space, over many attachments |
//! | `acks` | a PING is acknowledged once it is known what it means |
//! | [`attachment`] | one attachment from SYNC to its end |
//! | [`intake`] | from a socket into a spool, in whole records |
//! | [`phase`] | where an attachment stands, and where it may go from there |
//! | [`plan`] | what a run would do, without doing it |
//! | [`flow_task`] | one flow: snapshot and journal |
//! | [`apply`] | a treatment becomes commands, counts and doubts |
//! | [`global`] | FLUSHALL, FLUSHDB, FLUSHSLOTS: once, for all flows |
//! | `expirer` | members that expire at the source and not on the target |
//! | [`desk`] | keys that somebody from outside asks to be repaired |
//! | [`removal`] | after a repeated full sync: keys the source lacks |
//! | [`fences`] | keys under repair are read from the source |
//! | [`ledger`] | the checkpoint, written one change at a time |
//! | [`clock`] | what time it is |
//! | [`sharding`] | which flow carries a key |
//! | [`skew`] | how far the clocks of both sides are apart |
//! | [`source`] | questions to the source beside the replication |
//! | [`startup`] | is this our target, may we write to it |
//! | [`status`] | what the program says about itself |
//! | [`throttle`] | how many commands a second |
//! | [`settings`] | the configuration as the engine needs it |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod acks;
pub mod apply;
pub mod attachment;
pub mod clock;
pub mod desk;
pub mod engine;
pub mod error;
mod expirer;
pub mod fences;
pub mod flow_task;
pub mod global;
pub mod intake;
pub mod ledger;
pub mod phase;
pub mod plan;
pub mod removal;
pub mod session;
pub mod settings;
pub mod sharding;
pub mod skew;
pub mod source;
mod source_watch;
pub mod startup;
pub mod status;
pub mod throttle;
pub mod unclear;

pub use engine::{Finished, Goal, Replica, Stop};
pub use error::{Error, Exit};
pub use settings::Settings;
pub use status::{Report, Status};
