//! A client and a replica of few words, so that the tests do not depend on the rooms under construction above
//! the decoders.
#![allow(dead_code, unreachable_pub)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use journal::{Entry, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, PartialEq)]
pub enum Resp {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Bytes),
    Nil,
    Array(Vec<Resp>),
}

impl Resp {
    pub fn ok() -> Resp {
        Resp::Simple("OK".to_owned())
    }

    pub fn text(&self) -> String {
        match self {
            Resp::Simple(s) | Resp::Error(s) => s.clone(),
            Resp::Int(n) => n.to_string(),
            Resp::Bulk(b) => String::from_utf8_lossy(b).into_owned(),
            other => panic!("no text: {other:?}"),
        }
    }

    pub fn items(&self) -> &[Resp] {
        match self {
            Resp::Array(items) => items,
            other => panic!("no array: {other:?}"),
        }
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Resp::Error(_))
    }
}

pub struct Client {
    socket: TcpStream,
    buf: BytesMut,
}

impl Client {
    pub async fn open(addr: SocketAddr) -> Client {
        Client { socket: TcpStream::connect(addr).await.unwrap(), buf: BytesMut::new() }
    }

    pub async fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        let mut out = format!("*{}\r\n", args.len()).into_bytes();
        for a in args {
            out.extend_from_slice(format!("${}\r\n", a.as_ref().len()).as_bytes());
            out.extend_from_slice(a.as_ref());
            out.extend_from_slice(b"\r\n");
        }
        self.socket.write_all(&out).await.unwrap();
    }

    pub async fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Resp {
        self.send(args).await;
        self.reply().await.expect("the master closed the connection")
    }

    pub async fn reply(&mut self) -> Option<Resp> {
        tokio::time::timeout(PATIENCE, Box::pin(self.read())).await.expect("no reply in time")
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(n) = self.buf.windows(2).position(|w| w == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buf[..n]).into_owned();
                self.buf.advance(n + 2);
                return Some(line);
            }
            if self.socket.read_buf(&mut self.buf).await.ok()? == 0 {
                return None;
            }
        }
    }

    async fn read(&mut self) -> Option<Resp> {
        let line = self.line().await?;
        let (kind, rest) = line.split_at(1);
        Some(match kind {
            "+" => Resp::Simple(rest.to_owned()),
            "-" => Resp::Error(rest.to_owned()),
            ":" => Resp::Int(rest.parse().unwrap()),
            "$" if rest == "-1" => Resp::Nil,
            "*" if rest == "-1" => Resp::Nil,
            "$" => {
                let n: usize = rest.parse().unwrap();
                while self.buf.len() < n + 2 {
                    if self.socket.read_buf(&mut self.buf).await.ok()? == 0 {
                        return None;
                    }
                }
                let b = self.buf.split_to(n).freeze();
                self.buf.advance(2);
                Resp::Bulk(b)
            }
            "*" => {
                let mut items = Vec::new();
                for _ in 0..rest.parse::<usize>().unwrap() {
                    items.push(Box::pin(self.read()).await?);
                }
                Resp::Array(items)
            }
            other => panic!("unexpected reply {other}{rest}"),
        })
    }
}

/// One flow: what came in so far, and whether it ended.
#[derive(Default)]
pub struct FlowLog {
    pub bytes: Vec<u8>,
    pub closed: bool,
}

pub struct Replica {
    pub control: Client,
    pub sync_id: String,
    pub replid: String,
    pub version: i64,
    pub greeting: usize,
    pub kinds: Vec<String>,
    pub tokens: Vec<String>,
    pub flows: Vec<Arc<Mutex<FlowLog>>>,
    pub writers: Vec<OwnedWriteHalf>,
}

impl Replica {
    pub async fn attach(addr: SocketAddr, lsns: Option<&[u64]>) -> Replica {
        Replica::attach_as(addr, lsns, None).await
    }

    /// [`Replica::attach`] with a version to announce, in the place of the master's own.
    pub async fn attach_as(addr: SocketAddr, lsns: Option<&[u64]>, announced: Option<i64>) -> Replica {
        let mut control = Client::open(addr).await;
        assert_eq!(control.call(&["PING"]).await, Resp::Simple("PONG".into()));
        assert_eq!(control.call(&["REPLCONF", "listening-port", "6380"]).await, Resp::ok());
        assert_eq!(control.call(&["REPLCONF", "capa", "eof", "capa", "psync2"]).await, Resp::ok());
        let greeting = control.call(&["REPLCONF", "capa", "dragonfly"]).await;
        let g = greeting.items();
        let (replid, sync_id) = (g[0].text(), g[1].text());
        let (Resp::Int(n), Resp::Int(version)) = (&g[2], &g[3]) else { panic!("{greeting:?}") };
        assert_eq!(control.call(&["REPLCONF", "CLIENT-ID", "test"]).await, Resp::ok());
        let announced = announced.unwrap_or(*version).to_string();
        assert_eq!(control.call(&["REPLCONF", "CLIENT-VERSION", &announced]).await, Resp::ok());
        let (mut kinds, mut tokens, mut flows, mut writers) = (vec![], vec![], vec![], vec![]);
        for i in 0..*n as usize {
            let mut flow = Client::open(addr).await;
            let mut args =
                vec!["DFLY".to_owned(), "FLOW".into(), replid.clone(), sync_id.clone(), i.to_string()];
            args.extend(lsns.map(|l| l[i].to_string()));
            let reply = flow.call(&args).await;
            kinds.push(reply.items()[0].text());
            tokens.push(reply.items()[1].text());
            let log = Arc::new(Mutex::new(FlowLog { bytes: flow.buf.to_vec(), closed: false }));
            let (mut reader, writer) = flow.socket.into_split();
            writers.push(writer);
            flows.push(log.clone());
            tokio::spawn(async move {
                let mut buf = vec![0; 1 << 16];
                loop {
                    let n = reader.read(&mut buf).await.unwrap_or(0);
                    let mut log = log.lock().unwrap();
                    if n == 0 {
                        log.closed = true;
                        return;
                    }
                    log.bytes.extend_from_slice(&buf[..n]);
                }
            });
        }
        let version = *version;
        Replica { control, sync_id, replid, version, greeting: g.len(), kinds, tokens, flows, writers }
    }

