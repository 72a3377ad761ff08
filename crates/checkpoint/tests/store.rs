//! What is written is what the next start reads.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Instant;

use checkpoint::{
    Commit, Durable, Error, Kept, NodeMark, Phase, State, Store, TargetIdentity, inspect, reset,
};
use support::{entry, state};

#[test]
fn a_fresh_directory_has_no_state_and_keeps_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er");
    let store = Store::open(&path).unwrap();
    assert_eq!((store.state(), store.generation(), store.not_in_sync_count()), (None, 1, 0));
    drop(store);
    assert_eq!(Store::open(&path).unwrap().state(), None);
    let store = Store::open(&path).unwrap();
    store.write(&state(1)).unwrap();
    drop(store);
    assert_eq!(Store::open(&path).unwrap().state(), Some(state(1)));
}

#[test]
fn every_field_survives() {
    let dir = tempfile::tempdir().unwrap();
    let standalone = TargetIdentity::Standalone { address: "h:1".into(), run_id: "".into() };
    let empty = TargetIdentity::Cluster { node_ids: vec![] };
    let persistence = [Kept::Part, Kept::All, Kept::Always];
    let node = |n: usize, persistence| NodeMark {
        address: format!("h:{n}"),
        run_id: "é".repeat(n),
        replication_id: String::new(),
        offset: u64::MAX - n as u64,
        kept: persistence,
        keys: 7,
        taken_ms: 1_700_000_000_000,
    };
    for phase in [Phase::None, Phase::FullSync, Phase::Stable] {
        for (target, flows) in [(&standalone, 0), (&empty, 1), (&standalone, 300)] {
            let written = State {
                phase,
                replication_id: "é".repeat(flows),
                applied: vec![u64::MAX - 1; flows],
                reserved: vec![u64::MAX; flows],
                reconcile: flows == 1,
                target: target.clone(),
                updated_at_ms: u64::MAX,
                nodes: persistence.iter().map(|p| node(flows, *p)).collect(),
            };
            let store = Store::open(dir.path()).unwrap();
            store.write(&written).unwrap();
            drop(store);
            assert_eq!(Store::open(dir.path()).unwrap().state(), Some(written));
        }
    }
}

#[test]
fn the_list_grows_shrinks_and_is_cleared_with_a_full_sync() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.write(&state(1)).unwrap();
    store.add_not_in_sync(&[entry(1), entry(2), entry(3), entry(1)]).unwrap();
    let mut newer = entry(2);
    newer.reason = "OOM".into();
    store.add_not_in_sync(&[newer.clone()]).unwrap();
    store.add_not_in_sync(&[]).unwrap();
    assert_eq!(store.not_in_sync_count(), 3);
    assert_eq!(store.not_in_sync(0).unwrap(), []);
    assert_eq!(store.not_in_sync(2).unwrap(), [entry(3), entry(1)], "by database, then name");
    drop(store);

    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.not_in_sync(9).unwrap(), [entry(3), entry(1), newer.clone()]);
    store.remove_not_in_sync(&[(1, &entry(1).key), (1, b"never listed")]).unwrap();
    assert_eq!(store.not_in_sync(9).unwrap(), [entry(3), newer]);
    assert_eq!(store.state(), Some(state(1)), "the list does not touch the state");

    store.write_full_sync_done(&state(2)).unwrap();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!((store.state(), store.not_in_sync_count()), (Some(state(2)), 0));
    assert_eq!(store.not_in_sync(9).unwrap(), []);
}

#[test]
fn names_of_any_size_can_be_listed() {
    let dir = tempfile::tempdir().unwrap();
    let mut entries = Vec::new();
    for size in [0, 1, 255, 70_000, 2_000_000] {
        let mut entry = entry(1);
        entry.key = vec![0xff; size];
        entries.push(entry);
    }
    let store = Store::open(dir.path()).unwrap();
    store.add_not_in_sync(&entries).unwrap();
    drop(store);
    assert_eq!(Store::open(dir.path()).unwrap().not_in_sync(9).unwrap(), entries);
}

#[test]
fn inspect_shows_what_is_there_and_reset_removes_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.write(&state(1)).unwrap();
    store.add_not_in_sync(&[entry(1), entry(2)]).unwrap();
    drop(store);
    std::fs::write(dir.path().join("spool"), "not ours").unwrap();

    let seen = inspect(dir.path(), 1).unwrap().unwrap();
    assert_eq!((seen.state, seen.generation, seen.not_in_sync_count), (Some(state(1)), 3, 2));
    assert_eq!(seen.not_in_sync, [entry(1)]);

    assert!(reset(dir.path()).unwrap());
    assert!(!reset(dir.path()).unwrap());
    assert_eq!(inspect(dir.path(), 1).unwrap(), None);
    assert!(dir.path().join("spool").exists());
    assert_eq!(Store::open(dir.path()).unwrap().state(), None);
}

