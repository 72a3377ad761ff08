//! A master that sends what a real one sent.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use crate::Error;
use crate::script::{Cut, ReplayHandle, Script, ScriptFlow};

/// What `meta.json` says, as far as a replay needs it.
#[derive(Debug, Clone, Deserialize)]
struct Meta {
    dragonfly_version: String,
    replid: String,
    sync_id: String,
    flows: usize,
    kinds: Vec<String>,
    protocol_version: i64,
    eof_tokens: Vec<String>,
    next_lsn_at_end: Vec<u64>,
    control: Vec<Exchange>,
}

/// One line of the control connection's transcript.
#[derive(Debug, Clone, Deserialize)]
struct Exchange {
    sent: Vec<String>,
    reply: serde_json::Value,
}

/// A recorded attachment: `meta.json` and the bytes of every flow.
#[derive(Debug, Clone)]
pub struct Capture {
    meta: Meta,
    flows: Vec<Bytes>,
    keyspace: BTreeMap<u16, (usize, usize)>,
}

impl Capture {
    /// From `meta.json` and the contents of `flow-0.bin`, `flow-1.bin`, ... (already decompressed).
    ///
    /// # Errors
    /// [`Error::Capture`] when the description does not fit the flows.
    pub fn from_parts(meta: &[u8], flows: Vec<Bytes>) -> Result<Capture, Error> {
        let meta: Meta = serde_json::from_slice(meta).map_err(|e| Error::Capture(e.to_string()))?;
        let n = meta.flows;
        if [flows.len(), meta.kinds.len(), meta.eof_tokens.len(), meta.next_lsn_at_end.len()] != [n; 4] {
            return Err(Error::Capture(format!("{n} flows are announced, {} are there", flows.len())));
        }
        Ok(Capture { meta, flows, keyspace: BTreeMap::new() })
    }

    /// From a directory with `meta.json` and uncompressed `flow-N.bin` files; `before.jsonl` is used when it is there.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::Capture`].
    pub fn read_dir(dir: &Path) -> Result<Capture, Error> {
        let read = |name: &str| {
            let path = dir.join(name);
            std::fs::read(&path).map_err(|source| Error::Read { path: path.display().to_string(), source })
        };
        let meta = read("meta.json")?;
        let announced: Meta = serde_json::from_slice(&meta).map_err(|e| Error::Capture(e.to_string()))?;
        let flow = |i| read(&format!("flow-{i}.bin")).map(Bytes::from);
        let capture = Capture::from_parts(&meta, (0..announced.flows).map(flow).collect::<Result<_, _>>()?)?;
        match read("before.jsonl") {
            Ok(before) => capture.with_before(&before),
            Err(_) => Ok(capture),
        }
    }

    /// Takes the contents of `before.jsonl` for `INFO keyspace` and DBSIZE.
    ///
    /// # Errors
    /// [`Error::Capture`] when a line is not what `record.py` writes.
    pub fn with_before(mut self, jsonl: &[u8]) -> Result<Capture, Error> {
        #[derive(Deserialize)]
        struct Line {
            db: u16,
            expire_at_ms: Option<u64>,
        }
        for line in jsonl.split(|&b| b == b'\n').filter(|l| !l.is_empty()) {
            let line: Line = serde_json::from_slice(line).map_err(|e| Error::Capture(e.to_string()))?;
            let counts = self.keyspace.entry(line.db).or_default();
            counts.0 += 1;
            counts.1 += usize::from(line.expire_at_ms.is_some());
        }
        Ok(self)
    }

    /// Number of flows.
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// The bytes of one flow, after the reply to `DFLY FLOW`.
    pub fn flow(&self, flow: usize) -> &Bytes {
        &self.flows[flow]
    }

    /// The replication id of the recorded master.
    pub fn replication_id(&self) -> &str {
        &self.meta.replid
    }

    /// The LSN every flow must have reached at the end.
    pub fn next_lsns(&self) -> &[u64] {
        &self.meta.next_lsn_at_end
    }

    /// Where the part that only STARTSTABLE releases begins: behind FULLSYNC_END, or behind the compressed blob
    /// that ends with it. 0 for a journal-style partial sync.
    pub fn stable_at(&self, flow: usize) -> Result<usize, Error> {
        if !self.has_snapshot() {
            return Ok(0);
        }
        let bytes = &self.flows[flow];
        let mut end = vec![0xFF];
        end.extend_from_slice(&[0; 8]);
        end.extend_from_slice(self.meta.eof_tokens[flow].as_bytes());
        let eof = rfind(bytes, &end).ok_or_else(|| Error::Capture(format!("flow {flow} has no EOF")))?;
        let mut cut = vec![0xC8];
        cut.extend_from_slice(&[0; 8]);
        if let Some(at) = rfind(&bytes[..eof], &cut) {
            return Ok(at + cut.len());
        }
        // Inside a blob: the last one whose contents end with it.
        const LZ4: [u8; 4] = [0x04, 0x22, 0x4D, 0x18];
        let mut until = eof;
        while let Some(at) = rfind(&bytes[..until], &LZ4) {
            let mut rest = &bytes[at..eof];
            let mut raw = Vec::new();
            if lz4_flex::frame::FrameDecoder::new(&mut rest).read_to_end(&mut raw).is_ok()
                && raw.ends_with(&cut)
            {
                return Ok(eof - rest.len());
            }
            until = at;
        }
        // Another compression: let the end of the stream be all that is held back.
        Ok(eof)
    }

