//! A real redis-server to put things into, and the comparison of two servers with ordinary commands.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use super::{Client, Resp};

pub struct RedisServer {
    child: Child,
    pub addr: SocketAddr,
}

impl RedisServer {
    pub async fn start() -> RedisServer {
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let port = addr.port().to_string();
        let child = Command::new("redis-server")
            .args(["--port", &port, "--save", "", "--appendonly", "no", "--databases", "16"])
            .args(["--proto-max-bulk-len", "512mb"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let server = RedisServer { child, addr };
        while tokio::net::TcpStream::connect(addr).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        server
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything a server holds, read with ordinary commands: one line a key.
pub async fn contents(addr: SocketAddr) -> Vec<String> {
    let mut c = Client::open(addr).await;
    let mut out = Vec::new();
    for db in 0..16 {
        c.call(&["SELECT", &db.to_string()]).await;
        let (mut keys, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let reply = c.call(&["SCAN", &cursor, "COUNT", "1000"]).await;
            keys.extend(reply.items()[1].items().iter().map(bulk));
            cursor = reply.items()[0].text();
            if cursor == "0" {
                break;
            }
        }
        keys.sort();
        keys.dedup();
        for key in keys {
            let kind = c.call(&[b"TYPE".as_slice(), &key]).await.text();
            let expiry = c.call(&[b"PEXPIRETIME".as_slice(), &key]).await.text();
            let value = match kind.as_str() {
                "string" => c.call(&[b"GET".as_slice(), &key]).await,
                "list" => c.call(&[b"LRANGE".as_slice(), &key, b"0", b"-1"]).await,
                "set" => sorted(c.call(&[b"SMEMBERS".as_slice(), &key]).await, 1),
                "hash" => sorted(c.call(&[b"HGETALL".as_slice(), &key]).await, 2),
                "zset" => scores(&c.call(&[b"ZRANGE".as_slice(), &key, b"0", b"-1", b"WITHSCORES"]).await),
                "stream" => c.call(&[b"XRANGE".as_slice(), &key, b"-", b"+"]).await,
                "none" => continue,
                other => panic!("type {other}"),
            };
            out.push(format!("{db} {:?} {kind} {expiry} {value:?}", bytes::Bytes::from(key)));
        }
    }
    out
}

/// Scores as numbers: Redis 7.0 prints 17 digits.
fn scores(reply: &Resp) -> Resp {
    let number = |s: &Resp| Resp::Simple(format!("{:?}", s.text().parse::<f64>().unwrap()));
    Resp::Array(reply.items().chunks(2).flat_map(|p| [p[0].clone(), number(&p[1])]).collect())
}

/// Panics with the beginning of the first difference.
pub fn assert_same(a: &[String], b: &[String], what: &str) {
    for (a, b) in a.iter().zip(b) {
        if a != b {
            let at = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
            let near = |s: &str| s.chars().skip(at.saturating_sub(100)).take(200).collect::<String>();
            let head = |s: &str| s.chars().take(60).collect::<String>();
            panic!("{what}: {}... at byte {at}:\n{}\n{}", head(a), near(a), near(b));
        }
    }
    assert_eq!(a.len(), b.len(), "{what}: number of keys");
}

fn bulk(r: &Resp) -> Vec<u8> {
    match r {
        Resp::Bulk(b) => b.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn sorted(reply: Resp, width: usize) -> Resp {
    let mut rows: Vec<Vec<Vec<u8>>> =
        reply.items().chunks(width).map(|row| row.iter().map(bulk).collect()).collect();
    rows.sort();
    Resp::Array(rows.into_iter().flatten().map(|b| Resp::Bulk(b.into())).collect())
}
