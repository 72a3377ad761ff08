//! What a disk may hold after the power failed: everything fsynced, and any part of the rest.
//!
//! More is lost here than a real file system loses: every name and every sector that was not fsynced survives or not, each
//! for itself, in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::support::Random;
use crate::steps::{Step, Watch};

const SECTOR: usize = 512;

/// A file for as long as it exists, whatever its name: inode numbers are used again, with another time of birth.
type Id = (u64, u64);

/// What names and files there are.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Content {
    /// `None`: a directory.
    names: BTreeMap<PathBuf, Option<Id>>,
    files: BTreeMap<Id, Arc<Vec<u8>>>,
}

impl Content {
    fn of(root: &Path) -> Content {
        let mut content = Content::default();
        content.read(root, root);
        content
    }

    fn read(&mut self, root: &Path, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_owned();
            // Sled removes files in the background.
            let Ok(metadata) = path.metadata() else { continue };
            if metadata.is_dir() {
                self.names.insert(name, None);
                self.read(root, &path);
            } else if let Ok(bytes) = fs::read(&path) {
                let id = id(&metadata);
                self.names.insert(name, Some(id));
                self.files.insert(id, Arc::new(bytes));
            }
        }
    }
}

fn id(metadata: &fs::Metadata) -> Id {
    let born = metadata.created().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    (metadata.ino(), born.as_nanos() as u64)
}

/// An instant: what is certain, and what the program has done by then.
#[derive(Debug, Clone)]
pub(super) struct Instant {
    /// Before or after which step.
    pub(super) what: String,
    durable: Content,
    current: Content,
}

/// What happens at an instant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Crash {
    /// The process dies, the system goes on.
    Killed,
    /// The power fails, nothing more reached the disk than what was fsynced.
    AllLost,
    /// The power fails; each name and sector that was not fsynced survives with this chance in percent.
    SomeLost(u64),
}

impl Instant {
    /// Lays down in `dir` what is found after the crash.
    pub(super) fn lay_down(&self, crash: Crash, random: &mut Random, dir: &Path) {
        let paths: BTreeSet<&PathBuf> = self.durable.names.keys().chain(self.current.names.keys()).collect();
        for path in paths {
            let (old, new) = (self.durable.names.get(path), self.current.names.get(path));
            let survives = crash.survives(random);
            let Some(entry) = (if survives { new } else { old }) else { continue };
            let to = dir.join(path);
            // A name in a directory that is itself lost.
            if !to.parent().unwrap().is_dir() {
                continue;
            }
            match entry {
                None => fs::create_dir(to).unwrap(),
                Some(id) => fs::write(to, self.bytes(id, crash, random)).unwrap(),
            }
        }
    }

    fn bytes(&self, id: &Id, crash: Crash, random: &mut Random) -> Vec<u8> {
        let empty = Arc::default();
        let old = self.durable.files.get(id).unwrap_or(&empty);
        // A file that is already gone has its last content; nothing of it is known but what was durable.
        let new = self.current.files.get(id).unwrap_or(old);
        let mut bytes = old.to_vec();
        if old == new {
            return bytes;
        }
        bytes.resize(old.len().max(new.len()), 0);
        for from in (0..new.len()).step_by(SECTOR) {
            let to = (from + SECTOR).min(new.len());
            if bytes[from..to] != new[from..to] && crash.survives(random) {
                bytes[from..to].copy_from_slice(&new[from..to]);
            }
        }
        bytes.truncate(if crash.survives(random) { new.len() } else { old.len() });
        bytes
    }
}

impl Crash {
    fn survives(self, random: &mut Random) -> bool {
        match self {
            Crash::Killed => true,
            Crash::AllLost => false,
            Crash::SomeLost(percent) => random.below(100) < percent,
        }
    }
}

/// Watches the steps in a directory and keeps every instant.
#[derive(Debug)]
pub(super) struct Platter {
    root: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    durable: Content,
    /// What a file under fsync held when that began: what is written meanwhile need not be reached.
    syncing: Option<(Id, Arc<Vec<u8>>)>,
    instants: Vec<Instant>,
}

