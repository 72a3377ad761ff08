//! What can go wrong between two ends of a connection, and who has to act.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio_rustls::rustls;

use crate::reply::DecodeError;

#[cfg(test)]
mod tests;

/// Who has to do something about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nobody: the same attempt may succeed later.
    Retry,
    /// The operator: credentials, permissions or certificates do not fit.
    AskOperator,
    /// The operator, in the configuration: what it names is of another kind, or cannot be read.
    Mismatch,
    /// Us: the other side refused a request that it should accept.
    Bug,
}

/// A connection that failed, or could not be made. The text is one line: what happened, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No TCP connection, or the name does not resolve.
    #[error("cannot reach {addr}: {source}; check that the server runs and that the address is right")]
    Unreachable {
        /// host:port as configured.
        addr: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The other side did not answer in time.
    #[error("{addr} did not answer {what} within {after:?}; check the server's load and the network")]
    Timeout {
        /// host:port as configured.
        addr: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// TLS is configured, the server speaks plain RESP.
    #[error("{addr} does not speak TLS; use the server's TLS port, or set tls: false")]
    NoTls {
        /// host:port as configured.
        addr: String,
    },
    /// The server expects TLS, none is configured.
    #[error("{addr} expects TLS; set tls: true, or use the server's port without TLS")]
    TlsExpected {
        /// host:port as configured.
        addr: String,
    },
    /// The server's certificate is not trusted.
    #[error("the certificate of {addr} is not trusted: {reason}; check tls.ca_file and tls.server_name")]
    UntrustedCertificate {
        /// host:port as configured.
        addr: String,
        /// What the verifier objects to.
        reason: String,
    },
    /// The server does not accept our certificate, or wants one and got none.
    #[error("{addr} refused the TLS client certificate: {reason}; check tls.cert_file and tls.key_file")]
    ClientCertificate {
        /// host:port as configured.
        addr: String,
        /// The alert it sent.
        reason: String,
    },
    /// The two sides agree on no TLS session for another reason.
    #[error("no TLS session with {addr}: {reason}; check the TLS versions and ciphers of the server")]
    Tls {
        /// host:port as configured.
        addr: String,
        /// What TLS says.
        reason: String,
    },
    /// A file named in the TLS settings is missing, unreadable, or not what it should be.
    #[error("{setting} {}: {reason}", path.display())]
    TlsFile {
        /// The setting, such as `tls.ca_file`.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// TLS settings that do not go together.
    #[error("TLS settings: {reason}")]
    TlsSettings {
        /// Which, and what to do.
        reason: String,
    },
    /// User name or password are wrong, or the server has none.
    #[error("{addr} refused the login of {}: {message}; check username and password", user_name(user))]
    AuthRejected {
        /// host:port as configured.
        addr: String,
        /// The ACL user, if one is configured.
        user: Option<String>,
        /// The server's own words.
        message: String,
    },
    /// The server wants a password, none is configured.
    #[error("{addr} needs a password and none is configured; set password, or password_file")]
    AuthRequired {
        /// host:port as configured.
        addr: String,
    },
    /// The user may not run a command.
    #[error("{addr} does not permit a command: {message}; extend the ACL rules of the user")]
    NoPermission {
        /// host:port as configured.
        addr: String,
        /// The server's own words.
        message: String,
    },
    /// The server reads its data set from disk.
    #[error("{addr} is loading its data set; wait until it is done")]
    Loading {
        /// host:port as configured.
        addr: String,
    },
    /// The server has no free slot for another client.
    #[error("{addr} accepts no more clients: {message}; raise its maxclients")]
    TooManyClients {
        /// host:port as configured.
        addr: String,
        /// The server's own words.
        message: String,
    },
    /// The other side closed the connection, or the link broke.
    #[error("{addr} closed the connection ({reason}); see the log of the server")]
    Closed {
        /// host:port as configured.
        addr: String,
        /// The system's reason.
        reason: String,
    },
    /// Bytes that are no RESP, or replies nobody asked for.
    #[error(
        "{addr} does not speak RESP as expected: {reason}; check that the address names a Redis or Dragonfly port"
    )]
    Protocol {
        /// host:port as configured.
        addr: String,
        /// What is wrong with the bytes.
        reason: String,
    },
}

