//! One owner per directory, across processes; directories that cannot be one.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use checkpoint::{Error, Store, inspect, reset};
use support::{child, child_dir, state};

/// Not a test: opens the directory, says what came of it, and keeps it until its input ends.
#[test]
#[ignore = "run by the tests of this file in a process of its own"]
fn holds_the_directory() {
    let Some(dir) = child_dir() else { return };
    match Store::open(&dir) {
        Ok(_store) => {
            println!("answer=open");
            let _ = std::io::stdin().read(&mut [0]);
        }
        Err(Error::InUse { .. }) => println!("answer=in use"),
        Err(other) => println!("answer={other}"),
    }
}

fn answer(output: impl Read) -> String {
    let line = BufReader::new(output).lines().map(Result::unwrap).find(|line| line.contains("answer="));
    line.unwrap().split_once("answer=").unwrap().1.to_owned()
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.write(&state(1)).unwrap();
    let second = child("holds_the_directory", dir.path()).stdin(Stdio::null()).output().unwrap();
    assert_eq!(answer(second.stdout.as_slice()), "in use");
    // The owner did not notice.
    store.write(&state(2)).unwrap();
    drop(store);
    let third = child("holds_the_directory", dir.path()).stdin(Stdio::null()).output().unwrap();
    assert_eq!(answer(third.stdout.as_slice()), "open");
}

#[test]
fn nothing_touches_a_directory_another_process_owns() {
    let dir = tempfile::tempdir().unwrap();
    let mut owner = child("holds_the_directory", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(answer(owner.stdout.take().unwrap()), "open");
    assert!(matches!(Store::open(dir.path()), Err(Error::InUse { .. })));
    assert!(matches!(inspect(dir.path(), 1), Err(Error::InUse { .. })));
    assert!(matches!(reset(dir.path()), Err(Error::InUse { .. })));
    drop(owner.stdin.take());
    owner.wait().unwrap();
    assert!(reset(dir.path()).unwrap());
}

#[test]
fn a_second_store_in_the_same_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _store = Store::open(dir.path()).unwrap();
    let refused = Store::open(dir.path()).unwrap_err();
    assert!(refused.to_string().contains("in use by another process"), "{refused}");
}

#[test]
fn a_path_through_a_file_is_not_writable() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    for path in [file.join("checkpoint"), file.clone()] {
        let refused = Store::open(&path).unwrap_err();
        assert!(matches!(refused, Error::NotWritable { .. }), "{refused}");
        assert!(refused.to_string().contains(&path.display().to_string()), "{refused}");
    }
}

#[test]
fn a_directory_without_permission_is_not_writable() {
    let dir = tempfile::tempdir().unwrap();
    let locked = dir.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(locked.join("probe"), "x").is_ok() {
        println!("skipped: this user (root) may write everywhere");
        return;
    }
    assert!(matches!(Store::open(&locked), Err(Error::NotWritable { .. })));
    assert!(matches!(Store::open(&locked.join("below")), Err(Error::NotWritable { .. })));
}

#[test]
fn inspect_and_reset_create_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none");
    assert_eq!(inspect(&none, 1).unwrap(), None);
    assert!(!reset(&none).unwrap());
    assert!(!none.exists());
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(matches!(inspect(&file, 1), Err(Error::Io { .. })), "a file is not an absent checkpoint");
}
