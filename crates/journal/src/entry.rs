//! What a [`crate::Decoder`] hands out.

use bytes::Bytes;

/// One step of a journal (`journal/types.h` `Op`, v1.40.1). SELECT is none: it is part of the record after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A command to execute. Takes an LSN.
    Record(Record),
    /// The source asks for an ACK at once. Takes an LSN.
    Ping,
    /// Says which LSN the entry before it had. Takes none.
    Lsn(u64),
    /// End of a transaction on this flow, masters up to v1.20. Takes an LSN.
    Exec {
        /// Transaction.
        txid: u64,
        /// Number of flows that carry an EXEC with this txid.
        shards: u64,
    },
    /// End of a slot migration; never seen on replication flows. Takes no LSN.
    Fin,
}

/// A command as the source executed it on one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Database.
    pub db: u32,
    /// Transaction; 0 is common, and it is not monotonic. Pairs the copies of a global command.
    pub txid: u64,
    /// Which op carried it.
    pub kind: RecordKind,
    /// Command name (upper case) and arguments; never empty.
    pub args: Vec<Bytes>,
}

/// The op that carried a record. All are executed alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// COMMAND (10).
    Command,
    /// EXPIRED (9), masters up to v1.37: a `DEL` that expiry or eviction caused.
    Expired,
    /// MULTI_COMMAND (11), masters up to v1.18: part of a transaction.
    Multi,
}
