//! Every connection of an attachment is encrypted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flow::{AckState, Acker, AttachError, Cadence, SourceOptions, attach};
use resp::{Class, ConnectOptions, Tls, TlsOptions};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::certificates::Certificates;
use crate::master::granting;
use crate::peer::{Peer, What};

/// Puts TLS in front of `peer`, clients being verified; counts the sessions.
async fn encrypted(peer: &Peer, certs: &Certificates) -> (String, Arc<AtomicUsize>) {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certs.file("ca.pem")).unwrap()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let chain = vec![CertificateDer::from_pem_file(certs.file("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certs.file("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let sessions = Arc::new(AtomicUsize::new(0));
    let (count, behind) = (sessions.clone(), peer.addr.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, count, behind) = (acceptor.clone(), count.clone(), behind.clone());
            tokio::spawn(async move {
                let Ok(mut outer) = acceptor.accept(stream).await else { return };
                count.fetch_add(1, Ordering::SeqCst);
                let mut inner = TcpStream::connect(behind).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
            });
        }
    });
    (addr, sessions)
}

fn options(addr: &str, certs: &Certificates, client: bool) -> SourceOptions {
    let file = |name: &str| client.then(|| certs.file(name));
    let tls = TlsOptions {
        ca_file: Some(certs.file("ca.pem")),
        cert_file: file("client.pem"),
        key_file: file("client.key"),
        server_name: Some("redis.test".to_owned()),
    };
    let connect = ConnectOptions { tls: Some(Tls::load(&tls).unwrap()), ..ConnectOptions::new(addr) };
    SourceOptions::new(connect, 6380, "test")
}

#[tokio::test]
async fn control_and_flows_use_the_client_certificate() {
    let mut peer = granting(3).await;
    let certs = Certificates::make();
    let (addr, sessions) = encrypted(&peer, &certs).await;
    let mut attachment = attach(&options(&addr, &certs, true), None).await.unwrap();
    assert_eq!(sessions.load(Ordering::SeqCst), 4);
    attachment.sync().await.unwrap();
    attachment.start_stable().await.unwrap();

    let (_sender, applied) = watch::channel(12);
    let (_reader, writer) = attachment.take_flows().remove(0).split();
    let acker = Acker::spawn(writer, AckState { applied, ping: watch::channel(0).1 }, Cadence::default());
    let ack = What::Command("REPLCONF ACK 12".to_owned());
    peer.wait_for(|events| events.iter().any(|e| e.what == ack)).await;
    attachment.close(vec![acker]).await;
}

#[tokio::test]
async fn a_missing_client_certificate_is_told_from_a_lost_link() {
    let peer = granting(1).await;
    let certs = Certificates::make();
    let (addr, sessions) = encrypted(&peer, &certs).await;
    let error = attach(&options(&addr, &certs, false), None).await.unwrap_err();
    let AttachError::Control(handshake::Error::Connection(error)) = error else { panic!("{error:?}") };
    assert!(error.to_string().contains("client certificate"), "{error}");
    if matches!(error, resp::Error::ClientCertificate { .. }) {
        assert_eq!(error.class(), Class::AskOperator);
    }
    assert_eq!(sessions.load(Ordering::SeqCst), 0);
}
