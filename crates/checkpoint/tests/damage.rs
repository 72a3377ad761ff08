//! Whatever happens to a file of the directory: the store opens with exactly what was written, or is refused as
//! corrupted with the way out. Never empty, never older, never a panic.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use checkpoint::{Commit, Durable, Error, NotInSync, State, Store};
use support::{Random, copy, entry, files, state};
use tempfile::TempDir;

const WRITES: u64 = 40;
const LISTED: u32 = 60;
const FLIPS_PER_FILE: u64 = 150;

struct Written {
    dir: TempDir,
    state: State,
    generation: u64,
    list: Vec<NotInSync>,
}

/// A directory with a history: states, a list that grew in between.
fn written() -> Written {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for n in 0..WRITES {
        store.write(&state(n)).unwrap();
        if n == 5 || n == 20 {
            let from = if n == 5 { 0 } else { LISTED / 2 };
            let entries: Vec<_> = (from..from + LISTED / 2).map(entry).collect();
            store.add_not_in_sync(&entries).unwrap();
        }
    }
    let list = store.not_in_sync(usize::MAX).unwrap();
    assert_eq!(list.len(), LISTED as usize);
    Written { state: store.state().unwrap(), generation: store.generation(), list, dir }
}

/// The same with little in it, opened more than once, so that every file of sled is there.
fn written_little() -> Written {
    let dir = tempfile::tempdir().unwrap();
    for n in 1..4 {
        let store = Store::open(dir.path()).unwrap();
        let add = vec![entry(n), entry(n + 10)];
        let remove = vec![(entry(n - 1).db, entry(n - 1).key)];
        let state = Some(state(u64::from(n)));
        store.commit(&Commit { state, add, remove, ..Commit::default() }).unwrap();
    }
    let store = Store::open(dir.path()).unwrap();
    let list = store.listed(usize::MAX).unwrap();
    assert_eq!(list.len(), 4);
    Written { state: store.state().unwrap(), generation: store.generation(), list, dir }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Whole,
    RefusedLater,
    Refused,
}

/// Opens a damaged copy; anything but the two allowed outcomes fails the test.
fn open_damaged(written: &Written, what: &str, damage: impl FnOnce(&Path)) -> Outcome {
    // What is checked is what opens, not that it is durable: in memory where the system has it.
    let copied = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    copy(written.dir.path(), copied.path());
    damage(copied.path());
    match Store::open(copied.path()) {
        Ok(store) => {
            assert_eq!(store.state().as_ref(), Some(&written.state), "{what}");
            assert_eq!(store.generation(), written.generation, "{what}");
            assert_eq!(store.not_in_sync(usize::MAX).unwrap(), written.list, "{what}");
            // And it still takes writes. Sled may have met the damage behind its log's end, where the next start looks for
            // that write: it is found, or it is missed and that is said.
            store.write(&state(1_000)).unwrap();
            drop(store);
            match Store::open(copied.path()) {
                Ok(again) => {
                    assert_eq!(again.state(), Some(state(1_000)), "{what}");
                    Outcome::Whole
                }
                Err(Error::Corrupted { .. }) => Outcome::RefusedLater,
                Err(other) => panic!("{what}: {other}"),
            }
        }
        Err(error @ Error::Corrupted { .. }) => {
            let message = error.to_string();
            assert!(message.contains("df2redis checkpoint reset"), "{what}: {message}");
            assert!(message.contains(&copied.path().display().to_string()), "{what}: {message}");
            Outcome::Refused
        }
        Err(other) => panic!("{what}: {other}"),
    }
}

