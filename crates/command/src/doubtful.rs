//! Records that the target executes without an error and that leave it another value than the source has.
//!
//! Records that say too little to be executed at all are [`Treatment::NotInSync`](crate::Treatment::NotInSync) instead.
//!
//! What is left, because no record shows it: `BLMPOP … COUNT n` that finds its elements at once, and `LMPOP … COUNT n` in a
//! script over one shard (the same `LPOP key`, transaction 0, as of an `LPOP`); `BITOP` and `PFMERGE` over an expiry in such a
//! script (the same `SET key value`); `SET` with an expiry in the past, of which the source writes nothing; `XREADGROUP` of
//! a consumer's own history.

use std::fmt;

use bytes::Bytes;
use journal::{Record, RecordKind};
use rdb::Kind;

use crate::{SourceKey, table::store_at};

/// No key lives longer than 2^28 s from now at the source (v1.40.1 `kMaxExpireDeadlineMs`); less a day, because clocks differ.
const NEARLY_LONGEST_TTL_MS: u64 = ((1 << 28) - 86_400) * 1_000;

/// Why the keys of a record have to be read again although the record can be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DoubtfulWhy {
    /// A sorted set that was stored from others: its scores are logged with six digits (v1.40.1 `zset_family.cc`
    /// `OpAdd`; capture `commands`).
    RoundedScores,
    /// The same without a transaction's number, as a script over one shard leaves it (v1.40.1, on the wire); or a client's own
    /// `DEL` and `ZADD`.
    PerhapsRounded,
    /// `INCRBYFLOAT`, `HINCRBYFLOAT`: source and target compute different digits.
    FloatDigits,
    /// `SORT … STORE`, `GEORADIUS … STORE`, `BITFIELD` with `INCRBY` or `OVERFLOW`: the target orders, cuts off and computes
    /// otherwise (v1.40.1 against Redis 7.0, on the wire: ties, `ALPHA`, `COUNT`, saturation of unsigned numbers).
    Recomputed,
    /// `RESTORE` with a time from now on, which began before the record came; or with a moment so far away that the source
    /// made it nearer, counted from then.
    RelativeExpiry,
    /// `RESTORE` of a stream, `XGROUP CREATE … ENTRIESREAD`: the source keeps other counters of its groups than the record
    /// says (v1.40.1 `generic_family.cc` `RestoreArgs`, `stream_family.cc` `OpCreate`, on the wire).
    GroupCounters,
    /// `XADD` and `XTRIM` as the client sent them, where the source chose the id or how far to trim (up to v1.26
    /// `stream_family.cc` XAdd: journaled by itself, with `*` and `~`).
    LeftToServer,
    /// A plain `SET` in a transaction of a release up to v1.19, which may stand for the `RENAME` of a key of any type over
    /// two shards (`generic_family.cc` Renamer::UpdateDest).
    PerhapsRenamed,
    /// `ZADD` with `GT` or `LT`, which the source's encoding of large sorted sets does not obey (v1.40.1, on the wire); and
    /// `ZREMRANGEBYLEX`, which removes what the encoding happens to come across where scores differ.
    Condition,
    /// A pop of one element that may have been one of several: `LMPOP` and `BLMPOP` with `COUNT` (v1.40.1
    /// `list_family.cc` `OpPop`). Also a pop in `MULTI`, one half of a move between shards, and a pop that had to wait.
    PopsUncounted,
    /// A plain `SET` that may stand for `BITOP` or `PFMERGE`, where the source keeps the expiry of the key. Also a
    /// `SET` in `MULTI` or a script. Of no concern if the key has no expiry on the target.
    ExpiryKept,
    /// A record of a consumer group of a source that does not journal `XREADGROUP` (before v1.37): it shows that the group is
    /// read, and nothing did before.
    GroupReads,
}

impl DoubtfulWhy {
    /// Whether the record is wrong most of the time. The others are right most of the time, and may be frequent: their
    /// keys need not be read after each such record, but some time after the last one.
    #[must_use]
    pub fn is_likely(self) -> bool {
        !matches!(
            self,
            DoubtfulWhy::PerhapsRounded
                | DoubtfulWhy::Condition
                | DoubtfulWhy::PopsUncounted
                | DoubtfulWhy::ExpiryKept
                | DoubtfulWhy::GroupReads
        )
    }
}

