//! What the scenarios share: real servers, captures, an independent compare.
//!
//! Nothing here uses the decoders, the encoders or the connection of df2redis itself: servers are spoken to
//! through the `redis` crate and read with ordinary commands, so that the tests cannot share a mistake with
//! the code they judge. Everything panics with its context instead of returning errors: the callers are tests.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod captures;
pub mod client;
pub mod injuries;
pub mod known_differences;
pub mod logical;
pub mod mirrored;
pub mod observe;
pub mod program;
pub mod raw;
pub mod servers;
pub mod source;
pub mod target;
pub mod wait;
pub mod workload;