#[test]
fn flipped_bytes_are_refused_or_harmless() {
    let mut random = Random::seeded();
    let written = written();
    let mut outcomes = BTreeMap::new();
    for file in files(written.dir.path()) {
        let bytes = fs::read(written.dir.path().join(&file)).unwrap();
        if bytes.is_empty() {
            continue;
        }
        // Small files at every byte; of the large one the beginning and seeded places that hold something.
        let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let places: Vec<usize> = if bytes.len() <= 64 {
            (0..bytes.len()).collect()
        } else {
            (0..24.min(bytes.len()))
                .chain((0..FLIPS_PER_FILE).map(|_| used[random.below(used.len() as u64) as usize]))
                .collect()
        };
        for at in places {
            let bit = random.below(8);
            let outcome = open_damaged(&written, &format!("{} byte {at} bit {bit}", file.display()), |dir| {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                fs::write(dir.join(&file), bytes).unwrap();
            });
            *outcomes.entry((file.clone(), outcome)).or_insert(0u32) += 1;
        }
    }
    println!("{outcomes:#?}");
    assert_eq!(outcomes.get(&("guard".into(), Outcome::Refused)), None, "the guard's other slot is whole");
    assert!(outcomes.contains_key(&("store/db".into(), Outcome::Refused)), "no flip hit anything");
}

#[test]
fn every_byte_of_a_small_checkpoint_counts_or_is_harmless() {
    let mut random = Random::seeded();
    let written = written_little();
    let mut outcomes = BTreeMap::new();
    for file in files(written.dir.path()) {
        let bytes = fs::read(written.dir.path().join(&file)).unwrap();
        // Behind its end the log is zeros: some of them will do.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let zeros = (bytes.len() - used) as u64;
        let behind = (0..20).filter(|_| zeros > 0).map(|_| used + random.below(zeros.max(1)) as usize);
        let behind: Vec<_> = behind.collect();
        for at in (0..used).chain(behind) {
            let flip = 1 << random.below(8);
            let outcome = open_damaged(&written, &format!("{} byte {at} ^ {flip}", file.display()), |dir| {
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                fs::write(dir.join(&file), bytes).unwrap();
            });
            if outcome == Outcome::RefusedLater {
                println!("{} byte {at} ^ {flip} of {used} used: refused later", file.display());
            }
            *outcomes.entry((file.clone(), outcome)).or_insert(0u32) += 1;
        }
    }
    println!("{outcomes:#?}");
    assert_eq!(outcomes.get(&("guard".into(), Outcome::Refused)), None, "the guard's other slot is whole");
    assert!(outcomes[&("store/db".into(), Outcome::Refused)] > 500, "hardly a flip hit anything");
}

#[test]
fn truncated_files_are_refused_or_harmless() {
    let mut random = Random::seeded();
    let written = written();
    for file in files(written.dir.path()) {
        let length = fs::metadata(written.dir.path().join(&file)).unwrap().len();
        let lengths = [0, 1, length / 2, length.saturating_sub(1)];
        for to in lengths.into_iter().chain((0..20).map(|_| random.below(length.max(1)))) {
            let outcome = open_damaged(&written, &format!("{} cut to {to}", file.display()), |dir| {
                let opened = fs::OpenOptions::new().write(true).open(dir.join(&file)).unwrap();
                opened.set_len(to).unwrap();
            });
            if (file == Path::new("guard") && to < 21) || (file == Path::new("store/db") && to <= 1) {
                assert_eq!(outcome, Outcome::Refused, "{} cut to {to}", file.display());
            }
        }
    }
}

#[test]
fn zeroed_files_are_refused_or_harmless() {
    let mut random = Random::seeded();
    let written = written();
    for file in files(written.dir.path()) {
        let bytes = fs::read(written.dir.path().join(&file)).unwrap();
        let outcome = open_damaged(&written, &format!("{} zeroed", file.display()), |dir| {
            fs::write(dir.join(&file), vec![0; bytes.len()]).unwrap();
        });
        if file != Path::new("lock") && !bytes.is_empty() {
            assert_eq!(outcome, Outcome::Refused, "{} zeroed", file.display());
        }
        for _ in 0..20 {
            let from = random.below(bytes.len().max(1) as u64) as usize;
            let to = (from + 4096).min(bytes.len());
            open_damaged(&written, &format!("{} zeroed from {from}", file.display()), |dir| {
                let mut bytes = bytes.clone();
                bytes[from..to].fill(0);
                fs::write(dir.join(&file), bytes).unwrap();
            });
        }
    }
}

