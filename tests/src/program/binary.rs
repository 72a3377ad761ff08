//! The built program, and one-off runs of it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use crate::servers::Process;

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit status.
    pub status: ExitStatus,
    /// Everything written to stdout.
    pub stdout: String,
    /// Everything written to stderr.
    pub stderr: String,
}

impl Output {
    /// The exit code; panics, with everything that was written, if a signal ended the program.
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| panic!("ended by a signal: {}\n{}{}", self.status, self.stdout, self.stderr))
    }
}

/// Path of the program, built on the first call (`DF2REDIS_BIN` names another one instead). It is built in the
/// target directory and profile of the running test.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("DF2REDIS_BIN") {
            return PathBuf::from(path);
        }
        build(&["--package", "df2redis"]).join("df2redis")
    })
}

/// Path of a daemon that leaves out the repair rules that its first argument names; the rest of it is the program.
/// Built on the first call.
pub fn without_rules() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        build(&["--package", "scenarios", "--example", "without_rules"])
            .join("examples")
            .join("without_rules")
    })
}

/// Builds, in the target directory and profile of the running test, and returns where that is.
fn build(what: &[&str]) -> PathBuf {
    // <target>/<profile>/deps/<test>-<hash>
    let test = std::env::current_exe().expect("a process knows its file");
    let profile = test.ancestors().nth(2).expect("a test lies in <target>/<profile>/deps");
    let target = profile.parent().expect("a profile lies in the target directory");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet"]).args(what).arg("--target-dir").arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo starts");
    assert!(status.success(), "{} does not build", what.join(" "));
    profile.to_owned()
}

/// Runs the program to its end, at most `deadline` long, in an empty directory.
pub fn run<S: AsRef<OsStr>>(args: &[S], deadline: Duration) -> Output {
    let dir = TempDir::new().expect("a temporary directory");
    let (stdout, stderr) = (dir.path().join("stdout"), dir.path().join("stderr"));
    let mut process = Process::spawn(binary(), args, dir.path(), &stdout, &stderr);
    let words: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect();
    let status = process.wait(deadline, &format!("the end of df2redis {}", words.join(" ")));
    Output { status, stdout: read(&stdout), stderr: read(&stderr) }
}

/// A text file; empty if it is not there yet.
pub(super) fn read(path: &Path) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
