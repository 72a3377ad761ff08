//! Connections to real redis-servers, and to peers that misbehave.
#![allow(clippy::unwrap_used)]

mod broken_peers;
mod certificates;
mod login;
mod network;
mod redis_server;
mod tls;
