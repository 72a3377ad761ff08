//! Sockets of a replaying master.

use std::fmt::Write;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::attachment::{Attachment, Stage};
use super::master::Master;
use super::script::{Held, Style};
use crate::commands::is;
use crate::reply::Reply;
use crate::request::{self, Malformed};
use crate::{Clock, info, prepared};

/// Most bytes of one write, so that [`super::ReplayHandle::sent`] tells where a flow stands.
const PIECE: usize = 256 << 10;
/// How long a closed flow waits until the replica has closed its side too.
const LINGER: Duration = Duration::from_secs(1);

/// Accepts connections until the master stops.
pub(super) async fn listen(master: Arc<Master>, listener: TcpListener) {
    let mut switches = master.switches.subscribe();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((socket, _)) = accepted {
                    tokio::spawn(serve(master.clone(), socket));
                }
            }
            _ = switches.wait_for(|switches| switches.stopped) => return,
        }
    }
}

async fn serve(master: Arc<Master>, socket: TcpStream) {
    let mut switches = master.switches.subscribe();
    let _ = socket.set_nodelay(true);
    let (reader, writer) = socket.into_split();
    let client = master.next_client();
    let mut connection = Connection {
        master: master.clone(),
        reader,
        writer,
        buf: BytesMut::new(),
        client,
        db: 0,
        control: None,
    };
    tokio::select! {
        _ = connection.run() => {}
        _ = switches.wait_for(|switches| switches.stopped) => {}
    }
    if let Some(attachment) = &connection.control {
        master.close(attachment);
    }
}

struct Connection {
    master: Arc<Master>,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    buf: BytesMut,
    client: u64,
    db: u32,
    /// The attachment this is the control connection of.
    control: Option<Arc<Attachment>>,
}

/// What follows a request.
enum Step {
    Reply(Reply),
    Close,
    /// The connection becomes a flow after this reply, and sends the recording from this place.
    Flow {
        reply: Reply,
        attachment: Arc<Attachment>,
        flow: usize,
        from: usize,
    },
}

