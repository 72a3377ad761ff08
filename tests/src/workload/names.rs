//! Names that the filling and the writers share, so that writers hit what the snapshot carries.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds from now to [`far_away`]: about three years. Dragonfly refuses PEXPIREAT more than 2^28 s ahead
/// (v1.34.0 and v1.40.1, recorded: `expiry is out of range`).
const FAR: u64 = 100_000_000_000;

/// A moment (Unix ms) so far away that nothing expires during a test; the same throughout one test process.
pub(super) fn far_away() -> u64 {
    static AT: OnceLock<u64> = OnceLock::new();
    *AT.get_or_init(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64) + FAR)
}

/// Key `number` of a kind: `s` string, `n` counter, `a` text that grows, `h` hash, `hn` hash of counters,
/// `l` list, `e` set, `z` sorted set, `any` a key that changes its type.
pub(super) fn key(kind: &str, number: u64) -> Vec<u8> {
    format!("{kind}:{number:06}").into_bytes()
}

/// Field or member `number`.
pub(super) fn member(number: u64) -> Vec<u8> {
    format!("m{number}").into_bytes()
}
