use proptest::prelude::*;

use super::*;

fn decode(bytes: &[u8], size: usize) -> (Vec<Vec<Bytes>>, Option<DecodeError>) {
    let mut decoder = RequestDecoder::new(Limits { bulk: 1000, elements: 100, depth: 1 });
    let mut commands = Vec::new();
    for piece in bytes.chunks(size) {
        decoder.feed(piece);
        loop {
            match decoder.next() {
                Ok(Some(command)) => commands.push(command),
                Ok(None) => break,
                Err(error) => return (commands, Some(error)),
            }
        }
    }
    (commands, None)
}

fn words(line: &str) -> Vec<Bytes> {
    line.split(' ').map(|w| Bytes::copy_from_slice(w.as_bytes())).collect()
}

#[test]
fn commands_are_arrays_of_bulk_strings() {
    let mut out = BytesMut::new();
    write_command(&mut out, &["SET", "k", ""]);
    assert_eq!(&out[..], b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
    write_command(&mut out, &[Bytes::from_static(b"PING")]);
    assert!(out.ends_with(b"*1\r\n$4\r\nPING\r\n"));
}

#[test]
fn reads_arrays_and_inline_commands_in_any_pieces() {
    let bytes =
        b"PING\r\n  REPLCONF   ACK 17\n\r\n*2\r\n$4\r\nECHO\r\n$4\r\na\r\nb\r\n*0\r\n*-1\r\n*1\r\n$4\r\nQUIT\r\n";
    let echo = vec![Bytes::from_static(b"ECHO"), Bytes::from_static(b"a\r\nb")];
    let expected = vec![words("PING"), words("REPLCONF ACK 17"), echo, words("QUIT")];
    for size in 1..=bytes.len() {
        assert_eq!(decode(bytes, size), (expected.clone(), None), "pieces of {size}");
    }
    for end in 0..bytes.len() {
        let (commands, error) = decode(&bytes[..end], bytes.len());
        assert!(expected.starts_with(&commands) && error.is_none(), "prefix {end}");
    }
}

#[test]
fn malformed_commands_are_typed_errors() {
    let cases: &[(&[u8], DecodeError)] = &[
        (b"*1\r\n:1\r\n", DecodeError::UnknownType(b':')),
        (b"*x\r\n", DecodeError::BadInteger),
        (b"*1\r\n$-1\r\n", DecodeError::NegativeLength),
        (b"*1\r\n$1001\r\n", DecodeError::BulkTooLong(1001)),
        (b"*101\r\n", DecodeError::ArrayTooLong(101)),
        (b"*1\r\n$1\r\nabc\r\n", DecodeError::MissingLineEnd),
    ];
    for (bytes, error) in cases {
        assert_eq!(decode(bytes, bytes.len()), (vec![], Some(error.clone())));
    }
    assert_eq!(decode(&vec![b'a'; 70_000], 4096).1, Some(DecodeError::LineTooLong));
}

#[test]
fn bytes_behind_a_command_are_kept() {
    let mut decoder = RequestDecoder::new(Limits::default());
    decoder.feed(b"*1\r\n$4\r\nPING\r\n\x06\x00");
    assert_eq!(decoder.next().unwrap(), Some(words("PING")));
    assert_eq!(&decoder.into_rest()[..], b"\x06\x00");
}

proptest! {
    #[test]
    fn every_command_survives_the_wire(
        commands in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 1..6), 1..6),
        size in 1usize..64,
    ) {
        let mut wire = BytesMut::new();
        commands.iter().for_each(|c| write_command(&mut wire, c));
        let expected: Vec<Vec<Bytes>> =
            commands.into_iter().map(|c| c.into_iter().map(Bytes::from).collect()).collect();
        prop_assert_eq!(decode(&wire, size), (expected, None));
    }

    #[test]
    fn pieces_make_no_difference_to_any_bytes(
        bytes in prop::collection::vec(
            prop_oneof![prop::sample::select(&b"*$\r\n0123456789 PING"[..]), any::<u8>()], 0..200),
        size in 1usize..32,
    ) {
        prop_assert_eq!(decode(&bytes, size), decode(&bytes, 1000));
    }
}
