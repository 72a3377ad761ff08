//! A disk that really is full.
//!
//! Each test runs itself again in a process whose files may not grow: a small tmpfs of its own, or a limit on the size
//! of files.
#![allow(clippy::unwrap_used)]

mod support;

use std::env;
use std::path::Path;
use std::process::{Command, Output};

use spool::{PushError, WhenFull, open};
use support::{all, bytes, files, options, try_push, until};

/// Set in the inner process: the directory to use.
const INSIDE: &str = "SPOOL_TEST_DIR";

/// Runs `test` of this file behind `script`, which gets the directory as `$1` and the command as the rest.
fn inside(script: &str, test: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let mut command = if script.contains("mount") {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "bash"]);
        command
    } else {
        Command::new("bash")
    };
    command.args(["-c", script, "bash"]).arg(dir.path()).arg(env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(INSIDE, dir.path()).output().unwrap()
}

fn assert_passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn no_space_left_on_device() {
    let Ok(dir) = env::var(INSIDE) else {
        let script = r#"mount -t tmpfs -o size=256k tmpfs "$1" || exit 77; shift; exec "$@""#;
        let output = inside(script, "no_space_left_on_device");
        if output.status.code() == Some(77) || String::from_utf8_lossy(&output.stderr).contains("unshare") {
            println!("not shown: this system lets nobody mount: {output:?}");
            return;
        }
        return assert_passed(&output);
    };
    let dir = Path::new(&dir).join("flow-0");
    // The limit is far above what the disk has.
    let (sender, mut receiver) = open(options(64 << 10, &dir, 1 << 30, WhenFull::Drop));
    let gauge = receiver.gauge();
    for round in 0..3 {
        let mut pushed = Vec::new();
        loop {
            let chunk = bytes(pushed.len() as u64, 1_500);
            match sender.push(chunk.clone()).await {
                Ok(()) => pushed.extend_from_slice(&chunk),
                Err(error) => {
                    assert_eq!(error, PushError::Full);
                    break;
                }
            }
        }
        let levels = gauge.levels();
        assert!(pushed.len() > 256 << 10, "round {round}: {} bytes", pushed.len());
        assert!(levels.disk <= 256 << 10 && levels.memory_peak <= 64 << 10, "{levels:?}");
        let mut back = Vec::new();
        while back.len() < pushed.len() {
            back.extend_from_slice(&receiver.next().await.unwrap().unwrap());
        }
        assert!(back == pushed, "round {round}");
        until("no files", || files(&dir).is_empty() && gauge.levels().disk == 0);
    }
}

#[tokio::test]
async fn a_write_that_succeeds_in_part_is_taken_back() {
    let Ok(dir) = env::var(INSIDE) else {
        // Files end at 10 KiB, in the middle of a frame; the signal that goes with it is ignored.
        let script = r#"trap '' XFSZ; ulimit -f 10; shift; exec "$@""#;
        return assert_passed(&inside(script, "a_write_that_succeeds_in_part_is_taken_back"));
    };
    let dir = Path::new(&dir).join("flow-0");
    let (sender, mut receiver) = open(options(16 << 10, &dir, 1 << 20, WhenFull::Stall));
    let gauge = receiver.gauge();
    let mut pushed = Vec::new();
    let mut refused = 0;
    while refused < 3 {
        let chunk = bytes(pushed.len() as u64, 700);
        match try_push(&sender, chunk.clone()).await {
            Some(outcome) => {
                outcome.unwrap();
                pushed.extend_from_slice(&chunk);
            }
            // The next attempt begins a segment of its own.
            None if gauge.levels().disk_refused => {
                refused += 1;
                until("another attempt", || !gauge.levels().disk_refused);
            }
            None => tokio::task::yield_now().await,
        }
    }
    assert!(files(&dir).len() > 1, "no attempt succeeded behind one that did not");
    let lengths = || files(&dir).iter().map(|file| file.metadata().unwrap().len()).sum::<u64>();
    until("what did not succeed is given back", || lengths() == gauge.levels().disk);
    drop(sender);
    assert!(all(&mut receiver).await == pushed);
    until("no files", || files(&dir).is_empty());
}
