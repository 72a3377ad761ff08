//! One element of a collection, and the pieces that elements add up to.

use bytes::Bytes;

use crate::compact::{Compact, Listpack, Ziplist};
use crate::cursor::{Cursor, Stop};
use crate::stream::node::Node;
use crate::{Error, Kind, MEMBER_TTL_BASE, Piece, StreamEntry};

/// What an element counts towards the size of a piece besides its bytes, so that very many very small ones do not
/// make a piece that is large in memory.
const ELEMENT_COST: usize = 16;

/// Containers of quicklist nodes.
const PLAIN_NODE: u64 = 1;
const PACKED_NODE: u64 = 2;

/// One element of a collection.
pub(crate) enum Unit {
    List(Bytes),
    Set(Bytes),
    Hash(Bytes, Bytes),
    Zset(Bytes, f64),
    SetTtl(Bytes, Option<u64>),
    HashTtl(Bytes, Bytes, Option<u64>),
    Entry(StreamEntry),
    /// A node that has to be read element by element.
    Open(Open),
}

/// A node that is open.
pub(crate) enum Open {
    Compact(Compact),
    Node(Node),
}

/// Reads an element of a collection whose elements are not in one blob.
pub(crate) fn element(kind: Kind, cursor: &mut Cursor<'_>, head: &Bytes, max: usize) -> Result<Unit, Stop> {
    if kind == Kind::ListQuicklist2 {
        return match cursor.len()? {
            PLAIN_NODE => Ok(Unit::List(cursor.string(head, max)?)),
            PACKED_NODE => {
                let blob = Listpack::new(cursor.string(head, max)?)?;
                Ok(Unit::Open(Open::Compact(Compact::Listpack(blob))))
            }
            _ => Err(Error::malformed("list", "a node has an unknown container").into()),
        };
    }
    let first = cursor.string(head, max)?;
    Ok(match kind {
        Kind::ListQuicklist => Unit::Open(Open::Compact(Compact::Ziplist(Ziplist::new(first)?))),
        Kind::Hash => Unit::Hash(first, cursor.string(head, max)?),
        Kind::Zset => Unit::Zset(first, cursor.double()?),
        Kind::SetTtl => Unit::SetTtl(first, member_ttl(&cursor.string(head, max)?)?),
        Kind::HashTtl => {
            let value = cursor.string(head, max)?;
            Unit::HashTtl(first, value, member_ttl(&cursor.string(head, max)?)?)
        }
        Kind::Stream | Kind::Stream2 | Kind::Stream3 => {
            Unit::Open(Open::Node(Node::new(&first, cursor.string(head, max)?)?))
        }
        _ => Unit::Set(first),
    })
}

/// Decimal seconds since [`MEMBER_TTL_BASE`], or -1 (`rdb_save.cc` `SaveHSetObject`, v1.40.1).
fn member_ttl(text: &[u8]) -> Result<Option<u64>, Error> {
    let bad = Error::malformed("member TTL", "it is no number of seconds");
    let seconds: i64 =
        std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(bad.clone())?;
    match u64::try_from(seconds) {
        Ok(seconds) => Ok(Some(MEMBER_TTL_BASE + seconds)),
        Err(_) if seconds == -1 => Ok(None),
        Err(_) => Err(bad),
    }
}

impl Unit {
    /// Adds itself to the batch; returns what it counts towards the piece.
    pub(crate) fn push(self, batch: &mut Option<Piece>) -> usize {
        macro_rules! push {
            ($kind:ident, $element:expr) => {
                match batch {
                    Some(Piece::$kind(all)) => all.push($element),
                    batch => *batch = Some(Piece::$kind(vec![$element])),
                }
            };
        }
        let cost = self.cost();
        match self {
            Self::List(element) => push!(List, element),
            Self::Set(member) => push!(Set, member),
            Self::Hash(field, value) => push!(Hash, (field, value)),
            Self::Zset(member, score) => push!(Zset, (member, score)),
            Self::SetTtl(member, at) => push!(SetTtl, (member, at)),
            Self::HashTtl(field, value, at) => push!(HashTtl, (field, value, at)),
            Self::Entry(entry) => push!(StreamEntries, entry),
            Self::Open(_) => {}
        }
        cost
    }

    fn cost(&self) -> usize {
        match self {
            Self::List(one) | Self::Set(one) | Self::Zset(one, _) | Self::SetTtl(one, _) => {
                one.len() + ELEMENT_COST
            }
            Self::Hash(one, two) | Self::HashTtl(one, two, _) => one.len() + two.len() + 2 * ELEMENT_COST,
            Self::Entry(entry) => {
                let fields = entry.fields.iter().map(|(one, two)| one.len() + two.len() + 2 * ELEMENT_COST);
                fields.sum::<usize>() + ELEMENT_COST
            }
            Self::Open(_) => 0,
        }
    }
}
