//! A complete value, element by element.

use bytes::Bytes;

use crate::reader::{Next, Reader};
use crate::source::Input;
use crate::window::Window;
use crate::{Error, Kind, Limits, Piece};

/// The elements of a complete value: an iterator of pieces of bounded size. After an error it ends.
#[derive(Debug)]
pub struct Pieces {
    window: Window,
    reader: Option<Reader>,
}

impl Pieces {
    /// Iterates over `raw`, the value of a snapshot entry or of a DUMP payload, without type and key.
    pub fn new(kind: Kind, raw: Bytes, limits: &Limits) -> Self {
        let mut window = Window::default();
        window.push(raw);
        Self { window, reader: Some(Reader::new(kind, limits)) }
    }
}

impl Iterator for Pieces {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.reader.as_mut()?.next(&mut Input::whole(&mut self.window));
        let end = match next {
            Ok(Next::Piece(piece)) => return Some(Ok(piece)),
            Ok(Next::Done) if self.window.is_empty() => None,
            Ok(Next::Done) => Some(Err(Error::Trailing("value"))),
            Ok(Next::Wait | Next::Beyond) => Some(Err(Error::Truncated("value"))),
            Err(error) => Some(Err(error)),
        };
        self.reader = None;
        end
    }
}

impl std::iter::FusedIterator for Pieces {}
