//! The repair rules that a router carries out by itself, on real servers: what it sends, what it reports, and what goes
//! wrong without the rule.
#![allow(clippy::unwrap_used)]

mod connections;
mod moving;
mod proxy;
mod replies;
mod retiring;
mod support;
