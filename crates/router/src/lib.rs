//! From commands to acknowledgements: which node, in which order, and what became of it.
//!
//! ```text
//! TargetCommand -> FlowRouter -> Lane (flow, node) -> socket
//!                      ^                                |
//!                      +---- replies, in order <--------+--> Tracker: the flow's applied LSN
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `probe` | what a target understands, asked without leaving anything behind |
//! | [`target`] | the servers: kind, slot map, identity, what they understand |
//! | [`flow_router`] | the lanes of one flow and the order of their commands |
//! | `lane`, `wire` | one connection: what is out, and the socket |
//! | `deadlines` | which keys may have an expiry |
//! | `held` | slots whose commands wait |
//! | [`tracker`] | the applied LSN |
//! | [`failure`] | a command that leaves doubtful keys behind |
//! | [`retire`] | ending the connections of a predecessor |
//! | [`outcome`] | what a reply means |
//! | [`side`] | commands outside the stream, one at a time, redirects followed |
//! | [`sweep`] | removing names by scanning: FLUSHDB of a mapped database, keys the source lacks |
//! | [`durability`] | which acknowledged writes a failover or restart of a node would take back |
//! | [`cross`] | one key's value moved to a name on another node |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cross;
mod deadlines;
pub mod durability;
pub mod error;
pub mod failure;
pub mod flow_router;
mod held;
mod lane;
pub mod outcome;
mod probe;
pub mod retire;
pub mod side;
pub mod sweep;
pub mod target;
mod topology;
pub mod tracker;
mod wire;

pub use error::Error;
pub use failure::{Cause, Failure};
pub use flow_router::{Counters, FlowRouter, NodeLoad, RouterOptions};
pub use retire::Retired;
pub use target::{Expected, Identity, NodeId, Target, TargetOptions};
pub use tracker::{Origin, Tracker};
