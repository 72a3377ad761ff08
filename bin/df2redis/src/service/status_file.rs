//! `status_file`: what `/api/status` says, written to a file every few seconds.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use replica::Status;
use tracing::{info, warn};

/// How often.
const INTERVAL: Duration = Duration::from_secs(2);
/// How often it is looked whether the checkpoint is ours.
const LOOK: Duration = Duration::from_millis(50);

/// Writes the status until it is aborted, once the checkpoint is ours: a second process that is about to be refused leaves
/// the file alone. A file that cannot be written is said once and tried again.
pub(crate) async fn keep(status: Arc<Status>, file: PathBuf) {
    while !status.owns_checkpoint() {
        tokio::time::sleep(LOOK).await;
    }
    let mut tick = tokio::time::interval(INTERVAL);
    let mut failed = None;
    loop {
        tick.tick().await;
        match write(&file, &status) {
            Ok(()) => {
                if failed.take().is_some() {
                    info!(file = %file.display(), "the status file is written again");
                }
            }
            Err(error) => {
                let text = error.to_string();
                if failed.as_ref() != Some(&text) {
                    warn!(file = %file.display(), %error, "the status file is not written");
                }
                failed = Some(text);
            }
        }
    }
}

/// Replaces the file as a whole: whoever reads it never sees a part.
///
/// # Errors
/// The system's.
pub(crate) fn write(file: &Path, status: &Status) -> io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = file.with_file_name(name);
    let mut json = serde_json::to_vec_pretty(&status.report()).map_err(io::Error::other)?;
    json.push(b'\n');
    File::create(&new)?.write_all(&json)?;
    fs::rename(&new, file)
}
