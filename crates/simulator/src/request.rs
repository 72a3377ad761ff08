//! Requests of clients: arrays of bulk strings and inline commands.

use bytes::{Buf, Bytes, BytesMut};

/// A request that cannot be understood; the connection is closed after saying so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

const MAX_ARGS: usize = 1 << 20;
const MAX_ARG: usize = 512 << 20;
const MAX_LINE: usize = 64 << 10;

/// Takes one request off the front of `buf`; `None` when more bytes are needed. Blank lines are passed over.
pub(crate) fn next(buf: &mut BytesMut) -> Result<Option<Vec<Bytes>>, Malformed> {
    loop {
        match buf.first() {
            None => return Ok(None),
            Some(b'*') => return array(buf),
            Some(_) => match inline(buf)? {
                Some(words) if words.is_empty() => {}
                other => return Ok(other),
            },
        }
    }
}

fn line(buf: &[u8], from: usize) -> Result<Option<(&[u8], usize)>, Malformed> {
    match buf[from..].iter().position(|&b| b == b'\n') {
        Some(n) => {
            let end = from + n;
            let text = &buf[from..end];
            Ok(Some((text.strip_suffix(b"\r").unwrap_or(text), end + 1)))
        }
        None if buf.len() - from > MAX_LINE => Err(Malformed("too big inline request")),
        None => Ok(None),
    }
}

fn number(s: &[u8], max: usize) -> Result<usize, Malformed> {
    std::str::from_utf8(s)
        .ok()
        .and_then(|s| s.parse().ok())
        .filter(|&n| n <= max)
        .ok_or(Malformed("invalid multibulk length"))
}

fn array(buf: &mut BytesMut) -> Result<Option<Vec<Bytes>>, Malformed> {
    let Some((head, mut at)) = line(buf, 0)? else { return Ok(None) };
    let count = number(&head[1..], MAX_ARGS)?;
    let mut args = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        let Some((head, body)) = line(buf, at)? else { return Ok(None) };
        let Some((b'$', digits)) = head.split_first() else { return Err(Malformed("expected '$'")) };
        let n = number(digits, MAX_ARG)?;
        let Some(end) = body.checked_add(n + 2).filter(|&e| e <= buf.len()) else {
            buf.reserve(n + 2);
            return Ok(None);
        };
        args.push(Bytes::copy_from_slice(&buf[body..body + n]));
        at = end;
    }
    buf.advance(at);
    Ok(Some(args))
}

fn inline(buf: &mut BytesMut) -> Result<Option<Vec<Bytes>>, Malformed> {
    let Some((text, at)) = line(buf, 0)? else { return Ok(None) };
    let words = text
        .split(|b| b.is_ascii_whitespace())
        .filter(|w| !w.is_empty())
        .map(Bytes::copy_from_slice)
        .collect();
    buf.advance(at);
    Ok(Some(words))
}
