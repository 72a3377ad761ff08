//! The recorded streams of real Dragonfly masters under `tests/captures/`.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::logical::{Contents, latin1, parse_jsonl};

/// What `meta.json` says about a recording.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Meta {
    /// Name of the scenario.
    pub scenario: String,
    /// As the master reported it, e.g. `df-v1.40.1`.
    pub dragonfly_version: String,
    /// Replication id.
    pub replid: String,
    /// Session id, e.g. `SYNC1`.
    pub sync_id: String,
    /// Number of flows.
    pub flows: usize,
    /// `FULL` or `PARTIAL` per flow.
    pub kinds: Vec<String>,
    /// Protocol version from the greeting.
    pub protocol_version: u32,
    /// EOF token per flow.
    pub eof_tokens: Vec<String>,
    /// Bytes of each flow before the live writes began.
    pub bytes_before_live_writes: Vec<u64>,
    /// The next LSN each flow must have reached at the end.
    pub next_lsn_at_end: Vec<u64>,
}

/// The LSNs a resume asked for (`first.json`).
#[derive(Debug, Clone, serde::Deserialize)]
pub struct First {
    /// Replication id of the first attachment.
    pub replid: String,
    /// LSN asked for per flow.
    pub next_lsns: Vec<u64>,
}

/// One recording.
#[derive(Debug, Clone)]
pub struct Capture {
    /// `v1.40.1`.
    pub version: String,
    /// `types`, `commands`, ...
    pub scenario: String,
    /// `meta.json`.
    pub meta: Meta,
    /// All bytes of each flow after the reply to `DFLY FLOW`.
    pub flows: Vec<Vec<u8>>,
    /// Contents when the snapshot started, if recorded.
    pub before: Option<Contents>,
    /// Contents at the end, if anything was written.
    pub after: Option<Contents>,
    /// The commands of the stable sync as the client sent them: database, then the words. A refused one ends
    /// with a word `ERR ...`; a transaction is `MULTI/EXEC` with one word per command.
    pub journal: Vec<(u32, Vec<Vec<u8>>)>,
    /// Only for `resume`.
    pub first: Option<First>,
}

impl Capture {
    /// What a faithful replica holds at the end: `after`, else `before`, else nothing.
    pub fn expected(&self) -> Contents {
        self.after.clone().or_else(|| self.before.clone()).unwrap_or_default()
    }
}

/// Where the captures are.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

/// Version and scenario of every capture there is, sorted.
pub fn all() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for version in subdirectories(&root()) {
        for scenario in subdirectories(&root().join(&version)) {
            found.push((version.clone(), scenario));
        }
    }
    found
}

/// Loads one capture, e.g. `load("v1.40.1", "types")`.
pub fn load(version: &str, scenario: &str) -> Capture {
    let dir = root().join(version).join(scenario);
    let meta: Meta = json(&dir, "meta.json").unwrap_or_else(|| panic!("no capture {version}/{scenario}"));
    let flow = |id: usize| bytes(&dir, &format!("flow-{id}.bin")).unwrap_or_else(|| panic!("no flow {id}"));
    let journal = bytes(&dir, "journal.txt").unwrap_or_default();
    Capture {
        version: version.to_owned(),
        scenario: scenario.to_owned(),
        flows: (0..meta.flows).map(flow).collect(),
        before: bytes(&dir, "before.jsonl").map(|text| parse_jsonl(&text)),
        after: bytes(&dir, "after.jsonl").map(|text| parse_jsonl(&text)),
        journal: String::from_utf8(journal)
            .expect("json lines are UTF-8")
            .lines()
            .map(journal_line)
            .collect(),
        first: json(&dir, "first.json"),
        meta,
    }
}

/// One file of a capture as it was recorded, e.g. `file("v1.40.1", "types", "meta.json")`; `None` if there is none.
pub fn file(version: &str, scenario: &str, name: &str) -> Option<Vec<u8>> {
    bytes(&root().join(version).join(scenario), name)
}

fn journal_line(line: &str) -> (u32, Vec<Vec<u8>>) {
    let row: Vec<serde_json::Value> = serde_json::from_str(line).expect("a line of journal.txt is an array");
    let db = row[0].as_u64().and_then(|db| u32::try_from(db).ok()).expect("the first item is a database");
    (db, row[1..].iter().map(|word| latin1(word.as_str().expect("the others are words"))).collect())
}

fn json<T: DeserializeOwned>(dir: &Path, name: &str) -> Option<T> {
    let text = bytes(dir, name)?;
    Some(serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{name} in {}: {e}", dir.display())))
}

/// The file, or its compressed form.
fn bytes(dir: &Path, name: &str) -> Option<Vec<u8>> {
    if let Ok(plain) = std::fs::read(dir.join(name)) {
        return Some(plain);
    }
    let packed = std::fs::read(dir.join(format!("{name}.zst"))).ok()?;
    Some(
        zstd::decode_all(packed.as_slice())
            .unwrap_or_else(|e| panic!("{name}.zst in {}: {e}", dir.display())),
    )
}

fn subdirectories(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("a directory can be listed"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
