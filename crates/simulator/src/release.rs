//! The Dragonfly releases the simulator can be, and what tells them apart on the wire: one table.
//!
//! Each row is a class of releases that behave alike towards a replica, and says only what is new in it. What a row does
//! not say is as in the row before. Facts: Dragonfly's sources at the tags named (`git show <tag>:src/server/<file>`);
//! v1.34.0 and v1.40.1 also from recorded bytes.

/// Which releases' behaviour is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Release {
    /// 1.0 to 1.3: a greeting without a version.
    V1_3,
    /// 1.4 to 1.10: flows without an LSN.
    V1_10,
    /// 1.11 to 1.14.0: the first that resumes.
    V1_11,
    /// 1.14.1 to 1.15: keeps no records for a resume.
    V1_14,
    /// 1.16 to 1.19: LSN ops.
    V1_16,
    /// 1.20: RENAME across shards as RESTORE.
    V1_20,
    /// 1.21: no transactions in the journal, no resume.
    V1_21,
    /// 1.22 and 1.23: other ordinals.
    V1_23,
    /// 1.24 to 1.26: a replica refuses replicas.
    V1_25,
    /// 1.27 to 1.29, but for 1.28.30 to 1.28.33: lists of listpacks, records of streams that say what was done.
    V1_27,
    /// 1.28.32 and 1.28.33: a maintenance branch with much of 1.31.
    V1_28_32,
    /// 1.28.30, and 1.30: a failover form that may lose records.
    V1_30,
    /// 1.31 to 1.33: the newer encodings, and records for a resume again.
    V1_31,
    /// 1.34: a failover form that keeps LSNs.
    V1_34,
    /// 1.35 and 1.36: a resume without SYNC, and SYNC does damage.
    V1_36,
    /// 1.37: XREADGROUP in the journal.
    V1_37,
    /// 1.38: expiry as an ordinary DEL.
    V1_38,
    /// 1.39: leaves out SETs that a snapshot will show.
    V1_39,
    /// 1.40: a lineage in the greeting, tagged chunks, DEL with the keys that existed.
    #[default]
    V1_40,
    /// The sources behind 1.40 (August 2026), as a build that names no release.
    Main,
}

/// When an LSN op is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LsnOps {
    /// Never.
    Never,
    /// To replicas that announce this CLIENT-VERSION or a later one.
    From(u64),
    /// To all.
    Always,
}

/// How a master serves a replica that asks for an LSN it still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// The argument is refused as a syntax error.
    Refused,
    /// The argument is read, and FULL is answered.
    Full,
    /// PARTIAL; then SYNC sends the records as blobs of a stream like a snapshot.
    Blobs,
    /// PARTIAL; then STARTSTABLE sends the records as they are. SYNC is accepted, and leaves the master damaged.
    Records,
    /// PARTIAL; then STARTSTABLE sends the records as they are. SYNC is refused.
    RecordsOnly,
}

/// What a promoted replica does for replicas of its former master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failover {
    /// It does not take the request.
    Unknown,
    /// PARTIAL from where its own journal begins, whatever lies between: records may be lost.
    OwnLsn,
    /// It goes on with the former master's LSNs.
    Continues,
}

/// What becomes of a value larger than one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Large {
    /// It is one piece of a flush like any other.
    Whole,
    /// Written chunk by chunk with nothing in between, never inside a compressed blob.
    Contiguous,
    /// Tagged chunks with other entries in between.
    Tagged,
}

/// What is left out of the journal while a snapshot runs that will show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Omits {
    /// Nothing.
    Nothing,
    /// SET.
    Set,
    /// SET and DEL.
    SetAndDel,
}

/// How ZUNIONSTORE and its like are journaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZStore {
    /// As the client sent it; over several shards with each one's keys only.
    Command,
    /// As DEL and ZADD; ZRANGESTORE a second time as the client sent it.
    MembersAndRange,
    /// As DEL and ZADD.
    Members,
}

