//! Commands whose effect on the target is not what the source's was, or is not known.

use std::sync::Arc;

use bytes::Bytes;

use crate::tracker::Origin;

/// Why a command's keys are doubtful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The target answered with an error (rule 10).
    Refused,
    /// The connection broke between the command and its reply (rule 9).
    Unanswered,
    /// It was executed, with a reply that contradicts what the source saw (rules 31 and 32).
    Contradicted,
    /// It was executed in another order than the source's, or not at all because of that.
    Overtaken,
    /// It was acknowledged, and a failover or restart of its node may have undone it (rule 28).
    Lost,
}

/// A command that leaves its keys doubtful.
///
/// Its record stays open until [`FlowRouter::settle_failures`]: the caller first writes down durably which keys it
/// leaves behind.
///
/// [`FlowRouter::settle_failures`]: crate::FlowRouter::settle_failures
#[derive(Debug)]
pub struct Failure {
    /// The command's name; empty where the command is not known any more.
    pub name: Bytes,
    /// Target names of its keys.
    pub keys: Vec<Bytes>,
    /// The target's database.
    pub db: u32,
    /// What became doubtful with it, by database and target name: the keys of later moving commands that touch one of
    /// `keys` (rule 11), and what a `MOVE` does in the other database. Complete when the failure is taken; for what is
    /// sent afterwards the caller knows the keys.
    pub contaminated: Vec<(u32, Bytes)>,
    /// Why.
    pub cause: Cause,
    /// Order of the command among those of its flow.
    pub seq: u64,
    /// The target's message, or what happened instead of a reply: one for all commands of a connection that broke.
    pub message: Arc<str>,
    pub(crate) origin: Origin,
}

impl Failure {
    /// Where the command came from.
    pub fn origin(&self) -> Origin {
        self.origin
    }
}
