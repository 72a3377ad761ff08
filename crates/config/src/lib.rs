//! The configuration: YAML or two URLs in, a validated and immutable [`Config`] out.
//!
//! raw text -> [`Config`], or [`Problems`]: everything that is wrong with it, at once, each problem with
//! its place in the configuration and its line in the file.
//!
//! * [`Config::load`], [`Config::parse`], [`Config::from_urls`]: the three ways in
//! * [`Source`], [`Target`], [`Mapping`], [`Filter`], [`Conflict`], [`Limits`], [`Checkpoint`], [`Spool`], [`Repair`], [`Types`], [`Dashboard`], [`Logging`]: the sections
//! * [`mapping`]: which database of the source goes where
//! * [`check_task_name`]: for the command line
//! * [`Config::differences`]: what a reload finds changed
//! * [`Problems`], [`Warning`]: what to tell the operator
//!
//! Nothing here reads the environment or a clock: the environment is passed in as a lookup.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod difference;
mod document;
mod filter;
mod keys;
mod load;
pub mod mapping;
mod problem;
mod read;
mod reader;
mod settings;
mod url;
mod values;

pub use address::{Address, NotAnAddress};
pub use filter::Filter;
pub use mapping::{Databases, Destination, Mapping};
pub use problem::{Problem, Problems, Warning};
pub use read::check_task_name;
pub use settings::{
    Checkpoint, Config, Conflict, Dashboard, ExistingData, Foreign, JsonType, Level, Limits, LogFormat,
    Logging, MemberTtl, Repair, Source, Spool, Target, TargetType, Tls, Types, WhenFull,
};
