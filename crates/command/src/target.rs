//! One command as it goes to the target.

use bytes::Bytes;

/// What executing a command a second time, or on an unknown old value, leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The result does not depend on the old value: `SET`, `DEL`, `RESTORE … REPLACE`.
    Overwrite,
    /// The result depends on the old value, but a second execution changes nothing: `HSET`, `SADD`, `PEXPIREAT`.
    Repeatable,
    /// Every execution counts: `INCR`, `LPUSH`, `APPEND`.
    NotRepeatable,
    /// The result depends on the value of another key: `RENAME`, `LMOVE`, `SORT … STORE`. Not repeatable either.
    Moving,
}

/// A command for the target, mapped and within one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetCommand {
    /// The database to `SELECT` on a standalone target; 0 on a cluster.
    pub db: u32,
    /// The slot of all its keys on a cluster; 0 on a standalone target.
    pub slot: u16,
    /// Name and arguments, keys already under their target names. Never empty.
    pub args: Vec<Bytes>,
    /// The target name of the first key. The others: [`crate::table::keys`] of `args`.
    pub key: Bytes,
    /// What a second execution leads to.
    pub effect: Effect,
}

/// The commands that one record or value becomes, in order. Almost always one, which needs no allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commands {
    /// A single command.
    One(TargetCommand),
    /// Any number of commands, possibly none.
    Many(Vec<TargetCommand>),
}

impl Commands {
    /// The commands in the order in which they must be executed.
    #[must_use]
    pub fn as_slice(&self) -> &[TargetCommand] {
        match self {
            Commands::One(command) => std::slice::from_ref(command),
            Commands::Many(commands) => commands,
        }
    }

    /// Number of commands.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
}

impl From<TargetCommand> for Commands {
    fn from(command: TargetCommand) -> Self {
        Commands::One(command)
    }
}

impl From<Vec<TargetCommand>> for Commands {
    fn from(mut commands: Vec<TargetCommand>) -> Self {
        match commands.pop() {
            Some(only) if commands.is_empty() => Commands::One(only),
            Some(last) => {
                commands.push(last);
                Commands::Many(commands)
            }
            None => Commands::Many(commands),
        }
    }
}

impl IntoIterator for Commands {
    type Item = TargetCommand;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        match self {
            Commands::One(command) => IntoIter { one: Some(command), many: Vec::new().into_iter() },
            Commands::Many(commands) => IntoIter { one: None, many: commands.into_iter() },
        }
    }
}

/// Iterator over [`Commands`] by value.
#[derive(Debug)]
pub struct IntoIter {
    one: Option<TargetCommand>,
    many: std::vec::IntoIter<TargetCommand>,
}

impl Iterator for IntoIter {
    type Item = TargetCommand;

    fn next(&mut self) -> Option<TargetCommand> {
        self.one.take().or_else(|| self.many.next())
    }
}
