//! Payloads of `DUMP`, made by servers old and new from the same commands: every one decodes to what those commands say, and
//! is encoded again without loss.
//!
//! The files under `corpus/` have one line for each key, its name and its payload in hex. `router/tests/corpus.rs` does the
//! same with payloads that the servers at hand make anew.
#![allow(clippy::unwrap_used)]

#[path = "support/dumps.rs"]
mod dumps;

use std::fs;
use std::path::Path;

use bytes::Bytes;
use dumps::{Corpus, check_encoded_again, check_meaning};

fn unhex(text: &str) -> Bytes {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect::<Vec<_>>()
        .into()
}

fn corpora() -> Vec<Corpus> {
    let mut files: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "zst"));
    files.sort();
    let read = |path: &Path| {
        let text = zstd::decode_all(fs::File::open(path).unwrap()).unwrap();
        let lines = String::from_utf8(text).unwrap();
        lines
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(k, p)| (k.to_owned(), unhex(p)))
            .collect()
    };
    files.iter().map(|path| (path.file_stem().unwrap().display().to_string(), read(path))).collect()
}

#[test]
fn every_payload_says_what_the_commands_said() {
    let kinds = check_meaning(&corpora());
    // From the ziplists of 6.2 to the newest.
    for code in [0, 2, 4, 5, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21] {
        assert!(kinds.contains(&code), "no payload of type {code}: {kinds:?}");
    }
}

#[test]
fn every_payload_is_encoded_again_without_loss() {
    check_encoded_again(&corpora());
}
