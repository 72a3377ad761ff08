//! TLS settings, read once and shared by every connection.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::error::Error;

/// TLS as the configuration has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM file of the authorities that are trusted; without it, the system's store (`SSL_CERT_FILE` honoured).
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate and its chain, if the server verifies clients.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the private key that belongs to `cert_file`.
    pub key_file: Option<PathBuf>,
    /// The name the server's certificate must carry; without it, the host of the address.
    pub server_name: Option<String>,
}

/// TLS ready for use: files read, certificates parsed. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) server_name: Option<ServerName<'static>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`Error::TlsFile`] and [`Error::TlsSettings`], both of class [`Class::Mismatch`](crate::Class::Mismatch).
    pub fn load(options: &TlsOptions) -> Result<Tls, Error> {
        let server_name = options.server_name.as_ref().map(|name| {
            ServerName::try_from(name.clone()).map_err(|_| Error::TlsSettings {
                reason: format!("tls.server_name {name:?} is neither a host name nor an IP address"),
            })
        });
        let server_name = server_name.transpose()?;
        // The provider is named here, not taken from the process, so that no caller has to install one.
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::TlsSettings { reason: e.to_string() })?
            .with_root_certificates(roots(options)?);
        let config = match (&options.cert_file, &options.key_file) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let chain = certificates("tls.cert_file", cert)?;
                let private = PrivateKeyDer::from_pem_file(key)
                    .map_err(|e| file_error("tls.key_file", key, &e, "a PEM private key"))?;
                builder.with_client_auth_cert(chain, private).map_err(|e| Error::TlsFile {
                    setting: "tls.key_file",
                    path: key.clone(),
                    reason: format!("does not go with tls.cert_file: {e}"),
                })?
            }
            _ => {
                let reason = "tls.cert_file and tls.key_file belong together; set both or neither".to_owned();
                return Err(Error::TlsSettings { reason });
            }
        };
        Ok(Tls { config: Arc::new(config), server_name })
    }
}

fn roots(options: &TlsOptions) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    match &options.ca_file {
        Some(path) => {
            for cert in certificates("tls.ca_file", path)? {
                roots.add(cert).map_err(|e| Error::TlsFile {
                    setting: "tls.ca_file",
                    path: path.clone(),
                    reason: format!("holds a certificate that cannot serve as an authority: {e}"),
                })?;
            }
        }
        None => {
            // Single bad files in a system store are common and harmless as long as others can be read.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let reason = "the system has no certificate store; set tls.ca_file".to_owned();
                return Err(Error::TlsSettings { reason });
            }
        }
    }
    Ok(roots)
}

fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    const WANTED: &str = "PEM certificates";
    let certs = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| file_error(setting, path, &e, WANTED))?;
    if certs.is_empty() {
        let reason = format!("has no certificate in it; it must hold {WANTED}");
        return Err(Error::TlsFile { setting, path: path.to_owned(), reason });
    }
    Ok(certs)
}

fn file_error(
    setting: &'static str,
    path: &Path,
    error: &tokio_rustls::rustls::pki_types::pem::Error,
    wanted: &str,
) -> Error {
    use tokio_rustls::rustls::pki_types::pem::Error as Pem;
    let reason = match error {
        Pem::Io(e) => format!("cannot be read: {e}"),
        other => format!("is not usable ({other}); it must hold {wanted}"),
    };
    Error::TlsFile { setting, path: path.to_owned(), reason }
}
