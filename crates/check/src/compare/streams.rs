//! Streams: entries, last id, counters, groups, consumers and what is pending.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use resp::Reply;

use super::{Comparer, Look, Next, SMALL_BYTES, SMALL_ELEMENTS};
use crate::Error;
use crate::kind::time;
use crate::options::Mode;
use crate::questions::Questions;
use crate::source::HERE;
use crate::verdict::What;

/// Entries, or pending entries, of a page.
const PAGE: u64 = 500;
/// Most memory (bytes) of a stream that counts as small. Servers reserve a block of 4 KiB for its first entry, and its groups
/// and consumers count as well.
const SMALL_STREAM: u64 = 4 * SMALL_BYTES;
/// Fields of a hash whose TTLs are asked for.
const MOST_FIELDS: u64 = 4096;
/// How far two field TTLs may be apart (ms): the source tells whole seconds that are left.
const FIELD_TOLERANCE: i64 = 2_000;

/// Fields by name, of what XINFO answers.
type Fields<'r> = BTreeMap<&'r str, &'r Reply>;

impl Comparer {
    pub(super) async fn stream(&mut self, look: &mut Look<'_>) -> Result<(), Error> {
        look.next = Next::Done;
        let small = look.len <= SMALL_ELEMENTS && look.bytes.is_none_or(|bytes| bytes <= SMALL_STREAM);
        let big = look.bytes.is_some_and(|bytes| bytes > self.shared.options.big_key_bytes);
        let entries = match self.mode() {
            Mode::Full => true,
            Mode::Smart => small || !big,
            Mode::Outline | Mode::Length => small,
        };
        let difference = match self.stream_head(look).await? {
            None if entries => match self.entries(look).await? {
                None => self.groups(look).await?,
                found => found,
            },
            None => self.groups(look).await?,
            found => found,
        };
        if let Some(detail) = difference {
            look.differs(What::Value, detail);
        }
        Ok(())
    }

    /// Last id and counters, as far as both sides have them.
    async fn stream_head(&mut self, look: &mut Look<'_>) -> Result<Option<String>, Error> {
        let (ours, theirs) = self.xinfo(look, b"STREAM", None).await?;
        let (a, b) = (fields(&ours), fields(&theirs));
        for name in ["last-generated-id", "entries-added", "max-deleted-entry-id"] {
            if let (Some(a), Some(b)) = (a.get(name), b.get(name)) {
                look.print.reply(a, 0);
                if a != b {
                    return Ok(Some(format!("{} entries; {name} differs", look.len)));
                }
            }
        }
        Ok((a.is_empty() != b.is_empty()).then(|| "gone on one side".to_owned()))
    }

    async fn entries(&mut self, look: &mut Look<'_>) -> Result<Option<String>, Error> {
        let count = PAGE.to_string();
        let mut from = Bytes::from_static(b"-");
        let mut found = None;
        loop {
            let range = [from.as_ref(), b"+", b"COUNT", count.as_bytes()];
            let ours = if found.is_none() {
                let (ours, theirs) = self.of_both(look, b"XRANGE", &range).await?;
                if ours != theirs {
                    found =
                        Some(format!("{} entries; they differ behind {}", look.len, resp::printable(&from)));
                }
                ours
            } else {
                let args = [&[b"XRANGE", look.key().as_ref()], &range[..]].concat();
                self.ask_source(look, &args).await?
            };
            look.print.reply(&ours, 0);
            let last = ours.as_array().filter(|page| page.len() as u64 == PAGE).and_then(|page| page.last());
            match last.and_then(|entry| after(entry.as_array()?.first()?.as_str()?)) {
                Some(next) => from = next,
                None => return Ok(found),
            }
        }
    }

    async fn groups(&mut self, look: &mut Look<'_>) -> Result<Option<String>, Error> {
        let (ours, theirs) = self.xinfo(look, b"GROUPS", None).await?;
        let (a, b) = (by_name(&ours), by_name(&theirs));
        if a.keys().ne(b.keys()) {
            a.keys().for_each(|name| look.print.add(name));
            return Ok(Some("other consumer groups".into()));
        }
        for (name, group) in &a {
            let other = &b[name];
            for field in ["last-delivered-id", "entries-read"] {
                let values = (group.get(field), other.get(field));
                if let (Some(a), Some(b)) = values
                    && **a != Reply::Nil
                    && **b != Reply::Nil
                {
                    look.print.reply(a, 0);
                    if a != b {
                        return Ok(Some(format!("group {}: {field} differs", resp::printable(name))));
                    }
                }
            }
            if let Some(what) = self.consumers(look, name).await? {
                return Ok(Some(format!("group {}: {what}", resp::printable(name))));
            }
        }
        Ok(None)
    }

