//! Compares source and target key by key, while both go on.
//!
//! ```text
//!  round 1   SCAN source ─▶ pages of names ─┐
//!                                           ├─▶ workers: one look at each key on both sides ─▶ what seems to differ
//!            SCAN target ─▶ EXISTS at source┘                                                     │
//!  round n   fence: the target has what the source had ─▶ look again ─▶ the same: forgotten       │
//!                                                   ─▶ the source has changed: in motion, again ◀─┤
//!                                                   ─▶ still the old value at the source: differs ┘
//! ```
//! A key differs only if it was the same at the source before and behind a fence, and something else on the target behind
//! it. Nothing but a page per worker and the keys that seem to differ is in memory.
//!
//! | module | what it holds |
//! |---|---|
//! | [`check`] | a check from its beginning to its result |
//! | [`options`] | what is compared, and how thoroughly |
//! | [`glob`] | patterns for names |
//! | `scan`, `workers` | going through both sides; pages worked off at the same time |
//! | `compare` | one look at some keys |
//! | `same` | whether two replies hold the same value |
//! | `source`, `target`, `questions` | asking in pipelines, redirects followed |
//! | [`fence`] | what is waited for between two rounds |
//! | [`findings`] | keys that seem to differ, in bounded memory |
//! | [`summary`], [`progress`] | numbers |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod check;
mod compare;
mod error;
pub mod fence;
pub mod findings;
pub mod glob;
mod kind;
mod limiter;
pub mod options;
mod print;
pub mod progress;
mod questions;
mod same;
mod scan;
mod source;
pub mod summary;
mod target;
mod verdict;
mod workers;

pub use check::{Check, Outcome, Settings};
pub use error::Error;
pub use fence::{Fence, Pause, Waiting};
pub use findings::{Difference, Findings};
pub use glob::Globs;
pub use options::{Mode, Options};
pub use progress::{Moment, Progress};
pub use summary::Summary;
pub use verdict::{Named, What};
