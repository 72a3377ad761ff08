//! A certificate authority with one server and one client certificate, as PEM files.

use std::path::PathBuf;

/// PEM files for a TLS test; the files live as long as any clone of this.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The CA that signed both.
    pub ca_file: PathBuf,
    /// Server certificate for `localhost` and `127.0.0.1`.
    pub server_cert: PathBuf,
    /// Its key.
    pub server_key: PathBuf,
    /// Client certificate.
    pub client_cert: PathBuf,
    /// Its key.
    pub client_key: PathBuf,
}

impl Certificates {
    /// Makes a fresh CA and signs both certificates.
    pub fn generate() -> Self {
        unimplemented!()
    }
}
