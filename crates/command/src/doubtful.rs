//! Records that do not say, or do not quite say, what the source did.

use std::fmt;

use bytes::Bytes;

/// Why the keys of a record have to be read again although the record can be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DoubtfulWhy {
    /// The source logged a part of the command.
    Truncated,
    /// The source logged rounded scores.
    RoundedScores,
    /// Source and target compute different digits.
    FloatDigits,
    /// Source and target disagree about a condition.
    Condition,
}

impl fmt::Display for DoubtfulWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DoubtfulWhy::Truncated => "truncated by the source",
            DoubtfulWhy::RoundedScores => "scores rounded by the source",
            DoubtfulWhy::FloatDigits => "computed with other digits by the target",
            DoubtfulWhy::Condition => "a condition that source and target judge differently",
        })
    }
}

/// Whether the keys of a record have to be put under repair behind it.
#[must_use]
pub fn doubtful(_db: u32, _args: &[Bytes]) -> Option<DoubtfulWhy> {
    None
}
