//! The checkpoint: what is replicated from where to where, up to which LSNs, kept durably in a directory.
//!
//! * [`Store`]: one directory, one owner; durable writes
//! * [`Durable`], [`Commit`]: one atomic durable change; what the engine uses, over a [`Store`] or a [`Memory`]
//! * [`Memory`]: the same in memory, for deterministic tests
//! * [`State`], [`Phase`], [`TargetIdentity`], [`NodeMark`]: what is written
//! * [`NotInSync`]: keys under repair or not in sync
//! * [`Scheduled`], [`Planned`]: keys that have to be looked at later, and when
//! * [`keep_existing`], [`existing()`]: keys that the target had before, and that stay
//! * [`inspect`]: what `status` and `checkpoint show` read when no daemon runs
//! * [`Error`]: one variant per thing an operator can do about it
//!
//! Sled 0.34.7 alone cannot carry this: damaged header bytes or a deleted `db` open as an empty store, damage in the
//! middle rolls back silently, and its flush on Linux is `sync_file_range`. So each write ends with an
//! fsync of its log (one; more only when a file came or went), and a guard file beside the store says which generation it
//! must hold.
//!
//! All calls block; an asynchronous caller wraps them.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod codec;
mod disk;
mod durable;
mod error;
mod existing;
mod guard;
mod head;
mod listed;
mod lock;
mod memory;
mod offline;
mod schedule;
mod state;
mod steps;
mod store;
mod upgrade;

// What unit and integration tests share names the crate as its users do.
#[cfg(test)]
extern crate self as checkpoint;
#[cfg(test)]
mod tests;

pub use durable::{Commit, Durable};
pub use error::Error;
pub use existing::{TargetKey, existing, keep_existing};
pub use memory::{Failing, Memory};
pub use offline::{Inspection, inspect, reset};
pub use schedule::{Plan, Planned, Scheduled};
pub use state::{Kept, NodeMark, NotInSync, Phase, State, TargetIdentity};
pub use store::Store;
