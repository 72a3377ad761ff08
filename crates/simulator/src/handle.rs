//! The running live master, as a test sees it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::commands::{self, Outcome};
use crate::engine::{Engine, Renamed};
use crate::server::{self, Shared};
use crate::{AttachmentInfo, Builder, Error, Faults, Reply, Standby};

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
        let shards = self.lsns().len();
        self.restart_with(keep_data, shards).await;
    }

    /// [`Handle::restart`] with another number of shards (`--proactor_threads` changed).
    ///
    /// # Panics
    /// If `shards` is not between 1 and 1024.
    pub async fn restart_with(&self, keep_data: bool, shards: usize) {
        assert!((1..=1024).contains(&shards), "shards must be between 1 and 1024");
        self.shared.engine().restart(keep_data, shards);
        self.shared.disconnect(false);
        self.shared.changed.notify_waiters();
    }

    /// Loads for `time` from now on; see [`Handle::set_loading`].
    pub fn load_for(&self, time: Duration) {
        self.shared.engine().loading_until = Some(Instant::now() + time);
    }

    /// Every connection that exists leads nowhere from now on: nothing that is sent on it is answered, and it is not
    /// closed either, whatever happens here, until the master stops. New connections work. The master notices as a
    /// real one does: see [`Faults::stall_flow`].
    pub fn blackhole(&self) {
        self.faults.kill_links_below(self.shared.next_client());
    }

    /// Shows itself as a replica: refuses REPLCONF and writes, and says so in INFO and ROLE. [`Handle::promote`] ends
    /// it. It does not replicate; what it has when promoted is the [`Standby`]'s.
    pub fn become_replica(&self) {
        let mut engine = self.shared.engine();
        engine.cancel_all();
        engine.replica = true;
    }

    /// What a replica that has caught up would have at this moment. Promoted later, when this master has gone on, it is
    /// a replica that was behind.
    pub fn standby(&self) -> Standby {
        self.shared.engine().standby()
    }

    /// Becomes a master that has what the replica `standby` had (`REPLICAOF NO ONE` with
    /// `replicaof_no_one_start_journal`, the default from v1.37 on, or the replica's end of REPLTAKEOVER): its own
    /// replication id, the LSNs going on where the replica stood, an answer for who asks with the old master's id.
    /// Connections stay open. With another number of shards the LSNs begin anew and nothing is remembered.
    pub fn promote(&self, standby: Standby) {
        self.shared.engine().promote(standby);
        self.shared.changed.notify_waiters();
    }

    /// The master's side of REPLTAKEOVER up to the point where the replica has everything: commands are refused with
    /// `-LOADING`, save PING and the replication commands, and a PING is the last record of every shard.
    /// [`Handle::promote`] the standby elsewhere, then [`Handle::shut_down`] this one as soon as
    /// [`Handle::acknowledged`] says so.
    pub fn begin_takeover(&self) -> Standby {
        let standby = self.shared.engine().begin_takeover();
        self.shared.changed.notify_waiters();
        standby
    }

    /// The takeover failed: commands are served again. The PINGs stay in the journal.
    pub fn abort_takeover(&self) {
        self.shared.engine().taken_over = false;
        self.shared.changed.notify_waiters();
    }

    /// Whether every attachment has acknowledged everything.
    pub fn acknowledged(&self) -> bool {
        let engine = self.shared.engine();
        let (lsns, all) = (engine.offsets(), engine.attachment_infos());
        all.iter().all(|a| a.acked.iter().zip(&lsns).all(|(acked, next)| acked >= next))
    }

    /// REPLTAKEOVER with this master as the replica that takes over from `old`. The old one waits, at most `patience`,
    /// until all its replicas have acknowledged its last records, and shuts down.
    pub async fn take_over(&self, old: &Handle, patience: Duration) {
        self.promote(old.begin_takeover());
        let until = Instant::now() + patience;
        while !old.acknowledged() && Instant::now() < until {
            let _ = timeout(Duration::from_millis(1), old.shared.changed.notified()).await;
        }
        old.shut_down();
    }

    /// Ends the process: everything is closed and nothing listens any more. The handle still tells what there was.
    pub fn shut_down(&self) {
        self.close();
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

    /// How often a client did what crashes a real master or damages a real master: `REPLCONF CLIENT-VERSION` without an
    /// attachment, `DFLY SYNC` after PARTIAL where that is not refused.
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

    /// The command `known` goes by another name as well, under which it is journaled if it is one that is journaled as it
    /// came. `told`: `COMMAND INFO` tells where its key is.
    ///
    /// # Panics
    /// `known` is not known.
    pub fn rename_command(&self, known: &str, name: &str, told: bool) {
        let spec = commands::find(known.as_bytes()).unwrap_or_else(|| panic!("no command {known}"));
        self.shared.engine().renamed.push(Renamed { name: name.to_owned(), spec, told });
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
