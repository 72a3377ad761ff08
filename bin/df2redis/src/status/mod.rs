//! `status` and `dashboard`: ask the running daemon, else the checkpoint.

mod daemon;
mod page;
mod served;
mod stored;

use config::Config;

use crate::failure::Failure;
use crate::output::say;

pub(crate) use daemon::{Answer, ask, post};
pub(crate) use page::page;
pub(crate) use served::serve;

/// Prints how the replication stands.
pub(crate) fn show(config: &Config, json: bool) -> Result<(), Failure> {
    let (report, addr) = match ask(config) {
        Answer::Report { report, addr } => (*report, addr.to_string()),
        Answer::Nothing { why } => (stored::report(config, &why)?, String::new()),
        Answer::Other { why } => {
            eprintln!("df2redis: {why}; set dashboard.addr to the address of this configuration's daemon");
            (stored::report(config, &why)?, String::new())
        }
    };
    if json {
        let text = serde_json::to_string_pretty(&report)
            .map_err(|error| Failure::failed(format!("status as JSON: {error}")))?;
        say(&format!("{text}\n"));
    } else {
        say(&page(&report, &addr));
    }
    Ok(())
}
