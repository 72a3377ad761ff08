//! A master whose flows are written down beforehand: what replays and prepared masters share.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::commands::is;
use crate::engine::Random;
use crate::outbox::Outbox;
use crate::reply::Reply;
use crate::{Error, Pacing, request};

/// One flow's part.
#[derive(Debug, Clone)]
pub(crate) struct ScriptFlow {
    pub(crate) token: String,
    /// Sent from DFLY SYNC on.
    pub(crate) snapshot: Vec<Bytes>,
    /// Sent from DFLY STARTSTABLE on.
    pub(crate) stable: Vec<Bytes>,
}

/// Everything the master says.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) replid: String,
    /// `dragonfly_version`, such as `df-v1.40.1`.
    pub(crate) version: String,
    pub(crate) ordinal: i64,
    pub(crate) lineage: bool,
    pub(crate) first_sync_id: u32,
    /// Flows answer PARTIAL (to a request with an LSN) instead of FULL.
    pub(crate) partial: bool,
    /// Whether DFLY SYNC is part of the exchange; not in a journal-style partial sync.
    pub(crate) wants_sync: bool,
    pub(crate) flows: Vec<ScriptFlow>,
    pub(crate) next_lsns: Vec<u64>,
    /// Keys and keys with expiry per database.
    pub(crate) keyspace: BTreeMap<u16, (usize, usize)>,
    pub(crate) pacing: Pacing,
    pub(crate) cuts: Vec<Cut>,
    pub(crate) stalls: Vec<(usize, u64)>,
}

/// Where to cut an attachment.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    pub(crate) flow: usize,
    pub(crate) bytes: u64,
    pub(crate) times: usize,
}

#[derive(Debug)]
struct Attachment {
    state: Phase,
    flows: Vec<Option<Arc<Outbox>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Preparation,
    FullSync,
    Stable,
}

#[derive(Debug)]
struct State {
    script: Script,
    attachments: BTreeMap<u32, Attachment>,
    next_sync_id: u32,
    syncs: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    sent: Vec<AtomicU64>,
    acked: Vec<AtomicU64>,
    resumed: watch::Sender<bool>,
    stopped: watch::Sender<bool>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn cancel(&mut self, id: u32) {
        if let Some(a) = self.attachments.remove(&id) {
            a.flows.iter().flatten().for_each(|o| o.close());
        }
    }
}

/// A running replaying or prepared master. Dropping it stops it.
#[derive(Debug)]
pub struct ReplayHandle {
    addr: SocketAddr,
    replid: String,
    shared: Arc<Shared>,
}

impl ReplayHandle {
    pub(crate) async fn start(script: Script, bind: &str) -> Result<ReplayHandle, Error> {
        let failed = |source| Error::Bind { addr: bind.to_owned(), source };
        let listener = TcpListener::bind(bind).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let replid = script.replid.clone();
        let zeros = || script.flows.iter().map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
        let shared = Arc::new(Shared {
            sent: zeros(),
            acked: zeros(),
            resumed: watch::Sender::new(false),
            stopped: watch::Sender::new(false),
            state: Mutex::new(State {
                next_sync_id: script.first_sync_id,
                script,
                attachments: BTreeMap::new(),
                syncs: 0,
            }),
        });
        tokio::spawn(listen(shared.clone(), listener));
        Ok(ReplayHandle { addr, replid, shared })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The replication id it answers with.
    pub fn replication_id(&self) -> String {
        self.replid.clone()
    }

    /// Bytes sent so far on `flow` of the newest attachment that opened it.
    pub fn sent(&self, flow: usize) -> u64 {
        self.shared.sent.get(flow).map_or(0, |n| n.load(Ordering::Relaxed))
    }

    /// The last ACK received on `flow`, 0 if none.
    pub fn acked(&self, flow: usize) -> u64 {
        self.shared.acked.get(flow).map_or(0, |n| n.load(Ordering::Relaxed))
    }

    /// Ends all stalls, for good.
    pub fn resume(&self) {
        self.shared.resumed.send_replace(true);
    }

    /// Number of attachments that reached DFLY SYNC.
    pub fn syncs(&self) -> u64 {
        self.shared.state().syncs
    }

    /// The LSN every flow ends with, as `DFLY REPLICAOFFSET` answers it.
    pub fn next_lsns(&self) -> Vec<u64> {
        self.shared.state().script.next_lsns.clone()
    }

    /// Closes all flows of all attachments.
    pub fn drop_attachments(&self) {
        let mut state = self.shared.state();
        let ids: Vec<u32> = state.attachments.keys().copied().collect();
        ids.into_iter().for_each(|id| state.cancel(id));
    }

    /// Stops listening and closes everything.
    pub async fn stop(self) {
        self.shared.stopped.send_replace(true);
        self.shared.stopped.closed().await;
    }
}

impl Drop for ReplayHandle {
    fn drop(&mut self) {
        self.shared.stopped.send_replace(true);
    }
}

async fn listen(shared: Arc<Shared>, listener: TcpListener) {
    let mut stopped = shared.stopped.subscribe();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((socket, _)) = accepted {
                    tokio::spawn(connection(shared.clone(), socket));
                }
            }
            _ = stopped.changed() => return,
        }
    }
}

