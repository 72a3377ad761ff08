//! One look at some keys on both sides.
//!
//! ```text
//! source: TYPE, expiry ─▶ both: length or the first KiB, expiry ─▶ both: whole small values, several in one go
//!                                                               ─▶ large ones by themselves, in pieces
//! ```
//! The target is not asked for types: it answers WRONGTYPE where they differ.

mod ends;
mod glance;
mod pieces;
mod streams;
mod whole;

use std::sync::Arc;

use bytes::Bytes;
use command::Filter;
use resp::Reply;

use crate::Error;
use crate::kind::{Expiry, Kind, told};
use crate::limiter::Limiter;
use crate::options::{Mode, Options};
use crate::print::Print;
use crate::questions::{Answers, Place, Questions};
use crate::source::{HERE, Source};
use crate::target::Nodes;
use crate::verdict::{Found, Named, Verdict, What};

/// Bytes of a string that are read at first, and of its end in an outline.
pub(crate) const HEAD: u64 = 1 << 10;
/// Elements, and bytes, of a collection that an outline still reads whole.
pub(crate) const SMALL_ELEMENTS: u64 = 64;
pub(crate) const SMALL_BYTES: u64 = 4 << 10;
/// Elements, and bytes, of a value that is still read whole, together with others.
pub(crate) const WHOLE_ELEMENTS: u64 = 4096;
pub(crate) const WHOLE_BYTES: u64 = 256 << 10;
/// Bytes of values in one round trip.
pub(crate) const BATCH_BYTES: u64 = 2 << 20;

/// What a server lacks of what would be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Abilities {
    /// PEXPIRETIME; else PTTL and TIME.
    pub(crate) pexpiretime: bool,
    /// MEMORY USAGE.
    pub(crate) memory_usage: bool,
}

/// What all who compare share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    /// What is replicated.
    pub(crate) filter: Filter,
    pub(crate) limiter: Limiter,
    pub(crate) source: Abilities,
    pub(crate) target: Abilities,
    /// Fields of a hash may expire on both sides.
    pub(crate) field_ttls: bool,
}

/// Compares keys over connections of its own.
#[derive(Debug)]
pub(crate) struct Comparer {
    pub(crate) source: Source,
    pub(crate) target: Nodes,
    pub(crate) shared: Arc<Shared>,
}

/// What is to be done next with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing.
    Done,
    /// Its first KiB is the same, and there may be more.
    Longer,
    /// To be read whole, together with others; roughly so many bytes.
    Whole(u64),
    /// To be read in pieces.
    Pieces,
}

/// A key under the eyes.
#[derive(Debug)]
struct Look<'k> {
    named: &'k Named,
    place: Place,
    kind: Kind,
    expiry: Expiry,
    target_expiry: Expiry,
    /// Elements, or bytes of a string as far as they are known.
    len: u64,
    /// Bytes in memory.
    bytes: Option<u64>,
    print: Print,
    next: Next,
    verdict: Option<Verdict>,
}

impl Look<'_> {
    fn key(&self) -> &Bytes {
        &self.named.key
    }

    fn name(&self) -> &Bytes {
        &self.named.name
    }

    /// Ends the look with a difference.
    fn differs(&mut self, what: What, detail: impl Into<String>) {
        let print = self.print.value();
        self.verdict = Some(Verdict::Different(Found { what, detail: detail.into(), print }));
        self.next = Next::Done;
    }
}

impl Comparer {
    /// Looks at keys, in the order given.
    pub(crate) async fn compare(&mut self, keys: &[Named]) -> Result<Vec<Verdict>, Error> {
        let mut verdicts = Vec::with_capacity(keys.len());
        // Of each key a handful of commands, whatever it is.
        let most = (self.shared.limiter.burst() / 4).max(1);
        for group in keys.chunk_by(|a, b| (a.db, a.target_db) == (b.db, b.target_db)) {
            for part in group.chunks(most) {
                verdicts.extend(self.look(part).await?);
            }
        }
        Ok(verdicts)
    }

    async fn look(&mut self, keys: &[Named]) -> Result<Vec<Verdict>, Error> {
        let mut looks = self.types(keys).await?;
        self.glance(&mut looks).await?;
        self.longer(&mut looks).await?;
        self.whole(&mut looks).await?;
        for look in looks.iter_mut().filter(|look| look.next == Next::Pieces) {
            self.pieces(look).await?;
        }
        let tolerance = self.shared.options.ttl_tolerance.as_millis();
        Ok(looks.into_iter().map(|look| conclude(look, tolerance)).collect())
    }

    /// Asks both sides at the same time.
    async fn both(
        &mut self,
        db: u32,
        source: Questions,
        target_db: u32,
        target: Questions,
    ) -> Result<(Answers, Answers), Error> {
        self.shared.limiter.take(source.len()).await;
        tokio::try_join!(self.source.ask(db, source), self.target.ask(target_db, target))
    }

    /// One question to the source.
    async fn ask_source(&mut self, look: &Look<'_>, args: &[&[u8]]) -> Result<Reply, Error> {
        self.shared.limiter.take(1).await;
        self.source.call(look.named.db, args).await
    }

    /// The same question to both sides; `word` is the command and `rest` what follows the name.
    async fn of_both(
        &mut self,
        look: &Look<'_>,
        word: &[u8],
        rest: &[&[u8]],
    ) -> Result<(Reply, Reply), Error> {
        let (mut source, mut target) = (Questions::default(), Questions::default());
        source.push(HERE, &[&[word, look.key()], rest].concat());
        target.push(look.place, &[&[word, look.name()], rest].concat());
        let (mut a, mut b) = self.both(look.named.db, source, look.named.target_db, target).await?;
        Ok((a.take(0), b.take(0)))
    }

    fn mode(&self) -> Mode {
        self.shared.options.mode
    }

    /// An error line where the source has to answer.
    fn source_refused(&self, command: &[u8], reply: &Reply) -> Error {
        self.source.refused(command, told(reply))
    }
}

/// An error line where the target has to answer.
fn target_refused(command: &[u8], reply: &Reply) -> Error {
    Error::TargetRefused { command: String::from_utf8_lossy(command).into_owned(), message: told(reply) }
}

fn conclude(mut look: Look<'_>, tolerance_ms: u128) -> Verdict {
    if look.verdict.is_none() {
        let near = match (look.expiry, look.target_expiry) {
            (Some(a), Some(b)) => u128::from(a.abs_diff(b)) <= tolerance_ms,
            (a, b) => a == b,
        };
        if !near {
            let text = |at: Expiry| at.map_or("no expiry".to_owned(), |at| format!("expiry at {at} ms"));
            let detail =
                format!("{} at the source, {} on the target", text(look.expiry), text(look.target_expiry));
            look.differs(What::Ttl, detail);
        }
    }
    look.verdict.unwrap_or(Verdict::Equal)
}
