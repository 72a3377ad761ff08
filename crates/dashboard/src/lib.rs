//! The HTTP status page.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 while the process lives |
//! | `/readyz` | 200 while the journal is followed, else 503 |
//! | `/metrics` | every counter, for Prometheus |
//! | `/api/status` | the [`replica::Report`] as JSON |
//! | `/` | the same for people |
//! | `POST /api/repair` | repairs keys; only from this machine: [`repair`] |
//!
//! | module | what it holds |
//! |---|---|
//! | [`server`] | the socket and its paths |
//! | [`repair`] | keys that a comparison found different |
//! | [`metrics`] | a report as Prometheus text |
//! | [`page`] | a report as HTML |
//!
//! It serves whoever reaches its address: it shows names of keys, and no secret.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod metrics;
pub mod page;
pub mod repair;
pub mod server;

pub use server::{Dashboard, Error};
