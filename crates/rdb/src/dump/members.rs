//! Sets and hashes of which single members expire.

use bytes::Bytes;

use super::plain::{put_len, put_string};
use super::{VERSION, finish};
use crate::{Error, Kind, Limits, MEMBER_TTL_BASE, Piece, Pieces};

/// A set or hash without the TTLs of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untimed {
    /// Members it has.
    pub members: u64,
    /// When the first of them expires, in unix seconds; `None`: none does.
    pub earliest_s: Option<u64>,
    /// The payload for `RESTORE`, as a plain set or hash, which every server takes.
    pub payload: Bytes,
}

/// A set or hash whose members have TTLs as one whose members have none: those of which `keeps` says so, asked with each
/// member's expiry in unix seconds. `None` for other values.
///
/// # Errors
/// The value's bytes do not decode.
pub fn untimed(
    kind: Kind,
    raw: &Bytes,
    mut keeps: impl FnMut(Option<u64>) -> bool,
) -> Result<Option<Untimed>, Error> {
    let Some(plain) = plain_kind(kind) else { return Ok(None) };
    let (mut members, mut earliest_s, mut body) = (0u64, None, Vec::with_capacity(raw.len()));
    each(kind, raw, |member, value, expiry| {
        if keeps(expiry) {
            members += 1;
            earliest_s = earliest(earliest_s, expiry);
            put_string(&mut body, member);
            value.iter().for_each(|value| put_string(&mut body, value));
        }
    })?;
    let mut out = vec![plain.code()];
    put_len(&mut out, members);
    out.append(&mut body);
    Ok(Some(Untimed { members, earliest_s, payload: finish(out, VERSION) }))
}

/// The raw value of a set or hash without the members that have expired at `now_s` (unix seconds), which the source
/// writes all the same: it expires nothing while it serializes (v1.40.1 `rdb_save.cc` `SaveSetObject`). `None` where none
/// is left; other values as they are.
///
/// # Errors
/// The value's bytes do not decode.
pub fn living(kind: Kind, raw: &Bytes, now_s: u64) -> Result<Option<Bytes>, Error> {
    if plain_kind(kind).is_none() {
        return Ok(Some(raw.clone()));
    }
    let (mut members, mut gone, mut body) = (0u64, 0u64, Vec::with_capacity(raw.len()));
    each(kind, raw, |member, value, expiry| {
        if expiry.is_some_and(|at_s| at_s <= now_s) {
            gone += 1;
            return;
        }
        members += 1;
        put_string(&mut body, member);
        value.iter().for_each(|value| put_string(&mut body, value));
        let at = expiry.map_or_else(|| "-1".to_owned(), |at_s| (at_s - MEMBER_TTL_BASE).to_string());
        put_string(&mut body, at.as_bytes());
    })?;
    if gone == 0 {
        return Ok(Some(raw.clone()));
    }
    let mut out = Vec::with_capacity(body.len() + 9);
    put_len(&mut out, members);
    out.append(&mut body);
    Ok((members > 0).then(|| out.into()))
}

/// The earlier of two times, of which either may be none.
fn earliest(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}

fn plain_kind(kind: Kind) -> Option<Kind> {
    match kind {
        Kind::SetTtl => Some(Kind::Set),
        Kind::HashTtl => Some(Kind::Hash),
        _ => None,
    }
}

/// Every member, with its value in a hash, and its expiry.
fn each(
    kind: Kind,
    raw: &Bytes,
    mut with: impl FnMut(&[u8], Option<&Bytes>, Option<u64>),
) -> Result<(), Error> {
    for piece in Pieces::new(kind, raw.clone(), &Limits::default()) {
        match piece? {
            Piece::SetTtl(members) => {
                members.iter().for_each(|(member, expiry)| with(member, None, *expiry));
            }
            Piece::HashTtl(fields) => {
                fields.iter().for_each(|(field, value, expiry)| with(field, Some(value), *expiry));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::parse;

    const BASE: u64 = MEMBER_TTL_BASE;

    /// `a` for ever, `b` for 5 s after the base, `c` for 9 s.
    fn set() -> Bytes {
        Bytes::from_static(b"\x03\x01a\xc0\xff\x01b\xc0\x05\x01c\xc0\x09")
    }

    fn hash() -> Bytes {
        Bytes::from_static(b"\x02\x01f\x01v\xc0\x05\x01g\x01w\xc0\xff")
    }

    fn pieces(kind: Kind, raw: Bytes) -> Vec<Piece> {
        Pieces::new(kind, raw, &Limits::default()).collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn what_has_expired_goes_and_the_rest_keeps_its_time() {
        assert_eq!(living(Kind::SetTtl, &set(), BASE + 4).unwrap().unwrap(), set());
        let left = living(Kind::SetTtl, &set(), BASE + 5).unwrap().unwrap();
        let expected = vec![(Bytes::from("a"), None), (Bytes::from("c"), Some(BASE + 9))];
        assert_eq!(pieces(Kind::SetTtl, left), [Piece::SetTtl(expected)]);
        let left = living(Kind::HashTtl, &hash(), BASE + 5).unwrap().unwrap();
        let expected = vec![(Bytes::from("g"), Bytes::from("w"), None)];
        assert_eq!(pieces(Kind::HashTtl, left), [Piece::HashTtl(expected)]);
        let only = Bytes::from_static(b"\x01\x01b\xc0\x05");
        assert_eq!(living(Kind::SetTtl, &only, BASE + 5).unwrap(), None);
        assert_eq!(living(Kind::Set, &Bytes::from_static(b"\x01\x01b"), BASE).unwrap().unwrap().len(), 3);
        assert!(living(Kind::SetTtl, &Bytes::from_static(b"\x01\x01b"), BASE).is_err());
    }

    #[test]
    fn without_ttls_every_server_takes_it() {
        let all = untimed(Kind::SetTtl, &set(), |_| true).unwrap().unwrap();
        assert_eq!((all.members, all.earliest_s), (3, Some(BASE + 5)));
        let (kind, raw) = parse(&all.payload).unwrap();
        let expected = Piece::Set(["a", "b", "c"].map(Bytes::from).to_vec());
        assert_eq!((kind, pieces(kind, raw)), (Kind::Set, vec![expected]));
        let later = untimed(Kind::HashTtl, &hash(), |at| at.is_none()).unwrap().unwrap();
        assert_eq!((later.members, later.earliest_s), (1, None));
        let (kind, raw) = parse(&later.payload).unwrap();
        assert_eq!(pieces(kind, raw), [Piece::Hash(vec![("g".into(), "w".into())])]);
        assert_eq!(untimed(Kind::Set, &set(), |_| true).unwrap(), None);
    }
}