    fn has_snapshot(&self) -> bool {
        self.flows.iter().any(|f| f.starts_with(b"REDIS"))
    }

    fn script(&self) -> Result<Script, Error> {
        let flows = (0..self.flows.len())
            .map(|i| {
                let at = self.stable_at(i)?;
                let bytes = &self.flows[i];
                Ok(ScriptFlow {
                    token: self.meta.eof_tokens[i].clone(),
                    snapshot: vec![bytes.slice(..at)],
                    stable: vec![bytes.slice(at..)],
                })
            })
            .collect::<Result<_, Error>>()?;
        let greeting = self.meta.control.iter().find(|e| e.sent.last().is_some_and(|w| w == "dragonfly"));
        let elements = greeting.and_then(|e| e.reply.as_array()).map_or(4, Vec::len);
        Ok(Script {
            replid: self.meta.replid.clone(),
            version: self.meta.dragonfly_version.clone(),
            ordinal: self.meta.protocol_version,
            lineage: elements > 4,
            first_sync_id: self.meta.sync_id.strip_prefix("SYNC").and_then(|n| n.parse().ok()).unwrap_or(1),
            partial: self.meta.kinds.iter().any(|k| k == "PARTIAL"),
            wants_sync: self.has_snapshot(),
            flows,
            next_lsns: self.meta.next_lsn_at_end.clone(),
            keyspace: self.keyspace.clone(),
            pacing: Pacing::default(),
            cuts: Vec::new(),
            stalls: Vec::new(),
        })
    }
}

/// Where `what` last stands in `bytes`.
fn rfind(bytes: &[u8], what: &[u8]) -> Option<usize> {
    (0..(bytes.len() + 1).checked_sub(what.len())?).rev().find(|&i| bytes[i..].starts_with(what))
}

/// How fast a flow's bytes go out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pacing {
    /// Bytes per write; 0 writes everything at once.
    pub piece: usize,
    /// Pause after each write.
    pub pause: Duration,
}

/// A replaying master; see [`ReplayBuilder`].
#[derive(Debug)]
pub struct Replay;

impl Replay {
    /// Replays `capture` without pauses or cuts on a free port of the loopback interface.
    pub fn builder(capture: Capture) -> ReplayBuilder {
        ReplayBuilder {
            capture,
            bind: "127.0.0.1:0".to_owned(),
            pacing: Pacing::default(),
            cuts: Vec::new(),
            stalls: Vec::new(),
        }
    }
}

/// Settings of a replaying master.
///
/// It answers the handshake as the recorded master did (PARTIAL to a request with an LSN when the capture is of a partial
/// sync), sends everything up to FULLSYNC_END on DFLY SYNC and the rest on DFLY STARTSTABLE. Every attachment gets
/// the same bytes. Data commands are not answered.
#[derive(Debug, Clone)]
pub struct ReplayBuilder {
    capture: Capture,
    bind: String,
    pacing: Pacing,
    cuts: Vec<Cut>,
    stalls: Vec<(usize, u64)>,
}

impl ReplayBuilder {
    /// Address to listen on.
    pub fn bind(mut self, addr: impl Into<String>) -> Self {
        self.bind = addr.into();
        self
    }

    /// How fast bytes go out, on every flow.
    pub fn pacing(mut self, pacing: Pacing) -> Self {
        self.pacing = pacing;
        self
    }

    /// Closes the attachment after exactly `bytes` bytes of flow `flow`, the first `times` times. Several cuts of one
    /// flow are used up in the order given, one per attachment.
    pub fn cut(mut self, flow: usize, bytes: u64, times: usize) -> Self {
        self.cuts.push(Cut { flow, bytes, times });
        self
    }

    /// Stops sending on `flow` after `bytes` bytes, without closing it, until [`ReplayHandle::resume`].
    pub fn stall(mut self, flow: usize, bytes: u64) -> Self {
        self.stalls.push((flow, bytes));
        self
    }

    /// Starts listening.
    ///
    /// # Errors
    /// [`Error::Bind`] when the address is taken, [`Error::Capture`] when a flow has no end of its snapshot.
    pub async fn start(self) -> Result<ReplayHandle, Error> {
        let script =
            Script { pacing: self.pacing, cuts: self.cuts, stalls: self.stalls, ..self.capture.script()? };
        ReplayHandle::start(script, &self.bind).await
    }
}