    pub async fn sync(&mut self) -> Resp {
        let id = self.sync_id.clone();
        self.control.call(&["DFLY", "SYNC", &id]).await
    }

    pub async fn start_stable(&mut self) -> Resp {
        let id = self.sync_id.clone();
        self.control.call(&["DFLY", "STARTSTABLE", &id]).await
    }

    pub fn bytes(&self, flow: usize) -> Vec<u8> {
        self.flows[flow].lock().unwrap().bytes.clone()
    }

    /// The raw journal of a flow: what follows the EOF token, or everything where there was no snapshot.
    pub fn journal(&self, flow: usize) -> Option<Vec<u8>> {
        let bytes = self.bytes(flow);
        if !bytes.starts_with(b"REDIS") {
            return Some(bytes);
        }
        after_token(&bytes, &self.tokens[flow])
    }

    /// Full sync and on to stable sync; the snapshot is not looked at.
    pub async fn reach_stable(&mut self) {
        assert_eq!(self.sync().await, Resp::ok());
        assert_eq!(self.start_stable().await, Resp::ok());
        until("every token", || (0..self.flows.len()).all(|i| self.journal(i).is_some())).await;
    }

    pub async fn ack(&mut self, flow: usize, lsn: u64) {
        self.writers[flow].write_all(format!("REPLCONF ACK {lsn}\r\n").as_bytes()).await.unwrap();
    }
}

pub fn after_token(bytes: &[u8], token: &str) -> Option<Vec<u8>> {
    let mut end = vec![0xFF, 0, 0, 0, 0, 0, 0, 0, 0];
    end.extend_from_slice(token.as_bytes());
    let at = bytes.windows(end.len()).position(|w| w == end)?;
    Some(bytes[at + end.len()..].to_vec())
}

/// Waits for a condition.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "timed out waiting for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// All entries of a journal; panics on anything undecodable or on rest bytes.
pub fn entries(bytes: &[u8]) -> Vec<Entry> {
    let mut decoder = journal::Decoder::new(journal::Limits::default());
    decoder.feed(Bytes::copy_from_slice(bytes));
    let mut out = Vec::new();
    while let Some(e) = decoder.next().unwrap() {
        out.push(e);
    }
    assert_eq!(decoder.pending_bytes(), 0);
    out
}

/// The records of a journal, with every LSN op checked against `next`.
pub fn records(bytes: &[u8], mut next: u64) -> Vec<Record> {
    let mut out = Vec::new();
    for e in entries(bytes) {
        match e {
            Entry::Record(r) => {
                next += 1;
                out.push(r);
            }
            Entry::Ping => next += 1,
            Entry::Lsn(n) => assert_eq!(n, next - 1, "LSN op"),
            other => panic!("unexpected {other:?}"),
        }
    }
    out
}

/// The captures: in the repository (`.zst`), or where `CAPTURES_DIR` points (plain).
pub fn capture_dir(name: &str) -> Option<PathBuf> {
    let mut roots = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures")];
    roots.extend(std::env::var_os("CAPTURES_DIR").map(PathBuf::from));
    roots
        .into_iter()
        .map(|r| r.join(name))
        .find(|d| d.join("meta.json").exists() || d.join("meta.json.zst").exists())
}

pub fn capture_file(capture: &str, file: &str) -> Option<Vec<u8>> {
    let dir = capture_dir(capture)?;
    if let Ok(bytes) = std::fs::read(dir.join(file)) {
        return Some(bytes);
    }
    let packed = std::fs::read(dir.join(format!("{file}.zst"))).ok()?;
    Some(zstd::decode_all(&packed[..]).unwrap())
}

pub fn capture(name: &str) -> simulator::Capture {
    let meta = capture_file(name, "meta.json").unwrap_or_else(|| panic!("no capture {name}"));
    let flows = (0..).map_while(|i| capture_file(name, &format!("flow-{i}.bin"))).map(Bytes::from).collect();
    simulator::Capture::from_parts(&meta, flows).unwrap()
}

pub mod dragonfly;
pub mod follow;
pub mod target;
