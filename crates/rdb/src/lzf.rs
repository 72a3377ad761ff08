//! LZF as strings use it: `--compression_mode=1`, DUMP payloads, and deep quicklist nodes.

use bytes::Bytes;

use crate::Error;

/// No LZF instruction turns its bytes into more than this many times as many.
const MAX_RATIO: usize = 132;

/// Decompresses `input` into exactly `plain` bytes.
pub(crate) fn decompress(input: &[u8], plain: usize) -> Result<Bytes, Error> {
    if plain / MAX_RATIO > input.len() {
        return Err(bad("it says it is longer than it can be"));
    }
    let mut out: Vec<u8> = Vec::with_capacity(plain);
    let mut rest = input;
    while let Some((&control, tail)) = rest.split_first() {
        rest = tail;
        if control < 32 {
            let run = usize::from(control) + 1;
            if run > rest.len() || out.len() + run > plain {
                return Err(bad("a literal run exceeds it"));
            }
            out.extend_from_slice(&rest[..run]);
            rest = &rest[run..];
            continue;
        }
        let mut len = usize::from(control >> 5) + 2;
        if control >> 5 == 7 {
            len += usize::from(byte(&mut rest)?);
        }
        let distance = (usize::from(control & 0x1f) << 8 | usize::from(byte(&mut rest)?)) + 1;
        if distance > out.len() || out.len() + len > plain {
            return Err(bad("a back reference exceeds it"));
        }
        let start = out.len() - distance;
        if distance >= len {
            out.extend_from_within(start..start + len);
        } else {
            // The reference overlaps what it writes: a repetition.
            for i in start..start + len {
                out.push(out[i]);
            }
        }
    }
    if out.len() == plain { Ok(out.into()) } else { Err(bad("it is shorter than it says")) }
}

fn byte(rest: &mut &[u8]) -> Result<u8, Error> {
    let (&first, tail) = rest.split_first().ok_or(bad("it ends inside a back reference"))?;
    *rest = tail;
    Ok(first)
}

fn bad(detail: &'static str) -> Error {
    Error::malformed("lzf string", detail)
}
