//! `dashboard`: the status page without a daemon of its own.

use config::{Address, Config};
use dashboard::Dashboard;
use replica::Report;

use super::daemon::{Answer, ask, ask_others};
use super::stored;
use crate::failure::Failure;
use crate::output::say;
use crate::run;
use crate::signals::Signals;

/// Serves the page until a signal comes, at `addr`, else where the configuration has it.
pub(crate) fn serve(config: &Config, addr: Option<Address>) -> Result<(), Failure> {
    let Some(addr) = addr.or_else(|| config.dashboard.addr.clone()) else {
        return Err(Failure::usage("dashboard.addr is off in this configuration; give --addr host:port"));
    };
    run::runtime()?.block_on(async {
        let dashboard = Dashboard::listen(&addr.to_string()).await.map_err(|error| match ask(config) {
            Answer::Report { addr, .. } => Failure::failed(format!(
                "the daemon itself serves this page at http://{addr}/; give --addr for a page at another address"
            )),
            _ => error.into(),
        })?;
        let own = dashboard.addr();
        let mut signals = Signals::new().map_err(|error| Failure::failed(format!("no signals: {error}")))?;
        say(&format!("http://{own}/\n"));
        let config = config.clone();
        let report = move || match ask_others(&config, Some(own)) {
            Answer::Report { report, .. } => Ok(*report),
            Answer::Nothing { why } | Answer::Other { why } => at_rest(&config, &why),
        };
        tokio::select! {
            served = dashboard.serve_reports(report) => Ok(served?),
            _ = signals.next() => Ok(()),
        }
    })
}

fn at_rest(config: &Config, why: &str) -> Result<Report, String> {
    stored::report(config, why).map_err(|failure| failure.text().to_owned())
}
