//! `host:port`.

use std::fmt;
use std::str::FromStr;

/// A server's address. IPv6 hosts are kept without their brackets and shown with them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Why a text is no address. The text itself is not repeated: it may be a URL with a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnAddress(&'static str);

impl fmt::Display for NotAnAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an address: {}", self.0)
    }
}

impl std::error::Error for NotAnAddress {}

impl FromStr for Address {
    type Err = NotAnAddress;

    /// `host:port` or `[v6]:port`.
    fn from_str(text: &str) -> Result<Address, NotAnAddress> {
        let address = parse(text, None)?;
        if address.port == 0 {
            return Err(NotAnAddress("the port is 0"));
        }
        Ok(address)
    }
}

/// As [`Address::from_str`], where a missing port may have a default and port 0 is the caller's decision.
pub(crate) fn parse(text: &str, default_port: Option<u16>) -> Result<Address, NotAnAddress> {
    let text = text.trim();
    if text.contains("://") {
        return Err(NotAnAddress("a URL stands where host:port belongs"));
    }
    if text.contains('@') {
        return Err(NotAnAddress("user and password have keys of their own"));
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(NotAnAddress("`]` is missing"))?;
        match rest {
            "" => (host, None),
            _ => (host, Some(rest.strip_prefix(':').ok_or(NotAnAddress("the port is missing"))?)),
        }
    } else {
        match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err(NotAnAddress("an IPv6 address needs brackets"));
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err(NotAnAddress("the host is missing"));
    }
    if host.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/' || c == ',') {
        return Err(NotAnAddress("the host contains characters no host has"));
    }
    let port = match (port, default_port) {
        (Some(port), _) => port.parse().map_err(|_| NotAnAddress("the port is not a number up to 65535"))?,
        (None, Some(port)) => port,
        (None, None) => return Err(NotAnAddress("the port is missing")),
    };
    Ok(Address { host: host.to_owned(), port })
}