#[test]
fn deleted_files_are_refused_or_harmless() {
    let written = written();
    for file in files(written.dir.path()) {
        let outcome = open_damaged(&written, &format!("{} deleted", file.display()), |dir| {
            fs::remove_file(dir.join(&file)).unwrap();
        });
        if file == Path::new("guard") || file == Path::new("store/db") {
            assert_eq!(outcome, Outcome::Refused, "{} deleted", file.display());
        }
    }
    let outcome =
        open_damaged(&written, "store deleted", |dir| fs::remove_dir_all(dir.join("store")).unwrap());
    assert_eq!(outcome, Outcome::Refused);
}

#[test]
fn an_older_copy_of_the_store_is_refused() {
    let older = written();
    let newer = tempfile::tempdir().unwrap();
    copy(older.dir.path(), newer.path());
    let store = Store::open(newer.path()).unwrap();
    store.write(&state(500)).unwrap();
    drop(store);
    fs::remove_dir_all(newer.path().join("store")).unwrap();
    copy(&older.dir.path().join("store"), &newer.path().join("store"));
    assert!(matches!(Store::open(newer.path()), Err(Error::Corrupted { .. })));
}

#[test]
fn a_list_that_lost_an_entry_is_refused() {
    let written = written();
    let lose_one = |dir: &Path| {
        let store = sled::open(dir.join("store")).unwrap();
        let (key, _) = store.scan_prefix(b"n").next().unwrap().unwrap();
        store.remove(key).unwrap();
        store.flush().unwrap();
    };
    assert_eq!(open_damaged(&written, "an entry lost", lose_one), Outcome::Refused);
}

#[test]
fn a_guard_with_both_slots_damaged_is_refused() {
    let mut random = Random::seeded();
    let written = written();
    for _ in 0..40 {
        let places = [0, 4096].map(|slot| slot + random.below(21) as usize);
        let outcome = open_damaged(&written, &format!("guard bytes {places:?}"), |dir| {
            let mut bytes = fs::read(dir.join("guard")).unwrap();
            places.iter().for_each(|at| bytes[*at] ^= 1 << random.below(8));
            fs::write(dir.join("guard"), bytes).unwrap();
        });
        assert_eq!(outcome, Outcome::Refused);
    }
}

#[test]
fn a_guard_a_few_writes_behind_is_a_power_loss_and_many_behind_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let guard = dir.path().join("guard");
    let mut guards = Vec::new();
    let store = Store::open(dir.path()).unwrap();
    for n in 0..100 {
        store.write(&state(n)).unwrap();
        guards.push(fs::read(&guard).unwrap());
    }
    drop(store);
    fs::write(&guard, &guards[90]).unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.state(), Some(state(99)));
    drop(store);
    // Behind by more than is ever written without an fsync of the guard.
    fs::write(&guard, &guards[20]).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(Error::Corrupted { .. })));
}

#[test]
fn a_start_brings_the_guard_up_to_date() {
    let older = written();
    let dir = tempfile::tempdir().unwrap();
    copy(older.dir.path(), dir.path());
    let store = Store::open(dir.path()).unwrap();
    let guard = fs::read(dir.path().join("guard")).unwrap();
    store.write(&state(500)).unwrap();
    drop(store);
    // As a power loss leaves it; the start after it must know what the store holds.
    fs::write(dir.path().join("guard"), guard).unwrap();
    drop(Store::open(dir.path()).unwrap());
    fs::remove_dir_all(dir.path().join("store")).unwrap();
    copy(&older.dir.path().join("store"), &dir.path().join("store"));
    assert!(matches!(Store::open(dir.path()), Err(Error::Corrupted { .. })));
}
