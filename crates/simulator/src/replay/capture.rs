//! Recordings as `record.py` writes them.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;

use super::contents::Contents;
use super::records;
use super::script::{FlowScript, Held, Script, Style};
use crate::Error;

/// EOF opcode and checksum in front of the token: FF and eight zero bytes (v1.40.1 `RdbSaver::SaveEpilog`).
const EOF: [u8; 9] = [0xFF, 0, 0, 0, 0, 0, 0, 0, 0];
/// JOURNAL_OFFSET and its LSN.
const OFFSET_LEN: usize = 9;

/// A recorded attachment: `meta.json` and the bytes of every flow.
#[derive(Debug, Clone)]
pub struct Capture {
    script: Script,
    before: Option<Contents>,
    after: Option<Contents>,
}

#[derive(Deserialize)]
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
    flow_replies: Vec<Vec<Exchange>>,
}

/// One request of the recorded replica and its reply.
#[derive(Deserialize)]
struct Exchange {
    sent: Vec<String>,
    reply: serde_json::Value,
}

impl Capture {
    /// From `meta.json` and the contents of `flow-0.bin`, `flow-1.bin`, ... (already decompressed).
    ///
    /// # Errors
    /// [`Error::Capture`] when the description does not fit the flows.
    pub fn from_parts(meta: &[u8], flows: Vec<Bytes>) -> Result<Capture, Error> {
        let meta: Meta = serde_json::from_slice(meta).map_err(|e| Error::Capture(e.to_string()))?;
        let counts =
            [meta.kinds.len(), meta.eof_tokens.len(), meta.next_lsn_at_end.len(), meta.flow_replies.len()];
        if meta.flows == 0 || flows.len() != meta.flows || counts.iter().any(|&n| n != meta.flows) {
            return Err(wrong(format!("{} flows of {}", flows.len(), meta.flows)));
        }
        let partial = match meta.kinds.iter().filter(|kind| *kind == "PARTIAL").count() {
            0 => false,
            n if n == meta.flows => true,
            n => return Err(wrong(format!("{n} of {} flows are PARTIAL", meta.flows))),
        };
        let greeting =
            meta.control.iter().find(|e| e.sent.get(1..) == Some(&["capa", "dragonfly"].map(str::to_owned)));
        let greeting = greeting.and_then(|e| e.reply.as_array()).ok_or_else(|| wrong("no greeting"))?;
        let lineage = greeting.len() > 4;
        let first_sync = meta.sync_id.strip_prefix("SYNC").and_then(|n| n.parse().ok());
        let mut scripts = Vec::with_capacity(flows.len());
        let mut framed = 0;
        for (id, bytes) in flows.into_iter().enumerate() {
            let token = meta.eof_tokens[id].clone();
            let asked = meta.flow_replies[id].first().and_then(|e| e.sent.get(5)?.parse().ok());
            let next_lsn = [meta.next_lsn_at_end[id]; 2];
            let frame = Frame::find(&bytes, &token, next_lsn[1]);
            framed += usize::from(frame.is_some());
            let Frame { first_part: sync_end, end: journal_at } = frame.unwrap_or_default();
            if records::starts(&bytes[journal_at..]).is_none() {
                return Err(wrong(format!("flow {id} does not end with a journal")));
            }
            let gate = bytes.len();
            scripts.push(FlowScript { token, bytes, sync_end, gate, journal_at, asked, next_lsn });
        }
        let style = match (partial, framed) {
            (true, 0) => Style::PartialJournal,
            (false, n) if n == scripts.len() => Style::Full,
            (true, n) if n == scripts.len() => Style::PartialRdb,
            (_, n) => return Err(wrong(format!("{n} of {} flows have an EOF token", scripts.len()))),
        };
        if partial && scripts.iter().any(|flow| flow.asked.is_none()) {
            return Err(wrong("a PARTIAL flow without the LSN asked for"));
        }
        let script = Script {
            replid: meta.replid,
            first_sync: first_sync.ok_or_else(|| wrong("the sync id has no number"))?,
            ordinal: meta.protocol_version,
            lineage,
            release: meta.dragonfly_version,
            style,
            flows: scripts,
            keyspace: BTreeMap::new(),
            held: Held::Unknown,
        };
        Ok(Capture { script, before: None, after: None })
    }