impl Connection {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let args = match request::next(&mut self.buf) {
                Ok(Some(args)) => args,
                Ok(None) => {
                    if self.reader.read_buf(&mut self.buf).await? == 0 {
                        return Ok(());
                    }
                    continue;
                }
                Err(Malformed(what)) => {
                    return self.answer(&Reply::Error(format!("ERR Protocol error: {what}"))).await;
                }
            };
            match self.step(&args) {
                Step::Reply(reply) => self.answer(&reply).await?,
                Step::Close => return Ok(()),
                Step::Flow { reply, attachment, flow, from } => {
                    self.answer(&reply).await?;
                    attachment.set_sent(flow, from as u64);
                    self.flow(&attachment, flow, from).await;
                    return Ok(());
                }
            }
        }
    }

    async fn answer(&mut self, reply: &Reply) -> io::Result<()> {
        let mut out = Vec::new();
        reply.write(&mut out, false);
        self.writer.write_all(&out).await
    }

    fn step(&mut self, args: &[Bytes]) -> Step {
        let Some((name, rest)) = args.split_first() else { return Step::Reply(Reply::OK) };
        let upper = String::from_utf8_lossy(name).to_ascii_uppercase();
        Step::Reply(match (upper.as_str(), rest) {
            ("PING", []) => Reply::Simple("PONG"),
            ("PING" | "ECHO", [text]) => Reply::Bulk(text.clone()),
            ("AUTH", _) => Reply::OK,
            ("CLIENT", [word, ..]) if is(word, "ID") => Reply::Int(self.client as i64),
            ("CLIENT", _) => Reply::OK,
            ("HELLO", _) => self.hello(),
            ("SELECT", [db]) => match number(db).and_then(|db| u32::try_from(db).ok()) {
                Some(db) => {
                    self.db = db;
                    Reply::OK
                }
                None => err("invalid DB index"),
            },
            ("INFO", sections) => Reply::bulk(self.info(sections)),
            ("TIME", []) => info::time(&Clock::system()),
            ("REPLCONF", [word, value]) if is(word, "capa") && value == "dragonfly" => self.greet(),
            // A real master crashes when there is no attachment behind this.
            ("REPLCONF", [word, _]) if is(word, "CLIENT-VERSION") && self.control.is_none() => {
                return Step::Close;
            }
            ("REPLCONF", _) => Reply::OK,
            ("DFLY", [word, args @ ..]) => return self.dfly(word, args),
            (name, keys) => match (&self.master.keyspace, &self.master.script.held) {
                (Some(keyspace), _) => keyspace.read(self.db, args).unwrap_or_else(|| unknown(name)),
                (None, Held::Numbered(count)) if name == "EXISTS" => {
                    let there =
                        |key: &&Bytes| self.db == 0 && prepared::number(key).is_some_and(|n| n < *count);
                    Reply::Int(keys.iter().filter(there).count() as i64)
                }
                (None, _) if name == "EXISTS" => Reply::Int(0),
                (None, _) => unknown(name),
            },
        })
    }

    fn greet(&mut self) -> Reply {
        let attachment = self.master.attach();
        let script = &self.master.script;
        let mut greeting = vec![
            Reply::Status(script.replid.clone()),
            Reply::Status(format!("SYNC{}", attachment.id)),
            Reply::Int(script.flows.len() as i64),
            Reply::Int(script.ordinal),
        ];
        if script.lineage {
            greeting.push(Reply::Status(script.replid.clone()));
        }
        if let Some(former) = self.control.replace(attachment) {
            self.master.close(&former);
        }
        Reply::Array(greeting)
    }

    fn dfly(&mut self, word: &Bytes, args: &[Bytes]) -> Step {
        Step::Reply(match args {
            [replid, sync_id, flow, lsn @ ..] if is(word, "FLOW") => {
                return match self.open_flow(replid, sync_id, flow, lsn) {
                    Ok(step) => step,
                    Err(refusal) => Step::Reply(refusal),
                };
            }
            [sync_id] if is(word, "SYNC") => match self.find(sync_id) {
                Ok(attachment) => self.sync(&attachment),
                Err(refusal) => refusal,
            },
            [sync_id] if is(word, "STARTSTABLE") => match self.find(sync_id) {
                Ok(attachment) => self.start_stable(&attachment),
                Err(refusal) => refusal,
            },
            [] if is(word, "REPLICAOFFSET") => {
                Reply::Array(self.master.next_lsns().into_iter().map(|lsn| Reply::Int(lsn as i64)).collect())
            }
            _ => err("syntax error"),
        })
    }

    fn find(&self, sync_id: &Bytes) -> Result<Arc<Attachment>, Reply> {
        let id = sync_id.strip_prefix(b"SYNC").and_then(number).and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| err("bad sync id"))?;
        self.master.attachment(id).ok_or_else(|| err("syncid not found"))
    }

    fn open_flow(&self, replid: &Bytes, sync_id: &Bytes, flow: &Bytes, lsn: &[Bytes]) -> Result<Step, Reply> {
        let script = &self.master.script;
        if replid != script.replid.as_bytes() {
            return Err(err("bad master id"));
        }
        let attachment = self.find(sync_id)?;
        let flow = number(flow).and_then(|n| usize::try_from(n).ok()).filter(|&n| n < script.flows.len());
        let flow = flow.ok_or_else(|| err("value is not an integer or out of range"))?;
        let lsn = match lsn {
            [] => None,
            [lsn] => Some(number(lsn).ok_or_else(|| err("value is not an integer or out of range"))?),
            _ => return Err(err("syntax error")),
        };
        let script_flow = &script.flows[flow];
        let released = self.master.switches.borrow().released;
        let position = lsn.filter(|_| script.lineage).and_then(|lsn| script_flow.position(lsn, released));
        let kind = match script.style {
            _ if position.is_some() => "PARTIAL",
            Style::PartialRdb if lsn == script_flow.asked => "PARTIAL",
            Style::Full => "FULL",
            // Neither a snapshot nor these records were recorded.
            Style::PartialRdb | Style::PartialJournal => {
                return Err(err("this recording cannot be resumed from there"));
            }
        };
        if attachment.stage() != Stage::Preparation || !attachment.open_flow(flow, position.is_some()) {
            return Err(err("invalid state"));
        }
        let reply = Reply::Array(vec![Reply::Simple(kind), Reply::Status(script_flow.token.clone())]);
        Ok(Step::Flow { reply, attachment, flow, from: position.unwrap_or(0) })
    }

    fn sync(&self, attachment: &Attachment) -> Reply {
        let allowed = attachment.all_flows_open() && attachment.journal_only() == 0;
        if allowed && attachment.advance(Stage::Preparation, Stage::FullSync) {
            self.master.count_sync();
            return Reply::OK;
        }
        err("invalid state")
    }

    fn start_stable(&self, attachment: &Attachment) -> Reply {
        let all = self.master.script.flows.len();
        let from = if attachment.journal_only() == all { Stage::Preparation } else { Stage::FullSync };
        if attachment.all_flows_open() && attachment.advance(from, Stage::Stable) {
            return Reply::OK;
        }
        err("invalid state")
    }

    fn hello(&self) -> Reply {
        let text = |name: &str, value: &str| (Reply::bulk(name), Reply::bulk(value));
        Reply::Map(vec![
            text("server", "redis"),
            text("version", "7.4.0"),
            text("dragonfly_version", &self.master.script.release),
            (Reply::bulk("proto"), Reply::Int(2)),
            (Reply::bulk("id"), Reply::Int(self.client as i64)),
            text("mode", "standalone"),
            text("role", "master"),
        ])
    }

    fn info(&self, sections: &[Bytes]) -> String {
        let script = &self.master.script;
        let wanted = |name: &str| sections.is_empty() || sections.iter().any(|s| is(s, name) || is(s, "all"));
        let mut out = String::new();
        if wanted("server") {
            let _ = write!(
                out,
                "# Server\r\nredis_version:7.4.0\r\ndragonfly_version:{}\r\nthread_count:{}\r\n\r\n",
                script.release,
                script.flows.len()
            );
        }
        if wanted("replication") {
            let _ = write!(out, "# Replication\r\nrole:master\r\nmaster_replid:{}\r\n\r\n", script.replid);
        }
        if wanted("keyspace") {
            out.push_str("# Keyspace\r\n");
            for (db, (keys, expires)) in &script.keyspace {
                let _ = write!(out, "db{db}:keys={keys},expires={expires},avg_ttl=-1\r\n");
            }
        }
        out
    }

    /// The life of a flow. Whatever ends it ends the attachment.
    async fn flow(&mut self, attachment: &Attachment, flow: usize, from: usize) {
        let Connection { master, reader, writer, buf, .. } = self;
        {
            let mut read = pin!(read_acks(reader, buf, attachment, flow));
            tokio::select! {
                _ = send(master, attachment, flow, from, writer) => {}
                _ = &mut read => {}
                () = attachment.closed() => {}
            }
        }
        master.close(attachment);
        // A socket closed over unread ACKs is reset, and the replica might lose bytes that were sent.
        let _ = writer.shutdown().await;
        let _ = timeout(LINGER, read_acks(reader, buf, attachment, flow)).await;
    }
}

