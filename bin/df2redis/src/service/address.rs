//! Where the daemon of a checkpoint can be asked: a file beside the checkpoint, for the case that the command line gave
//! the daemon another address than its configuration has.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::Address;
use replica::Status;
use tracing::warn;

const NAME: &str = "status-addr";
/// How often it is looked whether the checkpoint is ours.
const LOOK: Duration = Duration::from_millis(50);

/// The file as long as the daemon runs. What a killed daemon leaves behind is told by nobody answering there.
#[derive(Debug)]
pub(crate) struct Published {
    file: PathBuf,
    written: bool,
}

impl Published {
    /// Writes the address once the checkpoint is known to be ours: a second daemon that is about to be refused must not
    /// write over the first one's. Without an address a file left behind goes away.
    pub(crate) async fn publish(dir: &Path, addr: Option<SocketAddr>, status: &Arc<Status>) -> Published {
        while !status.owns_checkpoint() {
            tokio::time::sleep(LOOK).await;
        }
        let file = dir.join(NAME);
        let done = match addr {
            Some(addr) => write(&file, addr),
            None => remove(&file),
        };
        if let Err(error) = &done {
            warn!(file = %file.display(), %error, "the address of the status page is not written down");
        }
        Published { file, written: addr.is_some() && done.is_ok() }
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        if self.written {
            // A file that stays is as good as one of a killed daemon.
            let _ = remove(&self.file);
        }
    }
}

fn write(file: &Path, addr: SocketAddr) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, format!("{addr}\n"))?;
    fs::rename(&new, file)
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The address written down in a checkpoint's directory; nothing where there is none that could be read.
pub(crate) fn published(dir: &Path) -> Option<Address> {
    let addr: SocketAddr = fs::read_to_string(dir.join(NAME)).ok()?.trim().parse().ok()?;
    Some(Address { host: addr.ip().to_string(), port: addr.port() })
}
