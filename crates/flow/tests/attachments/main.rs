//! Attachments to a scripted master: what is asked of it, what its answers lead to, and how it is left.
#![allow(clippy::unwrap_used)]

mod acks;
#[path = "../../../resp/tests/servers/certificates.rs"]
mod certificates;
mod master;
mod opening;
#[path = "../../../handshake/tests/masters/peer.rs"]
mod peer;
mod phases;
mod resuming;
mod tls;
