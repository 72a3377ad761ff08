//! Which acknowledged writes real servers lose, and whether the router says so.
#![allow(clippy::unwrap_used)]

mod cluster;
mod measured;
mod standalone;
mod support;
