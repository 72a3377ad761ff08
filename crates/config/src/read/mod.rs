//! One file per kind of section: from found settings to validated ones.

mod credential;
mod databases;
mod endpoint;
mod filter;
mod rest;
mod service;

pub(crate) use credential::credential;
pub(crate) use databases::databases;
pub(crate) use endpoint::{Side, endpoint};
pub(crate) use filter::filter;
pub(crate) use rest::{checkpoint, conflict, dashboard, limits, loss_window, repair, spool, types};
pub use service::check_task_name;
pub(crate) use service::{logging, status_file, task_name};
