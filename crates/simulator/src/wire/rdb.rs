//! Snapshot items: header, aux fields, entries, tagged chunks, blobs and the closing sequence.

use std::io::Write;

use super::primitive::{len, raw_string, string};
use crate::Profile;

/// A value is handed out once it fills this much (`serialization_max_chunk_size`, 64 KiB since v1.27).
pub(crate) const CHUNK: usize = 64 << 10;
/// Least bytes that are worth compressing.
const COMPRESSIBLE: usize = 256;
/// Most bytes that are compressed at once (v1.28 and later).
const MOST_COMPRESSED: usize = 1 << 20;

/// Value type codes (v1.40.1 `rdb_save.cc RdbObjectType`).
pub(crate) mod code {
    pub(crate) const STRING: u8 = 0;
    pub(crate) const SET: u8 = 2;
    pub(crate) const HASH: u8 = 4;
    pub(crate) const ZSET_2: u8 = 5;
    pub(crate) const SET_INTSET: u8 = 11;
    pub(crate) const ZSET_ZIPLIST: u8 = 12;
    pub(crate) const HASH_ZIPLIST: u8 = 13;
    pub(crate) const LIST_QUICKLIST: u8 = 14;
    pub(crate) const STREAM_LISTPACKS: u8 = 15;
    pub(crate) const HASH_LISTPACK: u8 = 16;
    pub(crate) const ZSET_LISTPACK: u8 = 17;
    pub(crate) const LIST_QUICKLIST_2: u8 = 18;
    pub(crate) const JSON_OLD: u8 = 20;
    pub(crate) const STREAM_LISTPACKS_3: u8 = 21;
    pub(crate) const JSON: u8 = 30;
    pub(crate) const HASH_WITH_EXPIRY: u8 = 31;
    pub(crate) const SET_WITH_EXPIRY: u8 = 32;
}

/// The magic and the aux fields of flow `shard` (v1.40.1 `SaveAux`, order as in the captures).
pub(crate) fn header(profile: &Profile, shard: usize, shards: usize, unix_s: u64, memory: u64) -> Vec<u8> {
    let mut out = b"REDIS0009".to_vec();
    aux(&mut out, "redis-ver", "6.2.11");
    if profile.df_ver {
        aux(&mut out, "df-ver", profile.version);
    }
    aux(&mut out, "redis-bits", "64");
    aux(&mut out, "ctime", &unix_s.to_string());
    aux(&mut out, "used-mem", &memory.to_string());
    aux(&mut out, "aof-preamble", "0");
    if shard == 0 && profile.shard_fields {
        aux(&mut out, "shard-count", &shards.to_string());
        aux(&mut out, "table-mem", &(memory / 2).to_string());
    }
    if profile.shard_fields {
        aux(&mut out, "shard-id", &shard.to_string());
    }
    out
}

fn aux(out: &mut Vec<u8>, key: &str, value: &str) {
    out.push(0xFA);
    string(out, key.as_bytes());
    string(out, value.as_bytes());
}

/// SELECTDB.
pub(crate) fn select(out: &mut Vec<u8>, db: u16) {
    out.push(0xFE);
    len(out, u64::from(db));
}

/// Everything of an entry that precedes its value: expiry, mask, type, key.
pub(crate) fn entry_head(out: &mut Vec<u8>, kind: u8, key: &[u8], expire_at: Option<u64>, sticky: bool) {
    if let Some(ms) = expire_at {
        out.push(0xFC);
        out.extend_from_slice(&ms.to_le_bytes());
    }
    if sticky {
        out.push(0xDC);
        out.extend_from_slice(&1u32.to_le_bytes());
    }
    out.push(kind);
    string(out, key);
}

/// A tagged chunk.
pub(crate) fn chunk(out: &mut Vec<u8>, id: u32, payload: &[u8]) {
    out.push(0xE0);
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(payload);
}

/// A journal blob with one record.
pub(crate) fn journal_blob(out: &mut Vec<u8>, record: &[u8]) {
    out.push(0xD2);
    len(out, 1);
    string(out, record);
}

/// FULLSYNC_END.
pub(crate) fn fullsync_end(out: &mut Vec<u8>) {
    out.push(0xC8);
    out.extend_from_slice(&[0; 8]);
}

/// JOURNAL_OFFSET with the LSN of the next record.
pub(crate) fn journal_offset(out: &mut Vec<u8>, next: u64) {
    out.push(0xD3);
    out.extend_from_slice(&next.to_le_bytes());
}

/// EOF, its checksum of zero, and the token.
pub(crate) fn eof(out: &mut Vec<u8>, token: &str) {
    out.push(0xFF);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(token.as_bytes());
}

/// What goes onto the socket for one flush: an LZ4 blob where that pays off (at most 95 % of the input), else
/// the bytes themselves. `large`: whatever its size.
pub(crate) fn flush(raw: Vec<u8>, large: bool) -> Vec<u8> {
    if raw.len() < COMPRESSIBLE || (raw.len() > MOST_COMPRESSED && !large) {
        return raw;
    }
    match lz4(&raw) {
        Some(packed) if packed.len() * 20 <= raw.len() * 19 => {
            let mut out = Vec::with_capacity(packed.len() + 6);
            out.push(0xCA);
            raw_string(&mut out, &packed);
            out
        }
        _ => raw,
    }
}

/// One LZ4 frame: content size, no checksums, 64 KiB blocks, linked when there is more than one (FLG 68, 48).
pub(crate) fn lz4(raw: &[u8]) -> Option<Vec<u8>> {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let mode = if raw.len() > CHUNK { BlockMode::Linked } else { BlockMode::Independent };
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(mode)
        .content_size(Some(raw.len() as u64))
        .content_checksum(false)
        .block_checksums(false);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::with_capacity(raw.len() / 2));
    encoder.write_all(raw).ok()?;
    encoder.finish().ok()
}
