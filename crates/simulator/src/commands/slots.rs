//! Slots of the cluster mode.

use bytes::Bytes;
use crc16::{State, XMODEM};

use super::args::{self, is};
use crate::engine::shard::{BUCKETS, DBS};
use crate::engine::{Failure, Tx};
use crate::reply::Reply;

/// Slot of a key: CRC16 of its hash tag, or of all of it, mod 16384.
fn slot(key: &[u8]) -> u16 {
    let tag = key
        .iter()
        .position(|&b| b == b'{')
        .and_then(|open| {
            let rest = &key[open + 1..];
            rest.iter().position(|&b| b == b'}').map(|n| &rest[..n])
        })
        .filter(|tag| !tag.is_empty());
    State::<XMODEM>::calculate(tag.unwrap_or(key)) % 16_384
}

/// `DFLYCLUSTER FLUSHSLOTS start end ...`: what a slot-config change does. One record on every flow with transaction id
/// 0, and no DELs (seen on the wire, v1.40.1).
pub(super) fn dflycluster(tx: &mut Tx<'_>, a: &[Bytes]) -> Result<Reply, Failure> {
    if !is(&a[1], "FLUSHSLOTS") || a.len() % 2 == 1 {
        return Err(Failure::syntax());
    }
    let bounds = a[2..].iter().map(|n| args::count(n)).collect::<Result<Vec<_>, _>>()?;
    let hit = |key: &Bytes| {
        let slot = usize::from(slot(key));
        bounds.chunks(2).any(|b| (b[0]..=b[1]).contains(&slot))
    };
    let mut record = a.to_vec();
    record[0] = Bytes::from_static(b"DFLYCLUSTER");
    record[1] = Bytes::from_static(b"FLUSHSLOTS");
    for shard in 0..tx.engine.shards.len() {
        let shard_data = &mut tx.engine.shards[shard];
        for db in 0..DBS {
            for bucket in 0..BUCKETS {
                let Some(data) = &shard_data.dbs[usize::from(db)] else { break };
                let gone: Vec<Bytes> = data.buckets[bucket].keys().filter(|k| hit(k)).cloned().collect();
                if !gone.is_empty() {
                    shard_data.before_write(db, bucket);
                    gone.iter().for_each(|key| drop(shard_data.remove(db, bucket, key)));
                }
            }
        }
        tx.log_on(shard, &record);
    }
    Ok(Reply::OK)
}
