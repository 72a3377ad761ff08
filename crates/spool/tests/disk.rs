//! What goes to the disk, comes back, and leaves nothing behind.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use spool::{PushError, WhenFull, open};
use support::{all, bytes, files, options, spilled, try_push, until};

#[tokio::test]
async fn no_file_is_created_while_the_receiver_keeps_up() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("spool/flow-0");
    let (sender, mut receiver) = open(options(4 << 10, &dir, 1 << 20, WhenFull::Stall));
    for i in 0..1_000u64 {
        // Never more than three quarters of the memory wait.
        for part in 0..3 {
            sender.push(bytes(i * 3072 + part * 1024, 1024)).await.unwrap();
        }
        for part in 0..3 {
            assert_eq!(receiver.next().await.unwrap().unwrap(), bytes(i * 3072 + part * 1024, 1024));
        }
    }
    let levels = receiver.gauge().levels();
    assert_eq!((levels.memory_peak, levels.disk_peak), (3072, 0));
    assert_eq!(files(parent.path()), Vec::<std::path::PathBuf>::new());
    // One byte more, and it is created: the test would notice.
    for part in 0..4 {
        sender.push(bytes(part * 1024, 1024)).await.unwrap();
    }
    until("a segment", || !files(&dir).is_empty());
}

#[tokio::test]
async fn everything_comes_back_in_order_and_the_files_go() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("flow-0");
    let (sender, mut receiver, pushed) = spilled(&dir, 100_000).await;
    let gauge = receiver.gauge();
    let levels = gauge.levels();
    assert_eq!(levels.waiting, pushed.len() as u64);
    let mut on_disk = 0;
    for file in files(&dir) {
        let metadata = file.metadata().unwrap();
        // They hold what the keys hold.
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        on_disk += metadata.len();
    }
    assert_eq!(levels.disk, on_disk);
    assert!(files(&dir).len() > 1, "one segment shows nothing about the order of several");
    drop(sender);
    assert_eq!(all(&mut receiver).await, pushed);
    until("no files", || files(&dir).is_empty());
    assert_eq!(gauge.levels().waiting, 0);
}

#[tokio::test]
async fn memory_is_used_again_once_the_disk_is_drained() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("flow-0");
    let (sender, mut receiver, pushed) = spilled(&dir, 5_000).await;
    let mut back = Vec::new();
    while back.len() < pushed.len() {
        back.extend_from_slice(&receiver.next().await.unwrap().unwrap());
    }
    assert_eq!(back, pushed);
    let gauge = receiver.gauge();
    until("no files", || files(&dir).is_empty() && gauge.levels().disk == 0);
    for i in 0..100 {
        sender.push(bytes(i * 700, 700)).await.unwrap();
        assert_eq!(receiver.next().await.unwrap().unwrap(), bytes(i * 700, 700));
    }
    assert_eq!(files(&dir), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn the_bounds_hold_and_a_full_spool_stalls() {
    let parent = tempfile::tempdir().unwrap();
    let (memory, limit) = (16 << 10, 64 << 10);
    let dir = parent.path().join("flow-0");
    let (sender, mut receiver) = open(options(memory, &dir, limit, WhenFull::Stall));
    let gauge = receiver.gauge();
    let total = 1_000_000;
    let source = tokio::spawn(async move {
        let mut at = 0;
        while at < total {
            sender.push(bytes(at, 500)).await.unwrap();
            at += 500;
        }
    });
    let mut at = 0;
    let mut stalls = 0;
    while at < total {
        // The receiver goes on whenever not one chunk more fits on disk.
        while !(source.is_finished() || gauge.levels().stalled && gauge.levels().disk + 600 > limit) {
            tokio::task::yield_now().await;
        }
        stalls += 1;
        for _ in 0..20 {
            let Some(chunk) = receiver.next().await.unwrap() else { break };
            assert_eq!(chunk, bytes(at, chunk.len()), "at {at}");
            at += chunk.len() as u64;
        }
    }
    assert_eq!(receiver.next().await.unwrap(), None);
    source.await.unwrap();
    let levels = gauge.levels();
    assert!(levels.memory_peak <= memory as u64, "{levels:?}");
    assert!(levels.disk_peak <= limit && levels.disk_peak > limit / 2, "{levels:?}");
    assert!(stalls > 10, "{stalls}");
}

#[tokio::test]
async fn a_full_spool_that_may_drop_the_link_says_so_and_keeps_what_it_has() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("flow-0");
    let limit = 32 << 10;
    let (sender, mut receiver) = open(options(8 << 10, &dir, limit, WhenFull::Drop));
    let gauge = receiver.gauge();
    let mut pushed = Vec::new();
    let full = loop {
        let chunk = bytes(pushed.len() as u64, 300);
        // A wait for the disk is none for the receiver.
        match sender.push(chunk.clone()).await {
            Ok(()) => pushed.extend_from_slice(&chunk),
            Err(error) => break error,
        }
    };
    assert_eq!(full, PushError::Full);
    assert!(pushed.len() > 20 << 10, "{}", pushed.len());
    assert!(gauge.levels().disk_peak <= limit);
    // The link is gone, the spool is not: what it has is taken, and a new link goes on behind it.
    let mut back = Vec::new();
    while back.len() < pushed.len() {
        back.extend_from_slice(&receiver.next().await.unwrap().unwrap());
    }
    assert_eq!(back, pushed);
    let chunk = bytes(pushed.len() as u64, 300);
    sender.push(chunk.clone()).await.unwrap();
    assert_eq!(receiver.next().await.unwrap().unwrap(), chunk);
}

