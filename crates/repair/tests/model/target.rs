//! A toy target: one lane a flow, whose commands are executed in order, refused, or lost with the connection.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::source::{Data, apply};

#[derive(Debug, Clone)]
pub(crate) enum Sent {
    Record(Vec<Bytes>),
    Value {
        token: u64,
        key: Bytes,
        value: Option<Bytes>,
    },
    /// The value of a key whose flow is not known.
    Shared {
        key: Bytes,
        value: Option<Bytes>,
    },
}

impl Sent {
    pub(crate) fn keys(&self) -> Vec<Bytes> {
        match self {
            Sent::Record(args) => command::table::keys(args),
            Sent::Value { key, .. } | Sent::Shared { key, .. } => vec![key.clone()],
        }
    }

    pub(crate) fn moves(&self) -> bool {
        matches!(self, Sent::Record(args) if args[0] == "RENAME")
    }

    pub(crate) fn execute(&self, data: &mut Data) -> Result<(), ()> {
        match self {
            Sent::Record(args) => apply(data, args),
            Sent::Value { key, value, .. } | Sent::Shared { key, value } => {
                match value {
                    Some(value) => data.insert(key.clone(), value.clone()),
                    None => data.remove(key),
                };
                Ok(())
            }
        }
    }
}

pub(crate) type Lane = VecDeque<Sent>;

/// The keys that are in doubt when these are: every command behind that moves one of them moves the doubt (rule 11).
pub(crate) fn contaminated(lane: &Lane, mut keys: Vec<Bytes>) -> Vec<Bytes> {
    for command in lane.iter().filter(|command| command.moves()) {
        let touched = command.keys();
        if touched.iter().any(|key| keys.contains(key)) {
            keys.extend(touched);
        }
    }
    keys.sort();
    keys.dedup();
    keys
}
