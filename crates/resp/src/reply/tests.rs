use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;

fn simple(text: &'static str) -> Reply {
    Reply::Simple(Bytes::from_static(text.as_bytes()))
}

fn bulk(bytes: &'static [u8]) -> Reply {
    Reply::Bulk(Bytes::from_static(bytes))
}

/// Everything that decodes from `bytes` when they arrive in pieces of `size`, and the error that ends it.
fn decode(bytes: &[u8], size: usize, limits: Limits) -> (Vec<Reply>, Option<DecodeError>) {
    let mut decoder = ReplyDecoder::new(limits);
    let mut replies = Vec::new();
    for piece in bytes.chunks(size.max(1)) {
        decoder.feed(piece);
        loop {
            match decoder.next() {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(error) => return (replies, Some(error)),
            }
        }
    }
    (replies, None)
}

fn one(bytes: &[u8]) -> Result<Reply, DecodeError> {
    match decode(bytes, usize::MAX, Limits::default()) {
        (mut replies, None) if replies.len() == 1 => Ok(replies.remove(0)),
        (_, Some(error)) => Err(error),
        (replies, None) => panic!("{} replies in {bytes:?}", replies.len()),
    }
}

#[test]
fn vectors() {
    let cases: &[(&[u8], Reply)] = &[
        (b"+OK\r\n", simple("OK")),
        (b"+OKAY\r\n", simple("OKAY")),
        (b"+\r\n", simple("")),
        (b"-ERR syntax error\r\n", Reply::Error(Bytes::from_static(b"ERR syntax error"))),
        (b":0\r\n", Reply::Integer(0)),
        (b":12\r\n", Reply::Integer(12)),
        (b":+7\r\n", Reply::Integer(7)),
        (b":-9223372036854775808\r\n", Reply::Integer(i64::MIN)),
        (b":9223372036854775807\r\n", Reply::Integer(i64::MAX)),
        (b"$0\r\n\r\n", bulk(b"")),
        (b"$4\r\na\r\nb\r\n", bulk(b"a\r\nb")),
        (b"$-1\r\n", Reply::Nil),
        (b"*-1\r\n", Reply::Nil),
        (b"*0\r\n", Reply::Array(vec![])),
        (b"*2\r\n*1\r\n:1\r\n$-1\r\n", Reply::Array(vec![Reply::Array(vec![Reply::Integer(1)]), Reply::Nil])),
        (b"*2\r\n*0\r\n+x\r\n", Reply::Array(vec![Reply::Array(vec![]), simple("x")])),
        // The greeting of a v1.40.1 master, ids shortened.
        (
            b"*5\r\n+1c3f\r\n+SYNC1\r\n:3\r\n:5\r\n+1c3f\r\n",
            Reply::Array(vec![
                simple("1c3f"),
                simple("SYNC1"),
                Reply::Integer(3),
                Reply::Integer(5),
                simple("1c3f"),
            ]),
        ),
        // Dragonfly echoes keys raw in error lines: a lone CR or LF stays part of the line.
        (b"-ERR key a\nb\rc\r\n", Reply::Error(Bytes::from_static(b"ERR key a\nb\rc"))),
    ];
    for (bytes, reply) in cases {
        assert_eq!(one(bytes).as_ref(), Ok(reply), "{:?}", Bytes::copy_from_slice(bytes));
        let mut written = BytesMut::new();
        write_reply(&mut written, reply);
        assert_eq!(one(&written).as_ref(), Ok(reply));
        for end in 0..bytes.len() {
            let (replies, error) = decode(&bytes[..end], usize::MAX, Limits::default());
            assert_eq!((replies.len(), error), (0, None), "prefix {end} of {bytes:?}");
        }
        for size in 1..bytes.len() {
            let all = decode(&bytes.repeat(3), size, Limits::default());
            assert_eq!(all, (vec![reply.clone(); 3], None));
        }
    }
}

#[test]
fn malformed_bytes_are_typed_errors_and_stay_errors() {
    let cases: &[(&[u8], DecodeError)] = &[
        (b"OK\r\n", DecodeError::UnknownType(b'O')),
        (b"%1\r\n", DecodeError::UnknownType(b'%')),
        (b"\r\n", DecodeError::UnknownType(b'\r')),
        (b":\r\n", DecodeError::BadInteger),
        (b":-\r\n", DecodeError::BadInteger),
        (b":1a\r\n", DecodeError::BadInteger),
        (b":9223372036854775808\r\n", DecodeError::BadInteger),
        (b":-9223372036854775809\r\n", DecodeError::BadInteger),
        (b"$-2\r\n", DecodeError::NegativeLength),
        (b"*-7\r\n", DecodeError::NegativeLength),
        (b"$1\r\nab\r\n", DecodeError::MissingLineEnd),
        (b"$99999999999999999\r\n", DecodeError::BulkTooLong(99999999999999999)),
        (b"*99999999999999999\r\n", DecodeError::ArrayTooLong(99999999999999999)),
    ];
    for (bytes, error) in cases {
        assert_eq!(one(bytes).as_ref(), Err(error), "{:?}", Bytes::copy_from_slice(bytes));
        let mut decoder = ReplyDecoder::new(Limits::default());
        decoder.feed(bytes);
        assert_eq!(decoder.next().as_ref(), Err(error));
        decoder.feed(b"+OK\r\n");
        assert_eq!(decoder.next().as_ref(), Err(error), "the place of the next reply is lost");
    }
}

