//! A value in pieces, from bytes that come little by little.

use bytes::Bytes;

use crate::compact::{Compact, Intset, Listpack, Ziplist};
use crate::cursor::{Cursor, Stop, Token, bound};
use crate::element::{Open, Unit, element};
use crate::scan::{Scanner, layout, stream_tail};
use crate::source::{Avail, Input, Parsed};
use crate::stream::node::Node;
use crate::stream::tail;
use crate::{Error, Family, Kind, Limits, Piece};

/// What [`Reader::next`] came to.
#[derive(Debug)]
pub(crate) enum Next {
    /// Some elements.
    Piece(Piece),
    /// The value is complete, and its last bytes are consumed.
    Done,
    /// More bytes are needed.
    Wait,
    /// What is needed lies beyond the end of the tagged chunk.
    Beyond,
}

/// A value that is being decoded.
#[derive(Debug)]
pub(crate) struct Reader {
    kind: Kind,
    stage: Stage,
    /// Elements that wait for the piece to become large enough.
    batch: Option<Piece>,
    batch_size: usize,
    piece: usize,
    max_string: usize,
    max_tail: usize,
}

#[derive(Debug)]
enum Stage {
    /// The first length has not been read.
    Start,
    /// That many bytes of a plain string follow.
    Raw(usize),
    /// The rest of a string that had to be decoded.
    Plain(Bytes),
    /// That many elements or nodes follow.
    Elements(u64),
    /// A blob is open; that many nodes follow it.
    Compact(Compact, u64),
    /// A node of a stream is open; that many nodes follow it.
    Node(Node, u64),
    /// What follows the nodes of a stream; the scanner has been over the first bytes.
    Tail(Scanner, usize),
    /// A probabilistic type: passed over.
    Opaque(Scanner),
    Done,
}

impl Reader {
    pub(crate) fn new(kind: Kind, limits: &Limits) -> Self {
        Self {
            kind,
            stage: match kind.family() {
                Family::Probabilistic => Stage::Opaque(Scanner::new(layout(kind), limits.max_string)),
                _ => Stage::Start,
            },
            batch: None,
            batch_size: 0,
            piece: limits.piece.max(1),
            max_string: limits.max_string,
            max_tail: limits.max_stream_tail,
        }
    }

    /// The elements read so far, although the piece is smaller than it could be.
    pub(crate) fn flush(&mut self) -> Option<Piece> {
        self.batch_size = 0;
        self.batch.take()
    }

    pub(crate) fn next(&mut self, input: &mut Input<'_>) -> Result<Next, Error> {
        loop {
            if self.batch_size >= self.piece
                && let Some(piece) = self.flush()
            {
                return Ok(Next::Piece(piece));
            }
            let stage = std::mem::replace(&mut self.stage, Stage::Done);
            if let Some(next) = self.step(stage, input)? {
                return Ok(next);
            }
        }
    }

    /// One step; sets the next stage. `None` where there is nothing to tell yet.
    fn step(&mut self, stage: Stage, input: &mut Input<'_>) -> Result<Option<Next>, Error> {
        match stage {
            Stage::Start => self.start(input),
            Stage::Raw(left) => Ok(self.raw(left, input)),
            Stage::Plain(mut rest) => Ok(if rest.is_empty() {
                None
            } else {
                let piece = rest.split_to(rest.len().min(self.piece));
                self.stage = Stage::Plain(rest);
                Some(Next::Piece(Piece::String(piece)))
            }),
            Stage::Elements(0) if self.kind.family() == Family::Stream => {
                self.stage = Stage::Tail(Scanner::new(stream_tail(self.kind), self.max_string), 0);
                Ok(None)
            }
            Stage::Elements(0) => Ok(None),
            Stage::Elements(left) => self.elements(left, input),
            Stage::Compact(blob, left) => self.compact(blob, left),
            Stage::Node(node, left) => self.node(node, left),
            Stage::Tail(scanner, pos) => self.tail(scanner, pos, input),
            Stage::Opaque(scanner) => self.opaque(scanner, input),
            Stage::Done => Ok(Some(self.flush().map_or(Next::Done, Next::Piece))),
        }
    }