/// What a class of releases does that a replica can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// In INFO and HELLO, and in the aux field `df-ver` where there is one: one release of the class.
    pub version: &'static str,
    /// Elements of the reply to `REPLCONF capa dragonfly`.
    pub greeting: usize,
    /// The fourth of them: the ordinal of the protocol's version.
    pub ordinal: u64,
    /// When LSN ops are sent.
    pub lsn_ops: LsnOps,
    /// Most arguments of `DFLY FLOW`; 3 is the least.
    pub flow_arguments: usize,
    /// How a resume goes.
    pub resume: Resume,
    /// Records kept for it by default.
    pub backlog: usize,
    /// For how long they are kept at most, in ms.
    pub backlog_ms: Option<u64>,
    /// What a promoted replica does.
    pub failover: Failover,
    /// Whether a replica refuses to be attached to by itself.
    pub replica_refuses: bool,
    /// Whether stable sync is shown as `online`.
    pub online: bool,
    /// Whether `REPLCONF ip-address` is known.
    pub ip_address: bool,
    /// Whether PEXPIRETIME and EXPIRETIME are known.
    pub pexpiretime: bool,
    /// Whether the aux field `df-ver` is sent.
    pub df_ver: bool,
    /// Whether the aux fields `shard-id`, `shard-count` and `table-mem` are sent.
    pub shard_fields: bool,
    /// Whether records of a transaction have the op MULTI_COMMAND and an EXEC behind them.
    pub transactions: bool,
    /// Whether a PING op has a SELECT in front.
    pub ping_selects: bool,
    /// Whether expiry is journaled with the op EXPIRED.
    pub expired_op: bool,
    /// Whether RENAME over two shards is journaled as SET of the value's bytes.
    pub rename_sets: bool,
    /// Whether MSET and MSETNX are journaled as they came, each shard its own keys, also when MSETNX did nothing.
    pub mset_verbatim: bool,
    /// How Z…STORE is journaled.
    pub zstore: ZStore,
    /// Whether records of XADD and XTRIM say the id and the exact trim; else they are as the client sent them.
    pub stream_ids: bool,
    /// Whether XREADGROUP is journaled.
    pub xreadgroup: bool,
    /// Whether DEL is journaled with the keys that existed.
    pub del_existing: bool,
    /// Members that a command for their expiry does not find are removed by a record before it.
    pub removes_missing: bool,
    /// What is left out during a snapshot.
    pub omits: Omits,
    /// How values larger than a chunk are sent.
    pub large: Large,
    /// Whether blobs of more than 1 MiB are compressed.
    pub large_blobs: bool,
    /// Type code of lists: 14 (ziplists) or 18.
    pub list: u8,
    /// Type codes of small hashes and sorted sets: 13 and 12 (ziplists), or 16 and 17.
    pub small: (u8, u8),
    /// Type code of streams: 15 or 21.
    pub stream: u8,
    /// Type code of JSON: 20 or 30.
    pub json: u8,
}

const V1_3: Profile = Profile {
    version: "df-v1.3.0",
    greeting: 3,
    ordinal: 0,
    lsn_ops: LsnOps::Never,
    flow_arguments: 3,
    resume: Resume::Refused,
    backlog: 0,
    backlog_ms: None,
    failover: Failover::Unknown,
    replica_refuses: false,
    online: false,
    ip_address: false,
    pexpiretime: false,
    df_ver: false,
    shard_fields: false,
    transactions: true,
    ping_selects: true,
    expired_op: true,
    rename_sets: true,
    mset_verbatim: true,
    zstore: ZStore::Command,
    stream_ids: false,
    xreadgroup: false,
    del_existing: false,
    removes_missing: false,
    omits: Omits::Nothing,
    large: Large::Whole,
    large_blobs: true,
    list: 14,
    small: (13, 12),
    stream: 15,
    json: 20,
};
const V1_10: Profile = Profile { version: "df-v1.10.0", greeting: 4, ordinal: 1, ..V1_3 };
const V1_11: Profile = Profile {
    version: "df-v1.11.0",
    ordinal: 2,
    flow_arguments: 4,
    resume: Resume::Blobs,
    backlog: 1_024,
    ..V1_10
};
const V1_14: Profile = Profile { version: "df-v1.14.4", backlog: 0, json: 30, ..V1_11 };
const V1_16: Profile =
    Profile { version: "df-v1.16.1", ordinal: 4, lsn_ops: LsnOps::From(4), ping_selects: false, ..V1_14 };
const V1_20: Profile = Profile { version: "df-v1.20.1", rename_sets: false, mset_verbatim: false, ..V1_16 };
const V1_21: Profile =
    Profile { version: "df-v1.21.4", transactions: false, resume: Resume::Full, ip_address: true, ..V1_20 };
