//! Any bytes as replies and as commands: at once and in pieces they must say the same, and nothing may panic.
#![no_main]

use std::fmt::Debug;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use resp::{DecodeError, Limits, ReplyDecoder, RequestDecoder, write_command, write_reply};

fn collect<T>(
    mut next: impl FnMut() -> Result<Option<T>, DecodeError>,
    all: &mut Vec<T>,
) -> Result<(), DecodeError> {
    while let Some(one) = next()? {
        all.push(one);
    }
    Ok(())
}

/// Decodes in pieces of `step` bytes.
fn decode<D, T: Debug>(
    input: &[u8],
    step: usize,
    mut decoder: D,
    feed: impl Fn(&mut D, &[u8]),
    next: impl Fn(&mut D) -> Result<Option<T>, DecodeError>,
) -> (Vec<T>, Result<(), DecodeError>) {
    let mut all = Vec::new();
    for piece in input.chunks(step) {
        feed(&mut decoder, piece);
        if let Err(error) = collect(|| next(&mut decoder), &mut all) {
            return (all, Err(error));
        }
    }
    (all, Ok(()))
}

fuzz_target!(|input: &[u8]| {
    let limits = || Limits { bulk: 1 << 20, elements: 1 << 10, depth: 4 };
    let step = 1 + input.len() % 13;
    let replies =
        |step| decode(input, step, ReplyDecoder::new(limits()), ReplyDecoder::feed, ReplyDecoder::next);
    let (whole, outcome) = replies(usize::MAX);
    let (pieces, _) = replies(step);
    assert_eq!(whole, pieces);
    if outcome.is_ok() {
        // What was read is written the same way, and read again.
        let mut out = BytesMut::new();
        whole.iter().for_each(|reply| write_reply(&mut out, reply));
        let (again, _) =
            decode(&out, usize::MAX, ReplyDecoder::new(limits()), ReplyDecoder::feed, ReplyDecoder::next);
        assert_eq!(whole, again);
    }
    let requests =
        |step| decode(input, step, RequestDecoder::new(limits()), RequestDecoder::feed, RequestDecoder::next);
    let (whole, _) = requests(usize::MAX);
    assert_eq!(whole, requests(step).0);
    for command in &whole {
        let mut out = BytesMut::new();
        write_command(&mut out, command);
        let (again, _) = decode(
            &out,
            usize::MAX,
            RequestDecoder::new(limits()),
            RequestDecoder::feed,
            RequestDecoder::next,
        );
        assert_eq!(&again, std::slice::from_ref(command));
    }
});
