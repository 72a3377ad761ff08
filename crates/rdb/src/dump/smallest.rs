//! The smallest value of each encoding, to find out whether a server takes it.

use bytes::Bytes;

use super::{finish, payload};
use crate::Kind;

/// A code that no server has a type for.
const NO_TYPE: u8 = 0xef;

/// A complete payload of one element (of a stream: of none) in this encoding; `None` for those that no Redis loads.
///
/// Given to `RESTORE` with an absolute expiry in the past it tells whether the server loads the encoding, and leaves
/// nothing behind.
pub fn smallest(kind: Kind) -> Option<Bytes> {
    let raw = match kind {
        Kind::String => b"\x01v".to_vec(),
        Kind::Set => b"\x01\x01m".to_vec(),
        Kind::Hash => b"\x01\x01f\x01v".to_vec(),
        Kind::Zset => [b"\x01\x01m", &1f64.to_le_bytes()[..]].concat(),
        Kind::SetIntset => b"\x0a\x02\0\0\0\x01\0\0\0\x01\0".to_vec(),
        Kind::ZsetZiplist => one_string(&ziplist(&[b"m", b"1"])),
        Kind::HashZiplist => one_string(&ziplist(&[b"f", b"v"])),
        Kind::ListQuicklist => [b"\x01", &one_string(&ziplist(&[b"e"]))[..]].concat(),
        Kind::HashListpack => one_string(&listpack(&[b"f", b"v"])),
        Kind::ZsetListpack => one_string(&listpack(&[b"m", b"1"])),
        // one node, packed
        Kind::ListQuicklist2 => [b"\x01\x02", &one_string(&listpack(&[b"e"]))[..]].concat(),
        // nodes, length, last id, (first id, highest deleted id, entries added,) groups
        Kind::Stream => vec![0; 5],
        Kind::Stream2 | Kind::Stream3 => vec![0; 10],
        _ => return None,
    };
    Some(payload(kind, &raw))
}

/// A payload of a type that does not exist, under RDB version `version`. A server that takes the version says that the data
/// is bad, another that the version or the checksum is wrong; neither makes a key.
pub fn of_no_type(version: u16) -> Bytes {
    finish(vec![NO_TYPE, 0], version)
}

fn one_string(blob: &[u8]) -> Vec<u8> {
    let mut out = vec![u8::try_from(blob.len()).expect("a few bytes")];
    out.extend_from_slice(blob);
    out
}

/// Elements of one byte each.
fn ziplist(elements: &[&[u8; 1]]) -> Vec<u8> {
    let count = u8::try_from(elements.len()).expect("one or two");
    let (size, tail) = (11 + 3 * count, 10 + 3 * (count - 1));
    let mut out = vec![size, 0, 0, 0, tail, 0, 0, 0, count, 0];
    for (i, element) in elements.iter().enumerate() {
        out.extend_from_slice(&[if i == 0 { 0 } else { 3 }, 1, element[0]]);
    }
    out.push(0xff);
    out
}

/// Elements of one byte each.
fn listpack(elements: &[&[u8; 1]]) -> Vec<u8> {
    let count = u8::try_from(elements.len()).expect("one or two");
    let mut out = vec![7 + 3 * count, 0, 0, 0, count, 0];
    for element in elements {
        out.extend_from_slice(&[0x81, element[0], 2]);
    }
    out.push(0xff);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Pieces, dump::parse};

    #[test]
    fn each_is_a_value() {
        let loadable = Kind::ALL.iter().filter(|kind| kind.restore_since().is_some());
        for kind in loadable {
            let payload = smallest(*kind).unwrap();
            let (found, raw) = parse(&payload).unwrap();
            assert_eq!(found, *kind);
            let pieces: Result<Vec<_>, _> = Pieces::new(*kind, raw, &Limits::default()).collect();
            assert!(pieces.is_ok(), "{kind:?}: {pieces:?}");
        }
        assert_eq!(smallest(Kind::Json), None);
    }
}
