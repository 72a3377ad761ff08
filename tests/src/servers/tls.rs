//! A certificate authority with one server and one client certificate, as PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tempfile::TempDir;

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
    dir: Arc<TempDir>,
}

impl Certificates {
    /// Makes a fresh CA and signs both certificates.
    pub fn generate() -> Self {
        let dir = Arc::new(TempDir::new().expect("a temporary directory"));
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names to get wrong");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "scenario CA");
        let ca = params.self_signed(&key).expect("a CA signs itself");
        let issuer = Issuer::new(params, key);
        let ca_file = write(dir.path(), "ca.pem", &ca.pem());
        let (server_cert, server_key) =
            sign(dir.path(), "server", ExtendedKeyUsagePurpose::ServerAuth, &issuer);
        let (client_cert, client_key) =
            sign(dir.path(), "client", ExtendedKeyUsagePurpose::ClientAuth, &issuer);
        Self { ca_file, server_cert, server_key, client_cert, client_key, dir }
    }

    /// The directory that holds the files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

fn sign(
    dir: &Path,
    name: &str,
    usage: ExtendedKeyUsagePurpose,
    issuer: &Issuer<'_, KeyPair>,
) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).expect("both names are valid");
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages.push(usage);
    let certificate = params.signed_by(&key, issuer).expect("the CA signs");
    (
        write(dir, &format!("{name}.pem"), &certificate.pem()),
        write(dir, &format!("{name}.key"), &key.serialize_pem()),
    )
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("a file in the temporary directory");
    path
}
