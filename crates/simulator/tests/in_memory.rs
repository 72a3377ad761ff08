//! A master without sockets, under a paused clock: the same seed gives the same bytes.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use simulator::{Clock, Handle, Simulator};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const START_MS: u64 = 1_700_000_000_000;

async fn master(seed: u64) -> Handle {
    let builder = Simulator::builder().seed(seed).clock(Clock::starting_at(START_MS));
    builder.without_listener().start().await.unwrap()
}

fn connect(master: &Handle, name: &str) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(4096);
    master.serve(theirs, name);
    ours
}

async fn ask(stream: &mut DuplexStream, line: &str) -> String {
    stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
    let mut buf = vec![0; 4096];
    let n = stream.read(&mut buf).await.unwrap();
    String::from_utf8_lossy(&buf[..n]).into_owned()
}

/// Everything a client and a replica see in one run.
async fn transcript(seed: u64) -> Vec<u8> {
    let master = master(seed).await;
    let mut client = connect(&master, "client:1");
    let mut control = connect(&master, "replica:2");
    let mut out = String::new();
    for line in ["SADD s a b c d e f", "SET k v PX 250", "TIME"] {
        out += &ask(&mut client, line).await;
    }
    let greeting = ask(&mut control, "REPLCONF capa dragonfly").await;
    out += &greeting;
    let replid = greeting.split("\r\n").nth(1).unwrap().trim_start_matches('+').to_owned();
    let mut flows = Vec::new();
    for i in 0..2 {
        let mut flow = connect(&master, "replica:3");
        out += &ask(&mut flow, &format!("DFLY FLOW {replid} SYNC1 {i}")).await;
        flows.push(flow);
    }
    out += &ask(&mut control, "DFLY SYNC SYNC1").await;
    out += &ask(&mut control, "DFLY STARTSTABLE SYNC1").await;
    for line in ["SPOP s 2", "XADD x * f v", "INFO replication"] {
        out += &ask(&mut client, line).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    out += &ask(&mut client, "EXISTS k").await;
    let mut bytes = out.into_bytes();
    master.drop_connections();
    for mut flow in flows {
        flow.read_to_end(&mut bytes).await.unwrap();
    }
    bytes
}

#[test]
fn a_run_replays_from_its_seed() {
    let run = |seed| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(transcript(seed))
    };
    let first = run(7);
    assert_eq!(first, run(7));
    assert_ne!(first, run(8));
    let text = String::from_utf8_lossy(&first);
    assert!(text.contains(&format!(":{}\r\n", START_MS / 1000)), "TIME comes from the given clock");
    assert!(text.contains(":0\r\n"), "the key expired");
}

#[test]
fn a_stopped_master_closes_what_it_is_given() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let master = master(1).await;
        let acceptor = master.acceptor();
        assert!(acceptor.is_open());
        master.stop().await;
        assert!(!acceptor.is_open());
        let (mut ours, theirs) = tokio::io::duplex(64);
        acceptor.serve(theirs, "late:1");
        let mut rest = Vec::new();
        assert_eq!(ours.read_to_end(&mut rest).await.unwrap(), 0);
    });
}

#[test]
fn a_master_may_be_stopped_before_it_has_run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let master = Simulator::builder().start().await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), master.stop()).await.unwrap();
    });
}