const V1_23: Profile = Profile {
    version: "df-v1.23.2",
    ordinal: 3,
    lsn_ops: LsnOps::From(3),
    online: true,
    pexpiretime: true,
    ..V1_21
};
const V1_25: Profile = Profile { version: "df-v1.25.6", replica_refuses: true, ..V1_23 };
const V1_27: Profile = Profile {
    version: "df-v1.27.4",
    df_ver: true,
    stream_ids: true,
    large: Large::Contiguous,
    list: 18,
    ..V1_25
};
const V1_28_32: Profile = Profile {
    version: "df-v1.28.32",
    ordinal: 4,
    lsn_ops: LsnOps::Always,
    flow_arguments: 5,
    resume: Resume::Blobs,
    backlog: 1_024,
    failover: Failover::OwnLsn,
    large_blobs: false,
    small: (16, 17),
    stream: 21,
    ..V1_27
};
const V1_30: Profile = Profile {
    version: "df-v1.30.3",
    ordinal: 4,
    lsn_ops: LsnOps::Always,
    flow_arguments: 5,
    failover: Failover::OwnLsn,
    large_blobs: false,
    ..V1_27
};
const V1_31: Profile = Profile {
    version: "df-v1.33.1",
    resume: Resume::Blobs,
    backlog: 1_024,
    shard_fields: true,
    small: (16, 17),
    stream: 21,
    ..V1_30
};
const V1_34: Profile = Profile {
    version: "df-v1.34.0",
    backlog: 8_192,
    failover: Failover::Continues,
    zstore: ZStore::MembersAndRange,
    ..V1_31
};
const V1_36: Profile =
    Profile { version: "df-v1.36.0", resume: Resume::Records, zstore: ZStore::Members, ..V1_34 };
const V1_37: Profile = Profile { version: "df-v1.37.2", ordinal: 5, xreadgroup: true, ..V1_36 };
const V1_38: Profile = Profile { version: "df-v1.38.2", expired_op: false, ..V1_37 };
const V1_39: Profile = Profile { version: "df-v1.39.0", omits: Omits::Set, ..V1_38 };
const V1_40: Profile = Profile {
    version: "df-v1.40.1",
    greeting: 5,
    resume: Resume::RecordsOnly,
    del_existing: true,
    removes_missing: true,
    omits: Omits::SetAndDel,
    large: Large::Tagged,
    ..V1_39
};
const MAIN: Profile = Profile { version: "df-dev", backlog: usize::MAX, backlog_ms: Some(5_000), ..V1_40 };

impl Release {
    /// All classes, oldest first.
    pub const ALL: &[Release] = &[
        Release::V1_3,
        Release::V1_10,
        Release::V1_11,
        Release::V1_14,
        Release::V1_16,
        Release::V1_20,
        Release::V1_21,
        Release::V1_23,
        Release::V1_25,
        Release::V1_27,
        Release::V1_28_32,
        Release::V1_30,
        Release::V1_31,
        Release::V1_34,
        Release::V1_36,
        Release::V1_37,
        Release::V1_38,
        Release::V1_39,
        Release::V1_40,
        Release::Main,
    ];

    /// What it does.
    pub const fn profile(self) -> &'static Profile {
        match self {
            Release::V1_3 => &V1_3,
            Release::V1_10 => &V1_10,
            Release::V1_11 => &V1_11,
            Release::V1_14 => &V1_14,
            Release::V1_16 => &V1_16,
            Release::V1_20 => &V1_20,
            Release::V1_21 => &V1_21,
            Release::V1_23 => &V1_23,
            Release::V1_25 => &V1_25,
            Release::V1_27 => &V1_27,
            Release::V1_28_32 => &V1_28_32,
            Release::V1_30 => &V1_30,
            Release::V1_31 => &V1_31,
            Release::V1_34 => &V1_34,
            Release::V1_36 => &V1_36,
            Release::V1_37 => &V1_37,
            Release::V1_38 => &V1_38,
            Release::V1_39 => &V1_39,
            Release::V1_40 => &V1_40,
            Release::Main => &MAIN,
        }
    }

    /// The releases of the class, in words.
    pub const fn releases(self) -> &'static str {
        match self {
            Release::V1_3 => "1.0 to 1.3",
            Release::V1_10 => "1.4 to 1.10",
            Release::V1_11 => "1.11 to 1.14.0",
            Release::V1_14 => "1.14.1 to 1.15",
            Release::V1_16 => "1.16 to 1.19",
            Release::V1_20 => "1.20",
            Release::V1_21 => "1.21",
            Release::V1_23 => "1.22, 1.23",
            Release::V1_25 => "1.24 to 1.26",
            Release::V1_27 => "1.27 to 1.29",
            Release::V1_28_32 => "1.28.32, 1.28.33",
            Release::V1_30 => "1.28.30, 1.30",
            Release::V1_31 => "1.31 to 1.33",
            Release::V1_34 => "1.34",
            Release::V1_36 => "1.35, 1.36",
            Release::V1_37 => "1.37",
            Release::V1_38 => "1.38",
            Release::V1_39 => "1.39",
            Release::V1_40 => "1.40",
            Release::Main => "behind 1.40 (August 2026)",
        }
    }

    /// The string in `INFO server` and in the `df-ver` aux field.
    pub const fn version(self) -> &'static str {
        self.profile().version
    }
}
