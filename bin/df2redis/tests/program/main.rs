//! The program as an operator calls it.
#![allow(clippy::unwrap_used)]

mod command_line;
mod demo;
mod passwords;
mod running;
mod scene;
mod service;
mod support;
mod without_a_daemon;
