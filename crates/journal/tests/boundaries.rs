//! Cutting a stream where its records end, compared with decoding it.
#![allow(clippy::unwrap_used)]

#[path = "../../rdb/tests/support/mod.rs"]
mod support;

use bytes::{Bytes, BytesMut};
use journal::{Boundaries, Decoder, Entry, Error, Limits, LsnCounter, TokenFinder};
use support::{Random, decode, flows};

/// The stable stream of every recorded flow: what follows its snapshot, or all of it after a partial sync.
fn streams() -> Vec<(String, Bytes)> {
    let streams = flows().into_iter().map(|flow| {
        let stable =
            if flow.snapshot { decode(&flow.bytes, rdb::Limits::default()).unwrap().1 } else { flow.bytes };
        (flow.name, stable)
    });
    streams.filter(|(_, stable)| !stable.is_empty()).collect()
}

/// What a decoder makes of these bytes, up to where it fails.
fn decoded(bytes: impl IntoIterator<Item = Bytes>) -> (Vec<Entry>, usize, Option<Error>) {
    let mut decoder = Decoder::new(Limits::default());
    bytes.into_iter().for_each(|bytes| decoder.feed(bytes));
    let mut entries = Vec::new();
    loop {
        match decoder.next() {
            Ok(Some(entry)) => entries.push(entry),
            Ok(None) => return (entries, decoder.pending_bytes(), None),
            Err(error) => return (entries, decoder.pending_bytes(), Some(error)),
        }
    }
}

fn lsns(entries: &[Entry]) -> u64 {
    let mut counter = LsnCounter::new(0);
    for entry in entries {
        // Without the offset of the recording, what the LSN ops say is not compared.
        let _ = counter.observe(entry);
    }
    counter.next()
}

/// Random pieces, most of them small.
fn pieces(bytes: &Bytes, random: &mut Random) -> Vec<Bytes> {
    let mut rest = bytes.clone();
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let most = [1, 8, 200, 70_000][random.below(4)];
        let len = (1 + random.below(most)).min(rest.len());
        // Buffers of their own, as they come from a socket.
        pieces.push(Bytes::copy_from_slice(&rest.split_to(len)));
    }
    pieces
}

#[test]
fn whatever_the_pieces_records_and_counts_are_those_of_the_decoder() {
    const SEED: u64 = 0x626f_756e_6473_0001;
    println!("seed {SEED:#x}");
    let mut random = Random(SEED);
    let streams = streams();
    assert!(streams.len() > 10, "{}", streams.len());
    for (name, stream) in streams {
        let (whole, rest, error) = decoded([stream.clone()]);
        assert_eq!((rest, error), (0, None), "{name}");
        for _ in 0..8 {
            let mut boundaries = Boundaries::new(Limits::default());
            let (mut fed, mut handed_out, mut counted) = (0, BytesMut::new(), 0);
            for piece in pieces(&stream, &mut random) {
                fed += piece.len();
                let whole = boundaries.feed(piece).unwrap();
                counted += whole.lsns;
                whole.chunks.iter().for_each(|chunk| handed_out.extend_from_slice(chunk));
                assert_eq!(handed_out.len() + boundaries.tail(), fed, "{name}");
            }
            assert_eq!(boundaries.tail(), 0, "{name}");
            assert_eq!(handed_out, stream, "{name}");
            assert_eq!(counted, lsns(&whole), "{name}");
        }
    }
}

#[test]
fn what_is_handed_out_ends_where_a_record_ends() {
    const SEED: u64 = 0x626f_756e_6473_0002;
    println!("seed {SEED:#x}");
    let mut random = Random(SEED);
    let mut tails = 0;
    for (name, stream) in streams() {
        for _ in 0..30 {
            let cut = random.below(stream.len() + 1);
            let mut boundaries = Boundaries::new(Limits::default());
            let (mut chunks, mut counted) = (Vec::new(), 0);
            for piece in pieces(&stream.slice(..cut), &mut random) {
                let mut whole = boundaries.feed(piece).unwrap();
                chunks.append(&mut whole.chunks);
                counted += whole.lsns;
            }
            let (entries, rest, _) = decoded([stream.slice(..cut)]);
            assert_eq!(boundaries.tail(), rest, "{name} cut at {cut}");
            let (handed_out, nothing, _) = decoded(chunks);
            assert_eq!(nothing, 0, "{name} cut at {cut}");
            assert_eq!(handed_out, entries, "{name} cut at {cut}");
            assert_eq!(counted, lsns(&entries), "{name} cut at {cut}");
            // The link is gone; the next one sends the record from its beginning.
            tails += usize::from(rest > 0);
            boundaries.drop_tail();
            let whole = boundaries.feed(stream.slice(cut - rest..)).unwrap();
            assert_eq!(whole.chunks.concat(), stream[cut - rest..], "{name} cut at {cut}");
        }
    }
    assert!(tails > 100, "{tails}");
}

