//! What the tests of the spool share.
#![allow(dead_code, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use spool::{Disk, Error, Options, PushError, Receiver, Sender, WhenFull};

/// Options with a disk part in `dir`.
pub(crate) fn options(memory: usize, dir: &Path, limit: u64, when_full: WhenFull) -> Options {
    Options { memory, disk: Some(Disk { dir: dir.to_owned(), limit }), when_full }
}

/// `len` bytes that no other `start` yields in this order.
pub(crate) fn bytes(start: u64, len: usize) -> Bytes {
    let byte = |at: u64| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    (start..start + len as u64).map(byte).collect()
}

/// Files in `dir`; none where it does not exist.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Lets others run until this is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never happened: {what}");
        std::thread::yield_now();
    }
}

/// Pushes, unless the push waits: then `None`, and the push was cancelled.
pub(crate) async fn try_push(sender: &Sender, chunk: Bytes) -> Option<Result<(), PushError>> {
    tokio::select! {
        biased;
        outcome = sender.push(chunk) => Some(outcome),
        () = std::future::ready(()) => None,
    }
}

/// Everything up to the end, or up to the error.
pub(crate) async fn drain(receiver: &mut Receiver) -> (Vec<u8>, Option<Error>) {
    let mut all = Vec::new();
    loop {
        match receiver.next().await {
            Ok(Some(chunk)) => all.extend_from_slice(&chunk),
            Ok(None) => return (all, None),
            Err(error) => return (all, Some(error)),
        }
    }
}

/// Everything up to the end.
pub(crate) async fn all(receiver: &mut Receiver) -> Vec<u8> {
    let (all, error) = drain(receiver).await;
    assert!(error.is_none(), "{error:?}");
    all
}

/// A spool of 1 KiB with `on_disk` bytes in files and none on their way there, and everything that was pushed.
pub(crate) async fn spilled(dir: &Path, on_disk: usize) -> (Sender, Receiver, Vec<u8>) {
    let (sender, receiver) = spool::open(options(1 << 10, dir, 1 << 20, WhenFull::Stall));
    let mut pushed = Vec::new();
    // Three quarters of the memory are filled before anything goes further.
    while pushed.len() < 768 + on_disk {
        let len = if pushed.len() < 768 { 64 } else { (768 + on_disk - pushed.len()).min(40) };
        let chunk = bytes(pushed.len() as u64, len);
        pushed.extend_from_slice(&chunk);
        sender.push(chunk).await.unwrap();
    }
    let gauge = receiver.gauge();
    until("everything is written", || gauge.levels().memory == 768);
    (sender, receiver, pushed)
}
