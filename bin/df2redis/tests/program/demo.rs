//! The demo: it ends well, says what is missing, and leaves nothing behind.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The demo in a directory for temporary files of its own.
fn demo(temp: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_df2redis"));
    command
        .arg("demo")
        .env("TMPDIR", temp)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Processes that were started in `temp` or were told of it.
fn processes_in(temp: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let process = entry.unwrap().path();
        let inside = std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(temp));
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if inside || line.contains(temp.to_str().unwrap()) {
            found.push(line);
        }
    }
    found
}

fn nothing_left(temp: &Path) {
    let files: Vec<_> = std::fs::read_dir(temp).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.is_empty(), "{files:?}");
    assert_eq!(processes_in(temp), Vec::<String>::new());
}

#[test]
fn it_ends_with_equal_sides_and_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let output = demo(temp.path()).wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), stderr.as_ref()), (Some(0), ""), "{stdout}");
    for words in [
        "full sync done: ",
        "in sync with the journal",
        "killed the replicator (SIGKILL)",
        "PARTIAL sync: ",
        "caught up: ",
        "EQUAL: ",
    ] {
        assert!(stdout.contains(words), "{words:?} is missing in\n{stdout}");
    }
    nothing_left(temp.path());
}

#[test]
fn interrupted_it_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let mut child = demo(temp.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("replicate --config") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the demo ended before it could be interrupted");
    }
    assert!(!processes_in(temp.path()).is_empty());
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.as_ref()), (Some(1), "df2redis: demo: interrupted by SIGINT\n"));
    nothing_left(temp.path());
}

#[test]
fn without_redis_it_says_what_is_missing() {
    let temp = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_df2redis"))
        .arg("demo")
        .env("PATH", temp.path())
        .env("TMPDIR", temp.path())
        .output()
        .unwrap();
    let line = "df2redis: demo: redis-server is not on the PATH; install Redis 7.0 or later, for example by `apt-get install redis-server`\n";
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(1), line));
    nothing_left(temp.path());
}
