//! Any bytes as a journal: at once and in pieces they must say the same, and nothing may panic.
#![no_main]

use bytes::Bytes;
use journal::{Decoder, Entry, Error, Limits, LsnCounter, decode_blob};
use libfuzzer_sys::fuzz_target;

fn decode(input: &[u8], step: usize) -> (Vec<Entry>, Result<(), Error>) {
    let mut decoder = Decoder::new(Limits::default());
    let mut entries = Vec::new();
    for piece in input.chunks(step) {
        decoder.feed(Bytes::copy_from_slice(piece));
        loop {
            match decoder.next() {
                Ok(Some(entry)) => entries.push(entry),
                Ok(None) => break,
                Err(error) => return (entries, Err(error)),
            }
        }
    }
    (entries, Ok(()))
}

fuzz_target!(|input: &[u8]| {
    let _ = decode_blob(Bytes::copy_from_slice(input));
    let whole = decode(input, usize::MAX);
    assert_eq!(whole, decode(input, 1 + input.len() % 13));
    let mut counter = LsnCounter::new(1);
    for entry in &whole.0 {
        if counter.observe(entry).is_err() {
            break;
        }
    }
});
