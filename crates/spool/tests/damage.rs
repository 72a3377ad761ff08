//! A segment that is not what was written is never taken for it.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io;
use std::path::Path;

use bytes::Bytes;
use spool::{Error, PushError, Receiver, Sender};
use support::{files, spilled, until};

/// Bytes in the one small segment.
const ON_DISK: usize = 500;

/// Spools something, does `damage` to its segment, and returns the error that the receiver ends with.
async fn error_after(damage: impl FnOnce(&Path)) -> Error {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("flow-0");
    let (sender, mut receiver, pushed) = spilled(&dir, ON_DISK).await;
    let segments = files(&dir);
    assert_eq!(segments.len(), 1);
    damage(&segments[0]);
    // Damage that is not noticed must not make the test wait for more.
    let mut back = Vec::new();
    let mut error = None;
    while error.is_none() && back.len() < pushed.len() {
        match receiver.next().await {
            Ok(chunk) => back.extend_from_slice(&chunk.expect("the sender is there")),
            Err(found) => error = Some(found),
        }
    }
    assert!(pushed.starts_with(&back), "other data than was written");
    assert!(back.len() >= 768, "what was in memory is not affected");
    let error = error.expect("the damage was not noticed");
    assert_broken(&sender, &mut receiver).await;
    until("no files", || files(&dir).is_empty());
    error
}

async fn assert_broken(sender: &Sender, receiver: &mut Receiver) {
    assert!(receiver.next().await.is_err() && receiver.try_next().is_err(), "the error stays");
    assert_eq!(sender.push(Bytes::from_static(b"x")).await, Err(PushError::Broken));
}

fn length(segment: &Path) -> usize {
    fs::metadata(segment).unwrap().len() as usize
}

#[tokio::test]
async fn every_byte_is_covered() {
    let mut at = 0;
    let mut corrupt = 0;
    loop {
        let mut len = 0;
        let error = error_after(|segment| {
            len = length(segment);
            let mut damaged = fs::read(segment).unwrap();
            // How long the segment is depends on how many chunks a write took.
            damaged[at.min(len - 1)] ^= 1 << (at % 8);
            fs::write(segment, damaged).unwrap();
        })
        .await;
        assert!(matches!(error, Error::Corrupt { .. }), "byte {at}: {error}");
        corrupt += 1;
        at += 1;
        if at >= len {
            break;
        }
    }
    assert!(corrupt > ON_DISK, "{corrupt}");
}

#[tokio::test]
async fn a_segment_cut_anywhere_is_noticed() {
    let mut at = 0;
    loop {
        let mut len = 0;
        let error = error_after(|segment| {
            len = length(segment);
            fs::OpenOptions::new()
                .write(true)
                .open(segment)
                .unwrap()
                .set_len(at.min(len as u64 - 1))
                .unwrap();
        })
        .await;
        assert!(matches!(error, Error::Truncated { .. }), "cut at {at}: {error}");
        at += 1;
        if at >= len as u64 {
            break;
        }
    }
}

#[tokio::test]
async fn a_segment_that_was_deleted_is_noticed() {
    let error = error_after(|segment| fs::remove_file(segment).unwrap()).await;
    assert!(
        matches!(&error, Error::Read { source, .. } if source.kind() == io::ErrorKind::NotFound),
        "{error}"
    );
    assert!(error.to_string().contains("spool-0000000000000000.segment"), "{error}");
}

#[tokio::test]
async fn a_segment_of_another_spool_is_not_taken_for_ours() {
    let other = tempfile::tempdir().unwrap();
    // The same number, the same data, but not what this spool wrote.
    let (_sender, _receiver, _) = spilled(other.path(), ON_DISK).await;
    let error = error_after(|segment| {
        fs::copy(files(other.path()).remove(0), segment).unwrap();
    })
    .await;
    assert!(matches!(error, Error::Corrupt { at: 0, .. }), "{error}");
}

#[tokio::test]
async fn frames_that_change_places_are_noticed() {
    let error = error_after(|segment| {
        // Frames of 64 bytes behind 16 of their own and 32 of the segment, where the first write took several chunks.
        let mut damaged = fs::read(segment).unwrap();
        let (first, second) = (damaged[32..112].to_vec(), damaged[112..192].to_vec());
        assert_ne!(first, second);
        damaged[32..112].copy_from_slice(&second);
        damaged[112..192].copy_from_slice(&first);
        fs::write(segment, damaged).unwrap();
    })
    .await;
    assert!(matches!(error, Error::Corrupt { at: 32, .. }), "{error}");
}