    /// From a directory with `meta.json` and uncompressed `flow-N.bin` files; `before.jsonl` and `after.jsonl` are
    /// read where they are there.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::Capture`].
    pub fn read_dir(dir: &Path) -> Result<Capture, Error> {
        let read = |name: &str| {
            let path = dir.join(name);
            std::fs::read(&path).map_err(|source| Error::Read { path: path.display().to_string(), source })
        };
        let meta = read("meta.json")?;
        let flows: Meta = serde_json::from_slice(&meta).map_err(|e| Error::Capture(e.to_string()))?;
        let flows = (0..flows.flows).map(|id| read(&format!("flow-{id}.bin")).map(Bytes::from));
        let mut capture = Capture::from_parts(&meta, flows.collect::<Result<_, _>>()?)?;
        if dir.join("before.jsonl").exists() {
            capture = capture.with_before(&read("before.jsonl")?)?;
        }
        if dir.join("after.jsonl").exists() {
            capture = capture.with_after(&read("after.jsonl")?)?;
        }
        Ok(capture)
    }

    /// Contents of `before.jsonl`: what `INFO keyspace` answers, and commands that read where there is no `after.jsonl`.
    ///
    /// # Errors
    /// [`Error::Capture`] when a line is not one of a listing.
    pub fn with_before(mut self, jsonl: &[u8]) -> Result<Capture, Error> {
        self.before = Some(Contents::parse(jsonl)?);
        Ok(self)
    }

    /// Contents of `after.jsonl`: what commands that read answer, and `INFO keyspace` where there is no `before.jsonl`.
    ///
    /// # Errors
    /// [`Error::Capture`] when a line is not one of a listing.
    pub fn with_after(mut self, jsonl: &[u8]) -> Result<Capture, Error> {
        self.after = Some(Contents::parse(jsonl)?);
        Ok(self)
    }

    /// Number of flows.
    pub fn flows(&self) -> usize {
        self.script.flows.len()
    }

    /// The bytes of one flow, after the reply to `DFLY FLOW`.
    pub fn flow(&self, flow: usize) -> &Bytes {
        &self.script.flows[flow].bytes
    }

    /// The replication id of the recorded master.
    pub fn replication_id(&self) -> &str {
        &self.script.replid
    }

    /// The next LSN that each flow has at the end of the recording.
    pub fn next_lsns(&self) -> Vec<u64> {
        self.script.flows.iter().map(|flow| flow.next_lsn[1]).collect()
    }

    /// Number of bytes of one flow that go out at DFLY SYNC, the rest at STARTSTABLE; 0 where there is no DFLY SYNC.
    pub fn stable_at(&self, flow: usize) -> usize {
        self.script.flows[flow].sync_end
    }

    pub(super) fn into_script(self) -> Script {
        let Capture { mut script, before, after } = self;
        let first = before.as_ref().or(after.as_ref());
        script.keyspace = first.map(Contents::keyspace).unwrap_or_default();
        script.held = after.or(before).map_or(Held::Unknown, Held::Recorded);
        script
    }
}

/// The RDB part of a flow; nothing of it where the flow is a journal from its first byte.
#[derive(Default)]
struct Frame {
    /// How much goes out at DFLY SYNC: up to JOURNAL_OFFSET where that stands raw in front of the EOF opcode, up to the
    /// EOF opcode where a compressed blob holds it. EOF and token are never compressed.
    first_part: usize,
    /// Behind the token.
    end: usize,
}

impl Frame {
    fn find(bytes: &[u8], token: &str, last_lsn: u64) -> Option<Frame> {
        let epilog = [&EOF, token.as_bytes()].concat();
        let eof = bytes.windows(epilog.len()).position(|window| window == epilog)?;
        let offset = eof.checked_sub(OFFSET_LEN).and_then(|at| Some((at, bytes[at..eof].split_first()?)));
        let lsn = |bytes: &[u8]| bytes.iter().rev().fold(0, |n: u64, &b| n << 8 | u64::from(b));
        let first_part = match offset {
            Some((at, (0xD3, rest))) if lsn(rest) <= last_lsn => at,
            _ => eof,
        };
        Some(Frame { first_part, end: eof + epilog.len() })
    }
}

fn wrong(what: impl Into<String>) -> Error {
    Error::Capture(what.into())
}
