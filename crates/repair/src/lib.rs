//! Brings single keys to a known state, exactly at their place in the stream.
//!
//! A key whose value on the target is in doubt is read from the source between two readings of the source's LSN vector,
//! `R0` and `R1`: the fence. If no record in `[R0, R1)` touches the key, what was read is the key's value at `R1`.
//! Records of the key below `R1` are dropped, the value takes their place when the flow gets to `R1`, and the records
//! from `R1` on follow it. docs/repair.md has the rules; comments name them by number.
//!
//! | module | what is in it |
//! |---|---|
//! | [`Repairs`] | the keys under repair of one flow: decides about each of their records, without I/O and clock |
//! | [`Reader`] | reads keys from the source behind a fence, large ones through a file |
//! | [`Value`] | what was read |
//! | [`Cause`], [`Failed`], [`KeyStatus`], [`Counters`] | what an operator is told |
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cause;
mod key;
mod limits;
mod reader;
mod repairs;
mod spill;
mod status;
mod value;

pub use cause::{Cause, Failed};
pub use limits::Limits;
pub use reader::{Fence, Outcome, Reader, ReaderError, ReaderOptions};
pub use repairs::{Batch, Placement, Reached, Repairs, Verdict};
pub use rules::Rules;
pub use status::{Counters, KeyStatus, Phase};
pub use value::{SpilledItems, SpilledValue, Value};
