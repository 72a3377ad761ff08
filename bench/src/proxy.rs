//! A link to a server that can break on one side only: the client sees its connection closed, the server does not.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

/// A listening proxy; its threads end with the process.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    links: Arc<Mutex<Vec<Link>>>,
}

/// A client, its connection to the server, and whether that is kept when the client is gone.
type Link = (TcpStream, TcpStream, Arc<AtomicBool>);

impl Proxy {
    /// Listens on a free port, and connects each client to `server`.
    ///
    /// # Errors
    /// No port can be had.
    pub fn start(server: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let links: Arc<Mutex<Vec<Link>>> = Arc::default();
        let all = links.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(link) = TcpStream::connect(&server) else { continue };
                let both = || Some((client.try_clone().ok()?, link.try_clone().ok()?));
                let (Some((to_client, from_server)), Some(kept)) = (both(), both()) else { continue };
                let keep = Arc::new(AtomicBool::new(false));
                all.lock().unwrap_or_else(PoisonError::into_inner).push((kept.0, kept.1, keep.clone()));
                std::thread::spawn(move || {
                    copy(client, &link);
                    if !keep.load(SeqCst) {
                        close(&link);
                    }
                });
                std::thread::spawn(move || {
                    copy(from_server, &to_client);
                    close(&to_client);
                });
            }
        });
        Ok(Proxy { addr, links })
    }

    /// Where it listens.
    pub fn addr(&self) -> String {
        self.addr.to_string()
    }

    /// Closes all connections to clients. The server keeps its ends, idle, for as long as the returned value lives.
    pub fn cut(&self) -> Vec<TcpStream> {
        let links = std::mem::take(&mut *self.links.lock().unwrap_or_else(PoisonError::into_inner));
        let cut = |(client, server, keep): Link| {
            keep.store(true, SeqCst);
            close(&client);
            server
        };
        links.into_iter().map(cut).collect()
    }
}

/// Both ways. One that has ended is closed already.
fn close(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

/// Copies until either ends.
fn copy(mut from: TcpStream, mut to: &TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) if to.write_all(&buffer[..length]).is_err() => break,
            Ok(_) => {}
        }
    }
}
