//! The process dies, or the power fails, at any step of opening, upgrading and writing: what opens afterwards is exactly the
//! old or exactly the new, never a mixture, and it opens.

use std::path::Path;
use std::sync::Arc;

use super::platter::{Crash, Instant, Platter};
use super::support::{Random, entry, state};
use crate::steps::Steps;
use crate::{Commit, Durable, NotInSync, State, Store};

/// Everything a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    state: Option<State>,
    list: Vec<NotInSync>,
    /// `None`: any; it was never told to anyone.
    name: Option<String>,
}

impl Said {
    pub(super) fn by(store: &Store) -> Said {
        Said { state: store.state(), list: store.not_in_sync(usize::MAX).unwrap(), name: Some(store.name()) }
    }

    /// The same under the name of `other`.
    pub(super) fn named_as(self, other: &Said) -> Said {
        Said { name: other.name.clone(), ..self }
    }

    /// The same while its name was not told to anyone.
    pub(super) fn before_it_was_named(self) -> Said {
        Said { name: None, ..self }
    }

    fn allows(&self, found: &Said) -> bool {
        let name = self.name.as_ref().unwrap_or(found.name.as_ref().unwrap());
        self.state == found.state && self.list == found.list && Some(name) == found.name.as_ref()
    }
}

pub(super) fn watched(dir: &Path, platter: &Arc<Platter>) -> Store {
    let steps = Steps { watch: Some(platter.clone()) };
    Store::open_with(dir, steps).unwrap()
}

/// Crashes at each of the instants in every way; returns how many crashes that were.
pub(super) fn crash_at_each(instants: &[Instant], random: &mut Random, allowed: &[&Said]) -> usize {
    let some = [10, 50, 90].map(Crash::SomeLost);
    let crashes: Vec<_> = [Crash::Killed, Crash::AllLost].into_iter().chain(some).collect();
    for instant in instants {
        for crash in &crashes {
            let dir = fast_dir();
            instant.lay_down(*crash, random, dir.path());
            opens_as_one_of(dir.path(), allowed, &format!("{crash:?} {}", instant.what));
        }
    }
    instants.len() * crashes.len()
}

/// A directory in memory where the system has one: what opens there is checked, not its durability.
fn fast_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Opens the directory, which must say one of `allowed`, and must still take and keep a write.
pub(super) fn opens_as_one_of(dir: &Path, allowed: &[&Said], what: &str) {
    let store = Store::open(dir).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = Said::by(&store);
    assert!(allowed.iter().any(|said| said.allows(&found)), "{what}: {found:#?}\nis none of {allowed:#?}");
    store.commit(&commit(10_000, 3)).unwrap();
    let written = Said::by(&store);
    drop(store);
    assert_eq!(Said::by(&Store::open(dir).unwrap()), written, "{what}");
}

/// A change of everything at once, with `keys` that come and the ones of the change before that go.
fn commit(n: u64, keys: u32) -> Commit {
    let from = n as u32 * keys;
    let gone = (from.saturating_sub(keys)..from).map(entry).map(|entry| (entry.db, entry.key));
    Commit {
        state: Some(state(n)),
        add: (from..from + keys).map(entry).collect(),
        remove: gone.collect(),
        ..Commit::default()
    }
}

#[test]
fn creating_a_directory_survives_a_crash_at_every_step() {
    let mut random = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    let platter = Platter::under(dir.path());
    let store = watched(dir.path(), &platter);
    let named = Said::by(&store);
    let nameless = named.clone().before_it_was_named();
    let (instants, opened) = platter.instants();
    let crashes = crash_at_each(&instants, &mut random, &[&nameless])
        + crash_at_each(&[opened], &mut random, &[&named]);
    println!("{crashes} crashes");
}

#[test]
fn a_write_survives_a_crash_at_every_step() {
    let mut random = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let writes = [(1, 2), (2, 2), (3, 400), (4, 400), (5, 1), (6, 900), (7, 5)];
    let crashes = crash_while_writing(dir.path(), &mut random, &writes);
    println!("{crashes} crashes");
}

/// As above, in a store that has grown, so that sled uses segments of its file again.
#[test]
fn a_write_late_in_a_long_history_survives_a_crash_at_every_step() {
    let mut random = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for n in 1..60 {
        store.commit(&commit(n, 300)).unwrap();
    }
    drop(store);
    let crashes = crash_while_writing(dir.path(), &mut random, &[(60, 300), (61, 300)]);
    println!("{crashes} crashes");
}

/// As above, around the write that waits for the guard as well: many before it did not.
#[test]
fn a_write_late_in_one_run_survives_a_crash_at_every_step() {
    let mut random = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    let platter = Platter::under(dir.path());
    let store = watched(dir.path(), &platter);
    let late = crate::guard::LAG - 1;
    for n in 1..late {
        store.commit(&commit(n, 1)).unwrap();
        platter.instants();
    }
    let mut old = Said::by(&store);
    let mut crashes = 0;
    for n in late..late + 5 {
        store.commit(&commit(n, 1)).unwrap();
        let new = Said::by(&store);
        let (instants, finished) = platter.instants();
        crashes += crash_at_each(&instants, &mut random, &[&old, &new]);
        crashes += crash_at_each(&[finished], &mut random, &[&new]);
        old = new;
    }
    println!("{crashes} crashes");
}

/// Opens the directory, makes the writes (number, keys), then empties the list; crashes at every step of all that.
fn crash_while_writing(dir: &Path, random: &mut Random, writes: &[(u64, u32)]) -> usize {
    let platter = Platter::under(dir);
    let store = watched(dir, &platter);
    let mut old = Said::by(&store);
    let mut crashes = crash_at_each(&platter.instants().0, random, &[&old]);
    let empty = Commit { clear_list: true, ..Commit::default() };
    for commit in writes.iter().map(|(n, keys)| commit(*n, *keys)).chain([empty]) {
        store.commit(&commit).unwrap();
        let new = Said::by(&store);
        assert_ne!(new, old);
        let (instants, finished) = platter.instants();
        crashes += crash_at_each(&instants, random, &[&old, &new]);
        crashes += crash_at_each(&[finished], random, &[&new]);
        old = new;
    }
    assert!(old.list.is_empty());
    crashes
}

/// A killed process leaves a write in the system's cache; the next process reads it there, and then the power fails.
#[test]
fn what_a_start_after_a_kill_has_seen_survives_a_power_loss() {
    let mut random = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let platter = Platter::under(dir.path());
    let store = watched(dir.path(), &platter);
    store.commit(&commit(1, 2)).unwrap();
    let old = Said::by(&store);
    platter.instants();
    store.commit(&commit(2, 50)).unwrap();
    let new = Said::by(&store);
    let mut crashes = 0;
    let mut found = [0, 0];
    for instant in platter.instants().0 {
        let dir = tempfile::tempdir().unwrap();
        let platter = Platter::killed_at(&instant, dir.path());
        let store = watched(dir.path(), &platter);
        let seen = Said::by(&store);
        assert!(seen == old || seen == new, "{}: {seen:#?}", instant.what);
        found[usize::from(seen == new)] += 1;
        let (instants, opened) = platter.instants();
        crashes += crash_at_each(&instants, &mut random, &[&old, &new]);
        crashes += crash_at_each(&[opened], &mut random, &[&seen]);
    }
    println!("{crashes} crashes; {found:?} starts saw the old and the new");
    assert!(found[0] > 0 && found[1] > 0);
}
