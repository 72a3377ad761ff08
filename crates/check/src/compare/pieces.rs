//! Large values, a page at a time.
//!
//! Lists and strings are read from both sides, page by page. Of sets, hashes and sorted sets the source's elements are
//! looked up on the target: lengths are equal, so what holds all of them holds nothing else. An element that a scan gives
//! twice does no harm then.

use bytes::Bytes;
use command::JsonAs;
use resp::Reply;

use super::{Comparer, Look, Next};
use crate::Error;
use crate::kind::Kind;
use crate::same;
use crate::verdict::What;

/// Bytes that a page is aimed at.
const PAGE: u64 = 256 << 10;
/// Most elements of a page.
const PAGE_ELEMENTS: u64 = 1000;

impl Comparer {
    pub(super) async fn pieces(&mut self, look: &mut Look<'_>) -> Result<(), Error> {
        look.next = Next::Done;
        let each = (look.bytes.unwrap_or(0) / look.len.max(1)).max(1);
        let step = (PAGE / each).clamp(1, PAGE_ELEMENTS);
        let same = match look.kind {
            Kind::String => self.pages(look, b"GETRANGE", PAGE).await?,
            Kind::List => self.pages(look, b"LRANGE", step).await?,
            Kind::Set => self.members(look, b"SSCAN", step).await?,
            Kind::Hash => self.members(look, b"HSCAN", step).await?,
            Kind::Zset => self.members(look, b"ZSCAN", step).await?,
            Kind::Stream => return self.stream(look).await,
            Kind::Json => self.text(look).await?,
            Kind::Absent | Kind::Other(_) => return Ok(()),
        };
        if !same {
            look.differs(What::Value, format!("{} long on both sides, other content", look.len));
        } else if look.kind == Kind::Hash && self.shared.field_ttls {
            self.field_ttls(look).await?;
        }
        Ok(())
    }

    /// Positions in order. What is read of the source goes into the fingerprint to its end, also behind a difference.
    async fn pages(&mut self, look: &mut Look<'_>, word: &[u8], step: u64) -> Result<bool, Error> {
        let mut same = true;
        let mut from = 0;
        while from < look.len {
            let (first, last) = (from.to_string(), (from + step - 1).to_string());
            let range = [first.as_bytes(), last.as_bytes()];
            let ours = if same {
                let (ours, theirs) = self.of_both(look, word, &range).await?;
                same = ours == theirs && ours.as_error().is_none();
                ours
            } else {
                let args = [&[word, look.key()], &range[..]].concat();
                self.ask_source(look, &args).await?
            };
            look.print.reply(&ours, 0);
            from += step;
        }
        Ok(same)
    }

    /// Elements in no order.
    async fn members(&mut self, look: &mut Look<'_>, scan: &[u8], step: u64) -> Result<bool, Error> {
        let each = if scan == b"SSCAN" { 1 } else { 2 };
        let count = step.to_string();
        let mut cursor = Bytes::from_static(b"0");
        let mut same = true;
        loop {
            let args: [&[u8]; 5] = [scan, look.key(), &cursor, b"COUNT", count.as_bytes()];
            let page = self.ask_source(look, &args).await?;
            let (next, elements) = match &page {
                Reply::Array(parts) => match parts.as_slice() {
                    [next, Reply::Array(elements)] => (next.as_bytes(), elements.as_slice()),
                    _ => return Err(self.source_refused(scan, &page)),
                },
                // Another type meanwhile: the next look sees which.
                _ => return Ok(false),
            };
            // A page may be far larger than asked for.
            for part in elements.chunks(PAGE_ELEMENTS as usize * each) {
                let mut parts: Vec<&[u8]> = Vec::with_capacity(part.len());
                for item in part {
                    parts.push(item.as_bytes().ok_or_else(|| self.source_refused(scan, item))?);
                }
                parts.chunks(each).for_each(|element| look.print.member(element));
                same = same && self.holds(look, &parts, each).await?;
            }
            match next {
                Some(next) if next == "0" => return Ok(same),
                Some(next) => cursor = next.clone(),
                None => return Err(self.source_refused(scan, &page)),
            }
        }
    }

    /// Whether the target holds these elements.
    async fn holds(&mut self, look: &Look<'_>, parts: &[&[u8]], each: usize) -> Result<bool, Error> {
        if parts.is_empty() {
            return Ok(true);
        }
        let word: &[u8] = match look.kind {
            Kind::Set => b"SMISMEMBER",
            Kind::Hash => b"HMGET",
            _ => b"ZMSCORE",
        };
        let mut args: Vec<&[u8]> = vec![word, look.name()];
        args.extend(parts.iter().step_by(each));
        let mut questions = crate::questions::Questions::default();
        questions.push(look.place, &args);
        let reply = self.target.ask(look.named.target_db, questions).await?.take(0);
        let Reply::Array(found) = &reply else { return Ok(false) };
        let same = |(element, found): (&[&[u8]], &Reply)| match (&look.kind, found) {
            (Kind::Set, found) => found.as_integer() == Some(1),
            (Kind::Hash, Reply::Bulk(value)) => value == element[1],
            (_, Reply::Bulk(score)) => same::scores(element[1], score),
            _ => false,
        };
        Ok(found.len() == parts.len() / each && parts.chunks(each).zip(found).all(same))
    }

    /// A document, whole: there is no other way.
    async fn text(&mut self, look: &mut Look<'_>) -> Result<bool, Error> {
        let ours = self.ask_source(look, &[b"JSON.GET", look.key()]).await?;
        let as_text = self.shared.options.json == JsonAs::Text;
        let word: &[u8] = if as_text { b"GET" } else { b"JSON.GET" };
        let mut questions = crate::questions::Questions::default();
        questions.push(look.place, &[word, look.name()]);
        let theirs = self.target.ask(look.named.target_db, questions).await?.take(0);
        look.print.reply(&ours, 0);
        Ok(same::documents(&ours, &theirs))
    }
}