fn user_name(user: &Option<String>) -> String {
    user.as_ref().map_or_else(|| "the default user".to_owned(), |name| format!("user {name}"))
}

impl Error {
    /// Who has to act.
    pub fn class(&self) -> Class {
        match self {
            Error::Unreachable { .. }
            | Error::Timeout { .. }
            | Error::Loading { .. }
            | Error::TooManyClients { .. }
            | Error::Closed { .. }
            | Error::Protocol { .. } => Class::Retry,
            Error::NoTls { .. }
            | Error::TlsExpected { .. }
            | Error::UntrustedCertificate { .. }
            | Error::ClientCertificate { .. }
            | Error::Tls { .. }
            | Error::AuthRejected { .. }
            | Error::AuthRequired { .. }
            | Error::NoPermission { .. } => Class::AskOperator,
            Error::TlsFile { .. } | Error::TlsSettings { .. } => Class::Mismatch,
        }
    }

    /// The error that an error line stands for, if it concerns the connection as a whole: no login, no permission,
    /// loading, too many clients, TLS expected. `None` for every other line.
    pub fn from_error_line(addr: &str, line: &[u8]) -> Option<Error> {
        let addr = addr.to_owned();
        let message = printable(line);
        let code = line.split(|&b| b == b' ').next().unwrap_or_default();
        match code {
            b"NOAUTH" => Some(Error::AuthRequired { addr }),
            b"WRONGPASS" => Some(Error::AuthRejected { addr, user: None, message }),
            // DENIED: protected mode, or a client address that is not allowed.
            b"NOPERM" | b"DENIED" => Some(Error::NoPermission { addr, message }),
            b"LOADING" => Some(Error::Loading { addr }),
            _ if contains(line, b"max number of clients") => Some(Error::TooManyClients { addr, message }),
            // v1.40.1 facade/dragonfly_connection.cc: a TLS port answers this to a client without TLS.
            _ if contains(line, b"Bad TLS header") => Some(Error::TlsExpected { addr }),
            _ => None,
        }
    }

    /// The error behind a failed read or write of an established connection.
    pub fn from_io(addr: &str, error: &io::Error) -> Error {
        if let Some(tls) = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
            return Error::from_tls(addr, tls);
        }
        let reason = match error.kind() {
            io::ErrorKind::UnexpectedEof => "end of stream".to_owned(),
            _ => error.to_string(),
        };
        Error::Closed { addr: addr.to_owned(), reason }
    }

    pub(crate) fn from_tls(addr: &str, error: &rustls::Error) -> Error {
        use rustls::{AlertDescription as Alert, Error as Tls, InvalidMessage};
        let addr = addr.to_owned();
        match error {
            Tls::InvalidCertificate(reason) => {
                Error::UntrustedCertificate { addr, reason: reason.to_string() }
            }
            Tls::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge
                | InvalidMessage::InvalidEmptyPayload,
            ) => Error::NoTls { addr },
            Tls::AlertReceived(
                alert @ (Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                // An authority of the same name with another key.
                | Alert::DecryptError
                | Alert::AccessDenied),
            ) => Error::ClientCertificate { addr, reason: format!("{alert:?}") },
            other => Error::Tls { addr, reason: other.to_string() },
        }
    }

    pub(crate) fn protocol(addr: &str, error: &DecodeError) -> Error {
        Error::Protocol { addr: addr.to_owned(), reason: error.to_string() }
    }
}

fn contains(line: &[u8], words: &[u8]) -> bool {
    memchr::memmem::find(line, words).is_some()
}

/// Bytes of the other side as text for a message: one line, at most 200 characters, nothing a terminal would obey.
pub fn printable(bytes: &[u8]) -> String {
    const MAX: usize = 200;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * MAX)]);
    let mut out = String::new();
    for (n, c) in text.chars().enumerate() {
        if n == MAX {
            out.push('…');
            break;
        }
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}
