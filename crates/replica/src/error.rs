//! Why the replication ends.

use command::Collision;
use resp::Class;

/// What the program's exit code becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 1: failed at run time; the operator has to act.
    Failed,
    /// 64: the configuration, or the kind of server it names, is wrong.
    Usage,
    /// 75: may succeed later.
    Temporary,
}

/// What ends the replication. The text is one line: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(std::sync::Arc<checkpoint::Error>),
    /// Leftovers in the spool cannot be removed.
    #[error("spool {}: {source}; check the directory's owner", dir.display())]
    Spool {
        /// The directory.
        dir: std::path::PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The target lost something while it was being looked at: a full sync is due.
    #[error("{0}")]
    TargetChanged(String),
    /// A part of the engine is gone without saying why.
    #[error("a part of the program ended unexpectedly; this is a bug")]
    Ended,
    /// The source cannot be attached to.
    #[error("source: {0}")]
    Source(#[from] flow::AttachError),
    /// The source does not answer an ordinary question.
    #[error("source: {0}")]
    SourceSilent(String),
    /// A single master answers, and it is not the one whose records we have.
    #[error(
        "source: only {master} answers as a master, which is not the stored source ({known}); it is taken with a full sync \
         once it has been the only one for {seconds} s"
    )]
    OtherSource {
        /// Its address and replication id.
        master: String,
        /// The stored replication id.
        known: String,
        /// How long that takes.
        seconds: u64,
    },
    /// Several masters answer, and none is the one whose records we have.
    #[error(
        "source: {masters} are all masters, and none is the stored source ({known}); name only the right one in source.addr"
    )]
    SeveralMasters {
        /// Their addresses and replication ids.
        masters: String,
        /// The stored replication id.
        known: String,
    },
    /// The source could not be reached, or was loading, for a minute.
    #[error("source: gave up after {seconds} s: {last}")]
    SourceAway {
        /// How long was tried.
        seconds: u64,
        /// The last error.
        last: String,
    },
    /// The target cannot be used.
    #[error(transparent)]
    Target(#[from] router::Error),
    /// The target could not be reached for a minute.
    #[error("gave up after {seconds} s: {last}")]
    TargetAway {
        /// How long was tried.
        seconds: u64,
        /// The last error.
        last: String,
    },
    /// The checkpoint belongs to another target.
    #[error(
        "checkpoint {dir}: it belongs to another target ({stored}), not to {found}; name the right target, or another checkpoint.dir"
    )]
    OtherTarget {
        /// The checkpoint's directory.
        dir: String,
        /// The target it names.
        stored: String,
        /// The target that was found.
        found: String,
    },
    /// The target holds data, and nothing says that it is ours.
    #[error(
        "target {addr} holds {keys} keys that this checkpoint knows nothing of; empty it, or set target.on_existing_data to merge or flush"
    )]
    ForeignData {
        /// Which target.
        addr: String,
        /// Keys in it.
        keys: u64,
    },
    /// The target holds more keys than can be kept apart.
    #[error(
        "the target holds more than {keys} keys under names of the mapping, too many for conflict.policy skip or panic; narrow the \
         filter, map to another prefix, or use overwrite"
    )]
    TooManyExisting {
        /// Keys found until then.
        keys: usize,
    },
    /// The source is too old: nothing says where its journal begins.
    #[error("source: its snapshot has no JOURNAL_OFFSET; releases of Dragonfly before 1.4 are not supported")]
    NoJournalOffset,
    /// Databases cannot be mapped as configured.
    #[error("mapping.databases: {0}")]
    Mapping(String),
    /// The filter names a command that no journal contains.
    #[error(
        "filter: no journal contains the command {0}, so it could not be filtered; docs/configuration.md says which names count"
    )]
    Filter(String),
    /// The source has a key whose name the target held before the first full sync.
    #[error(
        "key {key} of database {db} at the source has a name that the target holds already, and conflict.policy is panic; nothing was \
         written under it; remove or rename one of the two, or set conflict.policy to skip or overwrite"
    )]
    Conflict {
        /// Database at the source.
        db: u32,
        /// Name at the source, unprintable bytes escaped.
        key: String,
    },
    /// Two source keys would take the same name on the target.
    #[error("{0}; choose other prefixes with mapping.databases")]
    Collision(Box<Collision>),
    /// A value that the target cannot hold, and the configuration says to end for it.
    #[error("{key}: the target cannot hold this {kind}: {}; change the setting in types to go on without it", kind.why())]
    CannotHold {
        /// What it cannot hold.
        kind: command::MissingKind,
        /// The key, with its database.
        key: String,
    },
    /// TLS settings that cannot be used.
    #[error("{0}")]
    Tls(resp::Error),
}

impl Error {
    /// The exit code that fits.
    pub fn exit(&self) -> Exit {
        let of_class = |class| match class {
            Class::Retry => Exit::Temporary,
            Class::AskOperator | Class::Bug => Exit::Failed,
            Class::Mismatch => Exit::Usage,
        };
        match self {
            Error::Source(error) => of_class(error.class()),
            Error::Target(error) => of_class(error.class()),
            Error::TargetChanged(_)
            | Error::OtherSource { .. }
            | Error::SourceSilent(_)
            | Error::SourceAway { .. }
            | Error::TargetAway { .. } => Exit::Temporary,
            Error::Mapping(_) | Error::Filter(_) | Error::Tls(_) | Error::NoJournalOffset => Exit::Usage,
            Error::Ended | Error::Spool { .. } | Error::CannotHold { .. } => Exit::Failed,
            Error::Checkpoint(_)
            | Error::SeveralMasters { .. }
            | Error::OtherTarget { .. }
            | Error::ForeignData { .. }
            | Error::Conflict { .. }
            | Error::TooManyExisting { .. }
            | Error::Collision(_) => Exit::Failed,
        }
    }
}

impl From<checkpoint::Error> for Error {
    fn from(error: checkpoint::Error) -> Self {
        Error::Checkpoint(std::sync::Arc::new(error))
    }
}

impl From<std::sync::Arc<checkpoint::Error>> for Error {
    fn from(error: std::sync::Arc<checkpoint::Error>) -> Self {
        Error::Checkpoint(error)
    }
}