impl Platter {
    /// A directory of which everything is durable.
    pub(super) fn under(root: &Path) -> Arc<Platter> {
        let kept = Kept { durable: Content::of(root), ..Kept::default() };
        Arc::new(Platter { root: root.to_owned(), kept: Mutex::new(kept) })
    }

    /// A directory in which the process was killed at `instant`: the system still holds what is not durable.
    pub(super) fn killed_at(instant: &Instant, root: &Path) -> Arc<Platter> {
        instant.lay_down(Crash::Killed, &mut Random(0), root);
        let laid = Content::of(root);
        let mut durable = Content::default();
        for (name, entry) in &instant.durable.names {
            let there = laid.names.get(name).copied().flatten();
            let same = instant.current.names.get(name) == Some(entry);
            match entry {
                None => drop(durable.names.insert(name.clone(), None)),
                // Another file has taken the name, or none: the one before is known by an id that nothing uses.
                Some(old) => {
                    let id = there.filter(|_| same).unwrap_or((u64::MAX, old.0 ^ old.1));
                    durable.names.insert(name.clone(), Some(id));
                    durable.files.insert(id, instant.durable.files.get(old).cloned().unwrap_or_default());
                }
            }
        }
        // Durable bytes under names that are not durable yet.
        for (name, entry) in &instant.current.names {
            let (Some(id), Some(Some(there))) = (entry, laid.names.get(name)) else { continue };
            if let Some(bytes) = instant.durable.files.get(id) {
                durable.files.insert(*there, bytes.clone());
            }
        }
        let kept = Kept { durable, ..Kept::default() };
        Arc::new(Platter { root: root.to_owned(), kept: Mutex::new(kept) })
    }

    /// The instants since the last call, and now: the moment at which the program says that it is done.
    pub(super) fn instants(&self) -> (Vec<Instant>, Instant) {
        let mut kept = self.kept.lock().unwrap();
        kept.see("at rest".into(), &self.root);
        let now = kept.instants.last().unwrap().clone();
        (std::mem::take(&mut kept.instants), now)
    }
}

impl Kept {
    fn see(&mut self, what: String, root: &Path) {
        let instant = Instant { what, durable: self.durable.clone(), current: Content::of(root) };
        // A step's beginning is mostly the end of the one before.
        let same = |last: &Instant| (&last.durable, &last.current) == (&instant.durable, &instant.current);
        if !self.instants.last().is_some_and(same) {
            self.instants.push(instant);
        }
    }
}

impl Watch for Platter {
    fn before(&self, step: Step<'_>) -> io::Result<()> {
        let mut kept = self.kept.lock().unwrap();
        kept.see(format!("before {step:?}"), &self.root);
        if let Step::SyncFile(path) = step {
            kept.syncing = Some((id(&path.metadata()?), Arc::new(fs::read(path)?)));
        }
        Ok(())
    }

    fn after(&self, step: Step<'_>) -> io::Result<()> {
        let mut kept = self.kept.lock().unwrap();
        match step {
            Step::SyncFile(_) => {
                let (id, bytes) = kept.syncing.take().unwrap();
                kept.durable.files.insert(id, bytes);
            }
            Step::SyncDir(dir) => {
                let dir = dir.strip_prefix(&self.root).unwrap().to_owned();
                let now = Content::of(&self.root);
                let inside = |name: &Path| name.parent() == Some(&*dir);
                kept.durable.names.retain(|name, _| !inside(name));
                kept.durable.names.extend(now.names.into_iter().filter(|(name, _)| inside(name)));
            }
            // Sled 0.34.7 fsyncs a snapshot before it gives it its name (`write_snapshot`).
            Step::Open(_) => {
                let now = Content::of(&self.root);
                for (name, entry) in &now.names {
                    let file_name = name.file_name().unwrap().to_str().unwrap();
                    if file_name.starts_with("snap.") && !file_name.ends_with(".generating") {
                        let id = entry.unwrap();
                        kept.durable.files.insert(id, now.files[&id].clone());
                    }
                }
            }
            _ => {}
        }
        kept.see(format!("after {step:?}"), &self.root);
        Ok(())
    }
}