impl fmt::Display for DoubtfulWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DoubtfulWhy::RoundedScores => "scores rounded by the source",
            DoubtfulWhy::PerhapsRounded => "perhaps scores rounded by the source",
            DoubtfulWhy::FloatDigits => "computed with other digits by the target",
            DoubtfulWhy::Recomputed => "computed otherwise by the target",
            DoubtfulWhy::RelativeExpiry => "an expiry that counts from an unknown moment",
            DoubtfulWhy::GroupCounters => "counters of consumer groups that the source keeps otherwise",
            DoubtfulWhy::LeftToServer => "an id or a trim that the record leaves to the server",
            DoubtfulWhy::PerhapsRenamed => "perhaps a renamed key, of which the record has no value",
            DoubtfulWhy::Condition => "a condition that source and target judge differently",
            DoubtfulWhy::PopsUncounted => "perhaps more elements popped than the record says",
            DoubtfulWhy::ExpiryKept => "perhaps an expiry that the source kept",
            DoubtfulWhy::GroupReads => "the source does not journal what consumer groups read",
        })
    }
}

/// What the record shows by itself: which of its keys, and why. [`Doubts`] sees more.
#[must_use]
pub fn doubtful(db: u32, args: &[Bytes]) -> Option<Doubt> {
    let has =
        |from: usize, word: &str| args.iter().skip(from).any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    let doubt = |index: usize, why| Some(Doubt { key: SourceKey { db, key: args.get(index)?.clone() }, why });
    match args.first()?.as_ref() {
        b"INCRBYFLOAT" | b"HINCRBYFLOAT" => doubt(1, DoubtfulWhy::FloatDigits),
        b"ZADD" => {
            let flags =
                args.iter().skip(2).take_while(|arg| arg.first().is_some_and(u8::is_ascii_alphabetic));
            let mut flags =
                flags.filter(|arg| arg.eq_ignore_ascii_case(b"GT") || arg.eq_ignore_ascii_case(b"LT"));
            flags.next().and_then(|_| doubt(1, DoubtfulWhy::Condition))
        }
        b"ZREMRANGEBYLEX" => doubt(1, DoubtfulWhy::Condition),
        b"SORT" => store_at(args, 2).and_then(|at| doubt(at, DoubtfulWhy::Recomputed)),
        b"GEORADIUS" => store_at(args, 6).and_then(|at| doubt(at, DoubtfulWhy::Recomputed)),
        b"GEORADIUSBYMEMBER" => store_at(args, 5).and_then(|at| doubt(at, DoubtfulWhy::Recomputed)),
        b"BITFIELD" if has(2, "OVERFLOW") || has(2, "INCRBY") => doubt(1, DoubtfulWhy::Recomputed),
        b"RESTORE" if is_stream(args.get(3)?) => doubt(1, DoubtfulWhy::GroupCounters),
        b"RESTORE" if args[2] != "0" && !has(4, "ABSTTL") => doubt(1, DoubtfulWhy::RelativeExpiry),
        b"XADD" | b"XTRIM" if leaves_to_server(args) => doubt(1, DoubtfulWhy::LeftToServer),
        b"XGROUP" if has(4, "ENTRIESREAD") && args[1].eq_ignore_ascii_case(b"CREATE") => {
            doubt(2, DoubtfulWhy::GroupCounters)
        }
        _ => None,
    }
}

/// Whether `XADD key [NOMKSTREAM] [MAXLEN|MINID [=|~] n [LIMIT n]] id …` or `XTRIM key …` does not say what was done.
fn leaves_to_server(args: &[Bytes]) -> bool {
    let is = |at: usize, word: &str| args.get(at).is_some_and(|a| a.eq_ignore_ascii_case(word.as_bytes()));
    let mut at = 2;
    loop {
        if is(at, "NOMKSTREAM") {
            at += 1;
        } else if is(at, "MAXLEN") || is(at, "MINID") {
            if is(at + 1, "~") {
                return true;
            }
            at += if is(at + 1, "=") { 3 } else { 2 };
        } else {
            break;
        }
    }
    args[0] == "XADD" && args.get(at).is_some_and(|id| id.ends_with(b"*"))
}

/// Whether no score of a `ZADD` without options has more than the six digits that the source leaves of one.
fn may_be_rounded(args: &[Bytes]) -> bool {
    let digits = |score: &Bytes| {
        let mantissa = score.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or_default();
        let digits = mantissa.iter().filter(|byte| byte.is_ascii_digit());
        digits.skip_while(|byte| **byte == b'0').count()
    };
    args.iter().skip(2).step_by(2).all(|score| digits(score) <= 6)
}

/// Whether this is a `RESTORE … ABSTTL` with an expiry after this moment.
fn expires_after(args: &[Bytes], at_ms: u64) -> bool {
    let [verb, _, expiry, _, options @ ..] = args else { return false };
    verb == "RESTORE"
        && options.iter().any(|word| word.eq_ignore_ascii_case(b"ABSTTL"))
        && std::str::from_utf8(expiry).ok().and_then(|at| at.parse().ok()).is_some_and(|at: u64| at > at_ms)
}

