//! The keys that the target held before the first full sync, and that stay as they are.
//!
//! `magic[8], version:u8, name, count:u64, (db:u32, key)..., crc32`, each text with its length in front as u32, everything
//! little endian. Written once, before the first write to the target; it belongs to the checkpoint of that name.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::codec::checksum;
use crate::disk::sync_dir;
use crate::error::WAY_OUT;
use crate::steps::Steps;
use crate::store::Failures;

const MAGIC: &[u8; 8] = b"df2rexis";
const VERSION: u8 = 1;
const NAME: &str = "existing-keys";
const NEW: &str = "existing-keys.new";
/// More was never written.
const LARGEST: u64 = 256 << 20;

/// A key of the target: database and name.
pub type TargetKey = (u32, Vec<u8>);

/// Writes down, durably, which keys the target held before the checkpoint called `name` wrote to it.
///
/// # Errors
/// [`Error::Io`].
pub fn keep_existing<'a>(
    dir: &Path,
    name: &str,
    keys: impl ExactSizeIterator<Item = (u32, &'a [u8])>,
) -> Result<(), Error> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(VERSION);
    text(&mut bytes, name.as_bytes());
    bytes.extend_from_slice(&(keys.len() as u64).to_le_bytes());
    for (db, key) in keys {
        bytes.extend_from_slice(&db.to_le_bytes());
        text(&mut bytes, key);
    }
    let crc = checksum(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    let write = || -> io::Result<()> {
        let new = dir.join(NEW);
        let mut file = File::create(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, dir.join(NAME))?;
        sync_dir(dir, &Steps::default())
    };
    write().map_err(|e| Failures { dir }.io("writing down the keys that the target has", e))
}

/// What [`keep_existing`] wrote for the checkpoint called `name`; `None`: nothing.
///
/// # Errors
/// [`Error::Corrupted`], [`Error::Io`].
pub fn existing(dir: &Path, name: &str) -> Result<Option<Vec<TargetKey>>, Error> {
    let file = dir.join(NAME);
    let read = || -> io::Result<Option<Vec<u8>>> {
        match fs::metadata(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            // Damaged: found out below.
            Ok(found) if found.len() > LARGEST => Ok(Some(Vec::new())),
            Ok(_) => fs::read(&file).map(Some),
        }
    };
    let bytes = read().map_err(|e| Failures { dir }.io("reading the keys that the target had", e))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let (owner, keys) = decode(&bytes).ok_or_else(|| Error::Corrupted {
        dir: dir.to_owned(),
        what: format!("the file {NAME} is damaged"),
        way_out: WAY_OUT,
    })?;
    // Left behind by a checkpoint before a reset.
    Ok((owner == name.as_bytes()).then_some(keys))
}

/// Removes the file, if there is one.
pub(crate) fn remove(dir: &Path) -> io::Result<()> {
    for name in [NEW, NAME] {
        match fs::remove_file(file(dir, name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}

fn text(bytes: &mut Vec<u8>, text: &[u8]) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(text);
}

fn decode(bytes: &[u8]) -> Option<(Vec<u8>, Vec<TargetKey>)> {
    let (covered, crc) = bytes.split_last_chunk::<4>()?;
    let mut rest = covered.strip_prefix(MAGIC)?.strip_prefix(&[VERSION])?;
    if checksum(covered) != u32::from_le_bytes(*crc) {
        return None;
    }
    let owner = take_text(&mut rest)?;
    let (count, after) = rest.split_first_chunk::<8>()?;
    rest = after;
    let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
    // Each takes at least its two numbers.
    let mut keys = Vec::with_capacity(count.min(rest.len() / 8));
    for _ in 0..count {
        let (db, after) = rest.split_first_chunk::<4>()?;
        rest = after;
        keys.push((u32::from_le_bytes(*db), take_text(&mut rest)?));
    }
    rest.is_empty().then_some((owner, keys))
}

fn take_text(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (text, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = after;
    Some(text.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<TargetKey> {
        vec![(0, b"a".to_vec()), (3, b"\0\xff\r\n".to_vec()), (0, Vec::new())]
    }

    fn keep(dir: &Path) {
        let keys = keys();
        keep_existing(dir, "name", keys.iter().map(|(db, key)| (*db, key.as_slice()))).unwrap();
    }

    #[test]
    fn what_was_written_is_read_by_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(existing(dir.path(), "name").unwrap(), None);
        keep(dir.path());
        assert_eq!(existing(dir.path(), "name").unwrap(), Some(keys()));
        assert_eq!(existing(dir.path(), "other").unwrap(), None);
        remove(dir.path()).unwrap();
        assert_eq!(existing(dir.path(), "name").unwrap(), None);
    }

    #[test]
    fn damage_is_noticed_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        keep(dir.path());
        let file = dir.path().join(NAME);
        let good = fs::read(&file).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(&file, &bad).unwrap();
            assert!(existing(dir.path(), "name").is_err(), "byte {at}");
            fs::write(&file, &good[..at]).unwrap();
            assert!(existing(dir.path(), "name").is_err(), "cut at {at}");
        }
    }
}
