//! The reply to `REPLCONF capa dragonfly`.

use resp::Reply;

use crate::release::{Release, ResumeStyle};

/// Most flows a master can have (v1.40.1 `replica.cc` refuses more).
const MAX_FLOWS: i64 = 1024;

/// What a master says about itself when a replica introduces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The master's replication id: 40 lower-case hex digits, new with every process start.
    pub replid: String,
    /// Names this attachment in all DFLY commands: `SYNC` and a number.
    pub sync_id: String,
    /// Number of flows to open: one per shard (threads before 1.4), 1 to 1024.
    pub flows: usize,
    /// Ordinal of the protocol version; absent before 1.4.
    pub version: Option<u32>,
    /// Replication id of the root master (1.40 and later); equals `replid` unless the master is itself a replica.
    pub lineage: Option<String>,
    /// The release; unknown for custom builds and for users who may run neither INFO nor HELLO.
    pub release: Option<Release>,
    /// Whether the master called itself a release that is not numbered, such as `df-dev`.
    pub custom_build: bool,
}

impl Greeting {
    /// Reads the array of 3, 4, or 5 elements; more are left unread, for later releases.
    pub(crate) fn parse(reply: &Reply) -> Result<Greeting, String> {
        let items = reply.as_array().ok_or("not an array")?;
        let [replid, sync_id, flows, rest @ ..] = items else {
            return Err(format!("{} elements instead of at least 3", items.len()));
        };
        let replid = hex_id(replid).ok_or("the replication id is not 40 hex digits")?;
        let sync_id =
            sync_id.as_str().filter(|id| is_sync_id(id)).ok_or("the sync id is not SYNC<number>")?;
        let flows = flows
            .as_integer()
            .filter(|n| (1..=MAX_FLOWS).contains(n))
            .and_then(|n| usize::try_from(n).ok())
            .ok_or("the number of flows is not in 1..=1024")?;
        let version = match rest.first() {
            None => None,
            Some(v) => {
                let ordinal = v.as_integer().and_then(|n| u32::try_from(n).ok());
                Some(ordinal.ok_or("the version is not a number")?)
            }
        };
        let lineage = match rest.get(1) {
            None => None,
            Some(id) => Some(hex_id(id).ok_or("the lineage id is not 40 hex digits")?),
        };
        let sync_id = sync_id.to_owned();
        Ok(Greeting { replid, sync_id, flows, version, lineage, release: None, custom_build: false })
    }

    /// How this master resumes: by its release, else as the newest does, else by the ordinal.
    pub fn resume_style(&self) -> ResumeStyle {
        match self.release {
            Some(release) => release.resume_style(),
            None if self.custom_build => ResumeStyle::Journal,
            None => ResumeStyle::from_ordinal(self.version),
        }
    }
}

fn hex_id(reply: &Reply) -> Option<String> {
    let id = reply.as_str()?;
    let hex = id.len() == 40 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    hex.then(|| id.to_owned())
}

fn is_sync_id(id: &str) -> bool {
    id.len() <= 24
        && id.strip_prefix("SYNC").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}
