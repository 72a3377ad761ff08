//! TLS on a real redis-server, and everything that can be wrong with it.

use std::time::Duration;

use crate::certificates::Certificates;
use crate::redis_server::RedisServer;
use bytes::{Bytes, BytesMut};
use resp::{Class, ConnectOptions, Connection, Error, Reply, Tls, TlsOptions};
use tokio::io::AsyncWriteExt;

fn trusting(certs: &Certificates) -> TlsOptions {
    TlsOptions { ca_file: Some(certs.file("ca.pem")), ..TlsOptions::default() }
}

fn with_client_certificate(certs: &Certificates) -> TlsOptions {
    TlsOptions {
        cert_file: Some(certs.file("client.pem")),
        key_file: Some(certs.file("client.key")),
        ..trusting(certs)
    }
}

fn tls_server(certs: &Certificates, more: &[&str]) -> RedisServer {
    let mut args = certs.server_args();
    args.extend(["--port", "0"].iter().chain(more).map(|a| a.to_string()));
    RedisServer::start("--tls-port", &args)
}

fn options(addr: &str, tls: &TlsOptions) -> ConnectOptions {
    ConnectOptions { tls: Some(Tls::load(tls).unwrap()), ..ConnectOptions::new(addr) }
}

/// The error of opening a connection, or of the first call on it.
async fn failure(options: &ConnectOptions) -> Error {
    match Connection::open(options).await {
        Err(error) => error,
        Ok(mut connection) => connection.call(&["PING"]).await.unwrap_err(),
    }
}

#[tokio::test]
async fn calls_logins_and_halves() {
    let certs = Certificates::make();
    let server = tls_server(&certs, &["--tls-auth-clients", "no", "--requirepass", "geheim"]);
    let mut options = options(&server.addr, &trusting(&certs));
    options.password = "geheim".into();
    let mut connection = Connection::open(&options).await.unwrap();
    let value = Bytes::from(vec![7u8; 3 << 20]);
    let set = vec![Bytes::from_static(b"SET"), Bytes::from_static(b"k"), value.clone()];
    let get = vec![Bytes::from_static(b"GET"), Bytes::from_static(b"k")];
    let replies = connection.pipeline(&[set, get]).await.unwrap();
    assert!(replies[0].is_ok());
    assert_eq!(replies[1], Reply::Bulk(value));

    let (mut reader, mut writer, rest) = connection.into_parts();
    assert!(rest.is_empty());
    writer.write_all(b"PING\r\n").await.unwrap();
    writer.flush().await.unwrap();
    let mut buf = BytesMut::new();
    while buf.len() < 7 {
        assert_ne!(reader.read_chunk(&mut buf).await.unwrap(), 0);
    }
    assert_eq!(&buf[..], b"+PONG\r\n");

    options.password = "falsch".into();
    assert!(matches!(Connection::open(&options).await, Err(Error::AuthRejected { .. })));
}

#[tokio::test]
async fn untrusted_certificates_and_other_names() {
    let (certs, others) = (Certificates::make(), Certificates::make());
    let server = tls_server(&certs, &["--tls-auth-clients", "no"]);
    let named = |name: &str| TlsOptions { server_name: Some(name.into()), ..trusting(&certs) };
    Connection::open(&options(&server.addr, &named("redis.test"))).await.unwrap();

    // The last one falls back on the system's store, which cannot know the authority either.
    let mut untrusting = vec![trusting(&others), named("other.test")];
    if Tls::load(&TlsOptions::default()).is_ok() {
        untrusting.push(TlsOptions::default());
    }
    for tls in untrusting {
        let error = failure(&options(&server.addr, &tls)).await;
        assert!(matches!(error, Error::UntrustedCertificate { .. }), "{error:?}");
        assert_eq!(error.class(), Class::AskOperator);
        let text = error.to_string();
        assert!(
            text.contains(&server.addr) && text.contains("tls.ca_file") && !text.contains('\n'),
            "{text}"
        );
    }
}

#[tokio::test]
async fn client_certificate_required() {
    let (certs, others) = (Certificates::make(), Certificates::make());
    let server = tls_server(&certs, &["--tls-auth-clients", "yes"]);
    let mut connection =
        Connection::open(&options(&server.addr, &with_client_certificate(&certs))).await.unwrap();
    assert_eq!(connection.call(&["PING"]).await.unwrap(), Reply::Simple("PONG".into()));

    let foreign = TlsOptions { ca_file: Some(certs.file("ca.pem")), ..with_client_certificate(&others) };
    for tls in [trusting(&certs), foreign] {
        let error = failure(&options(&server.addr, &tls)).await;
        // The server's alert may be overtaken by its close; either way the text names the certificate.
        assert!(matches!(error, Error::ClientCertificate { .. } | Error::Closed { .. }), "{error:?}");
        assert!(error.to_string().contains("client certificate"), "{error}");
    }
}

#[tokio::test]
async fn one_side_without_tls() {
    let certs = Certificates::make();
    let plain = RedisServer::plain::<&str>(&[]);
    let mut to_plain = options(&plain.addr, &trusting(&certs));
    // A Redis without TLS waits for a line end that a TLS greeting need not have.
    to_plain.connect_timeout = Duration::from_millis(300);
    let error = failure(&to_plain).await;
    assert!(error.to_string().contains("TLS"), "{error}");

    let tls = tls_server(&certs, &["--tls-auth-clients", "no"]);
    let error = failure(&ConnectOptions::new(&tls.addr)).await;
    assert!(matches!(error, Error::Closed { .. }), "{error:?}");
    assert!(error.to_string().contains("expect TLS?"), "{error}");
}

#[test]
fn files_and_settings_that_do_not_fit() {
    let (certs, others) = (Certificates::make(), Certificates::make());
    let empty = certs.dir().join("empty.pem");
    std::fs::write(&empty, "nothing here\n").unwrap();
    let missing = certs.dir().join("missing.pem");
    let good = with_client_certificate(&certs);
    let cases = [
        (TlsOptions { ca_file: Some(missing.clone()), ..good.clone() }, "tls.ca_file"),
        (TlsOptions { ca_file: Some(empty.clone()), ..good.clone() }, "tls.ca_file"),
        (TlsOptions { cert_file: Some(missing.clone()), ..good.clone() }, "tls.cert_file"),
        (TlsOptions { key_file: Some(missing), ..good.clone() }, "tls.key_file"),
        (TlsOptions { key_file: Some(empty), ..good.clone() }, "tls.key_file"),
        (
            TlsOptions { key_file: Some(others.file("client.key")), ..good.clone() },
            "does not go with tls.cert_file",
        ),
        (TlsOptions { key_file: None, ..good.clone() }, "belong together"),
        (TlsOptions { server_name: Some("not a name".into()), ..good.clone() }, "tls.server_name"),
    ];
    for (tls, expected) in cases {
        let error = Tls::load(&tls).unwrap_err();
        assert_eq!(error.class(), Class::Mismatch);
        let text = error.to_string();
        assert!(text.contains(expected) && !text.contains('\n'), "{text}");
    }
    Tls::load(&good).unwrap();
}
