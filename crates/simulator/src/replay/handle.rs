//! Starting, watching and stopping a replaying master.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::connection;
use super::master::{Master, Plan};
use super::script::Script;
use crate::Error;

/// A running replaying or prepared master. Dropping it stops it.
#[derive(Debug)]
pub struct ReplayHandle {
    addr: SocketAddr,
    master: Arc<Master>,
    listener: Option<JoinHandle<()>>,
}

impl ReplayHandle {
    pub(crate) async fn start(script: Script, plan: Plan, bind: &str) -> Result<ReplayHandle, Error> {
        let failed = |source| Error::Bind { addr: bind.to_owned(), source };
        let listener = TcpListener::bind(bind).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let master = Arc::new(Master::new(script, plan));
        let listener = tokio::spawn(connection::listen(master.clone(), listener));
        Ok(ReplayHandle { addr, master, listener: Some(listener) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The replication id it answers with.
    pub fn replication_id(&self) -> String {
        self.master.script.replid.clone()
    }

    /// How far `flow` of the newest attachment has been sent: bytes from the beginning of the recording.
    pub fn sent(&self, flow: usize) -> u64 {
        self.master.newest().map_or(0, |attachment| attachment.sent(flow))
    }

    /// Bytes that `flow` has in all.
    pub fn size(&self, flow: usize) -> u64 {
        self.master.script.flows.get(flow).map_or(0, |flow| flow.bytes.len() as u64)
    }

    /// The last ACK received on `flow` of the newest attachment, 0 if none.
    pub fn acked(&self, flow: usize) -> u64 {
        self.master.newest().map_or(0, |attachment| attachment.acked(flow))
    }

    /// What `DFLY REPLICAOFFSET` answers now: the next LSN of every flow.
    pub fn next_lsns(&self) -> Vec<u64> {
        self.master.next_lsns()
    }

    /// Ends all stalls.
    pub fn resume(&self) {
        self.master.switches.send_modify(|switches| switches.resumed = true);
    }

    /// Lets a prepared master send its journal, to this and every later attachment.
    pub fn release_journal(&self) {
        self.master.switches.send_modify(|switches| switches.released = true);
    }

    /// Number of replicas that were greeted.
    pub fn attachments(&self) -> u64 {
        self.master.attachments()
    }

    /// Number of attachments that reached DFLY SYNC.
    pub fn syncs(&self) -> u64 {
        self.master.syncs()
    }

    /// Ends all attachments: closes all their flows. Control connections stay open.
    pub fn drop_attachments(&self) {
        self.master.close_all();
    }

    /// Stops listening and closes everything.
    pub async fn stop(mut self) {
        self.close();
        if let Some(listener) = self.listener.take() {
            let _ = listener.await;
        }
    }

    fn close(&self) {
        self.master.switches.send_modify(|switches| switches.stopped = true);
    }
}

impl Drop for ReplayHandle {
    fn drop(&mut self) {
        self.close();
    }
}