#[tokio::test]
async fn a_dropped_receiver_removes_the_files_and_ends_the_sender() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("flow-0");
    let (sender, receiver, _) = spilled(&dir, 5_000).await;
    assert!(!files(&dir).is_empty());
    let gauge = receiver.gauge();
    drop(receiver);
    assert_eq!(try_push(&sender, bytes(0, 1)).await, Some(Err(PushError::Closed)));
    until("no files", || files(&dir).is_empty() && gauge.levels().disk == 0);
}

#[tokio::test]
async fn two_spools_in_one_directory_do_not_read_each_other() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("flow-0");
    // As when a spool is opened while its predecessor is still removing its files.
    let (first_sender, mut first, first_pushed) = spilled(&dir, 3_000).await;
    let (second_sender, mut second, second_pushed) = spilled(&dir, 2_000).await;
    drop((first_sender, second_sender));
    assert_eq!(all(&mut second).await, second_pushed);
    assert_eq!(all(&mut first).await, first_pushed);
    until("no files", || files(&dir).is_empty());
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_counts_as_full() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("file"), "in the way").unwrap();
    let dir = parent.path().join("file/flow-0");
    for when_full in [WhenFull::Stall, WhenFull::Drop] {
        let (sender, mut receiver) = open(options(1 << 10, &dir, 1 << 20, when_full));
        let gauge = receiver.gauge();
        let mut pushed = Vec::new();
        let refused = loop {
            let chunk = bytes(pushed.len() as u64, 50);
            match try_push(&sender, chunk.clone()).await {
                Some(Ok(())) => pushed.extend_from_slice(&chunk),
                // It may be the worker's turn only.
                None if when_full == WhenFull::Drop || !gauge.levels().disk_refused => {
                    tokio::task::yield_now().await;
                }
                refused => break refused,
            }
        };
        let expected = if when_full == WhenFull::Stall { None } else { Some(Err(PushError::Full)) };
        assert_eq!(refused, expected);
        assert!(gauge.levels().memory_peak <= 1 << 10);
        let mut back = Vec::new();
        while back.len() < pushed.len() {
            back.extend_from_slice(&receiver.next().await.unwrap().unwrap());
        }
        assert_eq!(back, pushed, "{when_full:?}");
        assert_eq!(gauge.levels().disk_peak, 0);
        // And it goes on in memory.
        sender.push(bytes(0, 700)).await.unwrap();
        assert_eq!(receiver.next().await.unwrap().unwrap(), bytes(0, 700));
    }
}

#[tokio::test]
async fn a_disk_part_can_be_switched_off_and_on() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("flow-0");
    let (sender, receiver) = open(options(1 << 10, &dir, 0, WhenFull::Stall));
    sender.push(bytes(0, 1 << 10)).await.unwrap();
    assert_eq!(try_push(&sender, bytes(0, 1)).await, None);
    receiver.gauge().set_disk_limit(1 << 20);
    assert_eq!(try_push(&sender, bytes(0, 1)).await, Some(Ok(())));
    until("a segment", || !files(&dir).is_empty());
    // Without a directory there is nothing to switch.
    let (sender, receiver) = spool::channel(4);
    sender.push(bytes(0, 4)).await.unwrap();
    receiver.gauge().set_disk_limit(1 << 20);
    assert_eq!(try_push(&sender, bytes(0, 1)).await, None);
}
