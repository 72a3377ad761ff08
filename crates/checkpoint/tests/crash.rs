//! SIGKILL at any instant: what was acknowledged is there, at most the write under way beside it.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use checkpoint::{Commit, Durable, Store};
use support::{Random, child, child_dir, entry, state};

const KILLS: usize = 50;

/// Everything that write `n` changes: the state, keys that come, and the ones of the write before that go.
fn change(n: u64) -> Commit {
    // Some writes are large: a kill meets them on the way to the disk.
    let keys =
        |n: u64| (0..if n.is_multiple_of(4) { 300 } else { 3 }).map(move |i| entry(n as u32 * 1_000 + i));
    Commit {
        state: Some(state(n)),
        add: keys(n).collect(),
        remove: keys(n - 1).map(|entry| (entry.db, entry.key)).collect(),
        ..Commit::default()
    }
}

/// Not a test: what the killed process does. It goes on where the directory stands and says every write it has finished.
#[test]
#[ignore = "run by the tests of this file in a process of its own"]
fn writes_until_killed() {
    let Some(dir) = child_dir() else { return };
    let store = Store::open(&dir).unwrap();
    println!("opened {}", store.generation());
    loop {
        let next = store.generation() + 1;
        store.commit(&change(next)).unwrap();
        println!("wrote {next}");
    }
}

#[test]
fn a_killed_writer_loses_nothing_it_finished() {
    let mut random = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    // Write 1 gives the directory its name.
    let mut before = 1;
    for round in 0..KILLS {
        let mut process = child("writes_until_killed", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let kill_after = random.below(20);
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
                // Somewhere in the next write; not waited for anything: the instant is the point.
                std::thread::sleep(std::time::Duration::from_micros(random.below(3_000)));
                let _ = process.kill();
            }
        }
        process.wait().unwrap();
        assert!(opened, "round {round}: the directory did not open");

        let store = Store::open(dir.path()).unwrap();
        let found = store.generation();
        // Between the end of a write and the line that says so the process may have been killed as well.
        assert!(
            found == finished || found == finished + 1,
            "round {round}: finished {finished}, found {found}"
        );
        if found > 1 {
            let Commit { state, mut add, .. } = change(found);
            assert_eq!(store.state(), state, "round {round}");
            add.sort_by(|a, b| (a.db, &a.key).cmp(&(b.db, &b.key)));
            assert_eq!(store.listed(usize::MAX).unwrap(), add, "round {round}");
        }
        before = found;
    }
    println!("{before} writes survived {KILLS} kills");
    assert!(before > KILLS as u64);
}

/// Not a test: writes in a process whose files may not grow beyond a limit, and says what came of it.
#[test]
#[ignore = "run by the tests of this file in a process of its own"]
fn writes_until_the_disk_is_full() {
    let Some(dir) = child_dir() else { return };
    let store = Store::open(&dir).unwrap();
    for n in store.generation() + 1.. {
        let mut commit = change(n);
        commit.remove.clear();
        if let Err(error) = store.commit(&commit) {
            let again = store.commit(&change(n + 1)).unwrap_err().to_string();
            println!("failed {}|{error}|{again}", store.generation());
            return;
        }
    }
}

#[test]
fn a_file_that_may_not_grow_ends_the_writing_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let own = child("writes_until_the_disk_is_full", dir.path());
    let mut limited = Command::new("sh");
    // Without the signal the system says EFBIG, in the middle of a write, as it says ENOSPC on a full disk.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\""]);
    limited.arg(own.get_program()).args(own.get_args());
    limited.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = limited.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = said.lines().find_map(|line| line.split_once("failed ")).expect(&said).1;
    let [finished, error, again] = failed.split('|').collect::<Vec<_>>().try_into().unwrap();
    println!("{failed}");
    assert!(error.contains(&dir.path().display().to_string()), "{error}");
    assert!(again.contains("an earlier write failed"), "{again}");
    let finished: u64 = finished.parse().unwrap();
    assert!(finished > 10, "{failed}");

    let store = Store::open(dir.path()).unwrap();
    let found = store.generation();
    assert!(found == finished || found == finished + 1, "finished {finished}, found {found}");
    assert_eq!(store.state(), Some(state(found)));
    let listed: u64 = (2..=found).map(|n| change(n).add.len() as u64).sum();
    assert_eq!(store.listed_count(), listed);
    store.commit(&change(found + 1)).unwrap();
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
