//! What a journal record or a snapshot value means on the target.
//!
//! Bytes and values in, target commands out: no sockets, no clock, no state besides the known databases and the large
//! values that are under way.
//!
//! | module | what it answers |
//! |---|---|
//! | [`translator`] | what a record, a value or a piece of one becomes |
//! | [`table`] | which commands exist, where their keys are, what happens to them; *a new command goes here*, and docs/commands.md comes from here |
//! | [`mapping`] | which name a key of a source database has on the target, and back |
//! | [`filter`] | what is replicated at all |
//! | [`dialect`] | what the target understands |
//! | [`mod@slot`] | which slot of a cluster a name belongs to |
//! | [`target`] | one command as it goes to the target |
//! | [`lease`] | expiries that are given later, and set right afterwards |
//! | [`mod@expect`] | which replies contradict the source, and what happens to an expiry |
//! | [`types`] | what becomes of values that the target cannot hold as they are |
//! | [`treatment`] | what is to be done with a record or value |
//! | [`touches`](touches()) | which keys a record touches, and how it is taken apart by them |
//! | [`KeyPositions`] | the keys of a command that the table does not have |
//! | [`doubtful`](doubtful()) | which records do not say what the source did |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod dialect;
pub mod expect;
pub mod filter;
pub mod lease;
pub mod mapping;
pub mod slot;
pub mod table;
pub mod target;
pub mod translator;
pub mod treatment;
pub mod types;

mod doubtful;
mod rebuild;
mod rewrite;
mod snapshot;
mod touches;
mod unknown;

pub use dialect::{Dialect, Flavour, Restore, Version};
pub use doubtful::{Doubt, DoubtfulWhy, Doubts, doubtful};
pub use expect::{Deadline, Expect, deadline, expect};
pub use filter::{Excluded, Filter, FilterRules, Pattern, Sieve, Sieved, ValueType};
pub use mapping::{Collision, Existing, Mapping, MappingError, Placement, Rule};
pub use slot::slot;
pub use target::{Commands, Effect, TargetCommand};
pub use touches::{Shape, Touches, keep_keys, touches};
pub use translator::{Error, StringEntry, Translator};
pub use treatment::{
    CrossKey, CrossOperation, Global, Ignored, MemberExpiry, Missing, MissingKind, Place, Reason, SourceKey,
    Treatment,
};
pub use types::{JsonAs, MemberTtlAs, MemberTtls};
pub use unknown::{KeyPositions, is_unknown};
