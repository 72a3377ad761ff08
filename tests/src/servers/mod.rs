//! Real servers on free loopback ports, each in its own temporary directory, stopped on drop.

mod cluster;
mod dragonfly;
mod link;
mod network;
mod others;
mod ports;
mod process;
mod redis_server;
mod replayed;
mod simulated;
mod takeover;
mod tls;
mod tls_front;

pub use cluster::{Cluster, ClusterOptions, NodeInfo};
pub use dragonfly::{Dragonfly, DragonflyOptions, SKIP_WITHOUT_DRAGONFLY, next_lsns};
pub use link::Link;
pub use network::{Lost, Network};
pub use others::OtherServer;
pub use ports::free_port;
pub(crate) use process::Process;
pub use redis_server::{RedisOptions, RedisServer};
pub use replayed::Replayed;
pub use simulated::{Simulated, on_runtime};
pub use takeover::{Behind, replication_offset, shared_offset};
pub use tls::Certificates;
pub use tls_front::TlsFront;