async fn connection(shared: Arc<Shared>, socket: TcpStream) {
    let mut stopped = shared.stopped.subscribe();
    let mut attachment = None;
    tokio::select! {
        _ = serve(&shared, socket, &mut attachment) => {}
        _ = stopped.changed() => {}
    }
    if let Some(id) = attachment {
        shared.state().cancel(id);
    }
}

/// What a request is answered with.
enum Answer {
    Reply(Reply),
    Silent,
    Flow(u32, usize, Arc<Outbox>, Reply),
}

async fn serve(shared: &Arc<Shared>, socket: TcpStream, attachment: &mut Option<u32>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let (mut reader, mut writer) = socket.into_split();
    let mut buf = BytesMut::new();
    loop {
        while let Some(args) = request::next(&mut buf).map_err(|_| io::ErrorKind::InvalidData)? {
            let answer = shared.state().answer(&args, attachment);
            let mut out = Vec::new();
            match answer {
                Answer::Silent => continue,
                Answer::Reply(reply) => {
                    reply.write(&mut out, false);
                    writer.write_all(&out).await?;
                }
                Answer::Flow(id, flow, outbox, reply) => {
                    *attachment = Some(id);
                    reply.write(&mut out, false);
                    writer.write_all(&out).await?;
                    shared.sent[flow].store(0, Ordering::Relaxed);
                    tokio::spawn(write_flow(shared.clone(), id, flow, outbox.clone(), writer));
                    let acks = async {
                        loop {
                            while let Some(args) =
                                request::next(&mut buf).map_err(|_| io::ErrorKind::InvalidData)?
                            {
                                if let [_, w, n] = &args[..] {
                                    let n = std::str::from_utf8(n).ok().and_then(|s| s.parse().ok());
                                    if let (true, Some(n)) = (is(w, "ACK"), n) {
                                        shared.acked[flow].store(n, Ordering::Relaxed);
                                    }
                                }
                            }
                            if reader.read_buf(&mut buf).await? == 0 {
                                return io::Result::Ok(());
                            }
                        }
                    };
                    tokio::select! {
                        _ = acks => {}
                        () = outbox.closed() => {}
                    }
                    return Ok(());
                }
            }
        }
        if reader.read_buf(&mut buf).await? == 0 {
            return Ok(());
        }
    }
}

fn error(text: &str) -> Reply {
    Reply::Error(format!("ERR {text}"))
}

