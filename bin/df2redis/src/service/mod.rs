//! What a run tells the machine it runs on: the service manager, `status`, and the operator who sends a SIGHUP.

mod address;
mod notify;
mod reload;
pub(crate) mod status_file;
mod watch;

pub(crate) use self::watch::watch;
pub(crate) use address::{Published, published};
pub(crate) use notify::Notifier;
pub(crate) use reload::Reload;
