//! The running live master, as a test sees it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::commands::{self, Outcome};
use crate::engine::Engine;
use crate::server::{self, Shared};
use crate::{AttachmentInfo, Builder, Error, Faults, Reply};

/// A running live master. Dropping it stops the master.
#[derive(Debug)]
pub struct Handle {
    addr: SocketAddr,
    faults: Faults,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

impl Handle {
    pub(crate) async fn start(builder: Builder) -> Result<Handle, Error> {
        let bind = |source| Error::Bind { addr: builder.bind.clone(), source };
        let mut addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut listener = None;
        if builder.listen {
            let opened = TcpListener::bind(&builder.bind).await.map_err(bind)?;
            addr = opened.local_addr().map_err(bind)?;
            listener = Some(opened);
        }
        let faults = Faults::default();
        let shared = Arc::new(Shared::new(Engine::new(builder, faults.clone(), addr.port())));
        tokio::spawn(server::expire(shared.clone()));
        let listener = listener.map(|l| tokio::spawn(server::listen(shared.clone(), l)));
        Ok(Handle { addr, faults, shared, listener })
    }

    /// Where it listens; port 0 if it does not ([`Builder::without_listener`]).
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves one connection that did not come through the listener: what the master does with an accepted socket.
    /// `peer` is the address it shows for it.
    pub fn serve<S>(&self, stream: S, peer: impl Into<String>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.acceptor().serve(stream, peer);
    }

    /// The part of the handle that takes connections, to be given to whoever makes them.
    pub fn acceptor(&self) -> Acceptor {
        Acceptor { shared: self.shared.clone() }
    }

    /// The replication id, 40 lower-case hex digits; changes with every [`Handle::restart`].
    pub fn replication_id(&self) -> String {
        self.shared.engine().replid.clone()
    }

    /// Behaves as if the process had been restarted: every connection is closed, the replication id is a new
    /// one, LSNs begin at 1, journaling is off until the next attach. The port stays the same.
    pub async fn restart(&self, keep_data: bool) {
        self.shared.engine().restart(keep_data);
        self.shared.disconnect(false);
    }

    /// While loading, DFLY and data commands answer `-LOADING`, REPLCONF does not.
    pub fn set_loading(&self, loading: bool) {
        self.shared.engine().loading = loading;
    }

    /// Cancels every attachment: closes all its flows; control connections stay open.
    pub fn drop_attachments(&self) {
        self.shared.engine().cancel_all();
    }

    /// Closes every connection of every kind.
    pub fn drop_connections(&self) {
        self.shared.engine().cancel_all();
        self.shared.disconnect(false);
    }

    /// What to do wrong.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The last ACK on `flow` of the newest attachment, 0 if there is none.
    pub fn acked(&self, flow: usize) -> u64 {
        self.attachments().last().and_then(|a| a.acked.get(flow).copied()).unwrap_or(0)
    }

    /// The next LSN of every shard, as `DFLY REPLICAOFFSET` answers it (0 while journaling was never on).
    pub fn lsns(&self) -> Vec<u64> {
        self.shared.engine().offsets()
    }

    /// All live attachments, oldest first.
    pub fn attachments(&self) -> Vec<AttachmentInfo> {
        self.shared.engine().attachment_infos()
    }

    /// Number of full snapshots (DFLY SYNC that was answered FULL on every flow) served since the start.
    pub fn full_syncs(&self) -> u64 {
        self.shared.engine().full_syncs
    }

    /// How often a client did what crashes a real master (`REPLCONF CLIENT-VERSION` without an attachment).
    pub fn crashes(&self) -> u64 {
        self.shared.engine().crashes
    }

    /// Runs one data command in database `db` without a socket, journaled like any other. It waits for nothing:
    /// neither for slow flows nor for a pause; a blocking command without data answers nil.
    pub fn execute<A: AsRef<[u8]>>(&self, db: u16, args: &[A]) -> Reply {
        let args: Vec<Bytes> = args.iter().map(|a| Bytes::copy_from_slice(a.as_ref())).collect();
        let Some(spec) = args.first().and_then(|name| commands::find(name)) else {
            return Reply::Error("ERR unknown command".to_owned());
        };
        let reply = match commands::run(&mut self.shared.engine(), db, 0, spec, &args) {
            Outcome::Done(reply) => reply,
            Outcome::Blocked => Reply::Nil,
        };
        self.shared.changed.notify_waiters();
        reply
    }

    /// Members that the next SPOPs shall take, in this order, before the seeded generator is asked.
    pub fn choose_next(&self, members: impl IntoIterator<Item = Bytes>) {
        self.shared.engine().chosen.extend(members);
    }

    /// Stops listening and closes everything.
    pub async fn stop(mut self) {
        self.close();
        if let Some(task) = self.listener.take() {
            let _ = task.await;
        }
    }

    fn close(&self) {
        self.shared.engine().cancel_all();
        self.shared.disconnect(true);
    }
}

/// Takes connections for a live master; see [`Handle::acceptor`]. Cheap to clone. It does not keep the master
/// running.
#[derive(Debug, Clone)]
pub struct Acceptor {
    shared: Arc<Shared>,
}

impl Acceptor {
    /// [`Handle::serve`]. After the master has stopped, the stream is closed at once.
    pub fn serve<S>(&self, stream: S, peer: impl Into<String>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (reader, writer) = tokio::io::split(stream);
        server::serve(&self.shared, Box::new(reader), Box::new(writer), peer.into());
    }

    /// Whether the master still runs: a network would refuse the connection otherwise.
    pub fn is_open(&self) -> bool {
        !self.shared.epoch.borrow().1
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}
