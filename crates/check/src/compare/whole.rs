//! Values read whole, several in one round trip.

use resp::Reply;

use super::{BATCH_BYTES, Comparer, Look, Next};
use crate::Error;
use crate::kind::{Kind, wrong_type};
use crate::questions::Questions;
use crate::same;
use crate::source::HERE;
use crate::verdict::What;

/// The command, and what follows the name.
fn reading(kind: &Kind) -> Option<(&'static [u8], &'static [&'static [u8]])> {
    Some(match kind {
        Kind::String => (b"GET", &[]),
        Kind::List => (b"LRANGE", &[b"0", b"-1"]),
        Kind::Set => (b"SMEMBERS", &[]),
        Kind::Hash => (b"HGETALL", &[]),
        Kind::Zset => (b"ZRANGE", &[b"0", b"-1", b"WITHSCORES"]),
        Kind::Json => (b"JSON.GET", &[]),
        Kind::Stream | Kind::Absent | Kind::Other(_) => return None,
    })
}

impl Comparer {
    /// All that are to be read whole, so many at a time as fit.
    pub(super) async fn whole(&mut self, looks: &mut [Look<'_>]) -> Result<(), Error> {
        let mut rest = looks;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().position(|look| match look.next {
                Next::Whole(more) => {
                    let full = bytes > 0 && bytes + more > BATCH_BYTES;
                    bytes += more;
                    full
                }
                _ => false,
            });
            let (batch, after) = rest.split_at_mut(fits.unwrap_or(rest.len()));
            self.read_whole(batch).await?;
            rest = after;
        }
        Ok(())
    }

    async fn read_whole(&mut self, looks: &mut [Look<'_>]) -> Result<(), Error> {
        let (mut source, mut target) = (Questions::default(), Questions::default());
        let mut db = (0, 0);
        let mut at = Vec::new();
        for (i, look) in looks.iter().enumerate().filter(|(_, look)| matches!(look.next, Next::Whole(_))) {
            db = (look.named.db, look.named.target_db);
            let Some((word, rest)) = reading(&look.kind) else { continue };
            let ours = source.push(HERE, &[&[word, look.key()], rest].concat());
            let theirs = target.push(look.place, &[&[word, look.name()], rest].concat());
            at.push((i, ours, theirs));
        }
        if !at.is_empty() {
            let (source, target) = self.both(db.0, source, db.1, target).await?;
            for (i, ours, theirs) in at {
                judge(&mut looks[i], source.at(ours), target.at(theirs));
            }
        }
        for look in looks.iter_mut() {
            match (look.next, &look.kind) {
                (Next::Whole(_), Kind::Stream) => self.stream(look).await?,
                (Next::Done, Kind::Hash) if self.shared.field_ttls && look.verdict.is_none() => {
                    self.field_ttls(look).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn judge(look: &mut Look<'_>, ours: &Reply, theirs: &Reply) {
    let (same, each) = match look.kind {
        Kind::Set => (same::sets(ours, theirs), 1),
        Kind::Hash => (same::hashes(ours, theirs), 2),
        Kind::Zset => (same::zsets(ours, theirs), 2),
        Kind::Json => (same::documents(ours, theirs), 0),
        _ => (ours == theirs, 0),
    };
    look.next = Next::Done;
    if same && ours.as_error().is_none() {
        return;
    }
    look.print.reply(ours, each);
    if wrong_type(theirs) {
        look.differs(What::Type, "changed its type on the target while it was looked at");
    } else {
        look.differs(What::Value, detail(look.len, &look.kind, ours, theirs));
    }
}

/// How two values of one length differ, without saying what is in them.
fn detail(len: u64, kind: &Kind, ours: &Reply, theirs: &Reply) -> String {
    let (Some(a), Some(b)) = (ours.as_array(), theirs.as_array()) else {
        return format!("other content; {len} long at the source");
    };
    match kind {
        Kind::List => {
            let at = a.iter().zip(b).take_while(|(a, b)| a == b).count();
            format!("{len} elements; they differ from number {at} on")
        }
        Kind::Hash | Kind::Zset => format!("{len} elements; other fields or values"),
        _ => format!("{len} elements; other members"),
    }
}
