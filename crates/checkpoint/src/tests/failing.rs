//! The system fails a step: the caller learns, nothing more is written, and the next start finds the old or the new.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;

use super::power::{Said, opens_as_one_of};
use super::support::{Random, entry, state};
use crate::steps::{Step, Steps, Watch};
use crate::{Commit, Durable, Error, Store};

/// Fails the `nth` call, counting from 0: even numbers are before a step, odd ones after it took effect.
#[derive(Debug, Default)]
struct Fails {
    nth: Mutex<Option<usize>>,
    calls: Mutex<Vec<String>>,
}

impl Fails {
    fn call(&self, what: String) -> io::Result<()> {
        let mut calls = self.calls.lock().unwrap();
        calls.push(what);
        // ENOSPC, EIO.
        let code = if calls.len() % 4 < 2 { 28 } else { 5 };
        match *self.nth.lock().unwrap() {
            Some(nth) if calls.len() == nth + 1 => Err(io::Error::from_raw_os_error(code)),
            _ => Ok(()),
        }
    }

    /// The `nth` call from now on fails; `None`: no call does.
    fn fail_next(&self, nth: Option<usize>) {
        self.calls.lock().unwrap().clear();
        *self.nth.lock().unwrap() = nth;
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

impl Watch for Fails {
    fn before(&self, step: Step<'_>) -> io::Result<()> {
        self.call(format!("before {step:?}"))
    }

    fn after(&self, step: Step<'_>) -> io::Result<()> {
        self.call(format!("after {step:?}"))
    }
}

fn change(n: u64) -> Commit {
    Commit {
        state: Some(state(n)),
        add: vec![entry(n as u32), entry(n as u32 + 1)],
        remove: vec![(entry(n as u32 - 1).db, entry(n as u32 - 1).key)],
        ..Commit::default()
    }
}

#[test]
fn a_write_that_fails_at_any_step_is_the_last_and_leaves_the_old_or_the_new() {
    let mut steps = 0;
    let mut found = [0, 0];
    for nth in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let fails = Arc::new(Fails::default());
        let store = Store::open_with(dir.path(), Steps { watch: Some(fails.clone()) }).unwrap();
        store.commit(&change(1)).unwrap();
        let old = Said::by(&store);
        fails.fail_next(Some(nth));
        let written = store.commit(&change(2));
        let calls = fails.calls();
        if calls.len() <= nth {
            written.unwrap();
            break;
        }
        let what = &calls[nth];
        assert!(matches!(written, Err(Error::Io { .. })), "{what}: {written:?}");
        assert_eq!((store.state(), store.listed_count()), (Some(state(1)), 2), "{what}");
        fails.fail_next(None);
        let refused = store.commit(&change(3)).unwrap_err().to_string();
        assert!(refused.contains("an earlier write failed"), "{what}: {refused}");
        assert_eq!(fails.calls(), [] as [String; 0], "{what}: something was done for a refused write");
        drop(store);

        let store = Store::open(dir.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
        found[usize::from(store.state() == Some(state(2)))] += 1;
        drop(store);
        // What the second change would have made of it.
        let other = tempfile::tempdir().unwrap();
        let store = Store::open(other.path()).unwrap();
        store.commit(&change(1)).unwrap();
        store.commit(&change(2)).unwrap();
        let new = Said::by(&store).named_as(&old);
        opens_as_one_of(dir.path(), &[&old, &new], what);
        steps += 1;
    }
    println!("{steps} failures; {found:?} left the old and the new");
    assert!(steps >= 8 && found[0] > 0 && found[1] > 0);
}

#[test]
fn a_start_that_fails_at_any_step_can_be_tried_again() {
    let mut random = Random::seeded();
    let existing = tempfile::tempdir().unwrap();
    let store = Store::open(existing.path()).unwrap();
    store.commit(&change(1)).unwrap();
    let said = Said::by(&store);
    drop(store);
    let mut steps = 0;
    for fresh in [false, true] {
        for nth in 0.. {
            let dir = tempfile::tempdir().unwrap();
            if !fresh {
                super::support::copy(existing.path(), dir.path());
            }
            let fails = Arc::new(Fails::default());
            fails.fail_next(Some(nth));
            let opened = Store::open_with(dir.path(), Steps { watch: Some(fails.clone()) });
            let calls = fails.calls();
            if calls.len() <= nth {
                opened.unwrap();
                break;
            }
            let what = &calls[nth];
            assert!(
                matches!(opened, Err(Error::Io { .. } | Error::NotWritable { .. })),
                "{what}: {opened:?}"
            );
            let store = Store::open(dir.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
            match fresh {
                true => assert_eq!((store.state(), store.listed_count()), (None, 0), "{what}"),
                false => assert_eq!(Said::by(&store), said, "{what}"),
            }
            store.commit(&change(2 + random.below(5))).unwrap();
            steps += 1;
        }
    }
    assert!(steps > 40, "{steps}");
}
