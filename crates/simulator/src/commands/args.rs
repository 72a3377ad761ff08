//! Reading arguments.

use bytes::Bytes;

use crate::engine::Failure;

/// An integer as Redis accepts it.
pub(crate) fn int(s: &[u8]) -> Result<i64, Failure> {
    std::str::from_utf8(s)
        .ok()
        .filter(|s| !s.starts_with('+'))
        .and_then(|s| s.parse().ok())
        .ok_or_else(Failure::not_integer)
}

/// A non-negative integer.
pub(crate) fn count(s: &[u8]) -> Result<usize, Failure> {
    usize::try_from(int(s)?).map_err(|_| Failure::err("value is out of range, must be positive"))
}

/// A float; not NaN.
pub(crate) fn float(s: &[u8]) -> Result<f64, Failure> {
    std::str::from_utf8(s)
        .ok()
        .and_then(|s| s.parse::<f64>().ok())
        .filter(|d| !d.is_nan())
        .ok_or_else(Failure::not_float)
}

/// Whether the argument is this word, in any case.
pub(crate) fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// A number as the bytes of its decimal text.
pub(crate) fn text(n: impl itoa::Integer) -> Bytes {
    Bytes::copy_from_slice(itoa::Buffer::new().format(n).as_bytes())
}

/// Start and end of a Redis range (negative counts from the end) as `start..end` within `len`.
pub(crate) fn range(start: i64, stop: i64, len: usize) -> std::ops::Range<usize> {
    let n = len as i64;
    let start = if start < 0 { (start + n).max(0) } else { start };
    let stop = if stop < 0 { stop + n } else { stop.min(n - 1) };
    if start > stop || start >= n { 0..0 } else { start as usize..(stop + 1) as usize }
}

/// The two sides of a list, and of a sorted set popped by MIN or MAX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Left,
    Right,
}

impl End {
    pub(crate) fn parse(s: &[u8]) -> Result<End, Failure> {
        match s {
            s if is(s, "LEFT") || is(s, "MIN") => Ok(End::Left),
            s if is(s, "RIGHT") || is(s, "MAX") => Ok(End::Right),
            _ => Err(Failure::syntax()),
        }
    }
}

/// Longest expiry, counted from now (2^28 - 1 s, v1.40.1 `kMaxExpireDeadlineMs`).
pub(crate) const MAX_EXPIRE_MS: u64 = ((1 << 28) - 1) * 1000;

/// The absolute time that one of the four ways of writing an expiry names; `None` when it is no such word.
pub(crate) fn expiry_option(word: &[u8], value: &[u8], now: u64) -> Option<Result<i64, Failure>> {
    let (unit, absolute) = match () {
        () if is(word, "EX") => (1000, false),
        () if is(word, "PX") => (1, false),
        () if is(word, "EXAT") => (1000, true),
        () if is(word, "PXAT") => (1, true),
        () => return None,
    };
    Some(int(value).and_then(|n| {
        let ms =
            n.checked_mul(unit).filter(|&ms| ms > 0).ok_or_else(|| Failure::err("invalid expire time"))?;
        if absolute { Ok(ms) } else { ms.checked_add(now as i64).ok_or_else(Failure::not_integer) }
    }))
}
