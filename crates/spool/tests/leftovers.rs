//! What a crashed process left behind.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;

use support::{all, files, spilled, until};

#[tokio::test]
async fn segments_are_removed_and_nothing_else() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("spool");
    assert_eq!(spool::clean(&root).unwrap(), 0, "there is nothing yet");
    for flow in ["flow-0", "flow-1"] {
        let (sender, receiver, _) = spilled(&root.join(flow), 100_000).await;
        // A crash: nobody removes anything.
        for file in files(&root.join(flow)) {
            fs::copy(&file, file.with_extension("kept")).unwrap();
        }
        drop((sender, receiver));
        until("no segments", || {
            files(&root.join(flow)).iter().all(|file| file.extension().unwrap() == "kept")
        });
        for file in files(&root.join(flow)) {
            fs::rename(&file, file.with_extension("segment")).unwrap();
        }
    }
    let left = files(&root.join("flow-0")).len() + files(&root.join("flow-1")).len();
    assert!(left >= 4, "{left}");
    let kept = [
        root.join("flow-0/notes.txt"),
        root.join("flow-0/spool-1.segment"),
        root.join("flow-0/spool-000000000000000G.segment"),
        root.join("flow-0/spool-0000000000000001.segment.bak"),
        root.join("flow-0/deeper/spool-0000000000000001.segment"),
        parent.path().join("spool-0000000000000001.segment"),
    ];
    fs::create_dir(root.join("flow-0/deeper")).unwrap();
    for file in &kept {
        fs::write(file, "not ours").unwrap();
    }
    fs::create_dir(parent.path().join("elsewhere")).unwrap();
    let elsewhere = parent.path().join("elsewhere/spool-0000000000000001.segment");
    fs::write(&elsewhere, "behind a link").unwrap();
    symlink(parent.path().join("elsewhere"), root.join("flow-2")).unwrap();

    assert_eq!(spool::clean(&root).unwrap(), left as u64);
    for file in kept.iter().chain([&elsewhere]) {
        assert!(file.exists(), "{} was removed", file.display());
    }
    assert_eq!(spool::clean(&root).unwrap(), 0);
}

#[tokio::test]
async fn segments_that_nobody_removed_are_never_read() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("flow-0");
    fs::create_dir(&dir).unwrap();
    let leftover = dir.join("spool-0000000000000000.segment");
    fs::write(&leftover, "of a crash").unwrap();
    let (sender, mut receiver, pushed) = spilled(&dir, 1_000).await;
    drop(sender);
    assert_eq!(all(&mut receiver).await, pushed);
    until("our files are gone", || files(&dir) == [leftover.clone()]);
    assert_eq!(fs::read(&leftover).unwrap(), b"of a crash");
}

#[test]
fn what_cannot_be_listed_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = spool::clean(file.path()).unwrap_err();
    assert!(error.to_string().starts_with(&file.path().display().to_string()), "{error}");
}
