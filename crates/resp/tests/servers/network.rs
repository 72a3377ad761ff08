//! Streams that are no sockets.

use std::io;
use std::sync::{Arc, Mutex};

use resp::{ConnectOptions, Connection, Dial, Dialing, Error, Network, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Hands out one end of a pipe and keeps the other.
#[derive(Debug, Default)]
struct Pipes(Mutex<Vec<(String, DuplexStream)>>);

impl Dial for Pipes {
    fn dial(&self, addr: &str) -> Dialing {
        if addr == "nobody:1" {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        }
        let (near, far) = tokio::io::duplex(64);
        self.0.lock().unwrap().push((addr.to_owned(), far));
        Box::pin(async move { Ok(Box::new(near) as _) })
    }
}

#[tokio::test]
async fn a_connection_runs_over_whatever_the_network_dials() {
    let pipes = Arc::new(Pipes::default());
    let mut options = ConnectOptions::new("node-1:7000");
    options.network = Network::custom(pipes.clone());
    let mut connection = Connection::open(&options.clone()).await.unwrap();
    let (addr, mut peer) = pipes.0.lock().unwrap().pop().unwrap();
    assert_eq!(addr, "node-1:7000");
    let server = tokio::spawn(async move {
        let mut request = [0; 14];
        peer.read_exact(&mut request).await.unwrap();
        assert_eq!(&request, b"*1\r\n$4\r\nPING\r\n");
        peer.write_all(b"+PONG\r\nrest").await.unwrap();
        peer
    });
    assert_eq!(connection.call(&["PING"]).await.unwrap(), Reply::Simple("PONG".into()));
    let mut peer = server.await.unwrap();
    let (mut reader, mut writer, unread) = connection.into_parts();
    writer.write_all(b"bye").await.unwrap();
    drop(writer);
    let mut bye = [0; 3];
    peer.read_exact(&mut bye).await.unwrap();
    drop(peer);
    let mut rest = unread.to_vec();
    reader.read_to_end(&mut rest).await.unwrap();
    assert_eq!((&bye, &rest[..]), (b"bye", &b"rest"[..]));
}

#[tokio::test]
async fn a_refusal_names_the_address() {
    let mut options = ConnectOptions::new("nobody:1");
    options.network = Network::custom(Arc::new(Pipes::default()));
    let error = Connection::open(&options).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { addr, .. } if addr == "nobody:1"), "{error}");
}
