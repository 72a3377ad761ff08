//! Commands of one round trip, and what they answered.

use bytes::Bytes;
use resp::Reply;

use super::{Link, Void};

/// Commands that go out together.
#[derive(Debug)]
pub(super) struct Script {
    commands: Vec<Vec<Bytes>>,
    selects: Vec<usize>,
    db: Option<u32>,
}

/// One argument.
pub(super) fn word(word: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(word.as_ref())
}

impl Script {
    pub(super) fn new(link: &Link) -> Script {
        Script { commands: Vec::new(), selects: Vec::new(), db: link.db }
    }

    /// Adds a command; the index of its reply.
    pub(super) fn push<const N: usize>(&mut self, args: [&[u8]; N]) -> usize {
        self.push_all(args.iter().map(word).collect())
    }

    pub(super) fn push_all(&mut self, args: Vec<Bytes>) -> usize {
        self.commands.push(args);
        self.commands.len() - 1
    }

    /// What follows is about this database.
    pub(super) fn select(&mut self, db: u32) {
        if self.db != Some(db) {
            let at = self.push([b"SELECT", db.to_string().as_bytes()]);
            self.selects.push(at);
            self.db = Some(db);
        }
    }

    /// Sends all, and gives one reply each. Void where a database cannot be selected: the rest was asked of another.
    pub(super) async fn run(self, link: &mut Link) -> Result<Replies, Void> {
        link.db = None;
        let replies = link.connection.pipeline(&self.commands).await?;
        for at in self.selects {
            if !matches!(&replies[at], Reply::Simple(_)) {
                return Err(Void::unexpected("SELECT", &replies[at]));
            }
        }
        link.db = self.db;
        Ok(Replies(replies))
    }
}

/// The replies of a script.
#[derive(Debug)]
pub(super) struct Replies(Vec<Reply>);

impl Replies {
    pub(super) fn at(&self, index: usize) -> &Reply {
        &self.0[index]
    }

    pub(super) fn take(&mut self, index: usize) -> Reply {
        std::mem::replace(&mut self.0[index], Reply::Nil)
    }

    /// Unix seconds, of the reply to `TIME`.
    pub(super) fn seconds(&self, index: usize) -> Result<u64, Void> {
        let seconds = self.0[index].as_array().and_then(|time| time.first()?.as_integer());
        let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
        seconds.ok_or_else(|| Void::unexpected("TIME", &self.0[index]))
    }

    /// An LSN vector.
    pub(super) fn vector(&self, index: usize) -> Result<Vec<u64>, Void> {
        let number = |reply: &Reply| reply.as_integer().and_then(|n| u64::try_from(n).ok());
        let vector = self.0[index].as_array().and_then(|items| items.iter().map(number).collect());
        vector.ok_or_else(|| Void::unexpected("DFLY REPLICAOFFSET", &self.0[index]))
    }

    /// Rule 13: the source is a master with this replication id.
    ///
    /// `INFO replication` of a master has `master_replid` (v1.34.0 and v1.40.1, seen on the wire); it is the id of the
    /// handshake, chosen anew by every process.
    pub(super) fn check_incarnation(&self, index: usize, expected: &str) -> Result<(), Void> {
        let info =
            self.0[index].as_str().ok_or_else(|| Void::unexpected("INFO replication", &self.0[index]))?;
        let field = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
                .trim()
        };
        let (role, replid) = (field("role"), field("master_replid"));
        if role == "master" && replid == expected {
            return Ok(());
        }
        Err(Void::OtherIncarnation { found: format!("{role} {replid}"), expected: expected.to_owned() })
    }
}
