//! The little HTTP that a test of the dashboard needs.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long the dashboard may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// GET on `addr` (`host:port`): HTTP status and body.
pub fn get(addr: &str, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n")?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    let wrong = || Error::new(ErrorKind::InvalidData, "not an HTTP response");
    let split = reply.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(wrong)?;
    let head = String::from_utf8_lossy(&reply[..split]).into_owned();
    let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).ok_or_else(wrong)?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = &reply[split + 4..];
    let body = if chunked { unchunk(body).ok_or_else(wrong)? } else { body.to_vec() };
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Each chunk is its length in hex, a line end, that many bytes, a line end; the last has length 0.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        let data = rest.get(end + 2..end + 2 + length)?;
        body.extend_from_slice(data);
        rest = rest.get(end + 2 + length + 2..)?;
    }
}
