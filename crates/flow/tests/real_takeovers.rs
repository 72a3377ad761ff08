//! Takeovers of real Dragonflies, where `DRAGONFLY_BIN` names one: what rule 22 relies on.
#![allow(clippy::unwrap_used)]

#[path = "../../simulator/tests/common/dragonfly.rs"]
mod dragonfly;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dragonfly::Dragonfly;
use flow::{Answer, Attachment, FullReason, Parting, Resume, SourceOptions, attach, attach_after};
use handshake::replica_offset;
use journal::{Entry, LsnCounter};
use resp::{ConnectOptions, Connection, Reply};
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(30);

fn options(dragonfly: &Dragonfly) -> SourceOptions {
    SourceOptions::new(ConnectOptions::new(dragonfly.addr().to_string()), 6380, "test")
}

async fn connect(dragonfly: &Dragonfly) -> Connection {
    Connection::open(&ConnectOptions::new(dragonfly.addr().to_string())).await.unwrap()
}

async fn call(connection: &mut Connection, line: &str) -> Reply {
    let words: Vec<&str> = line.split(' ').collect();
    connection.call(&words).await.unwrap()
}

async fn wait_until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "timed out waiting for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Only the master knows: the replica calls its link up before the full sync begins.
async fn is_linked(replica: &Dragonfly, master: &Dragonfly) -> bool {
    let info = call(&mut connect(master).await, "INFO replication").await;
    let loaded = !matches!(call(&mut connect(replica).await, "GET k").await, Reply::Error(_));
    loaded && info.as_str().unwrap_or_default().contains("state=online")
}

/// `replica` replicates `master` and has caught up.
async fn replicate(replica: &Dragonfly, master: &Dragonfly) {
    let line = format!("REPLICAOF 127.0.0.1 {}", master.addr().port());
    assert!(call(&mut connect(replica).await, &line).await.is_ok());
    wait_until("the replica's link", || is_linked(replica, master)).await;
}

/// One flow being read: its end and the end's PING, and how far it is.
type Reading = (JoinHandle<(u64, u64)>, Arc<AtomicU64>);

/// Attaches at the present LSNs and reads every flow to its end.
async fn follow(master: &Dragonfly) -> (Attachment, Vec<Reading>, String) {
    let mut side = connect(master).await;
    let replid = attach(&options(master), None).await.unwrap().greeting.replid;
    let lsns = replica_offset(&mut side).await.unwrap();
    let resume = Resume { replid: replid.clone(), lsns: lsns.clone() };
    let mut attachment = attach(&options(master), Some(&resume)).await.unwrap();
    assert_eq!(attachment.answer, Answer::Partial);
    attachment.start_stable().await.unwrap();
    let flows = attachment.take_flows();
    let read = flows.into_iter().zip(lsns).map(|(socket, next)| {
        let received = Arc::new(AtomicU64::new(next));
        let told = received.clone();
        let task = tokio::spawn(async move {
            let (mut reader, mut writer) = socket.split();
            let mut decoder = journal::Decoder::new(journal::Limits::default());
            let (mut counter, mut ping) = (LsnCounter::new(next), 0);
            loop {
                while let Some(entry) = decoder.next().unwrap() {
                    counter.observe(&entry).unwrap();
                    told.store(counter.next(), Ordering::SeqCst);
                    if entry == Entry::Ping {
                        ping = counter.next();
                        let _ = writer.ack(ping).await;
                    }
                }
                let mut buf = BytesMut::new();
                match reader.read_chunk(&mut buf).await {
                    Ok(n) if n > 0 => decoder.feed(buf.freeze()),
                    _ => return (counter.next(), ping),
                }
            }
        });
        (task, received)
    });
    let read = read.collect();
    (attachment, read, replid)
}

async fn ends(read: Vec<Reading>) -> (Vec<u64>, Vec<u64>) {
    let mut ends = Vec::new();
    for (flow, _) in read {
        ends.push(tokio::time::timeout(PATIENCE, flow).await.unwrap().unwrap());
    }
    ends.into_iter().unzip()
}

