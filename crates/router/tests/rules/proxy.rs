//! A way to a server that can be cut on one side only.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes connections on to a server. After a cut the server still has its end, with all that was sent: as behind a
/// router that forgot the connection.
pub(crate) struct Proxy {
    addr: String,
    cut: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(server: String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let (cut, cuts) = watch::channel(0);
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut server = TcpStream::connect(&server).await.unwrap();
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        biased;
                        _ = cuts.changed() => {
                            drop(client);
                            // Held open, and read, until the server closes it.
                            let _ = tokio::io::copy(&mut server, &mut tokio::io::sink()).await;
                        }
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                    }
                });
            }
        });
        Proxy { addr, cut, task }
    }

    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// Closes the clients' side of every connection.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Bytes that wait in the sockets of a server at this port (/proc/net/tcp).
pub(crate) fn unread(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let of_port = |line: &str| -> Option<usize> {
        let mut fields = line.split_whitespace();
        let (local, state, queues) = (fields.nth(1)?, fields.nth(1)?, fields.next()?);
        let connected = state != "0A" && u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()? == port;
        let waiting = usize::from_str_radix(queues.split_once(':')?.1, 16).ok()?;
        connected.then_some(waiting)
    };
    table.lines().skip(1).filter_map(of_port).sum()
}
