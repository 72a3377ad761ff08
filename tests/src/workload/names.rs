//! Names that the filling and the writers share, so that writers hit what the snapshot carries.

/// Key `number` of a kind: `s` string, `n` counter, `a` text that grows, `h` hash, `hn` hash of counters,
/// `l` list, `e` set, `z` sorted set, `any` a key that changes its type.
pub(super) fn key(kind: &str, number: u64) -> Vec<u8> {
    format!("{kind}:{number:06}").into_bytes()
}

/// Field or member `number`.
pub(super) fn member(number: u64) -> Vec<u8> {
    format!("m{number}").into_bytes()
}
