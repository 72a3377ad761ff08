//! The control connections of the recorded captures, replayed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use handshake::{Control, EofToken, FlowKind, FlowReply, FlowStart, Identity, Release, request_flow};
use resp::{ConnectOptions, Connection};
use serde_json::Value;

use crate::peer::{Peer, Rules};

fn captures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures");
    let folders = |dir: &Path| std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    let releases = folders(&root).into_iter().filter(|p| p.is_dir());
    releases.flat_map(|r| folders(&r)).map(|scenario| scenario.join("meta.json")).collect()
}

fn words(sent: &Value) -> String {
    let words: Vec<_> = sent.as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
    words.join(" ")
}

fn wire(reply: &Value) -> String {
    match reply.as_array() {
        None => reply.as_str().unwrap().to_owned(),
        Some(items) => {
            let items: Vec<_> = items.iter().map(|i| i.as_str().unwrap()).collect();
            format!("*{}\r\n{}", items.len(), items.join("\r\n"))
        }
    }
}

#[tokio::test]
async fn every_capture_is_greeted_as_it_was_recorded() {
    let captures = captures();
    assert!(captures.len() >= 14, "{} captures", captures.len());
    for path in captures {
        let meta: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        replay(&meta).await;
    }
}

async fn replay(meta: &Value) {
    let text = |name: &str| meta[name].as_str().unwrap().to_owned();
    let flows = meta["flow_replies"].as_array().unwrap();
    let exchanges = meta["control"].as_array().unwrap().iter().chain(flows.iter().map(|f| &f[0]));
    let info = format!("dragonfly_version:{}", text("dragonfly_version"));
    let mut rules: Rules = vec![("INFO server".into(), format!("${}\r\n{info}", info.len()))];
    rules.extend(exchanges.map(|e| (words(&e["sent"]), wire(&e["reply"]))));
    // The recorder claimed the newest version; this replica claims less.
    rules.push(("REPLCONF CLIENT-VERSION 4".into(), "+OK".into()));
    let peer = Peer::ruled(rules).await;

    let options = ConnectOptions::new(&peer.addr);
    let identity = Identity { listening_port: 6380, client_id: "recorder".to_owned() };
    let mut control = Control::greet(&options, &identity, None).await.unwrap();
    let greeting = control.greeting().clone();
    assert_eq!(greeting.replid, text("replid"));
    assert_eq!(greeting.sync_id, text("sync_id"));
    assert_eq!(greeting.flows, flows.len());
    assert_eq!(greeting.version.map(u64::from), meta["protocol_version"].as_u64());
    assert_eq!(greeting.release, Release::parse(&text("dragonfly_version")));
    assert_eq!(greeting.lineage.is_some(), greeting.release >= Some(Release::new(1, 40, 0)));

    for (id, exchange) in flows.iter().enumerate() {
        let start = match exchange[0]["sent"].get(5) {
            None => FlowStart::Snapshot,
            Some(lsn) => FlowStart::Lsn(lsn.as_str().unwrap().parse().unwrap()),
        };
        let kind = if meta["kinds"][id] == "FULL" { FlowKind::Full } else { FlowKind::Partial };
        let token = meta["eof_tokens"][id].as_str().unwrap().as_bytes().try_into().unwrap();
        let mut connection = Connection::open(&options).await.unwrap();
        let reply = request_flow(&mut connection, &greeting, id, start).await.unwrap();
        assert_eq!(reply, FlowReply { kind, eof_token: EofToken(token) });
    }

    let recorded: Vec<String> =
        meta["control"].as_array().unwrap().iter().map(|e| words(&e["sent"])).collect();
    let limit = Duration::from_secs(5);
    if recorded.iter().any(|words| words.starts_with("DFLY SYNC")) {
        control.sync(limit).await.unwrap();
    }
    control.start_stable(limit).await.unwrap();

    let said = |words: &String| !words.starts_with("INFO ") && !words.starts_with("DFLY FLOW");
    let said: Vec<String> = peer.commands().into_iter().filter(said).collect();
    let recorded: Vec<String> = recorded
        .into_iter()
        .map(
            |w| if w.starts_with("REPLCONF CLIENT-VERSION") { "REPLCONF CLIENT-VERSION 4".into() } else { w },
        )
        .collect();
    assert_eq!(said, recorded);
}