/// Sends the flow as far as the stage allows; returns when it is cut. Everything sent, it waits for ever.
async fn send(
    master: &Master,
    attachment: &Attachment,
    flow: usize,
    from: usize,
    writer: &mut OwnedWriteHalf,
) -> io::Result<()> {
    let script = &master.script.flows[flow];
    let (mut stages, mut switches) = (attachment.watch(), master.switches.subscribe());
    let mut sent = from;
    loop {
        let released = switches.borrow_and_update().released;
        let stage = *stages.borrow_and_update();
        let mut end = match stage {
            Stage::Preparation | Stage::Closed => 0,
            Stage::FullSync => script.sync_end,
            Stage::Stable if released => script.bytes.len(),
            Stage::Stable => script.gate,
        };
        if let Some(stall) = master.stall(flow) {
            end = end.min(usize::try_from(stall).unwrap_or(end));
        }
        let cut = if stage == Stage::Preparation { None } else { master.next_cut(flow, sent as u64) };
        if cut == Some(sent as u64) {
            master.cut_done(flow, sent as u64);
            return Ok(());
        }
        if end <= sent {
            tokio::select! {
                _ = stages.changed() => {}
                _ = switches.changed() => {}
            }
            continue;
        }
        let piece = if master.pacing.piece == 0 { PIECE } else { master.pacing.piece };
        end = end.min(sent + piece);
        if let Some(cut) = cut {
            end = end.min(usize::try_from(cut).unwrap_or(end));
        }
        writer.write_all(&script.bytes[sent..end]).await?;
        sent = end;
        attachment.set_sent(flow, sent as u64);
        if !master.pacing.pause.is_zero() {
            tokio::time::sleep(master.pacing.pause).await;
        }
    }
}

/// Reads ACKs, which are never answered, until the replica closes its side.
async fn read_acks(
    reader: &mut OwnedReadHalf,
    buf: &mut BytesMut,
    attachment: &Attachment,
    flow: usize,
) -> io::Result<()> {
    loop {
        while let Some(args) = request::next(buf).map_err(|_| io::ErrorKind::InvalidData)? {
            if let [name, option, lsn] = &args[..]
                && let (true, true, Some(lsn)) = (is(name, "REPLCONF"), is(option, "ACK"), number(lsn))
            {
                attachment.set_acked(flow, lsn);
            }
        }
        if reader.read_buf(buf).await? == 0 {
            return Ok(());
        }
    }
}

fn number(text: impl AsRef<[u8]>) -> Option<u64> {
    std::str::from_utf8(text.as_ref()).ok()?.parse().ok()
}

fn unknown(name: &str) -> Reply {
    Reply::Error(format!("ERR unknown command `{name}`"))
}

fn err(text: &str) -> Reply {
    Reply::Error(format!("ERR {text}"))
}
