//! The guard file: which generation the store beside it must at least hold.
//!
//! `magic[8], version:u8, generation:u64, crc32` — 21 bytes, replaced as a whole by a rename.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::codec::{DecodeError, checksum};
use crate::disk::sync_dir;
use crate::steps::{Step, Steps};

const MAGIC: &[u8; 8] = b"df2rguar";
const VERSION: u8 = 1;
const NAME: &str = "guard";
const NEW: &str = "guard.new";

/// The generation the guard file of `dir` names; `None`: there is no guard file.
pub(crate) fn read(dir: &Path) -> io::Result<Option<Result<u64, DecodeError>>> {
    match fs::read(file(dir)) {
        Ok(bytes) => Ok(Some(decode(&bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Path of the guard file of `dir`.
pub(crate) fn file(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

/// Replaces the guard file durably: write, fsync, rename, fsync of the directory.
pub(crate) fn write(dir: &Path, generation: u64, steps: &Steps) -> io::Result<()> {
    let new = dir.join(NEW);
    let mut file = steps.run(Step::Create(&new), || File::create(&new))?;
    steps.run(Step::Write(&new), || file.write_all(&encode(generation)))?;
    steps.run(Step::SyncFile(&new), || file.sync_all())?;
    steps.run(Step::Rename(&new), || fs::rename(&new, self::file(dir)))?;
    sync_dir(dir, steps)
}

/// Removes the guard file, if there is one.
pub(crate) fn remove(dir: &Path) -> io::Result<()> {
    for name in [NEW, NAME] {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn encode(generation: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(VERSION);
    bytes.extend_from_slice(&generation.to_le_bytes());
    let crc = checksum(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Result<u64, DecodeError> {
    const DAMAGED: DecodeError = DecodeError::Damaged("the guard file is damaged");
    let (covered, crc) = bytes.split_last_chunk::<4>().ok_or(DAMAGED)?;
    let rest = covered.strip_prefix(MAGIC).ok_or(DAMAGED)?;
    if checksum(covered) != u32::from_le_bytes(*crc) {
        return Err(DAMAGED);
    }
    match rest.split_first() {
        Some((&VERSION, generation)) => generation.try_into().map(u64::from_le_bytes).map_err(|_| DAMAGED),
        Some((0, _)) | None => Err(DAMAGED),
        Some((newer, _)) => Err(DecodeError::Newer(*newer)),
    }
}