#[test]
fn reset_is_the_way_out_of_corruption() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.write(&state(1)).unwrap();
    drop(store);
    std::fs::remove_dir_all(dir.path().join("store")).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(Error::Corrupted { .. })));
    assert!(reset(dir.path()).unwrap());
    assert_eq!(Store::open(dir.path()).unwrap().state(), None);
}

#[test]
fn writers_in_several_threads_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path()).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let store = Arc::clone(&store);
            scope.spawn(move || {
                for n in 0..5 {
                    store.write(&state(9)).unwrap();
                    store.add_not_in_sync(&[entry(thread * 100 + n)]).unwrap();
                }
            });
        }
    });
    assert_eq!((store.generation(), store.not_in_sync_count()), (41, 20));
}

/// Not a check but a number for docs/performance.md: `cargo test --release -p checkpoint -- --ignored --nocapture cost`.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_write() {
    let dir = tempfile::tempdir_in(std::env::var("CHECKPOINT_TEST_ON").unwrap_or("/tmp".into())).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut micros = Vec::new();
    for n in 0..5_000 {
        let start = Instant::now();
        store.write(&state(n)).unwrap();
        micros.push(start.elapsed().as_micros());
    }
    let bytes: u64 =
        support::files(dir.path()).iter().map(|file| dir.path().join(file).metadata().unwrap().len()).sum();
    micros.sort_unstable();
    let at = |share: usize| micros[(micros.len() - 1) * share / 1000];
    println!(
        "durable write: p50 {} us, p99 {} us, max {} us; {bytes} bytes on disk",
        at(500),
        at(990),
        at(1000)
    );
    assert!(bytes < 64 << 20, "the store grows without bound: {bytes} bytes");
}

/// As above: what 1 000 keys gained and 1 000 lost cost beside a list of any length.
#[test]
#[ignore = "a measurement"]
fn cost_of_list_changes() {
    let micros = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_micros()
    };
    for listed in [0u32, 100_000] {
        let dir = tempfile::tempdir_in(std::env::var("CHECKPOINT_TEST_ON").unwrap_or("/tmp".into())).unwrap();
        let store = Store::open(dir.path()).unwrap();
        let all: Vec<_> = (0..listed).map(entry).collect();
        let filling = micros(&mut || store.add_not_in_sync(&all).unwrap());
        let mut costs = [vec![], vec![], vec![], vec![]];
        for n in 0..300u32 {
            let some: Vec<_> = (0..1_000).map(|i| entry(1_000_000 + n * 1_000 + i)).collect();
            let add = Commit { state: Some(state(u64::from(n))), add: some.clone(), ..Commit::default() };
            let remove = some.iter().map(|e| (e.db, e.key.clone())).collect();
            let remove = Commit { remove, ..Commit::default() };
            let replace = Commit { add: some.clone(), ..Commit::default() };
            let only_state = Commit { state: Some(state(u64::from(n))), ..Commit::default() };
            for (costs, commit) in costs.iter_mut().zip([only_state, add, replace, remove]) {
                costs.push(micros(&mut || store.commit(&commit).unwrap()));
            }
        }
        for (costs, what) in
            costs.iter_mut().zip(["state only", "1000 adds", "1000 replaced", "1000 removes"])
        {
            costs.sort_unstable();
            let at = |share: usize| costs[(costs.len() - 1) * share / 100];
            println!("{listed} listed, {what}: p50 {} us, p99 {} us, max {} us", at(50), at(99), at(100));
        }
        drop(store);
        let mut reopened = None;
        let opening = micros(&mut || reopened = Some(Store::open(dir.path()).unwrap()));
        let store = reopened.unwrap();
        let clear = Commit { clear_list: true, ..Commit::default() };
        let clearing = micros(&mut || store.commit(&clear).unwrap());
        let bytes: u64 =
            support::files(dir.path()).iter().map(|f| dir.path().join(f).metadata().unwrap().len()).sum();
        println!(
            "{listed} listed: filled in {filling} us, opened in {opening} us, cleared in {clearing} us, {bytes} bytes"
        );
    }
}
