//! `check --repair`: through the daemon's stream, or alone where the source is at rest.

mod alone;

use std::sync::Arc;

use ::check::{Difference, Outcome};
use command::Mapping;
use config::{Address, Config};
use replica::Settings;
use router::Target;
use tracing::info;

use crate::failure::Failure;
use crate::status::{Answer, ask, post};

/// Keys of one request.
const TOGETHER: usize = 500;
/// How often a request is made again that the daemon cannot carry out yet.
const TRIES: u32 = 6;

/// Repairs all keys that differ.
pub(super) async fn repair(
    config: &Config,
    settings: &Settings,
    source: &str,
    target: &Arc<Target>,
    mapping: &Mapping,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let asked = config.clone();
    let answer = tokio::task::spawn_blocking(move || ask(&asked)).await;
    let daemon = match answer {
        Ok(Answer::Report { addr, .. }) => Some(addr),
        Ok(Answer::Nothing { .. } | Answer::Other { .. }) => None,
        Err(error) => return Err(Failure::failed(format!("the daemon was not asked: {error}"))),
    };
    let keys = outcome.differences.len();
    let mut alone = match &daemon {
        Some(addr) => {
            info!(keys, daemon = %addr, "repairing through the daemon");
            None
        }
        None => {
            info!(keys, "no daemon answers: repairing alone");
            Some(alone::Alone::new(config, settings, source, target.clone(), mapping.clone()).await?)
        }
    };
    let failed = |error: std::io::Error| Failure::failed(format!("the list of differences: {error}"));
    let mut batch: Vec<Difference> = Vec::new();
    let mut list = outcome.differences.read().map_err(failed)?;
    loop {
        let next = list.next().transpose().map_err(failed)?;
        let end = next.is_none();
        batch.extend(next);
        if batch.len() == TOGETHER || end && !batch.is_empty() {
            let batch = std::mem::take(&mut batch);
            match (&mut alone, &daemon) {
                (Some(alone), _) => alone.repair(batch).await?,
                (None, Some(addr)) => by_daemon(addr, &batch).await?,
                (None, None) => {}
            }
        }
        if end {
            return Ok(());
        }
    }
}

async fn by_daemon(addr: &Address, batch: &[Difference]) -> Result<(), Failure> {
    let keys: Vec<_> = batch
        .iter()
        .map(|found| serde_json::json!({ "db": found.named.db, "key_hex": super::result::hex(&found.named.key) }))
        .collect();
    let body = serde_json::json!({ "keys": keys }).to_string();
    let mut last = String::new();
    for _ in 0..TRIES {
        let (to, body) = (addr.clone(), body.clone());
        let answer = tokio::task::spawn_blocking(move || post(&to, "/api/repair", &body)).await;
        match answer {
            Ok(Ok((200 | 202, _))) => return Ok(()),
            Ok(Ok((503, why))) => last = String::from_utf8_lossy(&why).trim().to_owned(),
            Ok(Ok((404 | 405, _))) => {
                return Err(Failure::failed(format!(
                    "the daemon at {addr} is of a version that repairs nothing on request"
                )));
            }
            Ok(Ok((code, why))) => {
                let why = String::from_utf8_lossy(&why);
                return Err(Failure::failed(format!(
                    "the daemon at {addr} refused the repair (HTTP {code}): {why}"
                )));
            }
            Ok(Err(error)) => last = error.to_string(),
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    Err(Failure::failed(format!("the daemon at {addr} repairs nothing: {last}")))
}
