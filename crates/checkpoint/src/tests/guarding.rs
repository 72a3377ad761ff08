//! What a write costs the disk, and what the guard says at any time.

use std::io;
use std::sync::{Arc, Mutex};

use super::support::{entry, state};
use crate::guard::{self, Guard, LAG};
use crate::steps::{Step, Steps, Watch};
use crate::{Commit, Durable, Store};

/// Counts what waits for the disk.
#[derive(Debug, Default)]
struct Syncs(Mutex<Vec<String>>);

impl Watch for Syncs {
    fn before(&self, _: Step<'_>) -> io::Result<()> {
        Ok(())
    }

    fn after(&self, step: Step<'_>) -> io::Result<()> {
        if matches!(step, Step::SyncFile(_) | Step::SyncDir(_)) {
            self.0.lock().unwrap().push(format!("{step:?}"));
        }
        Ok(())
    }
}

/// Writes `writes` times and returns how often that waited for the disk.
fn syncs(writes: u64, commit: impl Fn(u64) -> Commit) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let syncs = Arc::new(Syncs::default());
    let store = Store::open_with(dir.path(), Steps { watch: Some(syncs.clone()) }).unwrap();
    syncs.0.lock().unwrap().clear();
    for n in 0..writes {
        store.commit(&commit(n)).unwrap();
    }
    syncs.0.lock().unwrap().len()
}

#[test]
fn a_write_costs_one_fsync() {
    let writes = 10 * LAG;
    let states = syncs(writes, |n| Commit { state: Some(state(n)), ..Commit::default() });
    let lists = syncs(writes, |n| Commit {
        state: Some(state(n)),
        add: (0..20).map(|key| entry(n as u32 % 3 * 10 + key)).collect(),
        ..Commit::default()
    });
    println!("{states} and {lists} fsyncs for {writes} writes");
    let guards = writes / LAG;
    assert!(states.max(lists) as u64 <= writes + guards + 4, "{states} and {lists} for {writes} writes");
    // Not one of them may be missing either.
    assert!(states.min(lists) as u64 >= writes + guards);
}

#[test]
fn a_clean_stop_makes_the_guard_durable() {
    let stop = Commit { state: Some(state(1)), clean_stop: true, ..Commit::default() };
    assert_eq!(syncs(1, |_| stop.clone()), 2);
}

#[test]
fn the_guard_says_what_was_set_and_one_slot_of_it_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let steps = Steps::default();
    assert_eq!(guard::read(dir.path()).unwrap(), None);
    Guard::create(dir.path(), &steps).unwrap();
    assert_eq!(guard::read(dir.path()).unwrap(), Some(Ok(0)));
    let mut durable = 0;
    let mut guard = Guard::open(dir.path(), 0, &steps).unwrap();
    for generation in 1..5 * LAG {
        if generation % 50 == 0 {
            guard = Guard::open(dir.path(), generation - 1, &steps).unwrap();
            durable = generation - 1;
        }
        guard.set(generation, false).unwrap();
        assert_eq!(guard::read(dir.path()).unwrap(), Some(Ok(generation)));
        let whole = std::fs::read(guard::file(dir.path())).unwrap();
        for slot in [0, 4096] {
            let mut torn = whole.clone();
            torn[slot] ^= 1;
            std::fs::write(guard::file(dir.path()), &torn).unwrap();
            let left = guard::read(dir.path()).unwrap().unwrap().unwrap();
            assert!(left >= durable && generation - left <= LAG, "{left} of {generation}, durable {durable}");
        }
        std::fs::write(guard::file(dir.path()), &whole).unwrap();
    }
    guard::remove(dir.path()).unwrap();
    guard::remove(dir.path()).unwrap();
    assert_eq!(guard::read(dir.path()).unwrap(), None);
}

#[test]
fn a_guard_of_an_earlier_version_is_read_and_kept_until_the_next_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let steps = Steps::default();
    Guard::create(dir.path(), &steps).unwrap();
    let old = std::fs::read(guard::file(dir.path())).unwrap();
    assert_eq!(old.len(), 21, "one slot, as versions 1 and 2 wrote it");
    let mut guard = Guard::open(dir.path(), 0, &steps).unwrap();
    guard.set(2, false).unwrap();
    let new = std::fs::read(guard::file(dir.path())).unwrap();
    assert_eq!(new[..21], old[..], "not overwritten before the other one is durable");
}
