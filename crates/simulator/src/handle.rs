//! The running live master, as a test sees it.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::{Builder, Error, Faults};

/// A reply as the engine gives it, before it is encoded for a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// A simple string.
    Simple(&'static str),
    /// An error line, without the leading minus.
    Error(String),
    /// An integer.
    Int(i64),
    /// A double: a bulk string in RESP2.
    Double(f64),
    /// A bulk string.
    Bulk(Bytes),
    /// No value.
    Nil,
    /// No array (RESP2 `*-1`).
    NilArray,
    /// An array.
    Array(Vec<Reply>),
    /// A map: a flat array in RESP2.
    Map(Vec<(Reply, Reply)>),
}

/// One attached replica as the master sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentInfo {
    /// The number in its `SYNC<n>` token.
    pub id: u32,
    /// `preparation`, `full_sync`, `stable_sync` or `cancelled`.
    pub state: &'static str,
    /// Per flow: `Some(true)` when it was answered PARTIAL, `Some(false)` when FULL, `None` when not open yet.
    pub partial: Vec<Option<bool>>,
    /// Per flow: the last `REPLCONF ACK`, 0 before the first.
    pub acked: Vec<u64>,
    /// The label given by `REPLCONF CLIENT-ID`.
    pub client_id: Option<String>,
}

/// A running live master. Dropping it stops the master.
#[derive(Debug)]
pub struct Handle {
    addr: SocketAddr,
    faults: Faults,
}

impl Handle {
    pub(crate) async fn start(_b: Builder) -> Result<Handle, Error> {
        Err(Error::Setting("not built yet"))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The replication id, 40 lower-case hex digits; changes with every [`Handle::restart`].
    pub fn replication_id(&self) -> String {
        String::new()
    }

    /// Behaves as if the process had been restarted: every connection is closed, the replication id is a new
    /// one, LSNs begin at 1, journaling is off until the next attach. The port stays the same.
    pub async fn restart(&self, _keep_data: bool) {}

    /// While loading, DFLY and data commands answer `-LOADING`, REPLCONF does not.
    pub fn set_loading(&self, _loading: bool) {}

    /// Cancels every attachment: closes all its flows; control connections stay open.
    pub fn drop_attachments(&self) {}

    /// Closes every connection of every kind.
    pub fn drop_connections(&self) {}

    /// What to do wrong.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The last ACK on `flow` of the newest attachment that has one, 0 if there is none.
    pub fn acked(&self, _flow: usize) -> u64 {
        0
    }

    /// The next LSN of every shard, as `DFLY REPLICAOFFSET` answers it (0 while journaling was never on).
    pub fn lsns(&self) -> Vec<u64> {
        Vec::new()
    }

    /// All live attachments, oldest first.
    pub fn attachments(&self) -> Vec<AttachmentInfo> {
        Vec::new()
    }

    /// Number of full snapshots (DFLY SYNC that was answered FULL on every flow) served since the start.
    pub fn full_syncs(&self) -> u64 {
        0
    }

    /// Runs one command in database `db` without a socket, journaled like any other.
    pub fn execute<A: AsRef<[u8]>>(&self, _db: u16, _args: &[A]) -> Reply {
        Reply::Nil
    }

    /// Members that the next SPOPs shall take, in this order, before the seeded generator is asked.
    pub fn choose_next(&self, _members: impl IntoIterator<Item = Bytes>) {}

    /// Stops listening and closes everything.
    pub async fn stop(self) {}
}
