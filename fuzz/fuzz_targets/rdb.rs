//! Any bytes as a snapshot stream: at once and in pieces they must say the same, and nothing may panic.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rdb::{Decoder, Error, Item, Kind, Limits, Piece, Value, dump};

/// Small enough that short inputs reach the code for large values.
fn limits() -> Limits {
    Limits { whole_value: 256, piece: 64, max_string: 1 << 20, zstd_window_log: 20, ..Limits::default() }
}

fn decode(input: &[u8], step: usize) -> (Vec<Item>, Result<(), Error>) {
    let mut decoder = Decoder::new(limits());
    let mut items: Vec<Item> = Vec::new();
    for piece in input.chunks(step) {
        decoder.feed(Bytes::copy_from_slice(piece));
        loop {
            match decoder.next() {
                Ok(Some(item)) => add(&mut items, item),
                Ok(None) => break,
                Err(error) => return (items, Err(error)),
            }
        }
    }
    (items, Ok(()))
}

/// Strings and what is passed over come in pieces that depend on how they are fed: put together again.
fn add(items: &mut Vec<Item>, item: Item) {
    match (items.last_mut(), &item) {
        (
            Some(Item::Piece { id: a, piece: Piece::String(all) }),
            Item::Piece { id: b, piece: Piece::String(more) },
        ) if a == b => {
            *all = [&all[..], &more[..]].concat().into();
        }
        (
            Some(Item::Piece { id: a, piece: Piece::Opaque(all) }),
            Item::Piece { id: b, piece: Piece::Opaque(more) },
        ) if a == b => {
            *all += more;
        }
        _ => items.push(item),
    }
}

/// Without the value that the end of the input cuts while it is passed over: how far that got depends on the feeding.
fn whole_pieces(mut items: Vec<Item>) -> Vec<Item> {
    items.pop_if(|last| matches!(last, Item::Piece { piece: Piece::Opaque(_), .. }));
    items
}

fn look_into(value: &Value) {
    let _ = value.as_string();
    let _ = value.is_empty_collection();
    value.pieces(&limits()).for_each(drop);
    let _ = dump::stream_as(value.kind, &value.payload, Kind::Stream);
    let payload = dump::payload(value.kind, &value.payload);
    assert_eq!(dump::parse(&payload), Ok((value.kind, value.payload.clone())));
}

fuzz_target!(|input: &[u8]| {
    let _ = dump::parse(&Bytes::copy_from_slice(input));
    let (items, outcome) = decode(input, usize::MAX);
    for item in &items {
        if let Item::Value(value) = item {
            look_into(value);
        }
    }
    let (again, other) = decode(input, 1 + input.len() % 13);
    if outcome.is_ok() && other.is_ok() {
        assert_eq!(whole_pieces(items), whole_pieces(again));
    }
    assert_eq!(outcome.is_ok(), other.is_ok());
});
