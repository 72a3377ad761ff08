//! The log file: one line, one write; opened again when asked to.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file that log lines are appended to. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct LogFile {
    path: Arc<Path>,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// The last line could not be written.
    failing: bool,
}

impl LogFile {
    /// Opens the file for appending; makes it if it does not exist.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn open(path: &Path) -> io::Result<LogFile> {
        let open = Open { file: append(path)?, failing: false };
        Ok(LogFile { path: path.into(), open: Arc::new(Mutex::new(open)) })
    }

    /// Opens the file anew under its name, for `logrotate`. Where that fails the old one is written to.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let file = append(&self.path)?;
        self.lock().file = file;
        Ok(())
    }

    /// Appends a line. What cannot be written goes to stderr, and the first time why.
    pub(crate) fn line(&self, bytes: &[u8], also_on_stderr: bool) {
        let mut open = self.lock();
        match open.file.write_all(bytes) {
            Ok(()) => open.failing = false,
            Err(error) => {
                if !std::mem::replace(&mut open.failing, true) {
                    let path: PathBuf = self.path.to_path_buf();
                    eprintln!("df2redis: log file {}: {error}; lines go to stderr instead", path.display());
                }
                if !also_on_stderr {
                    // There is nobody left to tell.
                    let _ = io::stderr().lock().write_all(bytes);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("x.log"), dir.path().join("x.log.1"));
        let file = LogFile::open(&path).unwrap();
        file.line(b"one\n", true);
        std::fs::rename(&path, &old).unwrap();
        file.line(b"two\n", true);
        file.reopen().unwrap();
        file.line(b"three\n", true);
        assert_eq!(std::fs::read(&old).unwrap(), b"one\ntwo\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"three\n");
        // Where it cannot be made, the old one goes on.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(file.reopen().is_err());
        file.line(b"four\n", true);
    }
}
