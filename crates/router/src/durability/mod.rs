//! Whether acknowledged writes are safe on the target, and which of them a node has lost.
//!
//! A target answers a write before its replicas have it and before it is on its disk. Until then a failover or a restart
//! takes the write back although it was acknowledged. So a write is *settled* only when it is safe from a failover
//! (repair rule 27), the keys of the others are remembered, and when a node turns out to have lost some, they are
//! reported (rules 28 and 30).
//!
//! ```text
//! Lane: acknowledged ──> Retained (flow, node) ──settled──> Tracker: the applied LSN
//!                          │  ▲        └─────────lost─────> Failure: the key goes under repair
//!     INFO ──> NodeWatch ──┘  │
//!     WAIT      one poller a node: polls are numbered, a write belongs to the first poll sent after its reply
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `info` | what INFO says about replication and persistence |
//! | `node` | one node: its incarnation, which polls are settled, which are on its disk |
//! | [`watch`] | all nodes of a target, shared by the flows; takeovers |
//! | `polls`, `shared` | what is remembered of its polls, and what flows read without a lock |
//! | `poll`, `ask` | the connection that asks one node, and its questions |
//! | `retained`, `recent` | the writes of one flow that one node may still lose |
//! | [`flow`] | what a flow knows about all nodes |
//! | [`mark`] | what the checkpoint remembers about the nodes |

mod ask;
pub mod flow;
pub(crate) mod info;
pub mod mark;
pub(crate) mod node;
mod poll;
mod polls;
mod recent;
mod retained;
mod shared;
pub mod watch;

use std::time::Duration;

pub use self::watch::{NodeStatus, NodeWatch, Settlement, Standing};
pub use flow::{FlowDurability, LostWrite, Resolved};
pub use info::{Fsync, Persistence};
pub use mark::{Comparison, Kept, Mark};

/// How durability is watched.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Where it cannot be known whether the replicas have a write: how long after its acknowledgement it counts as safe.
    pub loss_window: Duration,
    /// Most bytes that all flows together keep for writes that a node may lose; above it the oldest are forgotten, and
    /// a loss that reaches back to them asks for a full sync.
    pub retained_bytes: usize,
    /// The rules in force.
    pub rules: rules::Rules,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            loss_window: Duration::from_secs(10),
            retained_bytes: 64 << 20,
            rules: rules::Rules::all(),
        }
    }
}

/// Something about the target that no repair of single keys mends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A node lost more than is remembered: only a full sync that reconciles brings the target up to date (rule 30).
    LostBeyond {
        /// `host:port` of the node.
        node: String,
        /// What happened.
        reason: String,
    },
}
