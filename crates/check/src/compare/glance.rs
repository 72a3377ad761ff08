//! Types and expiries at the source, then lengths, short strings and expiries on both sides.

use bytes::Bytes;
use command::JsonAs;
use resp::Reply;

use super::target_refused;
use super::{Comparer, HEAD, Look, Next, SMALL_BYTES, SMALL_ELEMENTS, WHOLE_BYTES, WHOLE_ELEMENTS};
use crate::Error;
use crate::kind::{Expiry, Kind, expiry, time, told, wrong_type};
use crate::options::Mode;
use crate::print::Print;
use crate::questions::{Answers, Questions};
use crate::source::HERE;
use crate::verdict::{Named, Verdict, What};

/// The end of the first KiB, for GETRANGE.
const HEAD_END: &[u8] = b"1023";

/// Where the replies about one key on the target are.
#[derive(Debug, Clone, Copy)]
struct Asked {
    source: Option<usize>,
    target: usize,
    expiry: usize,
    memory: Option<usize>,
}

impl Comparer {
    /// What the keys are at the source.
    pub(super) async fn types<'k>(&mut self, keys: &'k [Named]) -> Result<Vec<Look<'k>>, Error> {
        let Some(first) = keys.first() else { return Ok(Vec::new()) };
        let mut questions = Questions::default();
        let exact = self.shared.source.pexpiretime;
        let clock = (!exact).then(|| questions.push(HERE, &[b"TIME"]));
        for named in keys {
            questions.push(HERE, &[b"TYPE", &named.key]);
            questions.push(HERE, &[expiry_command(exact), &named.key]);
        }
        self.shared.limiter.take(questions.len()).await;
        let answers = self.source.ask(first.db, questions).await?;
        let now_ms = self.clock(&answers, clock, true)?;
        let at = usize::from(clock.is_some());
        let mut looks = Vec::with_capacity(keys.len());
        for (i, named) in keys.iter().enumerate() {
            let reply = answers.at(at + 2 * i);
            let kind = Kind::from_type(reply).ok_or_else(|| self.source_refused(b"TYPE", reply))?;
            let reply = answers.at(at + 2 * i + 1);
            let expiry = expiry(reply, now_ms)
                .map_err(|message| self.source.refused(expiry_command(exact), message))?;
            // It may have gone between the two.
            let kind = if expiry.is_none() { Kind::Absent } else { kind };
            let mut print = Print::default();
            print.begin(&kind.name(), expiry.flatten(), exact);
            looks.push(Look {
                named,
                place: self.target.place(&named.name),
                kind,
                expiry: expiry.flatten(),
                target_expiry: None,
                len: 0,
                bytes: None,
                print,
                next: Next::Done,
                verdict: None,
            });
        }
        Ok(looks)
    }

    /// Asks both sides how long the values are, and for the beginning of strings.
    pub(super) async fn glance(&mut self, looks: &mut [Look<'_>]) -> Result<(), Error> {
        let Some(first) = looks.first() else { return Ok(()) };
        let (db, target_db) = (first.named.db, first.named.target_db);
        let (mut source, mut target) = (Questions::default(), Questions::default());
        let exact = self.shared.target.pexpiretime;
        let clock = (!exact).then(|| target.push(first.place, &[b"TIME"]));
        let measure = self.shared.target.memory_usage && self.mode() != Mode::Length;
        let mut asked = Vec::with_capacity(looks.len());
        for look in looks.iter() {
            let (key, name) = (look.key(), look.name());
            let mut both = |args: [&[u8]; 3], rest: &[&[u8]]| {
                let [word, key, name] = args;
                let at = source.push(HERE, &[&[word, key], rest].concat());
                (Some(at), target.push(look.place, &[&[word, name], rest].concat()))
            };
            let (source_at, target_at) = match (&look.kind, self.shared.options.mode) {
                (Kind::String, Mode::Length) => both([b"STRLEN", key, name], &[]),
                (Kind::String, _) => both([b"GETRANGE", key, name], &[b"0", HEAD_END]),
                (kind, _) => match kind.count_command() {
                    Some(word) => both([word, key, name], &[]),
                    None => (None, target.push(look.place, &[b"TYPE", name])),
                },
            };
            let measured = measure && !matches!(look.kind, Kind::Absent | Kind::String | Kind::Other(_));
            asked.push(Asked {
                source: source_at,
                target: target_at,
                expiry: target.push(look.place, &[expiry_command(exact), name]),
                memory: measured.then(|| target.push(look.place, &[b"MEMORY", b"USAGE", name])),
            });
        }
        let (source, target) = self.both(db, source, target_db, target).await?;
        let now_ms = self.clock(&target, clock, false)?;
        let mut others = Vec::new();
        for (i, (look, asked)) in looks.iter_mut().zip(asked).enumerate() {
            let reply = target.at(asked.expiry);
            let on_target = expiry(reply, now_ms).map_err(|message| Error::TargetRefused {
                command: String::from_utf8_lossy(expiry_command(exact)).into_owned(),
                message,
            })?;
            look.bytes =
                asked.memory.and_then(|at| target.at(at).as_integer()).and_then(|n| n.try_into().ok());
            let ours = asked.source.map_or(&Reply::Nil, |at| source.at(at));
            if self.judge(look, ours, target.at(asked.target), on_target)? {
                others.push(i);
            }
        }
        self.name_types(looks, &others).await
    }

    /// What the glance says about one key; true where the target's type is another.
    fn judge(
        &self,
        look: &mut Look<'_>,
        ours: &Reply,
        theirs: &Reply,
        on_target: Option<Expiry>,
    ) -> Result<bool, Error> {
        look.target_expiry = on_target.flatten();
        if let Some(setting) = self.skipping(&look.kind) {
            // Not replicated: whatever is there under its name is nobody's difference.
            look.verdict = Some(Verdict::Skipped(format!("type {}: {setting}", look.kind.name())));
            return Ok(false);
        }
        let there = on_target.is_some();
        if look.kind == Kind::Absent {
            match there {
                true => look.differs(What::Extra, format!("a {} on the target", told_type(theirs))),
                false => look.verdict = Some(Verdict::Gone),
            }
            return Ok(false);
        }
        look.print.reply(ours, 0);
        if !there {
            match look.kind.can_be_on(self.target.target().dialect(), self.shared.options.json) {
                true => look.differs(What::Missing, format!("a {} at the source", look.kind.name())),
                false => look.verdict = Some(Verdict::NotComparable(look.kind.name())),
            }
            return Ok(false);
        }
        if matches!(look.kind, Kind::Json | Kind::Other(_)) {
            return Ok(self.judge_by_type(look, theirs));
        }
        if wrong_type(theirs) {
            return Ok(true);
        }
        let word = look.kind.count_command().unwrap_or(b"GETRANGE");
        if theirs.as_error().is_some() {
            return Err(target_refused(word, theirs));
        }
        if let (Reply::Bulk(ours), Reply::Bulk(theirs)) = (ours, theirs) {
            self.judge_head(look, ours, theirs);
            return Ok(false);
        }
        if wrong_type(ours) {
            // It became something else between two questions: the next look sees what.
            look.differs(What::Value, "changed its type at the source while it was looked at");
            return Ok(false);
        }
        match (ours.as_integer(), theirs.as_integer()) {
            (Some(a), Some(b)) if a == b => {
                look.len = a.unsigned_abs();
                look.next = self.plan(look);
            }
            (Some(a), Some(b)) => {
                let unit = if look.kind == Kind::String { "bytes" } else { "elements" };
                look.differs(What::Value, format!("{a} {unit} at the source, {b} on the target"));
            }
            (None, _) => return Err(self.source_refused(word, ours)),
            (_, None) => return Err(target_refused(word, theirs)),
        }
        Ok(false)
    }

    /// The setting for which keys of this kind are not replicated.
    fn skipping(&self, kind: &Kind) -> Option<&'static str> {
        if kind.value_type().is_some_and(|kind| !self.shared.filter.allows_type(kind)) {
            return Some("filter");
        }
        (*kind == Kind::Json && self.shared.options.json == JsonAs::Nothing).then_some("types.json")
    }

    fn judge_head(&self, look: &mut Look<'_>, ours: &Bytes, theirs: &Bytes) {
        if ours == theirs {
            look.len = ours.len() as u64;
            look.next = if look.len < HEAD { Next::Done } else { Next::Longer };
            return;
        }
        let at = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
        let whole = |part: &Bytes| match part.len() as u64 {
            HEAD => "at least 1024 bytes".to_owned(),
            n => format!("{n} bytes"),
        };
        let detail = format!(
            "{} at the source, {} on the target; they differ at byte {at}",
            whole(ours),
            whole(theirs)
        );
        look.differs(What::Value, detail);
    }

    /// Documents, and types that only their module reads.
    fn judge_by_type(&self, look: &mut Look<'_>, theirs: &Reply) -> bool {
        let same = Kind::from_type(theirs).is_some_and(|kind| kind == look.kind);
        if look.kind != Kind::Json {
            return !same;
        }
        if self.shared.options.json == JsonAs::Text {
            let text = theirs.as_bytes().is_some_and(|name| name == "string");
            look.next = if text && self.mode() != Mode::Length { Next::Pieces } else { Next::Done };
            return !text;
        }
        look.next = if same { self.plan(look) } else { Next::Done };
        !same
    }

    /// What comes next for a collection or document of the same length.
    fn plan(&self, look: &Look<'_>) -> Next {
        let (len, bytes) = (look.len, look.bytes);
        // A server that does not measure may hold long elements: fewer of them are read together.
        let within = |elements: u64, most: u64| match bytes {
            Some(bytes) => len <= elements && bytes <= most,
            None => len <= elements.min(SMALL_ELEMENTS),
        };
        let estimate = bytes.unwrap_or(SMALL_BYTES).max(len * 16);
        let outline = |small: Next| if look.kind == Kind::Stream { Next::Whole(SMALL_BYTES) } else { small };
        match self.mode() {
            Mode::Length => Next::Done,
            Mode::Outline if within(SMALL_ELEMENTS, SMALL_BYTES) => Next::Whole(estimate),
            Mode::Outline => outline(Next::Done),
            Mode::Smart if bytes.is_some_and(|b| b > self.shared.options.big_key_bytes) => {
                outline(Next::Done)
            }
            Mode::Full | Mode::Smart if within(WHOLE_ELEMENTS, WHOLE_BYTES) => Next::Whole(estimate),
            Mode::Full | Mode::Smart => Next::Pieces,
        }
    }

    /// Says which types the target has where they are others.
    async fn name_types(&mut self, looks: &mut [Look<'_>], others: &[usize]) -> Result<(), Error> {
        let Some(first) = others.first() else { return Ok(()) };
        let target_db = looks[*first].named.target_db;
        let mut questions = Questions::default();
        for at in others {
            questions.push(looks[*at].place, &[b"TYPE", looks[*at].name()]);
        }
        let answers = self.target.ask(target_db, questions).await?;
        for (i, at) in others.iter().enumerate() {
            let look = &mut looks[*at];
            let detail =
                format!("a {} at the source, a {} on the target", look.kind.name(), told_type(answers.at(i)));
            look.differs(What::Type, detail);
        }
        Ok(())
    }

    /// The time of the side that has no PEXPIRETIME.
    fn clock(&self, answers: &Answers, at: Option<usize>, source: bool) -> Result<i64, Error> {
        let Some(at) = at else { return Ok(0) };
        let reply = answers.at(at);
        time(reply).ok_or_else(|| match source {
            true => self.source_refused(b"TIME", reply),
            false => target_refused(b"TIME", reply),
        })
    }
}

fn expiry_command(exact: bool) -> &'static [u8] {
    if exact { b"PEXPIRETIME" } else { b"PTTL" }
}

fn told_type(reply: &Reply) -> String {
    Kind::from_type(reply).map_or_else(|| told(reply), |kind| kind.name())
}
