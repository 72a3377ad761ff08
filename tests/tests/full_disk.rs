//! The checkpoint's disk is full: the program ends and says why, and the next one goes on where it was.
//!
//! The disk is a small one in memory, so this needs the right to mount; it says by name that it skips otherwise.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use scenarios::observe::{Crowd, Load};
use scenarios::program::{Df2redis, Output, number};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;

const WAIT: Duration = Duration::from_secs(60);

/// A file system of its own; it goes with the value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount_or_skip(test: &str) -> Option<SmallDisk> {
        let dir = tempfile::TempDir::new().unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(dir.path()).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(dir));
        }
        eprintln!("{test}: skipped, a file system cannot be mounted here");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room that is left, and returns the file that does.
    fn fill(&self) -> std::path::PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).unwrap();
        let block = [0u8; 4096];
        while file.write_all(&block).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A test that fails has a panic of its own to show.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

fn assert_says_what_to_do(ended: &Output) {
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("df2redis: checkpoint ") && last.contains("free space on that disk"), "{last}");
}

#[test]
fn a_full_checkpoint_disk_ends_the_program_and_the_next_one_goes_on() {
    let test = "a_full_checkpoint_disk_ends_the_program_and_the_next_one_goes_on";
    let Some(disk) = SmallDisk::mount_or_skip(test) else { return };
    for source in Source::each(test, 2) {
        for target in Target::both() {
            source.client().call(&["FLUSHALL"]);
            let dir = disk.path().join(format!("checkpoint-{}", source.name()));
            let settings = target.settings(&source).set("checkpoint.dir", dir.to_string_lossy());
            let mut program = Df2redis::replicate(settings);
            program.wait_ready(WAIT);
            let load = Load { clients: 2, rate: 2_000, value: 50, names: 1_009 };
            let writers = Crowd::start(&source.endpoint(), load);
            let filler = disk.fill();
            assert_says_what_to_do(&program.wait_exit(WAIT));
            // As the service manager does it, again and again.
            program.again();
            assert_says_what_to_do(&program.wait_exit(WAIT));
            std::fs::remove_file(filler).unwrap();
            program.again();
            program.wait_ready(WAIT);
            writers.stop();
            target.assert_equal(&source);
            let status = program.status().unwrap();
            assert_eq!((number(&status, "partial_syncs"), number(&status, "full_syncs")), (1, 0), "{status}");
            wait::until(WAIT, "readiness", || program.http("/readyz").is_ok_and(|(code, _)| code == 200));
            program.terminate();
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
}
