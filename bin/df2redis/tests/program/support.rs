//! Calls the program.

use std::path::Path;
use std::process::{Command, Stdio};

use checkpoint::{Kept, NodeMark, NotInSync, Phase, State, Store, TargetIdentity};
use tempfile::TempDir;

/// How a call ended.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Calls the program in an empty directory, without passwords in its environment.
pub(crate) fn run(args: &[&str]) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_df2redis"))
        .args(args)
        .current_dir(dir.path())
        .env_remove("DF2REDIS_SOURCE_PASSWORD")
        .env_remove("DF2REDIS_TARGET_PASSWORD")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().expect("ended by a signal");
    Run { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A configuration of servers that nobody runs, in a directory that has nothing else. The checkpoint stands beside it.
pub(crate) fn config(dashboard: &str) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("df2redis.yaml");
    let text = format!(
        "source: {{addr: 127.0.0.1:2}}\ntarget: {{addr: 127.0.0.1:1}}\ncheckpoint: {{dir: {:?}}}\ndashboard: {{addr: {dashboard:?}}}\n",
        dir.path().join("checkpoint")
    );
    std::fs::write(&file, text).unwrap();
    (dir, file.to_str().unwrap().to_owned())
}

/// A checkpoint in the directory of a configuration, of a replication in stable sync with one key not in sync. It is in
/// use as long as the store lives.
pub(crate) fn checkpoint_at(dir: &Path) -> Store {
    let store = Store::open(&dir.join("checkpoint")).unwrap();
    let state = State {
        phase: Phase::Stable,
        replication_id: "0123456789abcdef0123456789abcdef01234567".into(),
        applied: vec![41, 1234],
        reserved: vec![41, 1234],
        reconcile: false,
        target: TargetIdentity::Standalone { address: "127.0.0.1:1".into(), run_id: "77".into() },
        updated_at_ms: replica::ledger::now_ms(),
        nodes: vec![NodeMark {
            address: "127.0.0.1:1".into(),
            run_id: "77".into(),
            replication_id: "f0".repeat(20),
            offset: 5678,
            kept: Kept::All,
            keys: 3,
            taken_ms: 1_700_000_000_000,
        }],
    };
    store.write(&state).unwrap();
    let key = b"a\nb".to_vec();
    let entry = NotInSync { db: 2, key, reason: "WRONGTYPE".into(), flow: 1, lsn: 9, at_ms: 1 };
    store.add_not_in_sync(&[entry]).unwrap();
    store
}
