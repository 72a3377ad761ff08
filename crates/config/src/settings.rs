//! The validated configuration.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

use crate::address::{self, Address};
use crate::{Filter, Mapping, Warning};

/// Everything the operator decides. Validated: consumers need not check anything again.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the data comes from.
    pub source: Source,
    /// Where the data goes.
    pub target: Target,
    /// Which database goes where.
    pub mapping: Mapping,
    /// What is replicated at all.
    pub filter: Filter,
    /// Where and how often progress is kept.
    pub checkpoint: Checkpoint,
    /// What may be held back while the target is slow.
    pub spool: Spool,
    /// How far a repair goes.
    pub repair: Repair,
    /// What happens where the target holds a key already.
    pub conflict: Conflict,
    /// What the target is spared.
    pub limits: Limits,
    /// What this replication is called; letters, digits and `._:-`, at most 64.
    pub task_name: Option<String>,
    /// Where the status is written as JSON every few seconds.
    pub status_file: Option<PathBuf>,
    /// What becomes of values that the target cannot hold as they are.
    pub types: Types,
    /// The HTTP status page.
    pub dashboard: Dashboard,
    /// What is logged.
    pub logging: Logging,
    /// What the operator should know although the configuration is used.
    pub warnings: Vec<Warning>,
}

/// The `source` section: a Dragonfly master.
#[derive(Debug, Clone)]
pub struct Source {
    /// At least one. The one that is a master is used.
    pub addrs: Vec<Address>,
    /// ACL user.
    pub username: Option<String>,
    /// Password of that user, or of the default user.
    pub password: Option<SecretString>,
    /// `None`: plain TCP.
    pub tls: Option<Tls>,
    /// The port this replica announces to the master (`REPLCONF listening-port`, shown there by `INFO replication`).
    pub listening_port: Option<u16>,
    /// Records of each flow that the source keeps for replicas that come back (its `--shard_repl_backlog_len`), for a source
    /// that does not tell.
    pub backlog_records: Option<u64>,
}

/// The `target` section: Redis, Valkey or a Redis Cluster.
#[derive(Debug, Clone)]
pub struct Target {
    /// What kind of server is expected.
    pub kind: TargetType,
    /// At least one; exactly one for a standalone server.
    pub addrs: Vec<Address>,
    /// ACL user.
    pub username: Option<String>,
    /// Password of that user, or of the default user.
    pub password: Option<SecretString>,
    /// `None`: plain TCP.
    pub tls: Option<Tls>,
    /// What a first full sync does with data it finds.
    pub on_existing_data: ExistingData,
    /// What the target acknowledged longer ago than this is taken for safe from a failover of a node whose replica's
    /// offset cannot be known.
    pub loss_window: Duration,
}

impl Target {
    /// Where `target.loss_window` is not given.
    pub const LOSS_WINDOW: Duration = Duration::from_secs(10);
}

/// What kind of target is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetType {
    /// A Redis Cluster.
    Cluster,
    /// One server without cluster mode.
    Standalone,
    /// Whatever answers.
    Auto,
}

/// What a first full sync does with data that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExistingData {
    /// Stop and say so.
    Refuse,
    /// Empty the target first.
    Flush,
    /// Write over it and leave the rest.
    Merge,
    /// Write over it, then remove what the source lacks.
    Reconcile,
}

/// `conflict.policy`: what a first full sync does where the target holds a key of the same name already. Never about keys
/// that were written under the checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Conflict {
    /// The key is written over.
    #[default]
    Overwrite,
    /// The target's key stays as it is, and the source's is left out from then on.
    Skip,
    /// The run ends.
    Panic,
}

/// The `limits` section.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Commands per second to the target, over all its nodes; 0: no limit.
    pub qps: u64,
}

/// How a TLS connection is verified. Files existed when the configuration was loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates (PEM) that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Client certificate (PEM); always together with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// Key (PEM) of the client certificate.
    pub key_file: Option<PathBuf>,
    /// Name the server's certificate must carry; `None`: the host of the address.
    pub server_name: Option<String>,
}

