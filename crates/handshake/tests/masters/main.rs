//! The handshake with masters as they were recorded, and with everything else that may stand behind an address.
#![allow(clippy::unwrap_used)]

mod peer;
mod recorded;
#[path = "../../../resp/tests/servers/redis_server.rs"]
mod redis_server;
mod refusals;
mod releases;

use handshake::{Control, Error, Identity, Release};
use peer::Peer;
use resp::ConnectOptions;

const REPLID: &str = "1c3f8a2f6c4de07b9a5f3c8e1d2b4a6978c0e5f1";

/// The greeting of a v1.40.1 master with three shards.
const GREETING: &str = "*5\r\n+1c3f8a2f6c4de07b9a5f3c8e1d2b4a6978c0e5f1\r\n+SYNC1\r\n:3\r\n:5\r\n+1c3f8a2f6c4de07b9a5f3c8e1d2b4a6978c0e5f1";

/// Rules of a master, the given ones in front.
fn master(first: &[(&str, &str)]) -> peer::Rules {
    let mut all = peer::rules(first);
    all.extend(peer::rules(&[
        ("PING", "+PONG"),
        ("INFO server", "$34\r\n# Server\r\ndragonfly_version:df-v1.40.1"),
        ("REPLCONF capa dragonfly", GREETING),
        ("REPLCONF", "+OK"),
        ("DFLY SYNC", "+OK"),
        ("DFLY STARTSTABLE", "+OK"),
    ]));
    // The length of the INFO text belongs to the text.
    for (words, reply) in &mut all {
        if words.starts_with("INFO") && reply.starts_with('$') {
            let text = reply.split_once("\r\n").unwrap().1.to_owned();
            *reply = format!("${}\r\n{text}", text.len());
        }
    }
    all
}

async fn greet(peer: &Peer) -> Result<Control, Error> {
    greet_knowing(peer, None).await
}

async fn greet_knowing(peer: &Peer, release: Option<Release>) -> Result<Control, Error> {
    let identity = Identity { listening_port: 6380, client_id: "df2redis-test".to_owned() };
    Control::greet(&ConnectOptions::new(&peer.addr), &identity, release).await
}
