//! Asks a running daemon for its report.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use config::{Address, Config};
use replica::Report;

use crate::configuration;
use crate::service::published;

/// For each of: connect, and every read.
const PATIENCE: Duration = Duration::from_secs(3);
/// For an answer that comes when something is done.
const LONG: Duration = Duration::from_secs(60);
/// Most bytes of an answer.
const LARGEST: u64 = 64 << 20;

/// What came of asking.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The daemon of this configuration.
    Report {
        /// What it says.
        report: Box<Report>,
        /// Where it was found.
        addr: Address,
    },
    /// Nobody answered.
    Nothing {
        /// Why, as a part of a sentence.
        why: String,
    },
    /// Somebody else answered.
    Other {
        /// Who, as a sentence.
        why: String,
    },
}

/// Asks where the daemon wrote down that it listens, and at `dashboard.addr`.
pub(crate) fn ask(config: &Config) -> Answer {
    ask_others(config, None)
}

/// [`ask`], but not at the address at which this process itself listens.
pub(crate) fn ask_others(config: &Config, own: Option<SocketAddr>) -> Answer {
    let not_own = |addr: &Address| !own.is_some_and(|own| is_at(addr, own));
    let configured = config.dashboard.addr.clone().filter(|addr| addr.port != 0 && not_own(addr));
    // The file may be one that a killed daemon left behind: whatever else came of asking there is not told.
    if let Some(addr) =
        published(&config.checkpoint.dir).filter(|addr| not_own(addr) && Some(addr) != configured.as_ref())
        && let answer @ Answer::Report { .. } = ask_at(config, &addr)
    {
        return answer;
    }
    match configured {
        Some(addr) => ask_at(config, &addr),
        None if own.is_some() => Answer::Nothing { why: "no daemon answers".into() },
        None => Answer::Nothing { why: "dashboard.addr names no port to ask at".into() },
    }
}

/// Whether who connects to `addr` reaches the socket at `own`.
fn is_at(addr: &Address, own: SocketAddr) -> bool {
    let host = reachable(&addr.host);
    let same = || (host, addr.port).to_socket_addrs().is_ok_and(|mut found| found.any(|one| one == own));
    addr.port == own.port() && (own.ip().is_unspecified() || same())
}

/// Where one listens on every interface, the loopback interface is the nearest one.
fn reachable(host: &str) -> &str {
    match host {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    }
}

fn ask_at(config: &Config, addr: &Address) -> Answer {
    let (code, body) = match get(addr, "/api/status") {
        Ok(answer) => answer,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Answer::Other { why: format!("what listens on {addr} is no df2redis ({error})") };
        }
        Err(_) => return Answer::Nothing { why: format!("no daemon answers at {addr}") },
    };
    match serde_json::from_slice::<Report>(&body) {
        Ok(report) if code == 200 => {
            let ours = (configuration::source(config), configuration::target(config));
            if (&report.source, &report.target) == (&ours.0, &ours.1) {
                return Answer::Report { report: Box::new(report), addr: addr.clone() };
            }
            let why = format!(
                "the daemon at {addr} replicates {} to {}, not {} to {}",
                report.source, report.target, ours.0, ours.1
            );
            Answer::Other { why }
        }
        _ => Answer::Other { why: format!("what listens on {addr} is no df2redis (HTTP {code})") },
    }
}

/// GET: HTTP status and body. In HTTP/1.0 the body ends with the connection.
fn get(addr: &Address, path: &str) -> io::Result<(u16, Vec<u8>)> {
    request(addr, &format!("GET {path} HTTP/1.0\r\nHost: {addr}\r\n\r\n"), PATIENCE)
}

/// POST of a JSON document that may take a while to be answered: HTTP status and body.
pub(crate) fn post(addr: &Address, path: &str, json: &str) -> io::Result<(u16, Vec<u8>)> {
    let length = json.len();
    let head = format!("Content-Type: application/json\r\nContent-Length: {length}");
    request(addr, &format!("POST {path} HTTP/1.0\r\nHost: {addr}\r\n{head}\r\n\r\n{json}"), LONG)
}

fn request(addr: &Address, text: &str, patience: Duration) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = connect(addr)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(text.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer)?;
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "it does not speak HTTP");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(wrong)?;
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| wrong())?;
    let mut words = head.split(' ');
    let http = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
    let code = words.next().and_then(|word| word.parse().ok()).filter(|_| http).ok_or_else(wrong)?;
    Ok((code, answer.split_off(end + 4)))
}

fn connect(addr: &Address) -> io::Result<TcpStream> {
    let mut last = io::ErrorKind::NotFound.into();
    for addr in (reachable(&addr.host), addr.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&addr, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