/// Whether a payload of `DUMP` holds a stream.
fn is_stream(payload: &[u8]) -> bool {
    let streams = [Kind::Stream, Kind::Stream2, Kind::Stream3];
    payload.first().is_some_and(|code| streams.iter().any(|kind| kind.code() == *code))
}

/// A key that has to be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The key.
    pub key: SourceKey,
    /// Why.
    pub why: DoubtfulWhy,
}

/// Looks for doubtful records in one flow's stream, where some show only next to their neighbours.
///
/// What tells a rewritten record from a client's own is its transaction: a command over one shard that runs at once has
/// number 0, one that needs several steps does not (v1.40.1 `transaction.cc` `ScheduleInternal`; capture `commands`).
#[derive(Debug, Default)]
pub struct Doubts {
    /// The transaction of the record before, which deleted this key.
    deleted: Option<(u64, SourceKey)>,
    /// The transaction of the record before, which popped one element of this list.
    popped: Option<(u64, SourceKey)>,
    /// `XREADGROUP` leaves no record.
    silent_reads: bool,
    /// The time (unix ms); 0: not known.
    now_ms: u64,
}

impl Doubts {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Doubts {
        Doubts::default()
    }

    /// Says whether the source leaves no record of `XREADGROUP` (before v1.37).
    #[must_use]
    pub fn with_silent_reads(self, silent_reads: bool) -> Doubts {
        Doubts { silent_reads, ..self }
    }

    /// What comes next arrived at this time (unix ms).
    pub fn at(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Takes the flow's next record. The keys that have to be read again once it was routed: its own, or that of the
    /// record before.
    pub fn record(&mut self, record: &Record) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        let mut doubt = |key: &SourceKey, why| doubts.push(Doubt { key: key.clone(), why });
        let (deleted, popped) = (self.deleted.take(), self.popped.take());
        let args = &record.args;
        let key = || SourceKey { db: record.db, key: args.get(1).cloned().unwrap_or_default() };
        if let Some((txid, list)) = popped {
            // the other half of a move between lists: one element it is
            let pushed = matches!(args[0].as_ref(), b"LPUSH" | b"RPUSH") && args.len() == 3;
            if !(pushed && txid == record.txid) {
                doubt(&list, DoubtfulWhy::PopsUncounted);
            }
        }
        if let Some(Doubt { key, why }) = doubtful(record.db, args) {
            doubt(&key, why);
        } else if self.now_ms > 0 && expires_after(args, self.now_ms + NEARLY_LONGEST_TTL_MS) {
            doubt(&key(), DoubtfulWhy::RelativeExpiry);
        }
        match (args[0].as_ref(), args.get(2)) {
            (b"XACK" | b"XCLAIM" | b"XAUTOCLAIM", _) if self.silent_reads => {
                doubt(&key(), DoubtfulWhy::GroupReads);
            }
            (b"XGROUP", Some(stream)) if self.silent_reads => {
                doubt(&SourceKey { db: record.db, key: stream.clone() }, DoubtfulWhy::GroupReads);
            }
            _ => {}
        }
        if record.kind == RecordKind::Multi && args[0] == "SET" && args.len() == 3 {
            doubt(&key(), DoubtfulWhy::PerhapsRenamed);
            return doubts;
        }
        if record.txid == 0 {
            match (args[0].as_ref(), args.len()) {
                (b"DEL", 2) => self.deleted = Some((0, key())),
                (b"ZADD", _) if deleted == Some((0, key())) && may_be_rounded(args) => {
                    doubt(&key(), DoubtfulWhy::PerhapsRounded);
                    self.deleted = deleted;
                }
                _ => {}
            }
            return doubts;
        }
        match (args[0].as_ref(), args.len()) {
            (b"DEL", 2) => self.deleted = Some((record.txid, key())),
            (b"ZADD", _) if deleted == Some((record.txid, key())) => {
                doubt(&key(), DoubtfulWhy::RoundedScores);
                // a long one may be logged in several records
                self.deleted = deleted;
            }
            (b"LPOP" | b"RPOP", 2) => self.popped = Some((record.txid, key())),
            (b"SET", 3) => doubt(&key(), DoubtfulWhy::ExpiryKept),
            _ => {}
        }
        doubts
    }

    /// Whether only the next record tells if the last one said everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.popped.is_some()
    }

    /// No next record is at hand: what only the next one could have cleared up.
    pub fn quiet(&mut self) -> Option<Doubt> {
        self.popped.take().map(|(_, key)| Doubt { key, why: DoubtfulWhy::PopsUncounted })
    }
}

#[cfg(test)]
mod tests;