#[test]
fn limits_hold_at_their_edge() {
    let limits = Limits { bulk: 3, elements: 2, depth: 2 };
    assert_eq!(decode(b"$3\r\nabc\r\n", 99, limits), (vec![bulk(b"abc")], None));
    assert_eq!(decode(b"$4\r\n", 99, limits).1, Some(DecodeError::BulkTooLong(4)));
    assert_eq!(decode(b"*2\r\n:1\r\n:1\r\n", 99, limits).1, None);
    assert_eq!(decode(b"*3\r\n", 99, limits).1, Some(DecodeError::ArrayTooLong(3)));
    assert_eq!(decode(b"*1\r\n*1\r\n:1\r\n", 99, limits).0.len(), 1);
    assert_eq!(decode(b"*1\r\n*1\r\n*1\r\n", 99, limits).1, Some(DecodeError::TooDeep));

    let line = |n: usize| [&b"+"[..], &vec![b'x'; n], b"\r\n"].concat();
    for size in [usize::MAX, 4096, 4097, 1 + crate::line::MAX_LINE + 1] {
        let longest = decode(&line(crate::line::MAX_LINE), size, limits);
        assert_eq!((longest.0.len(), longest.1), (1, None), "pieces of {size}");
        let longer = decode(&line(crate::line::MAX_LINE + 1), size, limits);
        assert_eq!(longer.1, Some(DecodeError::LineTooLong), "pieces of {size}");
    }
    let endless = vec![b'+'; crate::line::MAX_LINE * 2];
    assert_eq!(one(&endless), Err(DecodeError::LineTooLong));
}

#[test]
fn a_promised_array_takes_no_memory_before_it_arrives() {
    let limits = Limits { elements: usize::MAX, depth: 1000, ..Limits::default() };
    let mut decoder = ReplyDecoder::new(limits);
    decoder.feed(b"*1000000000000\r\n:1\r\n");
    assert_eq!(decoder.next(), Ok(None));
    assert!(decoder.open[0].items.capacity() <= TRUSTED_ELEMENTS);
}

#[test]
fn what_follows_a_reply_is_kept() {
    let mut decoder = ReplyDecoder::new(Limits::default());
    assert!(decoder.is_empty());
    decoder.feed(b"*1\r\n");
    assert_eq!(decoder.next(), Ok(None));
    assert!(!decoder.is_empty(), "an open array counts");
    decoder.feed(b"+FULL\r\nREDIS0009");
    assert_eq!(decoder.next(), Ok(Some(Reply::Array(vec![simple("FULL")]))));
    assert_eq!(&decoder.into_rest()[..], b"REDIS0009");
}

#[test]
fn strings_are_slices_of_the_input() {
    let mut decoder = ReplyDecoder::new(Limits::default());
    decoder.feed(b"$5\r\nhello\r\n");
    let at = decoder.buffer_mut()[4..].as_ptr();
    let reply = decoder.next().unwrap().unwrap();
    assert_eq!(reply.as_bytes().unwrap().as_ptr(), at);
}

#[test]
fn accessors() {
    assert!(simple("OK").is_ok());
    assert!(!bulk(b"OK").is_ok(), "a value that reads OK is no status");
    assert_eq!(bulk(b"17").as_integer(), Some(17));
    assert_eq!(Reply::Integer(-3).as_integer(), Some(-3));
    assert_eq!(bulk(b"x").as_integer(), None);
    assert_eq!(bulk(b"\xff").as_str(), None);
    assert_eq!(Reply::Nil.as_bytes(), None);
    assert_eq!(Reply::Error(Bytes::from_static(b"ERR")).as_error().map(|e| &e[..]), Some(&b"ERR"[..]));
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let text = prop::collection::vec(any::<u8>().prop_filter("no line end", |b| !b"\r\n".contains(b)), 0..40);
    let leaf = prop_oneof![
        text.clone().prop_map(|t| Reply::Simple(t.into())),
        text.prop_map(|t| Reply::Error(t.into())),
        any::<i64>().prop_map(Reply::Integer),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|b| Reply::Bulk(b.into())),
        Just(Reply::Nil),
        Just(simple("OK")),
    ];
    leaf.prop_recursive(4, 60, 8, |inner| prop::collection::vec(inner, 0..8).prop_map(Reply::Array))
}

proptest! {
    #[test]
    fn every_reply_survives_the_wire(
        replies in prop::collection::vec(any_reply(), 1..6),
        size in 1usize..64,
    ) {
        let mut wire = BytesMut::new();
        replies.iter().for_each(|r| write_reply(&mut wire, r));
        prop_assert_eq!(decode(&wire, size, Limits::default()), (replies, None));
    }

    #[test]
    fn pieces_make_no_difference_to_any_bytes(
        bytes in prop::collection::vec(
            prop_oneof![prop::sample::select(&b"+-:$*\r\n0123456789OK"[..]), any::<u8>()], 0..200),
        size in 1usize..32,
    ) {
        let limits = Limits { bulk: 1000, elements: 100, depth: 4 };
        prop_assert_eq!(decode(&bytes, size, limits), decode(&bytes, usize::MAX, limits));
    }
}
