//! A toy source: keys with strings, and one log a flow.

use std::collections::BTreeMap;

use bytes::Bytes;
use command::SourceKey;
use journal::{Record, RecordKind};

pub(crate) type Data = BTreeMap<Bytes, Bytes>;

/// Keys of flow 0, then those of flow 1.
pub(crate) const KEYS: [&[&str]; 2] = [&["a", "b", "c"], &["x", "y"]];

pub(crate) fn flow_of(key: &[u8]) -> usize {
    KEYS.iter().position(|keys| keys.iter().any(|k| k.as_bytes() == key)).unwrap()
}

pub(crate) fn source_key(name: &str) -> SourceKey {
    SourceKey { db: 0, key: Bytes::copy_from_slice(name.as_bytes()) }
}

pub(crate) struct Source {
    pub(crate) data: Data,
    /// LSNs start at `START`: a smaller number belongs to another source.
    pub(crate) logs: [Vec<Record>; 2],
}

pub(crate) const START: u64 = 1000;

impl Source {
    pub(crate) fn new() -> Source {
        Source { data: Data::new(), logs: [Vec::new(), Vec::new()] }
    }

    pub(crate) fn lsn(&self, flow: usize) -> u64 {
        START + self.logs[flow].len() as u64
    }

    /// Executes a command whose keys are of one flow. What fails at the source is not logged.
    pub(crate) fn execute(&mut self, flow: usize, line: &str) {
        let args: Vec<Bytes> = line.split(' ').map(|w| Bytes::copy_from_slice(w.as_bytes())).collect();
        if apply(&mut self.data, &args).is_ok() {
            self.logs[flow].push(Record { db: 0, txid: 0, kind: RecordKind::Command, args });
        }
    }
}

/// What a command does, at either side.
pub(crate) fn apply(data: &mut Data, args: &[Bytes]) -> Result<(), ()> {
    match args[0].as_ref() {
        b"APPEND" => {
            let mut value = data.get(&args[1]).map(|v| v.to_vec()).unwrap_or_default();
            value.extend_from_slice(&args[2]);
            data.insert(args[1].clone(), value.into());
        }
        b"MSET" => {
            for pair in args[1..].chunks(2) {
                data.insert(pair[0].clone(), pair[1].clone());
            }
        }
        b"DEL" => {
            for key in &args[1..] {
                data.remove(key);
            }
        }
        b"RENAME" => {
            let value = data.remove(&args[1]).ok_or(())?;
            data.insert(args[2].clone(), value);
        }
        other => panic!("{other:?}"),
    }
    Ok(())
}
