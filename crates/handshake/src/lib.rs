//! The control connection to a Dragonfly master, in types.
//!
//! * [`Control`]: greets a master and asks it to start the sync phases.
//! * [`Greeting`]: what it answered; [`Release`] and [`ResumeStyle`]: what follows from it.
//! * [`request_flow`], [`request_flow_after`], [`replica_offset`]: the requests that travel on other connections.
//! * [`Error`]: every refusal, with its [`Class`](resp::Class).
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod control;
mod error;
mod greeting;
mod release;
mod request;

pub use control::{Control, Identity};
pub use error::Error;
pub use greeting::Greeting;
pub use release::{Release, ResumeStyle};
pub use request::{
    EofToken, FlowKind, FlowReply, FlowStart, replica_offset, request_flow, request_flow_after,
};
