//! Sockets of a live master: clients, control connections, flows.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::attach::FlowLink;
use crate::commands::is;
use crate::engine::Engine;
use crate::faults::Scripted;
use crate::outbox::Outbox;
use crate::reply::Reply;
use crate::request::{self, Malformed};
use crate::session::{Session, Step};

/// A snapshot waits while this much of it has not been written to the socket: real masters write synchronously.
const SNAPSHOT_WINDOW: usize = 64 << 10;
/// How often something that waits looks again even if nobody told it to.
const RECHECK: Duration = Duration::from_millis(5);
/// Least time between two removals of due keys.
const EXPIRY_TICK: Duration = Duration::from_millis(10);
/// How often due keys are looked for when none is known to become due.
const FAR: Duration = Duration::from_secs(60);
/// Most bytes of replies gathered before they are written.
const REPLY_BATCH: usize = 64 << 10;

/// The receiving side of a connection.
pub(crate) type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// The sending side of a connection.
pub(crate) type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// What all tasks of one master share.
#[derive(Debug)]
pub(crate) struct Shared {
    engine: Mutex<Engine>,
    /// Told whenever data, ACKs or a snapshot's progress may let someone go on.
    pub(crate) changed: Notify,
    /// Connections end when this changes; a `true` ends the master.
    pub(crate) epoch: watch::Sender<(u64, bool)>,
    clients: AtomicU64,
    /// Told when a key will expire sooner than any did before.
    pub(crate) sooner: Arc<Notify>,
}

impl Shared {
    pub(crate) fn new(engine: Engine) -> Shared {
        let sooner = engine.sooner.clone();
        Shared {
            engine: Mutex::new(engine),
            changed: Notify::new(),
            epoch: watch::Sender::new((0, false)),
            clients: AtomicU64::new(0),
            sooner,
        }
    }

    pub(crate) fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes every connection; with `stop`, the listener too.
    pub(crate) fn disconnect(&self, stop: bool) {
        self.epoch.send_modify(|(n, stopped)| {
            *n += 1;
            *stopped |= stop;
        });
    }

    /// Ends an attachment, unless the master was restarted since `life`: the number is then another one's.
    fn cancel(&self, life: u64, attachment: u32) {
        let mut engine = self.engine();
        if engine.life == life {
            engine.cancel(attachment);
        }
        drop(engine);
        self.changed.notify_waiters();
    }

    /// Keeps a connection that leads nowhere from being closed: the other side must not learn that it ended.
    async fn hold(&self, client: u64) {
        if self.engine().faults.is_dead(client) {
            let _ = self.epoch.subscribe().wait_for(|(_, stopped)| *stopped).await;
        }
    }

    /// The number that the next connection gets.
    pub(crate) fn next_client(&self) -> u64 {
        self.clients.load(Ordering::Relaxed) + 1
    }

    /// Waits for a change, or a little while.
    async fn some_change(&self) {
        let _ = timeout(RECHECK, self.changed.notified()).await;
    }
}

/// Accepts connections until the master stops.
pub(crate) async fn listen(shared: Arc<Shared>, listener: TcpListener) {
    let mut epoch = shared.epoch.subscribe();
    // It may have been stopped before this task ran for the first time.
    while !epoch.borrow_and_update().1 {
        tokio::select! {
            biased;
            changed = epoch.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            accepted = listener.accept() => {
                if let Ok((socket, peer)) = accepted {
                    let _ = socket.set_nodelay(true);
                    let (reader, writer) = socket.into_split();
                    serve(&shared, Box::new(reader), Box::new(writer), peer.to_string());
                }
            }
        }
    }
}

/// Removes keys when their time has come, until the master stops.
pub(crate) async fn expire(shared: Arc<Shared>) {
    let mut epoch = shared.epoch.subscribe();
    let faults = shared.engine().faults.clone();
    while !epoch.borrow_and_update().1 {
        let wait = shared.engine().until_next_expiry().unwrap_or(FAR).clamp(EXPIRY_TICK, FAR);
        tokio::select! {
            biased;
            changed = epoch.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = shared.sooner.notified() => {}
            () = tokio::time::sleep(wait) => {
                faults.frozen().await;
                if shared.engine().expire_due(1000) > 0 {
                    shared.changed.notify_waiters();
                }
            }
        }
    }
}

/// Starts serving one connection.
pub(crate) fn serve(shared: &Arc<Shared>, reader: Reader, writer: Writer, peer: String) {
    // Subscribed here, so that what ends all connections from now on ends this one.
    let epoch = shared.epoch.subscribe();
    let id = shared.clients.fetch_add(1, Ordering::Relaxed) + 1;
    tokio::spawn(connection(shared.clone(), epoch, reader, writer, id, peer));
}