/// Writes until the master refuses.
fn load(master: &Dragonfly, seed: u64) -> JoinHandle<u64> {
    let options = ConnectOptions::new(master.addr().to_string());
    tokio::spawn(async move {
        let mut client = Connection::open(&options).await.unwrap();
        for n in 0.. {
            let key = format!("k{}", (n * 7 + seed) % 97);
            match client.call(&["INCR", &key]).await {
                Ok(Reply::Integer(_)) => {}
                _ => return n,
            }
        }
        0
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_takeover_under_load_the_new_master_goes_on() {
    let Some(mut old) = Dragonfly::start("after_a_takeover_under_load_the_new_master_goes_on", &[]) else {
        return;
    };
    let new = Dragonfly::start("", &[]).unwrap();
    replicate(&new, &old).await;
    let error = attach(&options(&new), None).await.unwrap_err();
    assert!(error.is_replica(), "{error}");

    let (mut attachment, read, replid) = follow(&old).await;
    let writers: Vec<_> = (0..3).map(|seed| load(&old, seed)).collect();
    wait_until("some load", || async {
        let lsns = replica_offset(&mut connect(&old).await).await.unwrap();
        lsns.iter().all(|&n| n > 500)
    })
    .await;
    assert!(!attachment.is_taken_over().await.unwrap());
    // Asked until it says so or is gone: in the engine the PING is the moment to ask.
    let watch = tokio::spawn(async move {
        loop {
            match attachment.is_taken_over().await {
                Ok(true) => return (true, attachment),
                Ok(false) => tokio::task::yield_now().await,
                Err(_) => return (false, attachment),
            }
        }
    });
    assert!(call(&mut connect(&new).await, "REPLTAKEOVER 5").await.is_ok());
    let (taken_over, _attachment) = watch.await.unwrap();
    let (lsns, pings) = ends(read).await;
    for writer in writers {
        assert!(writer.await.unwrap() > 100);
    }
    assert!(taken_over);
    assert_eq!(lsns, pings, "a PING is the last record of every flow");
    wait_until("the old master's end", || std::future::ready(old.has_ended())).await;

    let mut client = connect(&new).await;
    for i in 0..50 {
        assert!(call(&mut client, &format!("SET own{i} {i}")).await.is_ok());
    }
    let (resume, parting) = (Resume { replid, lsns }, Parting { taken_over, pings });
    let mut attachment = attach_after(&options(&new), Some(&resume), Some(&parting)).await.unwrap();
    assert_eq!(attachment.answer, Answer::Partial);
    assert!(attachment.took_over);
    attachment.start_stable().await.unwrap();
    // The first records are the new master's own, and the LSN ops fit our count.
    for (socket, &next) in attachment.take_flows().into_iter().zip(&resume.lsns) {
        let (mut reader, _writer) = socket.split();
        let mut buf = BytesMut::new();
        tokio::time::timeout(PATIENCE, reader.read_chunk(&mut buf)).await.unwrap().unwrap();
        let mut decoder = journal::Decoder::new(journal::Limits::default());
        decoder.feed(buf.freeze());
        let mut counter = LsnCounter::new(next);
        while let Some(entry) = decoder.next().unwrap() {
            counter.observe(&entry).unwrap();
            if let Entry::Record(record) = entry {
                assert!(record.args[1].starts_with(b"own"), "{record:?}");
            }
        }
        assert!(counter.next() > next);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_promoted_while_behind_answers_partial_and_is_not_asked() {
    let name = "a_replica_promoted_while_behind_answers_partial_and_is_not_asked";
    let Some(mut old) = Dragonfly::start(name, &[]) else { return };
    let new = Dragonfly::start("", &[]).unwrap();
    replicate(&new, &old).await;
    let (attachment, read, replid) = follow(&old).await;
    // Promoted now: it never hears of the next records.
    let mut promoted = connect(&new).await;
    assert!(call(&mut promoted, "REPLICAOF NO ONE").await.is_ok());
    let mut client = connect(&old).await;
    for i in 0..40 {
        assert!(call(&mut client, &format!("SET lost{i} {i}")).await.is_ok());
    }
    let end = replica_offset(&mut client).await.unwrap();
    wait_until("all records", || {
        let received = read.iter().map(|(_, received)| received.load(Ordering::SeqCst));
        std::future::ready(received.eq(end.iter().copied()))
    })
    .await;
    old.kill();
    drop(attachment);
    let (lsns, _) = ends(read).await;
    assert_eq!(lsns, end);
    for i in 0..200 {
        assert!(call(&mut promoted, &format!("SET own{i} {i}")).await.is_ok());
    }
    let resume = Resume { replid, lsns };
    // What protects is not the new master: to the five-argument form it says PARTIAL.
    let greeting = attach(&options(&new), None).await.unwrap().greeting;
    let mut control = handshake::Control::greet(
        &options(&new).connect,
        &handshake::Identity { listening_port: 6380, client_id: "test".into() },
        None,
    )
    .await
    .unwrap();
    assert_eq!(control.greeting().replid, greeting.replid);
    let mut raw = connect(&new).await;
    let reply =
        handshake::request_flow_after(&mut raw, control.greeting(), 0, &resume.replid, &resume.lsns).await;
    assert_eq!(reply.unwrap().kind, handshake::FlowKind::Partial);
    control.ping(PATIENCE).await.unwrap();

    let attachment = attach_after(&options(&new), Some(&resume), Some(&Parting::default())).await.unwrap();
    assert!(matches!(attachment.answer, Answer::Full(FullReason::InDoubt { .. })), "{:?}", attachment.answer);
    drop(attachment);
    // Were the signs of a takeover there, its own records in the place of the PINGs would tell.
    let parting = Parting { taken_over: true, pings: resume.lsns.clone() };
    let attachment = attach_after(&options(&new), Some(&resume), Some(&parting)).await.unwrap();
    match attachment.answer {
        Answer::Full(FullReason::InDoubt { doubt, .. }) => {
            assert!(doubt.contains("record of its own"), "{doubt}");
        }
        other => panic!("{other:?}"),
    }
}
