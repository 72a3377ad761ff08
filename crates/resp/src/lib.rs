//! The Redis serialization protocol: a codec that does no I/O, and connections that speak it.
//!
//! * [`Reply`], [`ReplyDecoder`]: bytes of a server in, replies out.
//! * [`write_command`], [`RequestDecoder`], [`write_reply`]: commands out and in, and replies out.
//! * [`Connection`]: one TCP or TLS link that has authenticated; [`ConnectOptions`] and [`Tls`] say how.
//! * [`Password`]: what connections to come log in with.
//! * [`Network`]: TCP, or what a test puts in its place.
//! * [`Error`] and its [`Class`]: what went wrong, where, and who has to do something about it.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod connection;
mod error;
mod line;
mod network;
mod password;
mod reply;
mod request;
mod socket;
mod tls;

pub use connection::{ConnectOptions, Connection};
pub use error::{Class, Error, printable};
pub use network::{Dial, Dialing, Network, Stream};
pub use password::Password;
pub use reply::{DecodeError, Limits, Reply, ReplyDecoder, write_reply};
pub use request::{RequestDecoder, write_command};
pub use socket::{Reader, Writer};
pub use tls::{Tls, TlsOptions};
