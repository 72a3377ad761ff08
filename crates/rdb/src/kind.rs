//! Type codes of values.

/// Encoding of a value: the type code on the wire (`rdb_save.cc` `RdbObjectType`, `rdb_extensions.h`, v1.40.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// One string; HyperLogLogs too.
    String = 0,
    /// Members.
    Set = 2,
    /// Fields and values.
    Hash = 4,
    /// Members and binary scores.
    Zset = 5,
    /// Set of integers in one blob.
    SetIntset = 11,
    /// Sorted set in a ziplist (up to v1.30).
    ZsetZiplist = 12,
    /// Hash in a ziplist (up to v1.30).
    HashZiplist = 13,
    /// List of ziplist nodes (up to v1.26).
    ListQuicklist = 14,
    /// Stream as Redis 5 writes it (up to v1.30).
    Stream = 15,
    /// Hash in a listpack.
    HashListpack = 16,
    /// Sorted set in a listpack.
    ZsetListpack = 17,
    /// List of plain and listpack nodes.
    ListQuicklist2 = 18,
    /// Stream as Redis 7.0 writes it; no Dragonfly emits it, [`crate::dump::stream_as`] makes it.
    Stream2 = 19,
    /// JSON text of masters up to v1.14.1. The same code means a listpack set at Redis, never in these streams.
    JsonOld = 20,
    /// Stream as Redis 7.2 writes it.
    Stream3 = 21,
    /// JSON text.
    Json = 30,
    /// Hash whose fields have TTLs.
    HashTtl = 31,
    /// Set whose members have TTLs.
    SetTtl = 32,
    /// Bloom filter.
    Bloom = 33,
    /// Bloom filter in chunks.
    BloomChunked = 34,
    /// Count-min sketch.
    Cms = 35,
    /// Top-K.
    TopK = 36,
    /// Cuckoo filter.
    Cuckoo = 37,
}

/// What a value is, whatever its encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// A string.
    String,
    /// A list.
    List,
    /// A set.
    Set,
    /// A hash.
    Hash,
    /// A sorted set.
    Zset,
    /// A stream.
    Stream,
    /// A JSON document.
    Json,
    /// A Bloom filter, sketch, Top-K or cuckoo filter.
    Probabilistic,
}

impl Kind {
    /// Every kind, by code.
    pub const ALL: [Kind; 23] = [
        Kind::String,
        Kind::Set,
        Kind::Hash,
        Kind::Zset,
        Kind::SetIntset,
        Kind::ZsetZiplist,
        Kind::HashZiplist,
        Kind::ListQuicklist,
        Kind::Stream,
        Kind::HashListpack,
        Kind::ZsetListpack,
        Kind::ListQuicklist2,
        Kind::Stream2,
        Kind::JsonOld,
        Kind::Stream3,
        Kind::Json,
        Kind::HashTtl,
        Kind::SetTtl,
        Kind::Bloom,
        Kind::BloomChunked,
        Kind::Cms,
        Kind::TopK,
        Kind::Cuckoo,
    ];

    /// The kind of a type code, if it is one of those that occur in these streams.
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::String,
            2 => Self::Set,
            4 => Self::Hash,
            5 => Self::Zset,
            11 => Self::SetIntset,
            12 => Self::ZsetZiplist,
            13 => Self::HashZiplist,
            14 => Self::ListQuicklist,
            15 => Self::Stream,
            16 => Self::HashListpack,
            17 => Self::ZsetListpack,
            18 => Self::ListQuicklist2,
            19 => Self::Stream2,
            20 => Self::JsonOld,
            21 => Self::Stream3,
            30 => Self::Json,
            31 => Self::HashTtl,
            32 => Self::SetTtl,
            33 => Self::Bloom,
            34 => Self::BloomChunked,
            35 => Self::Cms,
            36 => Self::TopK,
            37 => Self::Cuckoo,
            _ => return None,
        })
    }

    /// Whether the value is a single string on the wire.
    #[inline]
    pub(crate) fn is_one_string(self) -> bool {
        matches!(
            self,
            Self::String
                | Self::SetIntset
                | Self::ZsetZiplist
                | Self::HashZiplist
                | Self::HashListpack
                | Self::ZsetListpack
                | Self::JsonOld
                | Self::Json
        )
    }

    /// The type code on the wire.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it is, whatever its encoding.
    pub fn family(self) -> Family {
        match self {
            Self::String => Family::String,
            Self::Set | Self::SetIntset | Self::SetTtl => Family::Set,
            Self::Hash | Self::HashZiplist | Self::HashListpack | Self::HashTtl => Family::Hash,
            Self::Zset | Self::ZsetZiplist | Self::ZsetListpack => Family::Zset,
            Self::ListQuicklist | Self::ListQuicklist2 => Family::List,
            Self::Stream | Self::Stream2 | Self::Stream3 => Family::Stream,
            Self::JsonOld | Self::Json => Family::Json,
            Self::Bloom | Self::BloomChunked | Self::Cms | Self::TopK | Self::Cuckoo => Family::Probabilistic,
        }
    }

    /// The first Redis release (major, minor) whose `RESTORE` loads this encoding; `None` where none does.
    pub fn restore_since(self) -> Option<(u8, u8)> {
        match self {
            Self::String
            | Self::Set
            | Self::Hash
            | Self::Zset
            | Self::SetIntset
            | Self::ZsetZiplist
            | Self::HashZiplist
            | Self::ListQuicklist
            | Self::Stream => Some((5, 0)),
            Self::HashListpack | Self::ZsetListpack | Self::ListQuicklist2 | Self::Stream2 => Some((7, 0)),
            Self::Stream3 => Some((7, 2)),
            _ => None,
        }
    }

    /// The kind in an operator's words.
    pub fn words(self) -> &'static str {
        match self {
            Self::HashTtl => "hash field TTL",
            Self::SetTtl => "set member TTL",
            Self::Bloom | Self::BloomChunked => "Bloom filter",
            Self::Cms => "count-min sketch",
            Self::TopK => "Top-K",
            Self::Cuckoo => "cuckoo filter",
            other => match other.family() {
                Family::String => "string",
                Family::List => "list",
                Family::Set => "set",
                Family::Hash => "hash",
                Family::Zset => "sorted set",
                Family::Stream => "stream",
                _ => "JSON",
            },
        }
    }
}
