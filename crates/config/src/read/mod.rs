//! One file per kind of section: from found settings to validated ones.

mod credential;
mod databases;
mod endpoint;
mod filter;
mod rest;

pub(crate) use credential::credential;
pub(crate) use databases::databases;
pub(crate) use endpoint::{Side, endpoint};
pub(crate) use filter::filter;
pub(crate) use rest::{checkpoint, dashboard, logging, loss_window, not_built_yet, repair, spool};
