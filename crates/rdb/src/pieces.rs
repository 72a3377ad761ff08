//! A complete value, element by element.

use bytes::Bytes;

use crate::{Error, Kind, Limits, Piece};

/// The elements of a complete value: an iterator of pieces of bounded size.
#[derive(Debug)]
pub struct Pieces {
    _raw: Bytes,
}

impl Pieces {
    /// Iterates over `raw`, the value of a snapshot entry or of a DUMP payload, without type and key.
    pub fn new(_kind: Kind, raw: Bytes, _limits: &Limits) -> Self {
        Self { _raw: raw }
    }
}

impl Iterator for Pieces {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}
