//! Servers that are absent, silent, or do not keep to the protocol.

use std::time::Duration;

use resp::{Class, ConnectOptions, Connection, Error, Limits, Reply, Tls, TlsOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server that answers the first bytes of each connection with `answer` and then holds it open, or closes it.
async fn server(answer: &'static [u8], hold: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer).await;
            if hold {
                held.push(stream);
            }
        }
    });
    addr
}

fn impatient(addr: &str) -> ConnectOptions {
    ConnectOptions {
        connect_timeout: Duration::from_millis(200),
        reply_timeout: Duration::from_millis(200),
        ..ConnectOptions::new(addr)
    }
}

#[tokio::test]
async fn nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap().to_string();
    drop(listener);
    for addr in [closed.as_str(), "no-such-host.invalid:6379", "127.0.0.1", "127.0.0.1:99999"] {
        let error = Connection::open(&ConnectOptions::new(addr)).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. } | Error::Timeout { .. }), "{error:?}");
        assert_eq!(error.class(), Class::Retry);
        assert!(error.to_string().contains(addr), "{error}");
    }
}

#[tokio::test]
async fn a_silent_server_is_left_after_the_timeout() {
    let addr = server(b"", true).await;
    let mut connection = Connection::open(&impatient(&addr)).await.unwrap();
    let error = connection.call(&["PING"]).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(!connection.is_usable());
    let error = connection.call(&["PING"]).await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "a late reply must not answer another request: {error:?}");

    let mut options = impatient(&addr);
    options.password = "x".into();
    assert!(matches!(Connection::open(&options).await, Err(Error::Timeout { .. })));
}

#[tokio::test]
async fn a_dropped_call_ends_the_connection() {
    let addr = server(b"", true).await;
    let mut connection = Connection::open(&ConnectOptions::new(&addr)).await.unwrap();
    tokio::select! {
        biased;
        _ = connection.call(&["PING"]) => panic!("nobody answers"),
        _ = tokio::task::yield_now() => {}
    }
    assert!(!connection.is_usable());
}

#[tokio::test]
async fn an_error_that_echoes_a_line_end_ends_the_connection() {
    let addr = server(b"-ERR no key a\r\n+OK\r\n", true).await;
    let mut connection = Connection::open(&impatient(&addr)).await.unwrap();
    assert!(matches!(connection.call(&["GET", "a"]).await, Ok(Reply::Error(_))));
    let error = connection.call(&["GET", "b"]).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "the rest of the key is no answer: {error:?}");
    assert!(!connection.is_usable());
}

#[tokio::test]
async fn no_resp_and_replies_beyond_the_limits() {
    for (answer, hint) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], "check that the address names"),
        (b"$999\r\n", "exceeds the limit"),
        (b"*999\r\n", "exceeds the limit"),
    ] {
        let addr = server(answer, true).await;
        let mut options = impatient(&addr);
        options.limits = Limits { bulk: 100, elements: 100, depth: 2 };
        let mut connection = Connection::open(&options).await.unwrap();
        let error = connection.call(&["PING"]).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
        assert!(error.to_string().contains(hint), "{error}");
    }
}

#[tokio::test]
async fn a_close_after_an_answer_is_no_question_of_tls() {
    let addr = server(b"+PONG\r\n", false).await;
    let mut connection = Connection::open(&ConnectOptions::new(&addr)).await.unwrap();
    connection.call(&["PING"]).await.unwrap();
    let error = connection.call(&["PING"]).await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error:?}");
    assert!(!error.to_string().contains("TLS"), "{error}");
}

#[tokio::test]
async fn a_server_that_answers_a_tls_greeting_in_plain_text() {
    let certs = rcgen::generate_simple_self_signed(vec!["x.test".into()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    std::fs::write(&ca_file, certs.cert.pem()).unwrap();
    let tls = Tls::load(&TlsOptions { ca_file: Some(ca_file), ..TlsOptions::default() }).unwrap();
    for answer in [&b"-ERR unknown command\r\n"[..], b"-NOAUTH Authentication required.\r\n"] {
        let addr = server(answer, true).await;
        let options = ConnectOptions { tls: Some(tls.clone()), ..ConnectOptions::new(&addr) };
        let error = Connection::open(&options).await.unwrap_err();
        assert!(matches!(error, Error::NoTls { .. }), "{error:?}");
        assert_eq!(error.class(), Class::AskOperator);
    }
}
