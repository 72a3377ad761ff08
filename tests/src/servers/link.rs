//! The network between two servers, which a test can cut.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use watch::Receiver;

use super::on_runtime;

/// Passes connections on to a server, until they are cut.
#[derive(Debug)]
pub struct Link {
    addr: SocketAddr,
    cuts: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Link {
    /// A link to the server at `behind`.
    pub fn to(behind: &str) -> Link {
        let behind = behind.to_owned();
        on_runtime(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let addr = listener.local_addr().expect("a bound socket has an address");
            let (cuts, told) = watch::channel(0);
            let task = tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(carry(client, behind.clone(), told.clone()));
                }
            });
            Link { addr, cuts, task }
        })
    }

    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        self.addr.to_string()
    }

    /// Closes every connection at both ends, with whatever was on its way. New ones are passed on.
    pub fn cut(&self) {
        let count = *self.cuts.borrow();
        self.cuts.send_replace(count + 1);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut client: TcpStream, behind: String, mut cuts: Receiver<u64>) {
    cuts.mark_unchanged();
    let Ok(mut server) = TcpStream::connect(behind).await else { return };
    tokio::select! {
        biased;
        _ = cuts.changed() => {}
        // Either side may close: that is what closes the other.
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
    }
}
