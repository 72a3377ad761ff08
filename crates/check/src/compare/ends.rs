//! Strings of which the first KiB is the same.

use super::{Comparer, HEAD, Look, Next, WHOLE_BYTES, target_refused};
use crate::Error;
use crate::options::Mode;
use crate::questions::Questions;
use crate::source::HERE;
use crate::verdict::What;

impl Comparer {
    /// Lengths, and the last KiB; then an outline is done with them.
    pub(super) async fn longer(&mut self, looks: &mut [Look<'_>]) -> Result<(), Error> {
        let (mut source, mut target) = (Questions::default(), Questions::default());
        let from = format!("-{HEAD}");
        let mut db = (0, 0);
        for look in looks.iter().filter(|look| look.next == Next::Longer) {
            db = (look.named.db, look.named.target_db);
            for (word, rest) in [(&b"STRLEN"[..], &[][..]), (b"GETRANGE", &[from.as_bytes(), b"-1"][..])] {
                source.push(HERE, &[&[word, look.key()], rest].concat());
                target.push(look.place, &[&[word, look.name()], rest].concat());
            }
        }
        if source.is_empty() {
            return Ok(());
        }
        let (source, target) = self.both(db.0, source, db.1, target).await?;
        let mut at = 0;
        for look in looks.iter_mut().filter(|look| look.next == Next::Longer) {
            let lengths = (source.at(at).as_integer(), target.at(at).as_integer());
            let (ours, theirs) = (source.at(at + 1), target.at(at + 1));
            look.print.reply(source.at(at), 0);
            look.print.reply(ours, 0);
            match lengths {
                (Some(a), Some(b)) if a == b && ours == theirs => {
                    look.len = a.unsigned_abs();
                    look.next = self.plan_string(look.len);
                }
                (Some(a), Some(b)) if a == b => {
                    look.differs(What::Value, format!("{a} bytes on both sides; the ends differ"));
                }
                (Some(a), Some(b)) => {
                    look.differs(What::Value, format!("{a} bytes at the source, {b} on the target"));
                }
                _ if ours.as_error().is_some() => {
                    look.differs(What::Value, "changed its type at the source while it was looked at");
                }
                _ if theirs.as_error().is_some_and(|line| line.starts_with(b"WRONGTYPE")) => {
                    look.differs(What::Type, "changed its type on the target while it was looked at");
                }
                _ => return Err(target_refused(b"STRLEN", target.at(at))),
            }
            at += 2;
        }
        Ok(())
    }

    fn plan_string(&self, len: u64) -> Next {
        match self.mode() {
            // The two ends overlap.
            _ if len <= 2 * HEAD => Next::Done,
            Mode::Length | Mode::Outline => Next::Done,
            Mode::Smart if len > self.shared.options.big_key_bytes => Next::Done,
            Mode::Full | Mode::Smart if len <= WHOLE_BYTES => Next::Whole(len),
            Mode::Full | Mode::Smart => Next::Pieces,
        }
    }
}
