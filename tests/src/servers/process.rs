//! A child process that never outlives its owner.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::wait;

/// A child whose output goes to a file; it gets SIGKILL on drop.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `program` with stdout and stderr going to these files (created anew; both may be the same).
    pub(crate) fn spawn<S: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = S>,
        dir: &Path,
        stdout: &Path,
        stderr: &Path,
    ) -> Self {
        let out = File::create(stdout).expect("the output file can be created");
        let err = if stderr == stdout {
            out.try_clone().expect("a file handle can be cloned")
        } else {
            File::create(stderr).expect("the output file can be created")
        };
        let program = program.as_ref();
        let child = Command::new(program)
            .args(args)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|e| panic!("{} does not start: {e}", program.to_string_lossy()));
        Self { child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name (`STOP`, `CONT`, `TERM`). The process has not been waited for, so its id
    /// cannot belong to anyone else.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.pid().to_string()])
            .status()
            .expect("the kill command exists");
        assert!(status.success(), "kill -{name} {}: {status}", self.pid());
    }

    /// The exit status, if the process has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// SIGKILL if it still runs; waits for the end.
    pub(crate) fn kill(&mut self) -> ExitStatus {
        if let Some(status) = self.ended() {
            return status;
        }
        self.child.kill().expect("an own child can be killed");
        self.child.wait().expect("a child can be waited for")
    }

    /// Waits for the end; panics after `deadline`.
    pub(crate) fn wait(&mut self, deadline: Duration, what: &str) -> ExitStatus {
        wait::until_some(deadline, what, || self.ended())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test may already be failing: ending the child is all that matters here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
