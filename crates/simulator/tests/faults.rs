//! Scripted misbehaviour does what it says, and stops when told.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::{Client, PATIENCE, Replica, Resp, records, until};
use simulator::{Clock, Handle, Simulator};

async fn master() -> Handle {
    Simulator::builder().shards(2).start().await.unwrap()
}

/// No answer comes within a short while; that one comes later shows that the connection lives.
async fn is_silent(client: &mut Client) -> bool {
    tokio::time::timeout(Duration::from_millis(150), client.reply()).await.is_err()
}

fn write(master: &Handle, n: usize) {
    for i in 0..n {
        assert!(!master.execute(0, &["SET", &format!("k{i}"), "v"]).is_error());
    }
}

#[tokio::test]
async fn a_stopped_process_answers_when_it_goes_on() {
    let master = master().await;
    let mut client = Client::open(master.addr()).await;
    let mut replica = Replica::attach(master.addr(), None).await;
    replica.reach_stable().await;
    let before = replica.bytes(0).len();
    master.faults().freeze();
    let mut late = Client::open(master.addr()).await;
    client.send(&["PING"]).await;
    late.send(&["PING"]).await;
    write(&master, 50);
    assert!(is_silent(&mut client).await && is_silent(&mut late).await);
    assert_eq!(replica.bytes(0).len(), before);
    master.faults().thaw();
    assert_eq!(client.reply().await, Some(Resp::Simple("PONG".into())));
    assert_eq!(late.reply().await, Some(Resp::Simple("PONG".into())));
    until("the records", || replica.bytes(0).len() > before).await;
}

#[tokio::test]
async fn a_dead_link_stays_open_and_new_ones_work() {
    let master = master().await;
    let mut client = Client::open(master.addr()).await;
    assert_eq!(client.call(&["PING"]).await, Resp::Simple("PONG".into()));
    master.blackhole();
    client.send(&["PING"]).await;
    assert!(is_silent(&mut client).await);
    master.drop_connections();
    assert!(is_silent(&mut client).await, "the end of the connection must not be seen");
    assert_eq!(Client::open(master.addr()).await.call(&["PING"]).await, Resp::Simple("PONG".into()));
    master.shut_down();
    assert_eq!(client.reply().await, None);
}

#[tokio::test]
async fn requests_and_replies_get_lost() {
    let master = master().await;
    let mut client = Client::open(master.addr()).await;
    master.faults().swallow_once("INCR");
    client.send(&["INCR", "n"]).await;
    assert!(is_silent(&mut client).await);
    assert_eq!(client.call(&["INCR", "n"]).await, Resp::Int(1), "not executed");
    master.faults().lose_reply_once("INCR");
    client.send(&["INCR", "n"]).await;
    assert!(is_silent(&mut client).await);
    assert_eq!(client.call(&["INCR", "n"]).await, Resp::Int(3), "executed");
    master.faults().hang_up_once("INCR");
    client.send(&["INCR", "n"]).await;
    assert_eq!(client.reply().await, None);
    let mut client = Client::open(master.addr()).await;
    assert_eq!(client.call(&["GET", "n"]).await.text(), "3");

    // Also where the answer comes later than the request was looked at.
    let mut replica = Replica::attach(master.addr(), None).await;
    assert_eq!(replica.sync().await, Resp::ok());
    master.faults().lose_reply_once("DFLY STARTSTABLE");
    let id = replica.sync_id.clone();
    replica.control.send(&["DFLY", "STARTSTABLE", &id]).await;
    assert!(is_silent(&mut replica.control).await);
    until("stable sync", || master.attachments()[0].state == "stable_sync").await;
}

#[tokio::test]
async fn nobody_listens_for_a_while() {
    let master = master().await;
    let mut old = Client::open(master.addr()).await;
    assert_eq!(old.call(&["PING"]).await, Resp::Simple("PONG".into()));
    master.faults().refuse_connections(true);
    assert_eq!(Client::open(master.addr()).await.reply().await, None);
    assert_eq!(old.call(&["PING"]).await, Resp::Simple("PONG".into()));
    master.faults().refuse_connections(false);
    assert_eq!(Client::open(master.addr()).await.call(&["PING"]).await, Resp::Simple("PONG".into()));
}

