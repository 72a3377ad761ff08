//! One owner per directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use crate::Error;

/// The ownership of a checkpoint directory; given back when dropped, and by the system when the process ends. The lock
/// file itself stays: removing it would let two processes lock two different files of one name.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the directory, creating it if it is missing.
    pub(crate) fn take(dir: &Path) -> Result<Lock, Error> {
        let not_writable = |source| Error::NotWritable { dir: dir.to_owned(), source };
        create_durably(dir).map_err(not_writable)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("lock"))
            .map_err(not_writable)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => {
                Err(Error::Io { dir: dir.to_owned(), what: "locking failed", source })
            }
        }
    }
}

/// Creates the directory and makes the names of all that were created durable in their parents.
fn create_durably(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    fs::create_dir_all(dir)?;
    for created in missing {
        let parent = created.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}