#[test]
fn damaged_streams_fail_where_the_decoder_fails() {
    const SEED: u64 = 0x626f_756e_6473_0003;
    println!("seed {SEED:#x}");
    let mut random = Random(SEED);
    let mut failures = 0;
    for (name, stream) in streams() {
        let bytes = stream.slice(..stream.len().min(20_000));
        for _ in 0..200 {
            let mut damaged = bytes.to_vec();
            let at = random.below(damaged.len());
            damaged[at] ^= 1 << random.below(8);
            let damaged = Bytes::from(damaged);
            let mut boundaries = Boundaries::new(Limits::default());
            let outcome = pieces(&damaged, &mut random)
                .into_iter()
                .try_fold(0, |counted, piece| boundaries.feed(piece).map(|whole| counted + whole.lsns));
            let (entries, rest, error) = decoded([damaged]);
            match outcome {
                Ok(counted) => {
                    assert_eq!(error, None, "{name} byte {at}");
                    assert_eq!((counted, boundaries.tail()), (lsns(&entries), rest), "{name} byte {at}");
                }
                Err(found) => {
                    assert_eq!(Some(&found), error.as_ref(), "{name} byte {at}");
                    assert_eq!(boundaries.feed(Bytes::from_static(b"\x0d")), Err(found), "an error stays");
                    failures += 1;
                }
            }
        }
    }
    assert!(failures > 400, "{failures}");
}

/// A record with one argument of `len` bytes behind its name.
fn record(len: usize) -> Bytes {
    let packed = |n: usize| [&[0x80][..], &u32::try_from(n).unwrap().to_be_bytes()[..]].concat();
    let head = [&[10, 0, 1, 2][..], &packed(len + 1), &[1, b'X'], &packed(len)].concat();
    [head, vec![b'v'; len]].concat().into()
}

#[test]
fn a_huge_record_in_small_pieces_is_handed_out_as_it_came() {
    let record = record(16 << 20);
    let mut boundaries = Boundaries::new(Limits::default());
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut rest = record.clone();
    while rest.len() > 1_000 {
        let piece = rest.split_to(1_000);
        pieces.push(piece.clone());
        assert_eq!(boundaries.feed(piece).unwrap().chunks, Vec::<Bytes>::new());
    }
    pieces.push(rest.clone());
    let whole = boundaries.feed(rest).unwrap();
    assert_eq!(whole.lsns, 1);
    assert_eq!(whole.chunks.len(), pieces.len());
    for (chunk, piece) in whole.chunks.iter().zip(&pieces) {
        assert_eq!(chunk.as_ptr(), piece.as_ptr(), "the piece was copied");
    }
}

#[test]
fn a_record_above_the_limits_is_refused_before_it_is_held() {
    let limits = Limits { max_arg: 1_000, ..Limits::default() };
    let mut boundaries = Boundaries::new(limits.clone());
    assert_eq!(boundaries.feed(record(1_000)).unwrap().lsns, 1);
    let error = boundaries.feed(record(1_001)).unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "argument", len: 1_001, max: 1_000 }), "{error}");
    let mut boundaries = Boundaries::new(Limits { max_total: 1_000, ..limits });
    let error = boundaries.feed(record(1_000).slice(..9)).unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "record", .. }), "{error}");
}

#[test]
fn the_end_of_every_snapshot_is_found() {
    const SEED: u64 = 0x746f_6b65_6e00_0001;
    println!("seed {SEED:#x}");
    let mut random = Random(SEED);
    let mut found = 0;
    for flow in flows().into_iter().filter(|flow| flow.snapshot) {
        let (_, stable) = decode(&flow.bytes, rdb::Limits::default()).unwrap();
        let end = flow.bytes.len() - stable.len();
        let token: [u8; 40] = flow.bytes[end - 40..end].try_into().unwrap();
        // Cut inside the token, at its borders, and anywhere.
        for i in 0..60 {
            let mut finder = TokenFinder::new(token);
            let mut at = 0;
            let mut rest = Bytes::copy_from_slice(&flow.bytes);
            let first = if i <= 41 { end - 41 + i } else { 1 + random.below(end) };
            let mut chunk = rest.split_to(first.min(rest.len()));
            let offset = loop {
                if let Some(offset) = finder.feed(&chunk) {
                    break at + offset;
                }
                at += chunk.len();
                assert!(!rest.is_empty(), "{}: not found", flow.name);
                let most = [1, 7, 50, 5_000][random.below(4)];
                chunk = rest.split_to((1 + random.below(most)).min(rest.len()));
            };
            assert_eq!(offset, end, "{}: first cut at {first}", flow.name);
            found += 1;
        }
    }
    assert!(found > 1_000, "{found}");
}

#[test]
fn a_token_that_begins_twice_is_found() {
    let token = *b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
    let stream = [&b"aaaaaaaaaaa"[..], &token, b"rest"].concat();
    for step in 1..stream.len() {
        let mut finder = TokenFinder::new(token);
        let mut at = 0;
        let end = stream.chunks(step).find_map(|chunk| {
            let found = finder.feed(&Bytes::copy_from_slice(chunk)).map(|offset| at + offset);
            at += chunk.len();
            found
        });
        assert_eq!(end, Some(stream.len() - 4), "in steps of {step}");
    }
}
