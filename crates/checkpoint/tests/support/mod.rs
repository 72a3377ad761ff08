//! What the checkpoint's tests share.
#![allow(dead_code, unreachable_pub)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use checkpoint::{Kept, NodeMark, NotInSync, Phase, State, TargetIdentity};

/// A state that is different for every `n`.
pub fn state(n: u64) -> State {
    State {
        phase: Phase::Stable,
        replication_id: "5b5a5c7f3b0a4e1c9d8f7a6b5c4d3e2f1a0b9c8d".into(),
        applied: (0..4).map(|flow| n * 10 + flow).collect(),
        reserved: (0..4).map(|flow| n * 10 + flow + 4096).collect(),
        reconcile: n.is_multiple_of(2),
        target: TargetIdentity::Cluster { node_ids: vec!["a1".into(), "b2".into(), "c3".into()] },
        updated_at_ms: n,
        nodes: vec![NodeMark {
            address: "10.0.0.1:7000".into(),
            run_id: format!("{n:040x}"),
            replication_id: "0f".repeat(20),
            offset: n * 100,
            kept: Kept::All,
            keys: 7,
            taken_ms: 1_700_000_000_000,
        }],
    }
}

/// A list entry that is different for every `n`.
pub fn entry(n: u32) -> NotInSync {
    NotInSync {
        db: n % 3,
        key: format!("key:{n}\r\n\0").into_bytes(),
        reason: format!("WRONGTYPE Operation against a key, {n}"),
        flow: n % 4,
        lsn: u64::from(n) * 7,
        at_ms: 1_700_000_000_000 + u64::from(n),
    }
}

/// The test binary itself, running only its ignored test `name` on `dir`.
pub fn child(name: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(DIR, dir);
    command
}

/// The directory a child was given.
pub fn child_dir() -> Option<PathBuf> {
    std::env::var_os(DIR).map(PathBuf::from)
}

const DIR: &str = "CHECKPOINT_TEST_DIR";

/// Copies a directory with everything in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below `dir`, relative to it, sorted.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// SplitMix64: numbers that a seed repeats.
pub struct Random(pub u64);

impl Random {
    /// The seed in `CHECKPOINT_TEST_SEED`, else one from the clock; printed either way.
    pub fn seeded() -> Random {
        let given = std::env::var("CHECKPOINT_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = given.unwrap_or(clock.as_nanos() as u64);
        println!("CHECKPOINT_TEST_SEED={seed}");
        Random(seed)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
