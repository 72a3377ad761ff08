//! Packed lengths and strings, shared by the snapshot stream and the journal.

/// Writes a packed unsigned integer: 1, 2, 5 or 9 bytes, big-endian payload, always the shortest form
/// (Dragonfly v1.40.1 `WritePackedUInt`; thresholds 64, 16384 and 2^32).
pub(crate) fn len(out: &mut Vec<u8>, n: u64) {
    if n < 64 {
        out.push(n as u8);
    } else if n < 16_384 {
        out.extend_from_slice(&(0x4000 | n as u16).to_be_bytes());
    } else if let Ok(n) = u32::try_from(n) {
        out.push(0x80);
        out.extend_from_slice(&n.to_be_bytes());
    } else {
        out.push(0x81);
        out.extend_from_slice(&n.to_be_bytes());
    }
}

/// Writes a length and the bytes as they are: how journal arguments look.
pub(crate) fn raw_string(out: &mut Vec<u8>, s: &[u8]) {
    len(out, s.len() as u64);
    out.extend_from_slice(s);
}

/// Writes an RDB string: decimal text that fits a signed 32-bit integer becomes `C0`, `C1` or `C2`
/// (v1.40.1 `SaveString`: at most 11 bytes which must come out the same again).
pub(crate) fn string(out: &mut Vec<u8>, s: &[u8]) {
    match as_i32(s) {
        Some(n) => {
            if let Ok(n) = i8::try_from(n) {
                out.extend_from_slice(&[0xC0, n as u8]);
            } else if let Ok(n) = i16::try_from(n) {
                out.push(0xC1);
                out.extend_from_slice(&n.to_le_bytes());
            } else {
                out.push(0xC2);
                out.extend_from_slice(&n.to_le_bytes());
            }
        }
        None => raw_string(out, s),
    }
}

/// The number that `s` is the canonical decimal text of, if it fits 32 bits.
fn as_i32(s: &[u8]) -> Option<i32> {
    if s.is_empty() || s.len() > 11 {
        return None;
    }
    canonical_i64(s).and_then(|n| i32::try_from(n).ok())
}

/// The number that `s` is the canonical decimal text of: no plus sign, no leading zero, no `-0`.
pub(crate) fn canonical_i64(s: &[u8]) -> Option<i64> {
    let (negative, digits) = match s.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, s),
    };
    match digits {
        [] => return None,
        [b'0'] if negative => return None,
        [b'0', _, ..] => return None,
        _ => {}
    }
    if digits.len() > 19 {
        return None;
    }
    let mut n: i64 = 0;
    for &d in digits {
        if !d.is_ascii_digit() {
            return None;
        }
        let d = i64::from(d - b'0');
        n = n.checked_mul(10)?;
        n = if negative { n.checked_sub(d)? } else { n.checked_add(d)? };
    }
    Some(n)
}