impl State {
    fn answer(&mut self, args: &[Bytes], attachment: &mut Option<u32>) -> Answer {
        let words: Vec<String> = args.iter().map(|a| String::from_utf8_lossy(a).into_owned()).collect();
        let upper: Vec<String> = words.iter().take(2).map(|w| w.to_ascii_uppercase()).collect();
        let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
        let script = &self.script;
        Answer::Reply(match upper.as_slice() {
            ["PING", ..] => Reply::Simple("PONG"),
            ["REPLCONF", "ACK"] => return Answer::Silent,
            ["REPLCONF", "CAPA"] if words[2..] == ["dragonfly"] => {
                let id = self.next_sync_id;
                self.next_sync_id += 1;
                let mut greeting = vec![
                    Reply::Status(script.replid.clone()),
                    Reply::Status(format!("SYNC{id}")),
                    Reply::Int(script.flows.len() as i64),
                    Reply::Int(script.ordinal),
                ];
                if script.lineage {
                    greeting.push(Reply::Status(script.replid.clone()));
                }
                let flows = script.flows.iter().map(|_| None).collect();
                self.attachments.insert(id, Attachment { state: Phase::Preparation, flows });
                if let Some(old) = attachment.replace(id) {
                    self.cancel(old);
                }
                Reply::Array(greeting)
            }
            ["REPLCONF", ..] | ["AUTH", ..] | ["CLIENT", ..] | ["SELECT", ..] => Reply::OK,
            ["DFLY", "REPLICAOFFSET"] => {
                Reply::Array(script.next_lsns.iter().map(|&n| Reply::Int(n as i64)).collect())
            }
            ["DFLY", "FLOW"] => match self.flow(&words[2..]) {
                Ok(flow) => return flow,
                Err(reply) => reply,
            },
            ["DFLY", "SYNC"] if words.len() == 3 => self.sync(&words[2]),
            ["DFLY", "STARTSTABLE"] if words.len() == 3 => self.stable(&words[2]),
            ["INFO", ..] => Reply::bulk(self.info()),
            ["HELLO", ..] => Reply::Array(
                ["server", "redis", "version", "7.4.0", "dragonfly_version", &script.version]
                    .map(Reply::bulk)
                    .to_vec(),
            ),
            ["ROLE", ..] => Reply::Array(vec![Reply::bulk("master"), Reply::Array(Vec::new())]),
            ["CONFIG", "GET"] => Reply::Array(Vec::new()),
            ["DBSIZE", ..] => Reply::Int(script.keyspace.get(&0).map_or(0, |k| k.0 as i64)),
            _ => Reply::Error(format!("ERR unknown command `{}`", upper.first().unwrap_or(&""))),
        })
    }

    fn info(&self) -> String {
        let s = &self.script;
        let mut out = format!(
            "# Server\r\nredis_version:7.4.0\r\ndragonfly_version:{}\r\nredis_mode:standalone\r\n\r\n\
             # Replication\r\nrole:master\r\nconnected_slaves:{}\r\nmaster_replid:{}\r\n\r\n# Keyspace\r\n",
            s.version,
            self.attachments.len(),
            s.replid
        );
        for (db, (keys, expires)) in &s.keyspace {
            out.push_str(&format!("db{db}:keys={keys},expires={expires},avg_ttl=-1\r\n"));
        }
        out
    }

    fn id(&self, token: &str) -> Result<u32, Reply> {
        let id =
            token.strip_prefix("SYNC").and_then(|n| n.parse().ok()).ok_or_else(|| error("bad sync id"))?;
        if self.attachments.contains_key(&id) { Ok(id) } else { Err(error("syncid not found")) }
    }

    fn flow(&mut self, args: &[String]) -> Result<Answer, Reply> {
        let (replid, token, flow, lsn) = match args {
            [r, t, f] => (r, t, f, None),
            [r, t, f, lsn] => (r, t, f, Some(lsn)),
            _ => return Err(error("syntax error")),
        };
        if *replid != self.script.replid {
            return Err(error("bad master id"));
        }
        let id = self.id(token)?;
        let flow: usize = flow.parse().map_err(|_| error("value is not an integer or out of range"))?;
        let script =
            self.script.flows.get(flow).ok_or_else(|| error("value is not an integer or out of range"))?;
        if self.script.partial && lsn.is_none() {
            return Err(error("this script has no snapshot"));
        }
        let kind = if self.script.partial { "PARTIAL" } else { "FULL" };
        let reply = Reply::Array(vec![Reply::Simple(kind), Reply::Status(script.token.clone())]);
        let outbox = Arc::new(Outbox::default());
        match self.attachments.get_mut(&id) {
            Some(a) if a.state == Phase::Preparation && a.flows[flow].is_none() => {
                a.flows[flow] = Some(outbox.clone());
                Ok(Answer::Flow(id, flow, outbox, reply))
            }
            _ => Err(error("invalid state")),
        }
    }

