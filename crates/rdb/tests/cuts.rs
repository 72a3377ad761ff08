//! The recorded streams cut, fed in pieces, and damaged.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use rdb::{Decoder, Error, Item, Kind, Limits, Piece, dump};
use support::{Flow, Random, decode, drain, snapshots};

/// Flows up to this size are cut at every byte.
const SMALL: usize = 64 << 10;
/// Cuts of larger ones besides those at item boundaries.
const CUTS: usize = 2_000;

/// Runs the test on every snapshot, on as many threads as there are.
fn for_every_snapshot(test: impl Fn(&Flow) + Sync) {
    let flows = snapshots();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        while let Some(flow) = flows.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            test(flow);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(work);
        }
    });
}

/// Feeds pieces of `step` bytes and takes everything out after each.
fn decode_in_pieces(bytes: &Bytes, step: usize, limits: Limits) -> Result<(Vec<Item>, Bytes), Error> {
    let mut decoder = Decoder::new(limits);
    let mut items = Vec::new();
    for piece in bytes.chunks(step) {
        decoder.feed(Bytes::copy_from_slice(piece));
        drain(&mut decoder, &mut items)?;
    }
    assert!(decoder.finished());
    Ok((items, decoder.into_rest()))
}

#[test]
fn pieces_of_any_size_give_the_same_items() {
    let in_pieces = Limits { whole_value: 500, piece: 300, ..Limits::default() };
    for_every_snapshot(|flow| {
        for limits in [Limits::default(), in_pieces.clone()] {
            let whole = decode(&flow.bytes, limits.clone()).unwrap();
            for step in [1, 7, 4096] {
                let pieces = decode_in_pieces(&flow.bytes, step, limits.clone());
                assert!(pieces.as_ref() == Ok(&whole), "{} in pieces of {step}", flow.name);
            }
        }
    });
}

/// What a stream cut at `cut` gives must be the front of what the whole gives.
fn check_front(flow: &Flow, whole: &[Item], front: &[Item], cut: usize) {
    let Some((last, before)) = front.split_last() else { return };
    assert!(whole.starts_with(before), "{} cut at {cut}", flow.name);
    let good = match (last, whole.get(before.len())) {
        // Less may have come of what is handed out as it comes.
        (
            Item::Piece { piece: Piece::String(part), id },
            Some(Item::Piece { piece: Piece::String(all), id: expected }),
        ) => id == expected && all.starts_with(part),
        (
            Item::Piece { piece: Piece::Opaque(part), id },
            Some(Item::Piece { piece: Piece::Opaque(all), id: expected }),
        ) => id == expected && part <= all,
        (last, expected) => Some(last) == expected,
    };
    assert!(good, "{} cut at {cut}", flow.name);
}

/// Decodes the stream up to the cut, which is all that ever comes.
fn check_cut(flow: &Flow, whole: &[Item], cut: usize) {
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(flow.bytes.slice(..cut));
    let mut items = Vec::new();
    if let Err(error) = drain(&mut decoder, &mut items) {
        panic!("{} cut at {cut}: {error}", flow.name);
    }
    assert!(!decoder.finished(), "{} cut at {cut}", flow.name);
    check_front(flow, whole, &items, cut);
}

/// Where the stream stands after each item, blobs in one go.
fn boundaries(bytes: &Bytes) -> Vec<usize> {
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(bytes.clone());
    let mut all = Vec::new();
    while decoder.next().unwrap().is_some() {
        all.push(decoder.position() as usize);
    }
    all.dedup();
    all
}

/// Lets the stream stop at every cut, look what came, and go on.
fn check_stops(flow: &Flow, whole: &[Item], cuts: impl Iterator<Item = usize>) {
    let mut decoder = Decoder::new(Limits::default());
    let mut items = Vec::new();
    let mut fed = 0;
    let mut checked = 0;
    for cut in cuts {
        decoder.feed(flow.bytes.slice(fed..cut));
        fed = cut;
        if let Err(error) = drain(&mut decoder, &mut items) {
            panic!("{} stopped at {cut}: {error}", flow.name);
        }
        // Only what is new is compared, and the last item before it, which may have grown.
        let from = checked;
        check_front(flow, &whole[from.min(whole.len())..], &items[from..], cut);
        checked = items.len().saturating_sub(1);
    }
    decoder.feed(flow.bytes.slice(fed..));
    drain(&mut decoder, &mut items).unwrap();
    assert!(items == whole, "{}", flow.name);
}

#[test]
fn a_stream_that_stops_anywhere_goes_on() {
    const SEED: u64 = 0x7264_6220_6375_7473;
    println!("seed {SEED:#x}");
    for_every_snapshot(|flow| {
        let (whole, _) = decode(&flow.bytes, Limits::default()).unwrap();
        let len = flow.bytes.len();
        if len <= SMALL {
            return check_stops(flow, &whole, 0..len);
        }
        let mut random = Random(SEED ^ len as u64);
        let mut cuts: Vec<usize> = (0..CUTS).map(|_| random.below(len)).collect();
        let around = boundaries(&flow.bytes).into_iter();
        cuts.extend(around.flat_map(|at| at.saturating_sub(8)..(at + 9).min(len)));
        cuts.sort_unstable();
        cuts.dedup();
        check_stops(flow, &whole, cuts.into_iter());
    });
}

#[test]
fn a_stream_that_ends_too_early_asks_for_more() {
    const SEED: u64 = 0x7264_6220_656e_6473;
    println!("seed {SEED:#x}");
    for_every_snapshot(|flow| {
        let (whole, rest) = decode(&flow.bytes, Limits::default()).unwrap();
        let end = flow.bytes.len() - rest.len();
        if end <= SMALL {
            // A ZSTD stream is a hundred times dearer to begin than any other.
            let step = if flow.name.contains("zstd") { 16 } else { 1 };
            (0..end).step_by(step).for_each(|cut| check_cut(flow, &whole, cut));
        } else {
            let mut random = Random(SEED ^ end as u64);
            (0..300).for_each(|_| check_cut(flow, &whole, random.below(end)));
        }
    });
}

#[test]
fn flipped_bytes_never_panic() {
    const SEED: u64 = 0x7264_6220_666c_6970;
    println!("seed {SEED:#x}");
    let errors = std::sync::atomic::AtomicUsize::new(0);
    for_every_snapshot(|flow| {
        let mut random = Random(SEED ^ flow.bytes.len() as u64);
        for round in 0..100 {
            let mut damaged = flow.bytes.to_vec();
            for _ in 0..=round % 3 {
                let at = random.below(damaged.len());
                damaged[at] ^= 1 << random.below(8);
            }
            let limits =
                Limits { whole_value: [0, 256 << 10][round % 2], max_string: 8 << 20, ..Limits::default() };
            let mut decoder = Decoder::new(limits.clone());
            decoder.feed(damaged.into());
            let outcome = loop {
                match decoder.next() {
                    // What is handed out whole is looked into as its users would.
                    Ok(Some(Item::Value(value))) => {
                        let _ = value.is_empty_collection();
                        value.pieces(&limits).for_each(drop);
                        let _ = dump::stream_as(value.kind, &value.payload, Kind::Stream);
                    }
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
            if let Err(error) = outcome {
                errors.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                assert_eq!(decoder.next(), Err(error), "an error stays");
            }
        }
    });
    assert!(errors.into_inner() > 100, "most damage shows");
}