async fn connection(
    shared: Arc<Shared>,
    mut epoch: watch::Receiver<(u64, bool)>,
    reader: Reader,
    writer: Writer,
    id: u64,
    peer: String,
) {
    if epoch.borrow().1 || shared.engine().faults.refuses() {
        return;
    }
    let session = Session::new(id, peer, &shared.engine());
    let mut client =
        Client { shared: shared.clone(), session, reader, buf: BytesMut::new(), lose_reply: false };
    let over = async {
        let _ = epoch.changed().await;
        shared.hold(id).await;
    };
    tokio::select! {
        biased;
        () = over => {}
        _ = client.serve(writer) => {}
    }
    if let Some(attachment) = client.session.attachment {
        shared.cancel(client.session.life, attachment);
    }
    shared.hold(id).await;
}

struct Client {
    shared: Arc<Shared>,
    session: Session,
    reader: Reader,
    buf: BytesMut,
    /// The reply to the request at hand is not sent.
    lose_reply: bool,
}

/// What a batch of requests ended with.
enum Then {
    Read,
    Close,
    Act(Step, Vec<Bytes>),
}

impl Client {
    async fn serve(&mut self, mut writer: Writer) -> io::Result<()> {
        let mut retry = None;
        let faults = self.shared.engine().faults.clone();
        loop {
            faults.unanswered(self.session.id).await;
            let mut out = Vec::new();
            let then = self.batch(&mut out, retry.take());
            if let Then::Act(Step::Saturated(reply, id, outbox), _) = &then {
                self.drained(*id, outbox).await;
                if !std::mem::take(&mut self.lose_reply) {
                    reply.write(&mut out, self.session.resp3);
                }
            }
            if !out.is_empty() {
                faults.unanswered(self.session.id).await;
                writer.write_all(&out).await?;
                self.shared.changed.notify_waiters();
            }
            match then {
                Then::Close => return Ok(()),
                Then::Read => {
                    if self.reader.read_buf(&mut self.buf).await? == 0 {
                        return Ok(());
                    }
                }
                Then::Act(Step::Later, args) => {
                    // Reading meanwhile shows when the client goes away.
                    tokio::select! {
                        biased;
                        () = self.shared.some_change() => {}
                        n = self.reader.read_buf(&mut self.buf) => {
                            if n? == 0 {
                                return Ok(());
                            }
                        }
                    }
                    retry = Some(args);
                }
                Then::Act(Step::Flow(link, _), _) => return self.flow(link, writer).await,
                Then::Act(Step::Sync(id), _) => self.start_snapshots(id),
                Then::Act(Step::Stable(id), _) => {
                    let reply = self.stable(id).await;
                    self.answer(&mut writer, &reply).await?;
                }
                Then::Act(Step::Wait { replicas, targets, timeout }, _) => {
                    let n = self.acknowledged(replicas, &targets, timeout).await;
                    self.answer(&mut writer, &Reply::Int(n as i64)).await?;
                }
                Then::Act(..) => {}
            }
        }
    }

    async fn answer(&mut self, writer: &mut Writer, reply: &Reply) -> io::Result<()> {
        if std::mem::take(&mut self.lose_reply) {
            return Ok(());
        }
        let mut out = Vec::new();
        reply.write(&mut out, self.session.resp3);
        let faults = self.shared.engine().faults.clone();
        faults.unanswered(self.session.id).await;
        writer.write_all(&out).await
    }

    /// Runs buffered requests under one lock until there are none, or one needs more than that.
    fn batch(&mut self, out: &mut Vec<u8>, mut retry: Option<Vec<Bytes>>) -> Then {
        let mut engine = self.shared.engine();
        loop {
            let args = match retry.take() {
                Some(args) => args,
                None if out.len() >= REPLY_BATCH => return Then::Act(Step::Silent, Vec::new()),
                None => match request::next(&mut self.buf) {
                    Ok(Some(args)) => match engine.faults.take_scripted(&args) {
                        None => args,
                        Some(Scripted::Swallow) => continue,
                        Some(Scripted::HangUp) => return Then::Close,
                        Some(Scripted::Raw(raw)) => {
                            out.extend_from_slice(&raw);
                            continue;
                        }
                        Some(Scripted::Lose) => {
                            self.lose_reply = true;
                            args
                        }
                    },
                    Ok(None) => return Then::Read,
                    Err(Malformed(what)) => {
                        Reply::Error(format!("ERR Protocol error: {what}")).write(out, false);
                        return Then::Close;
                    }
                },
            };
            let (resp3, before) = (self.session.resp3, out.len());
            let then = match self.session.step(&mut engine, &args) {
                // Asked again, because HELLO answers in the protocol it switched to.
                Step::Reply(reply) => {
                    reply.write(out, self.session.resp3);
                    None
                }
                Step::Silent => None,
                Step::Close(reply) => {
                    reply.write(out, resp3);
                    Some(Then::Close)
                }
                step @ (Step::Flow(..) | Step::Sync(_)) => {
                    if let Step::Flow(_, reply) = &step { reply } else { &Reply::OK }.write(out, resp3);
                    Some(Then::Act(step, args))
                }
                // Their replies are not known yet.
                step => return Then::Act(step, args),
            };
            if std::mem::take(&mut self.lose_reply) {
                out.truncate(before);
            }
            if let Some(then) = then {
                return then;
            }
        }
    }

