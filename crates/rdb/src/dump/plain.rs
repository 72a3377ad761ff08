//! Collections in encodings that every server takes.

use bytes::{BufMut, Bytes};

use super::{VERSION, finish};
use crate::{Error, Family, Kind, Limits, Piece, Pieces};

/// `RDB_TYPE_LIST`: elements one after the other. No Dragonfly emits it; every Redis loads it.
const PLAIN_LIST: u8 = 1;

/// The payload for `RESTORE` of a list, set, hash or sorted set without any compact encoding, so that servers load it that
/// do not know the one it has. `None` for other values, and for those whose members have TTLs.
///
/// # Errors
/// The value's bytes do not decode.
pub fn plain_payload(kind: Kind, raw: &Bytes) -> Result<Option<Bytes>, Error> {
    let code = match kind.family() {
        _ if matches!(kind, Kind::HashTtl | Kind::SetTtl) => return Ok(None),
        Family::List => PLAIN_LIST,
        Family::Set => Kind::Set.code(),
        Family::Hash => Kind::Hash.code(),
        Family::Zset => Kind::Zset.code(),
        _ => return Ok(None),
    };
    let (mut elements, mut body) = (0u64, Vec::with_capacity(raw.len() + raw.len() / 8));
    for piece in Pieces::new(kind, raw.clone(), &Limits::default()) {
        match piece? {
            Piece::List(items) | Piece::Set(items) => {
                elements += items.len() as u64;
                items.iter().for_each(|item| put_string(&mut body, item));
            }
            Piece::Hash(pairs) => {
                elements += pairs.len() as u64;
                for (field, value) in &pairs {
                    put_string(&mut body, field);
                    put_string(&mut body, value);
                }
            }
            Piece::Zset(pairs) => {
                elements += pairs.len() as u64;
                for (member, score) in &pairs {
                    put_string(&mut body, member);
                    body.put_f64_le(*score);
                }
            }
            _ => return Ok(None),
        }
    }
    let mut out = vec![code];
    put_len(&mut out, elements);
    out.append(&mut body);
    Ok(Some(finish(out, VERSION)))
}

pub(super) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn put_len(out: &mut Vec<u8>, length: u64) {
    match length {
        0..=0x3f => out.push(length as u8),
        0x40..=0x3fff => out.put_u16(0x4000 | length as u16),
        0x4000..=0xffff_ffff => {
            out.push(0x80);
            out.put_u32(length as u32);
        }
        _ => {
            out.push(0x81);
            out.put_u64(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::{parse, smallest};

    fn pieces(kind: Kind, raw: Bytes) -> Vec<Piece> {
        Pieces::new(kind, raw, &Limits::default()).collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn compact_encodings_become_plain_ones() {
        for kind in
            [Kind::HashListpack, Kind::HashZiplist, Kind::ZsetListpack, Kind::ZsetZiplist, Kind::SetIntset]
        {
            let (_, raw) = parse(&smallest(kind).unwrap()).unwrap();
            let plain = plain_payload(kind, &raw).unwrap().unwrap();
            let (as_kind, as_raw) = parse(&plain).unwrap();
            assert_eq!(as_kind.family(), kind.family());
            assert_ne!(as_kind, kind);
            assert_eq!(pieces(as_kind, as_raw), pieces(kind, raw), "{kind:?}");
        }
        let (kind, raw) = parse(&smallest(Kind::ListQuicklist2).unwrap()).unwrap();
        let plain = plain_payload(kind, &raw).unwrap().unwrap();
        assert_eq!(&plain[..4], b"\x01\x01\x01e");
        assert_eq!(plain_payload(Kind::Stream, &Bytes::from_static(&[0; 5])).unwrap(), None);
        assert!(plain_payload(Kind::Hash, &Bytes::from_static(b"\x01\x05f")).is_err());
    }

    #[test]
    fn lengths_as_the_decoder_reads_them() {
        for (length, bytes) in [
            (63, &[63][..]),
            (64, &[0x40, 64]),
            (16_384, &[0x80, 0, 0, 0x40, 0]),
            (1 << 32, &[0x81, 0, 0, 0, 1, 0, 0, 0, 0]),
        ] {
            let mut out = Vec::new();
            put_len(&mut out, length);
            assert_eq!(out, bytes);
        }
    }
}