    fn sync(&mut self, token: &str) -> Reply {
        let id = match self.id(token) {
            Ok(id) => id,
            Err(reply) => return reply,
        };
        match self.attachments.get_mut(&id) {
            Some(a)
                if self.script.wants_sync
                    && a.state == Phase::Preparation
                    && a.flows.iter().all(Option::is_some) =>
            {
                a.state = Phase::FullSync;
                self.syncs += 1;
                for (flow, outbox) in self.script.flows.iter().zip(a.flows.iter().flatten()) {
                    flow.snapshot.iter().for_each(|piece| outbox.push_bytes(piece.clone()));
                }
                Reply::OK
            }
            _ => error("invalid state"),
        }
    }

    fn stable(&mut self, token: &str) -> Reply {
        let id = match self.id(token) {
            Ok(id) => id,
            Err(reply) => return reply,
        };
        let before = if self.script.wants_sync { Phase::FullSync } else { Phase::Preparation };
        match self.attachments.get_mut(&id) {
            Some(a) if a.state == before && a.flows.iter().all(Option::is_some) => {
                a.state = Phase::Stable;
                for (flow, outbox) in self.script.flows.iter().zip(a.flows.iter().flatten()) {
                    flow.stable.iter().for_each(|piece| outbox.push_bytes(piece.clone()));
                }
                Reply::OK
            }
            _ => error("invalid state"),
        }
    }

    /// Takes one use of the next cut of `flow`, if it has one.
    fn take_cut(&mut self, flow: usize) -> Option<u64> {
        let cut = self.script.cuts.iter_mut().find(|c| c.flow == flow && c.times > 0)?;
        cut.times -= 1;
        Some(cut.bytes)
    }
}

/// Sends one flow with the pacing, cuts and stalls of the script.
async fn write_flow(
    shared: Arc<Shared>,
    id: u32,
    flow: usize,
    outbox: Arc<Outbox>,
    mut writer: OwnedWriteHalf,
) {
    let (pacing, cut, stall) = {
        let mut state = shared.state();
        let stall = state.script.stalls.iter().find(|s| s.0 == flow).map(|s| s.1);
        (state.script.pacing, state.take_cut(flow), stall)
    };
    let mut resumed = shared.resumed.subscribe();
    let mut sent = 0u64;
    let sending = async {
        if cut == Some(0) {
            return io::Result::Ok(());
        }
        while let Some(mut piece) = outbox.take().await {
            let whole = piece.len();
            while !piece.is_empty() {
                let mut n = if pacing.piece == 0 { piece.len() } else { pacing.piece.min(piece.len()) };
                if let Some(at) = stall.filter(|_| !*resumed.borrow()) {
                    if sent >= at {
                        let _ = resumed.wait_for(|r| *r).await;
                    } else {
                        n = n.min((at - sent) as usize);
                    }
                }
                if let Some(at) = cut {
                    n = n.min((at - sent) as usize);
                }
                writer.write_all(&piece.split_to(n)).await?;
                sent += n as u64;
                shared.sent[flow].store(sent, Ordering::Relaxed);
                if cut == Some(sent) {
                    return Ok(());
                }
                if pacing.pause > Duration::ZERO {
                    tokio::time::sleep(pacing.pause).await;
                }
            }
            outbox.written(whole);
        }
        Ok(())
    };
    tokio::select! {
        _ = sending => {}
        () = outbox.closed() => {}
    }
    let _ = writer.shutdown().await;
    shared.state().cancel(id);
}

/// A replication id or token that depends only on `seed`.
pub(crate) fn hex_id(seed: u64) -> String {
    Random::new(seed).hex40()
}