    /// Comes back to `stage` once more bytes are there.
    fn wait(&mut self, stage: Stage, beyond: bool) -> Option<Next> {
        self.stage = stage;
        Some(if beyond { Next::Beyond } else { Next::Wait })
    }

    fn start(&mut self, input: &mut Input<'_>) -> Result<Option<Next>, Error> {
        let max = self.max_string;
        match self.kind {
            Kind::String | Kind::Json | Kind::JsonOld => {
                // A plain string is handed out as it comes; any other has to be whole.
                let plain = |cursor: &mut Cursor<'_>, head: &Bytes| {
                    let mut ahead = Cursor::at(cursor.buf(), cursor.pos());
                    if let Token::Raw(len) = ahead.token(max)? {
                        cursor.bytes(ahead.pos() - cursor.pos())?;
                        return Ok(Stage::Raw(len));
                    }
                    cursor.string(head, max).map(Stage::Plain)
                };
                match input.parse(plain)? {
                    Parsed::Done(stage) => self.stage = stage,
                    Parsed::Wait => return Ok(self.wait(Stage::Start, false)),
                    Parsed::Beyond => return Ok(self.wait(Stage::Start, true)),
                }
            }
            Kind::SetIntset
            | Kind::ZsetZiplist
            | Kind::HashZiplist
            | Kind::HashListpack
            | Kind::ZsetListpack => {
                let blob = match input.parse(|cursor, head| cursor.string(head, max))? {
                    Parsed::Done(blob) => blob,
                    Parsed::Wait => return Ok(self.wait(Stage::Start, false)),
                    Parsed::Beyond => return Ok(self.wait(Stage::Start, true)),
                };
                let blob = match self.kind {
                    Kind::SetIntset => Compact::Intset(Intset::new(blob)?),
                    Kind::ZsetZiplist | Kind::HashZiplist => Compact::Ziplist(Ziplist::new(blob)?),
                    _ => Compact::Listpack(Listpack::new(blob)?),
                };
                self.stage = Stage::Compact(blob, 0);
            }
            _ => match input.parse(|cursor, _| cursor.len())? {
                Parsed::Done(count) => self.stage = Stage::Elements(count),
                Parsed::Wait => return Ok(self.wait(Stage::Start, false)),
                Parsed::Beyond => return Ok(self.wait(Stage::Start, true)),
            },
        }
        Ok(None)
    }

    fn raw(&mut self, left: usize, input: &mut Input<'_>) -> Option<Next> {
        if left == 0 {
            return None;
        }
        let (_, here) = input.head();
        if here == 0 {
            let beyond = input.ensure(1) == Avail::Beyond;
            return self.wait(Stage::Raw(left), beyond);
        }
        let piece = input.take(here.min(left).min(self.piece));
        self.stage = Stage::Raw(left - piece.len());
        Some(Next::Piece(Piece::String(piece)))
    }

    /// Elements that stand by themselves, as many as the piece takes.
    fn elements(&mut self, mut left: u64, input: &mut Input<'_>) -> Result<Option<Next>, Error> {
        let (kind, max) = (self.kind, self.max_string);
        while left > 0 && self.batch_size < self.piece {
            // All elements that lie in the head are read in one go.
            let outcome = {
                let (head, len) = input.head();
                let mut cursor = Cursor::new(&head[..len]);
                let mut good = 0;
                let outcome = loop {
                    if left == 0 || self.batch_size >= self.piece {
                        break Ok(None);
                    }
                    match element(kind, &mut cursor, head, max) {
                        Ok(Unit::Open(open)) => {
                            good = cursor.pos();
                            left -= 1;
                            break Ok(Some(open));
                        }
                        Ok(unit) => self.batch_size += unit.push(&mut self.batch),
                        Err(stop) => break Err(stop),
                    }
                    good = cursor.pos();
                    left -= 1;
                };
                input.skip(good);
                outcome.map_err(|stop| match stop {
                    Stop::More(n) => Stop::More(n - good),
                    bad @ Stop::Bad(_) => bad,
                })
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(open)) => {
                    self.stage = match open {
                        Open::Compact(blob) => Stage::Compact(blob, left),
                        Open::Node(node) => Stage::Node(node, left),
                    };
                    return Ok(None);
                }
                Err(Stop::Bad(error)) => return Err(error),
                Err(Stop::More(n)) => match input.ensure(n) {
                    Avail::Yes => {}
                    Avail::Wait => return Ok(self.wait(Stage::Elements(left), false)),
                    Avail::Beyond => return Ok(self.wait(Stage::Elements(left), true)),
                },
            }
        }
        self.stage = Stage::Elements(left);
        Ok(None)
    }

    fn compact(&mut self, mut blob: Compact, left: u64) -> Result<Option<Next>, Error> {
        while self.batch_size < self.piece {
            let Some(first) = blob.next()? else {
                self.stage = Stage::Elements(left);
                return Ok(None);
            };
            let unit = match self.kind.family() {
                Family::Hash => Unit::Hash(first.into_bytes(), blob.pair()?.into_bytes()),
                Family::Zset => Unit::Zset(first.into_bytes(), blob.pair()?.score()?),
                Family::Set => Unit::Set(first.into_bytes()),
                _ => Unit::List(first.into_bytes()),
            };
            self.batch_size += unit.push(&mut self.batch);
        }
        self.stage = Stage::Compact(blob, left);
        Ok(None)
    }

    fn node(&mut self, mut node: Node, left: u64) -> Result<Option<Next>, Error> {
        while self.batch_size < self.piece {
            let Some(entry) = node.next()? else {
                self.stage = Stage::Elements(left);
                return Ok(None);
            };
            self.batch_size += Unit::Entry(entry).push(&mut self.batch);
        }
        self.stage = Stage::Node(node, left);
        Ok(None)
    }

    fn tail(
        &mut self,
        mut scanner: Scanner,
        mut pos: usize,
        input: &mut Input<'_>,
    ) -> Result<Option<Next>, Error> {
        loop {
            let (head, len) = input.head();
            match scanner.run(&head[..len], &mut pos) {
                Ok(()) => break,
                Err(Stop::Bad(error)) => return Err(error),
                Err(Stop::More(n)) => {
                    bound("stream tail", n as u64, self.max_tail)?;
                    match input.ensure(n) {
                        Avail::Yes => {}
                        Avail::Wait => return Ok(self.wait(Stage::Tail(scanner, pos), false)),
                        Avail::Beyond => return Ok(self.wait(Stage::Tail(scanner, pos), true)),
                    }
                }
            }
        }
        let entries = self.flush();
        let raw = input.take(pos);
        // The tail is the last piece; entries that still wait come before it.
        let tail = Piece::StreamTail(tail::decode(self.kind, &raw, self.max_string)?);
        Ok(Some(match entries {
            Some(entries) => {
                self.batch = Some(tail);
                Next::Piece(entries)
            }
            None => Next::Piece(tail),
        }))
    }

    fn opaque(&mut self, mut scanner: Scanner, input: &mut Input<'_>) -> Result<Option<Next>, Error> {
        loop {
            let (head, len) = input.head();
            let mut pos = 0;
            let outcome = scanner.run(&head[..len], &mut pos);
            input.skip(pos);
            self.pass_over(pos);
            match outcome {
                Ok(()) => return Ok(None),
                Err(Stop::Bad(error)) => return Err(error),
                Err(Stop::More(_)) if self.batch_size >= self.piece => {
                    self.stage = Stage::Opaque(scanner);
                    return Ok(None);
                }
                Err(Stop::More(n)) => {
                    // Bytes that are passed over need not be together.
                    let n = if scanner.skipping() { 1 } else { n - pos };
                    match input.ensure(n) {
                        Avail::Yes => {}
                        Avail::Wait => return Ok(self.wait(Stage::Opaque(scanner), false)),
                        Avail::Beyond => return Ok(self.wait(Stage::Opaque(scanner), true)),
                    }
                }
            }
        }
    }

    fn pass_over(&mut self, bytes: usize) {
        match &mut self.batch {
            Some(Piece::Opaque(sum)) => *sum += bytes,
            batch => *batch = Some(Piece::Opaque(bytes)),
        }
        self.batch_size += bytes;
    }
}
