//! Lines and decimal numbers, shared by both directions of the codec.

use bytes::{Buf, Bytes, BytesMut};

use crate::reply::DecodeError;

/// Longest line accepted, in bytes, without marker byte and CR LF. Servers cut their error texts far below this.
pub(crate) const MAX_LINE: usize = 64 << 10;

/// Position of the CR of the first CR LF, from `*scanned` on; remembers how far it looked.
///
/// A lone CR or LF belongs to the line: Dragonfly echoes keys raw in error texts.
pub(crate) fn end_of_line(buf: &[u8], scanned: &mut usize) -> Result<Option<usize>, DecodeError> {
    let mut from = *scanned;
    while let Some(at) = memchr::memchr(b'\n', &buf[from..]).map(|i| from + i) {
        if at > 0 && buf[at - 1] == b'\r' {
            // The marker byte does not count.
            if at - 1 > MAX_LINE + 1 {
                return Err(DecodeError::LineTooLong);
            }
            *scanned = 0;
            return Ok(Some(at - 1));
        }
        from = at + 1;
    }
    // Besides the marker byte the CR may be there already.
    if buf.len() > MAX_LINE + 2 {
        return Err(DecodeError::LineTooLong);
    }
    *scanned = buf.len();
    Ok(None)
}

/// Takes the line that ends at `cr` (its marker byte left out) off the buffer.
pub(crate) fn take_line(buf: &mut BytesMut, cr: usize) -> Bytes {
    let mut line = buf.split_to(cr).freeze();
    line.advance(1);
    buf.advance(2);
    line
}

/// A decimal integer as RESP writes it: an optional sign, at least one digit, nothing else.
pub(crate) fn integer(text: &[u8]) -> Result<i64, DecodeError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return Err(DecodeError::BadInteger);
    }
    digits.iter().try_fold(0i64, |n, &d| {
        let d = d.wrapping_sub(b'0');
        if d > 9 {
            return Err(DecodeError::BadInteger);
        }
        let n = n.checked_mul(10).ok_or(DecodeError::BadInteger)?;
        // Negative numbers are built downwards, since i64::MIN has no positive counterpart.
        if negative { n.checked_sub(d.into()) } else { n.checked_add(d.into()) }
            .ok_or(DecodeError::BadInteger)
    })
}