/// The `checkpoint` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Directory of the store; relative to the working directory.
    pub dir: PathBuf,
    /// At most this long between two durable checkpoints while records arrive.
    pub interval: Duration,
}

impl Default for Checkpoint {
    fn default() -> Checkpoint {
        Checkpoint { dir: PathBuf::from("./checkpoint"), interval: Duration::from_secs(5) }
    }
}

/// The `spool` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    /// Bytes in memory, over all flows.
    pub memory: u64,
    /// Bytes on disk, over all flows; 0: none.
    pub disk: u64,
    /// What happens when both are used up.
    pub when_full: WhenFull,
}

impl Default for Spool {
    fn default() -> Spool {
        Spool { memory: 256 << 20, disk: 8 << 30, when_full: WhenFull::Stall }
    }
}

/// What happens when the spool is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The source's sockets are not read any more; the source stalls its writers.
    Stall,
    /// The link is dropped; what the source cannot send again later is reconciled.
    Drop,
}

/// The `repair` section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repair {
    /// Last resort for a key that is never quiet between two reads: `CLIENT PAUSE <this> WRITE` at the source. `None`:
    /// never.
    pub pause_writes: Option<Duration>,
}

/// The `types` section: values that the target cannot hold, or not as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Types {
    /// JSON documents.
    pub json: JsonType,
    /// Expiry of single hash fields, on targets that have none.
    pub hash_field_ttl: MemberTtl,
    /// Expiry of single set members.
    pub set_member_ttl: MemberTtl,
    /// Bloom filters.
    pub bloom: Foreign,
    /// Cuckoo filters.
    pub cuckoo: Foreign,
    /// Count-min sketches.
    pub cms: Foreign,
    /// Top-K lists.
    pub topk: Foreign,
}

/// What becomes of a JSON document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JsonType {
    /// A document of the target's JSON module; without a module it is passed over and reported.
    #[default]
    Module,
    /// A string that holds the text.
    Text,
    /// Passed over and reported.
    Skip,
    /// A document of the target's JSON module; without a module the run ends.
    Fail,
}

/// What becomes of a member's expiry that the target cannot hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MemberTtl {
    /// The member is kept without it, and the key is reported.
    #[default]
    Drop,
    /// The member is removed when it has expired at the source.
    Expire,
    /// The run ends.
    Fail,
}

/// What becomes of a value in an encoding of the source's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Foreign {
    /// Passed over and reported.
    #[default]
    Skip,
    /// The run ends.
    Fail,
}

/// The `dashboard` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dashboard {
    /// Where to listen; `None`: off.
    pub addr: Option<Address>,
}

impl Default for Dashboard {
    fn default() -> Dashboard {
        Dashboard { addr: Some(Address { host: "127.0.0.1".into(), port: 8080 }) }
    }
}

impl FromStr for Dashboard {
    type Err = String;

    /// `host:port` (port 0: any free one), `:port` on all interfaces, or nothing for off.
    fn from_str(text: &str) -> Result<Dashboard, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Dashboard { addr: None });
        }
        let everywhere = text.strip_prefix(':').map(|port| format!("0.0.0.0:{port}"));
        match address::parse(everywhere.as_deref().unwrap_or(text), None) {
            Ok(address) => Ok(Dashboard { addr: Some(address) }),
            Err(wrong) => Err(wrong.to_string()),
        }
    }
}

/// The `logging` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// Least important level that is shown.
    pub level: Level,
    /// Shape of a line.
    pub format: LogFormat,
    /// A file beside stderr; its directory existed when the configuration was loaded.
    pub file: Option<PathBuf>,
    /// Whether stderr gets the lines; always without a file.
    pub console: bool,
}

impl Default for Logging {
    fn default() -> Logging {
        Logging { level: Level::Info, format: LogFormat::Text, file: None, console: true }
    }
}

/// Log levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Every step.
    Trace,
    /// What a developer asks for.
    Debug,
    /// What an operator reads.
    Info,
    /// What an operator should look at.
    Warn,
    /// What an operator must look at.
    Error,
}

/// Shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}
