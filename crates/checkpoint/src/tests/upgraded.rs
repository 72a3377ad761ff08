//! A directory that version 1 wrote becomes one of today, whatever happens meanwhile.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use super::platter::Platter;
use super::power::{Said, crash_at_each, opens_as_one_of, watched};
use super::support::{Random, copy, entry, state};
use crate::{Commit, Durable, NotInSync, Phase, Plan, Planned, State, Store, TargetIdentity, inspect};

/// Lays down the files as version 1 left them. They must open for ever; a new version adds its own.
fn version_1(dir: &Path) {
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/version-1"), dir);
    fs::create_dir(dir.join("store/blobs")).unwrap();
    fs::write(dir.join("lock"), "").unwrap();
    // The zeros at its end are not kept.
    OpenOptions::new().write(true).open(dir.join("store/db")).unwrap().set_len(524_287).unwrap();
}

/// As [`version_1`], of version 2.
fn version_2(dir: &Path) {
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/version-2"), dir);
    fs::create_dir(dir.join("store/blobs")).unwrap();
    fs::write(dir.join("lock"), "").unwrap();
}

#[test]
fn what_version_2_wrote_is_kept_and_gets_a_schedule() {
    let dir = tempfile::tempdir().unwrap();
    version_2(dir.path());
    let seen = inspect(dir.path(), 9).unwrap().unwrap();
    assert_eq!((seen.generation, seen.scheduled, seen.next_due_ms), (3, 0, None));
    let due = Planned { db: 0, key: b"set".to_vec(), plan: Plan::By(7) };
    for n in 0..2 {
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.state(), Some(state(7)));
        assert_eq!(store.listed(9).unwrap(), [entry(1), entry(2)]);
        assert_eq!(store.name(), seen.name);
        assert_eq!(store.generation(), 3 + n, "nothing is written before something changes");
        assert_eq!((store.scheduled_count(), store.next_due()), (n, (n > 0).then_some(7)));
        store.commit(&Commit { schedule: vec![due.clone()], ..Commit::default() }).unwrap();
    }
}

fn written_by_version_1() -> (State, Vec<NotInSync>) {
    let state = State {
        phase: Phase::Stable,
        replication_id: "5b5a5c7f3b0a4e1c9d8f7a6b5c4d3e2f1a0b9c8d".into(),
        applied: vec![41, 1234],
        reserved: vec![41, 1234],
        reconcile: true,
        target: TargetIdentity::Standalone { address: "10.0.0.1:6379".into(), run_id: "77".into() },
        updated_at_ms: 1_700_000_000_000,
        nodes: Vec::new(),
    };
    let oom = NotInSync {
        db: 0,
        key: b"list".to_vec(),
        reason: "OOM".into(),
        flow: 0,
        lsn: 40,
        at_ms: 1_700_000_000_001,
    };
    let wrong_type =
        NotInSync { db: 2, key: b"a\nb".to_vec(), reason: "WRONGTYPE".into(), flow: 1, lsn: 9, at_ms: 1 };
    (state, vec![oom, wrong_type])
}

fn holds_what_version_1_wrote(store: &Store) {
    let (state, list) = written_by_version_1();
    assert_eq!((store.state(), store.listed(9).unwrap()), (Some(state), list));
}

#[test]
fn the_first_start_upgrades_and_gives_a_name_that_stays() {
    let dir = tempfile::tempdir().unwrap();
    version_1(dir.path());
    let store = Store::open(dir.path()).unwrap();
    holds_what_version_1_wrote(&store);
    assert_eq!(store.generation(), 3, "one more write than version 1 made");
    let name = store.name();
    assert!(name.len() == 16 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    holds_what_version_1_wrote(&store);
    assert_eq!((store.name(), store.generation()), (name.clone(), 3));
    store.write(&state(9_000)).unwrap();
    drop(store);
    assert_eq!(Store::open(dir.path()).unwrap().name(), name);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(Store::open(other.path()).unwrap().name(), name);
}

#[test]
fn looking_at_a_directory_does_not_upgrade_it() {
    let dir = tempfile::tempdir().unwrap();
    version_1(dir.path());
    let (state, list) = written_by_version_1();
    for _ in 0..2 {
        let seen = inspect(dir.path(), 9).unwrap().unwrap();
        assert_eq!((seen.name.as_str(), seen.generation), ("", 2));
        assert_eq!((seen.state.as_ref(), &seen.not_in_sync), (Some(&state), &list));
    }
    let name = Store::open(dir.path()).unwrap().name();
    assert_eq!(inspect(dir.path(), 9).unwrap().unwrap().name, name);
}

#[test]
fn an_upgrade_survives_a_crash_at_every_step() {
    let mut random = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    version_1(dir.path());
    let platter: Arc<Platter> = Platter::under(dir.path());
    let store = watched(dir.path(), &platter);
    holds_what_version_1_wrote(&store);
    let named = Said::by(&store);
    let nameless = named.clone().before_it_was_named();
    let (instants, upgraded) = platter.instants();
    assert!(instants.len() >= 4, "{}", instants.len());
    let crashes = crash_at_each(&instants, &mut random, &[&nameless])
        + crash_at_each(&[upgraded], &mut random, &[&named]);
    println!("{crashes} crashes");
    drop(store);
    opens_as_one_of(dir.path(), &[&named], "at rest");
}