#[tokio::test]
async fn all_flows_stall_and_go_on() {
    let master = master().await;
    let mut replica = Replica::attach(master.addr(), None).await;
    replica.reach_stable().await;
    let from = master.lsns();
    master.faults().stall_all_flows();
    let before: Vec<usize> = (0..2).map(|i| replica.journal(i).unwrap().len()).collect();
    write(&master, 100);
    assert_eq!(
        replica.control.call(&["PING"]).await,
        Resp::Simple("PONG".into()),
        "only the flows stand still"
    );
    assert_eq!((0..2).map(|i| replica.journal(i).unwrap().len()).collect::<Vec<_>>(), before);
    master.faults().resume_all_flows();
    let (ends, starts) = (master.lsns(), from);
    for flow in 0..2 {
        let want = (ends[flow] - starts[flow]) as usize;
        until("the records", || {
            let mut decoder = journal::Decoder::new(journal::Limits::default());
            decoder.feed(replica.journal(flow).unwrap().into());
            let mut n = 0;
            while let Some(entry) = decoder.next().unwrap() {
                n += usize::from(matches!(entry, journal::Entry::Record(_)));
            }
            n == want
        })
        .await;
        assert_eq!(records(&replica.journal(flow).unwrap(), starts[flow]).len(), want);
    }
}

#[tokio::test]
async fn without_the_right_to_replconf_the_next_ack_ends_the_attachment() {
    let master = master().await;
    let mut replica = Replica::attach(master.addr(), None).await;
    replica.reach_stable().await;
    replica.ack(0, 1).await;
    until("the ACK", || master.acked(0) == 1).await;
    master.faults().deny("REPLCONF");
    replica.ack(0, 2).await;
    until("the end", || replica.flows.iter().all(|f| f.lock().unwrap().closed)).await;
    assert!(master.attachments().is_empty());
}

#[tokio::test]
async fn a_restart_may_change_the_number_of_shards() {
    let master = master().await;
    write(&master, 500);
    master.execute(3, &["SET", "other", "v", "PXAT", "1999999999999"]);
    let id = master.replication_id();
    master.restart_with(true, 5).await;
    assert_ne!(master.replication_id(), id);
    let mut client = Client::open(master.addr()).await;
    assert_eq!(client.call(&["DBSIZE"]).await, Resp::Int(500));
    assert_eq!(client.call(&["GET", "k499"]).await.text(), "v");
    assert_eq!(client.call(&["SELECT", "3"]).await, Resp::ok());
    assert_eq!(client.call(&["PEXPIRETIME", "other"]).await, Resp::Int(1_999_999_999_999));
    let replica = Replica::attach(master.addr(), None).await;
    assert_eq!(replica.kinds, ["FULL"; 5]);
    master.restart_with(false, 1).await;
    let mut client = Client::open(master.addr()).await;
    assert_eq!(client.call(&["DBSIZE"]).await, Resp::Int(0));
}

#[tokio::test]
async fn loading_ends_by_itself() {
    let master = master().await;
    master.load_for(Duration::from_millis(200));
    let mut client = Client::open(master.addr()).await;
    assert!(client.call(&["GET", "k"]).await.text().starts_with("LOADING"));
    assert!(client.call(&["DFLY", "FLOW", "x", "SYNC1", "0"]).await.text().starts_with("LOADING"));
    let began = Instant::now();
    while client.call(&["GET", "k"]).await.is_error() {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_given_clock_decides_what_has_expired() {
    let time = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(1_000_000));
    let told = time.clone();
    let clock = Clock::from_fn(move || told.load(std::sync::atomic::Ordering::SeqCst));
    let master = Simulator::builder().clock(clock).start().await.unwrap();
    let mut client = Client::open(master.addr()).await;
    assert_eq!(client.call(&["SET", "k", "v", "PX", "5000"]).await, Resp::ok());
    assert_eq!(client.call(&["PEXPIRETIME", "k"]).await, Resp::Int(1_005_000));
    assert_eq!(client.call(&["EXISTS", "k"]).await, Resp::Int(1));
    time.store(1_005_000, std::sync::atomic::Ordering::SeqCst);
    let began = Instant::now();
    // DBSIZE looks at nothing: the key is gone because its time has come.
    while client.call(&["DBSIZE"]).await != Resp::Int(0) {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
