//! Which Dragonfly release a master is, and what it does with a resume.

use std::fmt;

#[cfg(test)]
mod tests;

/// A Dragonfly release, in the order of their versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    /// 1 so far.
    pub major: u32,
    /// The feature release.
    pub minor: u32,
    /// The maintenance release.
    pub patch: u32,
}

/// How a master serves the records a replica missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResumeStyle {
    /// After PARTIAL only STARTSTABLE is sent, and the flows carry raw journal entries at once (1.35 and later).
    Journal,
    /// After PARTIAL comes SYNC; the missed records travel as blobs in a stream framed like a snapshot, which
    /// STARTSTABLE ends (1.11 to 1.20, 1.28.32 and 1.28.33, 1.31 to 1.34).
    Rdb,
    /// The master answers FULL whatever it is asked, or rejects the question.
    None,
}

impl Release {
    /// The oldest one that can be followed. Earlier ones name the database only where it changes, so that their journal
    /// cannot be taken up at a record, and take no LSN (`journal_slice.cc` AddLogRecord, `dflycmd.cc` Flow, v1.10.0
    /// against v1.11.0).
    pub const OLDEST: Release = Release::new(1, 11, 0);

    /// A release by its numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Release { major, minor, patch }
    }

    /// Reads `df-v1.40.1`, `v1.40.1` or `1.40.1`, with anything behind a `-` or `+`. `None` for custom builds such
    /// as `df-dev`.
    pub fn parse(text: &str) -> Option<Release> {
        let text = text.trim();
        let text = text.strip_prefix("df-").unwrap_or(text);
        let text = text.strip_prefix('v').unwrap_or(text);
        let numbers = text.split(['-', '+']).next()?;
        let mut numbers = numbers.split('.').map(|n| n.parse::<u32>());
        let major = numbers.next()?.ok()?;
        let minor = numbers.next()?.ok()?;
        let patch = numbers.next().unwrap_or(Ok(0)).ok()?;
        numbers.next().is_none().then_some(Release { major, minor, patch })
    }

    /// Whether this release can be followed.
    pub fn is_supported(self) -> bool {
        self >= Release::OLDEST
    }

    /// How this release resumes (`dflycmd.cc` Flow and StartStable, compared across tags).
    pub fn resume_style(self) -> ResumeStyle {
        let maintenance = self.major == 1 && self.minor == 28 && self.patch >= 32;
        match (self.major, self.minor) {
            (0, _) | (1, 0..=10) => ResumeStyle::None,
            (1, 11..=20) => ResumeStyle::Rdb,
            _ if maintenance => ResumeStyle::Rdb,
            (1, 21..=30) => ResumeStyle::None,
            (1, 31..=34) => ResumeStyle::Rdb,
            _ => ResumeStyle::Journal,
        }
    }

    /// Records of each flow that it keeps for a resume if it is not told otherwise; `None` where it keeps them by time.
    /// 0: it keeps none, whatever it is told (`journal_slice.cc` AddLogRecord and `--shard_repl_backlog_len`, compared
    /// across tags).
    pub fn default_backlog(self) -> Option<u64> {
        match (self.major, self.minor, self.patch) {
            (1, 11..=13, _) | (1, 14, 0) | (1, 28, 32..) | (1, 31..=33, _) => Some(1_024),
            (1, 34..=40, _) => Some(8_192),
            (1, ..=30, _) | (0, ..) => Some(0),
            _ => None,
        }
    }

    /// Whether a promoted replica goes on with its master's LSNs and remembers its replication id (1.34 and later; what
    /// earlier releases do in its place can lose records).
    pub fn continues_after_takeover(self) -> bool {
        self >= Release::new(1, 34, 0)
    }

    /// Whether an attach to a replica is refused by the replica itself (1.24 and later).
    pub(crate) fn refuses_replicas_of_replicas(self) -> bool {
        self >= Release::new(1, 24, 0)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl ResumeStyle {
    /// The style where only the ordinal of the capa reply is known.
    ///
    /// 4 stands for 1.16-1.21 and for 1.28.30-1.36, which differ. It counts as journal style: a master of the other
    /// kind answers STARTSTABLE with `invalid state`, which costs a full sync, whereas the opposite guess, SYNC after
    /// PARTIAL, damages masters of 1.35 and 1.36.
    pub fn from_ordinal(version: Option<u32>) -> ResumeStyle {
        match version {
            None | Some(0 | 1 | 3) => ResumeStyle::None,
            Some(2) => ResumeStyle::Rdb,
            Some(_) => ResumeStyle::Journal,
        }
    }
}