    /// Back-pressure: a write waits until the flow has drained below the limit, or the flow is given up.
    async fn drained(&mut self, id: u32, outbox: &Outbox) {
        let (limit, patience) = {
            let engine = self.shared.engine();
            (engine.settings.output_limit, engine.settings.replication_timeout)
        };
        if timeout(patience, outbox.below(limit)).await.is_err() {
            tracing::warn!(attachment = id, "flow above its limit for too long, attachment cancelled");
            self.shared.cancel(self.session.life, id);
        }
    }

    fn start_snapshots(&self, id: u32) {
        let flows: Vec<FlowLink> = self.shared.engine().links(id);
        for link in flows {
            tokio::spawn(traverse(self.shared.clone(), link));
        }
    }

    /// STARTSTABLE: while a snapshot still runs, every other client waits too.
    async fn stable(&mut self, id: u32) -> Reply {
        let mut guarded = false;
        let reply = loop {
            {
                let mut engine = self.shared.engine();
                match engine.ready_for_stable(id) {
                    Err(reply) => break reply,
                    Ok(true) => break engine.start_stable(id).err().unwrap_or(Reply::OK),
                    Ok(false) => {
                        engine.guard += usize::from(!guarded);
                        guarded = true;
                    }
                }
            }
            self.shared.some_change().await;
        };
        if guarded {
            self.shared.engine().guard -= 1;
            self.shared.changed.notify_waiters();
        }
        reply
    }

    async fn acknowledged(&mut self, replicas: usize, targets: &[u64], patience: Option<Duration>) -> usize {
        let until = patience.map(|p| Instant::now() + p);
        loop {
            let n = self.shared.engine().caught_up(targets);
            if n >= replicas || until.is_some_and(|t| t <= Instant::now()) {
                return n;
            }
            self.shared.some_change().await;
        }
    }

    /// The life of a flow: a task writes, this one reads ACKs. Whatever ends it ends the attachment.
    async fn flow(&mut self, link: FlowLink, writer: Writer) -> io::Result<()> {
        tokio::spawn(write_flow(self.shared.clone(), link.clone(), self.session.id, writer));
        let end = self.read_flow(&link);
        tokio::select! {
            biased;
            _ = end => {}
            () = link.outbox.closed() => {}
        }
        self.shared.cancel(link.life, link.attachment);
        Ok(())
    }

    async fn read_flow(&mut self, link: &FlowLink) -> io::Result<()> {
        loop {
            while let Some(args) = request::next(&mut self.buf).map_err(|_| io::ErrorKind::InvalidData)? {
                if self.shared.engine().faults.denies(&args) {
                    return Ok(());
                }
                // ACKs are never answered, whatever is in them.
                if let [name, option, lsn] = &args[..] {
                    let lsn = std::str::from_utf8(lsn).ok().and_then(|s| s.parse().ok());
                    if let (true, true, Some(lsn)) = (is(name, "REPLCONF"), is(option, "ACK"), lsn) {
                        self.shared.engine().ack(link, lsn);
                        self.shared.changed.notify_waiters();
                    }
                }
            }
            if self.reader.read_buf(&mut self.buf).await? == 0 {
                return Ok(());
            }
        }
    }
}

/// Walks one shard for one flow, as fast as its socket takes it.
async fn traverse(shared: Arc<Shared>, link: FlowLink) {
    let (patience, faults) = {
        let engine = shared.engine();
        (engine.settings.replication_timeout, engine.faults.clone())
    };
    loop {
        faults.frozen().await;
        if timeout(patience, link.outbox.below(SNAPSHOT_WINDOW)).await.is_err() {
            tracing::warn!(
                attachment = link.attachment,
                flow = link.shard,
                "snapshot write stalled, attachment cancelled"
            );
            shared.cancel(link.life, link.attachment);
            return;
        }
        let step = shared.engine().traverse(link.attachment, link.shard);
        match step {
            Some(false) => tokio::task::yield_now().await,
            Some(true) | None => {
                shared.changed.notify_waiters();
                return;
            }
        }
    }
}

/// Sends what the outbox holds, with the scripted faults.
async fn write_flow(shared: Arc<Shared>, link: FlowLink, client: u64, mut writer: Writer) {
    let faults = shared.engine().faults.clone();
    let mut sent = 0u64;
    while let Some(mut piece) = link.outbox.take().await {
        tokio::select! {
            biased;
            () = faults.stalled(link.shard, client) => {}
            () = link.outbox.closed() => break,
        }
        if faults.take_spoiled(link.shard) {
            // No operation of the journal has this number.
            piece = vec![0xff; piece.len()].into();
        }
        let (n, cut) = faults.allowance(link.shard, sent, piece.len());
        let written = tokio::select! {
            biased;
            written = writer.write_all(&piece[..n]) => written,
            () = link.outbox.closed() => break,
        };
        sent += n as u64;
        link.outbox.written(piece.len());
        if written.is_err() || cut {
            let _ = writer.shutdown().await;
            break;
        }
    }
    shared.cancel(link.life, link.attachment);
    shared.hold(client).await;
}
