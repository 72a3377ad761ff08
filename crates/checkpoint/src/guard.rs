//! The guard file: which generation the store beside it must at least hold.
//!
//! Two slots, [`SLOT`] bytes apart, each `magic[8], version:u8, generation:u64, crc32`. Every write of the store overwrites
//! the one slot in place without waiting for the disk; every [`LAG`]th, the first of all and the one of a clean stop wait, and then it is the other's turn. So a slot that a power loss may tear is never the only one, what a killed process
//! leaves is exact, and what a power loss leaves is behind by fewer than [`LAG`] writes. A file of 21 bytes, which versions
//! 1 and 2 left, is the first slot alone.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::codec::{DecodeError, checksum};
use crate::disk::sync_dir;
use crate::steps::{Step, Steps};

const MAGIC: &[u8; 8] = b"df2rguar";
const VERSION: u8 = 1;
const NAME: &str = "guard";
/// Earlier versions wrote a new guard under this name.
const NEW: &str = "guard.new";
/// Two slots never share a sector of a disk.
const SLOT: u64 = 4096;
const LENGTH: usize = 21;

/// How many writes of the store share one fsync of the guard.
pub(crate) const LAG: u64 = 64;

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

/// The guard file, open for writing.
#[derive(Debug)]
pub(crate) struct Guard {
    file: File,
    path: PathBuf,
    /// The slot that may be overwritten: the other one is durable.
    slot: u64,
    /// Writes since the last fsync.
    unsynced: u64,
    steps: Steps,
}

impl Guard {
    /// Creates the guard file of a new directory, durably.
    pub(crate) fn create(dir: &Path, steps: &Steps) -> io::Result<()> {
        let path = file(dir);
        // Under its name only when it is whole: a start after a crash finds none, or this one.
        let new = dir.join(NEW);
        let file = steps.run(Step::Create(&new), || File::create(&new))?;
        steps.run(Step::Write(&new), || file.write_all_at(&encode(0), 0))?;
        steps.run(Step::SyncFile(&new), || file.sync_data())?;
        steps.run(Step::Rename(&new), || fs::rename(&new, &path))?;
        sync_dir(dir, steps)
    }

    /// Opens the guard file, which was read, and makes it say `generation`, durably.
    pub(crate) fn open(dir: &Path, generation: u64, steps: &Steps) -> io::Result<Guard> {
        let path = file(dir);
        let bytes = fs::read(&path)?;
        let said = slots(&bytes).map(Result::ok);
        // The newer slot stays until the other one is durable.
        let slot = if said[0] >= said[1] { 1 } else { 0 };
        let file = OpenOptions::new().write(true).open(&path)?;
        let mut guard = Guard { file, path, slot, unsynced: 0, steps: steps.clone() };
        if said[0].max(said[1]) == Some(generation) {
            // What a killed process wrote is perhaps not on the disk yet.
            guard.sync()?;
        } else {
            guard.write(generation)?;
            guard.finish()?;
        }
        Ok(guard)
    }

    /// The store holds this generation, durably.
    pub(crate) fn set(&mut self, generation: u64, last: bool) -> io::Result<()> {
        self.write(generation)?;
        self.unsynced += 1;
        // Generation 0 means that no write was ever acknowledged: that must not be found behind the first.
        if last || self.unsynced >= LAG || generation == 1 { self.finish() } else { Ok(()) }
    }

    fn write(&mut self, generation: u64) -> io::Result<()> {
        let at = self.slot * SLOT;
        self.steps.run(Step::Write(&self.path), || self.file.write_all_at(&encode(generation), at))
    }

    /// The slot at hand is durable from here on, the other one may be overwritten.
    fn finish(&mut self) -> io::Result<()> {
        self.sync()?;
        (self.slot, self.unsynced) = (1 - self.slot, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.steps.run(Step::SyncFile(&self.path), || self.file.sync_data())
    }
}

fn encode(generation: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(VERSION);
    bytes.extend_from_slice(&generation.to_le_bytes());
    let crc = checksum(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn slots(bytes: &[u8]) -> [Result<u64, DecodeError>; 2] {
    [0, SLOT as usize].map(|at| decode_slot(bytes.get(at..).unwrap_or_default()))
}

/// The newest slot that is whole.
fn decode(bytes: &[u8]) -> Result<u64, DecodeError> {
    match slots(bytes) {
        [Err(DecodeError::Newer(version)), _] | [_, Err(DecodeError::Newer(version))] => {
            Err(DecodeError::Newer(version))
        }
        [Ok(a), Ok(b)] => Ok(a.max(b)),
        [Ok(one), Err(_)] | [Err(_), Ok(one)] => Ok(one),
        [Err(damaged), Err(_)] => Err(damaged),
    }
}

fn decode_slot(bytes: &[u8]) -> Result<u64, DecodeError> {
    const DAMAGED: DecodeError = DecodeError::Damaged("the guard file is damaged");
    let bytes = bytes.get(..LENGTH).ok_or(DAMAGED)?;
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