    async fn consumers(&mut self, look: &mut Look<'_>, group: &Bytes) -> Result<Option<String>, Error> {
        let (ours, theirs) = self.xinfo(look, b"CONSUMERS", Some(group)).await?;
        let names = |reply: &Reply| by_name(reply).into_keys().collect::<BTreeSet<Bytes>>();
        let ours = names(&ours);
        ours.iter().for_each(|name| look.print.member(&[name]));
        if ours != names(&theirs) {
            return Ok(Some("other consumers".into()));
        }
        let count = PAGE.to_string();
        let mut from = Bytes::from_static(b"-");
        loop {
            let range = [group.as_ref(), from.as_ref(), b"+", count.as_bytes()];
            let (ours, theirs) = self.of_both(look, b"XPENDING", &range).await?;
            let (a, b) = (pending(&ours), pending(&theirs));
            a.iter().for_each(|(id, consumer, times)| {
                look.print.member(&[id.as_bytes(), consumer, &times.to_le_bytes()]);
            });
            if a != b {
                return Ok(Some("other pending entries".into()));
            }
            match a.last().filter(|_| a.len() as u64 == PAGE).and_then(|(id, ..)| after(id)) {
                Some(next) => from = next,
                None => return Ok(None),
            }
        }
    }

    /// XINFO of both sides.
    async fn xinfo(
        &mut self,
        look: &Look<'_>,
        what: &[u8],
        group: Option<&Bytes>,
    ) -> Result<(Reply, Reply), Error> {
        let (mut source, mut target) = (Questions::default(), Questions::default());
        let rest: Vec<&[u8]> = group.iter().map(|group| group.as_ref()).collect();
        source.push(HERE, &[&[b"XINFO", what, look.key()], &rest[..]].concat());
        target.push(look.place, &[&[b"XINFO", what, look.name()], &rest[..]].concat());
        let (mut a, mut b) = self.both(look.named.db, source, look.named.target_db, target).await?;
        Ok((a.take(0), b.take(0)))
    }

    /// The TTLs of a hash's fields: absolute on the target, whole seconds left at the source.
    pub(super) async fn field_ttls(&mut self, look: &mut Look<'_>) -> Result<(), Error> {
        if look.len > MOST_FIELDS {
            return Ok(());
        }
        let names = self.ask_source(look, &[b"HKEYS", look.key()]).await?;
        let names: Vec<&Bytes> =
            names.as_array().unwrap_or_default().iter().filter_map(Reply::as_bytes).collect();
        if names.is_empty() {
            return Ok(());
        }
        let (mut source, mut target) = (Questions::default(), Questions::default());
        let clock = source.push(HERE, &[b"TIME"]);
        for name in &names {
            source.push(HERE, &[b"FIELDTTL", look.key(), name]);
        }
        let count = names.len().to_string();
        let mut args: Vec<&[u8]> = vec![b"HPEXPIRETIME", look.name(), b"FIELDS", count.as_bytes()];
        args.extend(names.iter().map(|name| name.as_ref()));
        target.push(look.place, &args);
        let (source, target) = self.both(look.named.db, source, look.named.target_db, target).await?;
        let now_ms = time(source.at(clock)).ok_or_else(|| self.source_refused(b"TIME", source.at(clock)))?;
        let theirs = target.at(0).as_array().unwrap_or_default();
        let differs = (0..names.len()).any(|i| {
            let ours = source.at(clock + 1 + i).as_integer().filter(|left| *left >= 0);
            look.print.number(u64::from(ours.is_some()));
            let theirs = theirs.get(i).and_then(Reply::as_integer).filter(|at| *at >= 0);
            match (ours, theirs) {
                (Some(left), Some(at)) => (now_ms + left * 1000).abs_diff(at) > FIELD_TOLERANCE as u64,
                (a, b) => a.is_some() != b.is_some(),
            }
        });
        if differs {
            look.differs(What::Ttl, "fields with another TTL");
        }
        Ok(())
    }
}

/// Names and values in turn.
fn fields(reply: &Reply) -> Fields<'_> {
    let items = reply.as_array().unwrap_or_default();
    items.chunks_exact(2).filter_map(|pair| Some((pair[0].as_str()?, &pair[1]))).collect()
}

/// Several of those, by their field `name`.
fn by_name(reply: &Reply) -> BTreeMap<Bytes, Fields<'_>> {
    let each = reply.as_array().unwrap_or_default().iter().map(fields);
    each.filter_map(|fields| Some((fields.get("name")?.as_bytes()?.clone(), fields))).collect()
}

/// Id, consumer and number of deliveries; how long ago the last one was differs in any case.
fn pending(reply: &Reply) -> Vec<(String, Bytes, i64)> {
    let row = |row: &Reply| {
        let row = row.as_array()?;
        Some((row.first()?.as_str()?.to_owned(), row.get(1)?.as_bytes()?.clone(), row.get(3)?.as_integer()?))
    };
    reply.as_array().unwrap_or_default().iter().filter_map(row).collect()
}

/// The id behind this one.
fn after(id: &str) -> Option<Bytes> {
    let (ms, seq) = id.split_once('-')?;
    let (ms, seq): (u64, u64) = (ms.parse().ok()?, seq.parse().ok()?);
    let (ms, seq) = match seq.checked_add(1) {
        Some(seq) => (ms, seq),
        None => (ms.checked_add(1)?, 0),
    };
    Some(format!("{ms}-{seq}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_up() {
        assert_eq!(after("5-6").unwrap(), "5-7");
        assert_eq!(after("5-18446744073709551615").unwrap(), "6-0");
        assert_eq!(after("18446744073709551615-18446744073709551615"), None);
        assert_eq!(after("x"), None);
    }
}
