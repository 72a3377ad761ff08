//! Why a key is under repair.

use std::fmt;

/// Why a key is put under repair (rule 12 lists the occasions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// It was under repair when the last process ended.
    Listed,
    /// A record that the last process perhaps sent (rule 7).
    Uncertain,
    /// A command was on its way when a connection to the target broke (rule 9).
    Unanswered,
    /// The target refused a command (rule 10).
    Refused,
    /// A command in flight takes or takes over the value of a key under repair (rule 11).
    Contaminated,
    /// A record takes or takes over the value of a key under repair, or crosses nodes (rule 15).
    Moving,
    /// The record does not say what the source did.
    Doubtful,
    /// An entry or record came on a flow that the key does not belong to.
    Misplaced,
    /// Written to a node that failed over or came back older (rule 28).
    Lost,
    /// The target's clock expired the key first (rules 31 and 32).
    Expired,
    /// Changed by a record while the target may hold stale data (rule 36), or missing at the source (rule 37).
    Stale,
    /// A difference that a comparison found.
    Difference,
    /// Members of it expire, which the target does not do by itself.
    Expiring,
}

impl Cause {
    /// The cause in an operator's words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Cause::Listed => "under repair when the last run ended",
            Cause::Uncertain => "perhaps sent by the last run",
            Cause::Unanswered => "in flight when the target's connection broke",
            Cause::Refused => "the target refused a command",
            Cause::Contaminated => "a command in flight used a key in doubt",
            Cause::Moving => "a record used a key in doubt",
            Cause::Doubtful => "the record does not say what the source did",
            Cause::Misplaced => "came on another flow than the key's own",
            Cause::Lost => "written to a node that failed over or came back older",
            Cause::Expired => "expired on the target first",
            Cause::Stale => "the target may hold an old value",
            Cause::Difference => "source and target differ",
            Cause::Expiring => "members of it expire",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// Why a value that was sent did not settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// The target refused it, with these words: tried again with growing pauses.
    Refused(String),
    /// Its connection broke before the reply, or its command never left: tried again at once.
    Unanswered,
}
