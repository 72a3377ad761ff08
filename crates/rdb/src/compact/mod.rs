//! Collections that the source keeps in one blob: listpack, ziplist, intset.

mod intset;
mod listpack;
mod ziplist;

use bytes::Bytes;

pub(crate) use intset::Intset;
pub(crate) use listpack::Listpack;
pub(crate) use ziplist::Ziplist;

use crate::Error;
use crate::cursor::decimal;

/// An element of a blob.
#[derive(Debug, Clone)]
pub(crate) enum Element {
    /// Kept as a number.
    Int(i64),
    /// Kept as bytes: a slice of the blob.
    Bytes(Bytes),
}

impl Element {
    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Int(number) => decimal(number),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// The element as a score: a number, or its decimal text.
    pub(crate) fn score(&self) -> Result<f64, Error> {
        let text = match self {
            Self::Int(number) => return Ok(*number as f64),
            Self::Bytes(bytes) => bytes,
        };
        let score: Option<f64> = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        score.filter(|score| !score.is_nan()).ok_or(Error::malformed("score", "it is not a number"))
    }
}

/// A blob that is being read from front to back. Iteration ends at the blob's end mark, after checking that nothing
/// follows it.
#[derive(Debug)]
pub(crate) enum Compact {
    Listpack(Listpack),
    Ziplist(Ziplist),
    Intset(Intset),
}

impl Compact {
    pub(crate) fn next(&mut self) -> Result<Option<Element>, Error> {
        match self {
            Self::Listpack(blob) => blob.next(),
            Self::Ziplist(blob) => blob.next(),
            Self::Intset(blob) => blob.next(),
        }
    }

    /// The element that must follow.
    pub(crate) fn pair(&mut self) -> Result<Element, Error> {
        self.next()?.ok_or(Error::malformed("collection", "its last pair lacks the second half"))
    }
}
