//! TLS in front of a server that has none: the simulated master behind a certificate.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::{Certificates, on_runtime};

/// Accepts TLS connections and hands what they carry to a plain server. Clients must show a certificate of the CA.
#[derive(Debug)]
pub struct TlsFront {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl TlsFront {
    /// A front for the server at `behind`, with the server certificate of `certificates`.
    pub fn start(behind: &str, certificates: &Certificates) -> TlsFront {
        let acceptor = acceptor(certificates);
        let behind = behind.to_owned();
        on_runtime(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let addr = listener.local_addr().expect("a bound socket has an address");
            let task = tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(carry(acceptor.clone(), client, behind.clone()));
                }
            });
            TlsFront { addr, task }
        })
    }

    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        self.addr.to_string()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(acceptor: TlsAcceptor, client: TcpStream, behind: String) {
    let (Ok(mut client), Ok(mut server)) = (acceptor.accept(client).await, TcpStream::connect(behind).await)
    else {
        return;
    };
    // Either side may close: that is what closes the other.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

fn acceptor(certificates: &Certificates) -> TlsAcceptor {
    let read = |path| CertificateDer::from_pem_file(path).expect("a certificate made here");
    let mut roots = RootCertStore::empty();
    roots.add(read(&certificates.ca_file)).expect("a CA made here");
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .expect("roots are there");
    let key = PrivateKeyDer::from_pem_file(&certificates.server_key).expect("a key made here");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has all versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![read(&certificates.server_cert)], key)
        .expect("key and certificate belong together");
    TlsAcceptor::from(Arc::new(config))
}
