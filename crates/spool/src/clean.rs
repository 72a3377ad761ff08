//! What a crashed process left behind.

use std::fs;
use std::io;
use std::path::Path;

use crate::segment;

/// Removes the segments that a crashed process left in `dir` and in the directories directly below it, and returns how
/// many there were. A `dir` that does not exist holds none. Nothing but files with the name of a segment is touched,
/// and links are not followed.
///
/// To be called while nobody spools there.
///
/// # Errors
/// What cannot be listed or removed, named by the error.
pub fn clean(dir: &Path) -> io::Result<u64> {
    clean_below(dir, true)
}

fn clean_below(dir: &Path, descend: bool) -> io::Result<u64> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(named(dir, &error)),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry.map_err(|error| named(dir, &error))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(|error| named(&path, &error))?;
        if kind.is_dir() && descend {
            removed += clean_below(&path, false)?;
        } else if kind.is_file() && entry.file_name().to_str().is_some_and(segment::is_name) {
            fs::remove_file(&path).map_err(|error| named(&path, &error))?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
