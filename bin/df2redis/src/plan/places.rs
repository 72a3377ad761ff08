//! Whether a run could write where the configuration says, found out without leaving anything behind.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use config::Config;

use crate::failure::Failure;

/// Looks at the checkpoint's directory, the log file and the status file.
///
/// # Errors
/// The first place that a run could not write to, as a mistake in the configuration.
pub(super) fn check(config: &Config) -> Result<(), Failure> {
    let dir = &config.checkpoint.dir;
    directory(dir).map_err(|e| unusable("checkpoint.dir", dir, &e, "a directory"))?;
    if let Some(path) = &config.logging.file {
        file(path).map_err(|e| unusable("logging.file", path, &e, "a file"))?;
    }
    if let Some(path) = &config.status_file {
        // It is replaced as a whole, so the directory counts.
        existing(parent(path)).map_err(|e| unusable("status_file", path, &e, "a file in a directory"))?;
    }
    Ok(())
}

fn unusable(setting: &str, path: &Path, error: &io::Error, wanted: &str) -> Failure {
    let path = path.display();
    Failure::usage(format!("{setting}: {path}: {error}; name {wanted} that this user may make and write"))
}

/// A directory that a run makes, with those above it, where it is not there.
fn directory(dir: &Path) -> io::Result<()> {
    let mut nearest: PathBuf = std::path::absolute(dir)?;
    // A name below a file is an error of another kind, and stays one.
    while let Err(error) = nearest.symlink_metadata() {
        if error.kind() != io::ErrorKind::NotFound || !nearest.pop() {
            return Err(error);
        }
    }
    existing(&nearest)
}

/// A file without a name in a directory that is there: gone when it is closed, and where the process is killed as well.
fn existing(dir: &Path) -> io::Result<()> {
    tempfile::tempfile_in(dir).map(drop)
}

fn file(path: &Path) -> io::Result<()> {
    match OpenOptions::new().append(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => existing(parent(path)),
        opened => opened.map(drop),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_can_be_written_are_told_from_others_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "as it was").unwrap();
        for name in ["new", "new/below", "."] {
            directory(&at(name)).unwrap();
        }
        for name in ["file", "file/below", "file/below/that"] {
            let error = directory(&at(name)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotADirectory, "{name}: {error}");
        }
        // Whoever this is, nobody makes a file there.
        directory(Path::new("/proc/df2redis/checkpoint")).unwrap_err();
        file(&at("new.log")).unwrap();
        file(&at("file")).unwrap();
        file(&at("missing/new.log")).unwrap_err();
        file(dir.path()).unwrap_err();
        existing(&at("missing")).unwrap_err();
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(std::fs::read_to_string(at("file")).unwrap(), "as it was");
    }
}
