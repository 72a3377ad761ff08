//! SIGKILL at any instant: what was acknowledged is there, at most the write under way beside it.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use checkpoint::Store;
use support::{Random, child, child_dir, entry, state};

const KILLS: usize = 25;

/// Not a test: what the killed process does. It goes on where the directory stands and says every write it has finished.
#[test]
#[ignore = "run by the tests of this file in a process of its own"]
fn writes_until_killed() {
    let Some(dir) = child_dir() else { return };
    let store = Store::open(&dir).unwrap();
    println!("opened {}", store.generation());
    loop {
        let next = store.generation() + 1;
        // Write 1 gave the directory its name.
        if next.is_multiple_of(5) {
            store.add_not_in_sync(&[entry(next as u32)]).unwrap();
        } else {
            store.write(&state(next)).unwrap();
        }
        println!("wrote {next}");
    }
}

#[test]
fn a_killed_writer_loses_nothing_it_finished() {
    let mut random = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    let mut before = 1;
    for round in 0..KILLS {
        let mut process = child("writes_until_killed", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let kill_after = random.below(30);
        let mut finished = before;
        let mut opened = false;
        for line in output.lines() {
            let line = line.unwrap();
            // The test harness prints on the same line before the first one.
            if let Some((_, generation)) = line.split_once("opened ") {
                assert_eq!(generation.parse::<u64>().unwrap(), before, "round {round}");
                opened = true;
            } else if let Some((_, n)) = line.split_once("wrote ") {
                finished = n.parse().unwrap();
            }
            // After the kill the pipe still holds what the child said before it: read to its end.
            if opened && finished >= before + kill_after {
                let _ = process.kill();
            }
        }
        process.wait().unwrap();
        assert!(opened, "round {round}: the directory did not open");

        let store = Store::open(dir.path()).unwrap();
        let found = store.generation();
        assert!(
            found == finished || found == finished + 1,
            "round {round}: finished {finished}, found {found}"
        );
        if found > 1 {
            let newest_state = (2..=found).rev().find(|n| !n.is_multiple_of(5)).unwrap();
            assert_eq!(store.state(), Some(state(newest_state)), "round {round}");
        }
        let mut listed: Vec<_> =
            (1..=found).filter(|n| n.is_multiple_of(5)).map(|n| entry(n as u32)).collect();
        listed.sort_by(|a, b| (a.db, &a.key).cmp(&(b.db, &b.key)));
        assert_eq!(store.not_in_sync(usize::MAX).unwrap(), listed, "round {round}");
        before = found;
    }
    println!("{before} writes survived {KILLS} kills");
    assert!(before > 1);
}

#[test]
fn a_process_killed_while_it_creates_the_directory_leaves_one_that_opens() {
    let mut random = Random::seeded();
    for round in 0..KILLS {
        let dir = tempfile::tempdir().unwrap();
        let mut process = child("writes_until_killed", dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Not waited for anything: the instant is the point.
        std::thread::sleep(std::time::Duration::from_micros(random.below(12_000)));
        process.kill().unwrap();
        process.wait().unwrap();
        let store = Store::open(dir.path()).unwrap_or_else(|error| panic!("round {round}: {error}"));
        store.write(&state(7)).unwrap();
    }
}
