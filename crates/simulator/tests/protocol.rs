//! What replicas and clients of the live master see besides data.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Client, Replica, Resp, entries, until};
use journal::Entry;
use simulator::{Handle, Release, Reply, Simulator};

fn error(text: &str) -> Resp {
    Resp::Error(text.to_owned())
}

fn all_closed(replica: &Replica) -> bool {
    replica.flows.iter().all(|f| f.lock().unwrap().closed)
}

async fn lag(client: &mut Client) -> String {
    let info = client.call(&["INFO", "replication"]).await.text();
    info.lines().find(|l| l.starts_with("slave0")).unwrap_or("none").to_owned()
}

#[tokio::test]
async fn the_handshake_refuses_what_a_real_master_refuses() {
    let master = Simulator::builder().shards(3).start().await.unwrap();
    let id = master.replication_id();
    let mut c = Client::open(master.addr()).await;
    assert_eq!(c.call(&["DFLY", "REPLICAOFFSET"]).await, Resp::Array(vec![Resp::Int(0); 3]));
    assert_eq!(c.call(&["REPLCONF", "capa", "DRAGONFLY"]).await, Resp::ok());
    assert_eq!(c.call(&["REPLCONF", "capa", "eof", "capa", "dragonfly"]).await, Resp::ok());
    assert_eq!(
        c.call(&["REPLCONF", "listening-port", "x"]).await,
        error("ERR value is not an integer or out of range")
    );
    assert_eq!(c.call(&["REPLCONF", "ACL-CHECK", "0"]).await, error("ERR syntax error"));
    assert!(c.call(&["PSYNC", "?", "-1"]).await.is_error());
    let greeting = c.call(&["REPLCONF", "capa", "dragonfly"]).await;
    let texts: Vec<String> = greeting.items().iter().map(Resp::text).collect();
    assert_eq!(texts, [&id, "SYNC1", "3", "5", &id]);
    let mut f = Client::open(master.addr()).await;
    for (args, want) in [
        (&["other", "SYNC1", "0"][..], "ERR bad master id"),
        (&[&id, "SYNC7", "0"], "ERR syncid not found"),
        (&[&id, "7", "0"], "ERR bad sync id"),
        (&[&id, "SYNC1", "3"], "ERR value is not an integer or out of range"),
        (&[&id, "SYNC1", "0", "x"], "ERR value is not an integer or out of range"),
        (&[&id, "SYNC1", "0", "old", "1-"], "ERR value is not an integer or out of range"),
        (&[&id, "SYNC1"], "ERR syntax error"),
    ] {
        assert_eq!(f.call(&[&["DFLY", "FLOW"], args].concat()).await, error(want), "{args:?}");
    }
    assert_eq!(c.call(&["DFLY", "SYNC", "SYNC1"]).await, error("ERR invalid state"));
    assert_eq!(c.call(&["DFLY", "STARTSTABLE", "SYNC1"]).await, error("ERR invalid state"));
    let flow = f.call(&["DFLY", "FLOW", &id, "SYNC1", "0", "old", "1-2-3"]).await;
    assert_eq!(flow.items()[0].text(), "FULL");
    assert_eq!(master.crashes(), 0);
    Client::open(master.addr()).await.call(&["REPLCONF", "CLIENT-VERSION", "5"]).await;
    assert_eq!(master.crashes(), 1);
}

#[tokio::test]
async fn one_closed_flow_ends_the_attachment() {
    let master = Simulator::builder().shards(3).start().await.unwrap();
    let mut replica = Replica::attach(master.addr(), None).await;
    replica.reach_stable().await;
    drop(replica.writers.remove(1));
    until("all flows to close", || all_closed(&replica)).await;
    assert_eq!(replica.control.call(&["PING"]).await, Resp::Simple("PONG".into()));
    assert_eq!(replica.start_stable().await, error("ERR syncid not found"));

    let mut replica = Replica::attach(master.addr(), None).await;
    replica.reach_stable().await;
    replica.control = Client::open(master.addr()).await;
    until("all flows to close with the control connection", || all_closed(&replica)).await;

    let mut replica = Replica::attach(master.addr(), None).await;
    replica.reach_stable().await;
    let before = replica.bytes(0).len() as u64;
    master.faults().cut_flow(0, before + 10);
    (0..50).for_each(|i| drop(master.execute(0, &["SET", &format!("k{i}"), "v"])));
    until("the cut", || all_closed(&replica)).await;
    assert_eq!(replica.bytes(0).len() as u64, before + 10);
}

#[tokio::test]
async fn acks_show_as_lag_and_answer_wait() {
    let master = Simulator::builder().shards(2).start().await.unwrap();
    let mut replica = Replica::attach(master.addr(), None).await;
    let mut c = Client::open(master.addr()).await;
    assert!(lag(&mut c).await.contains("state=preparation"));
    replica.reach_stable().await;
    (0..20).for_each(|i| drop(master.execute(0, &["SET", &format!("k{i}"), "v"])));
    let lsns = master.lsns();
    let most = *lsns.iter().max().unwrap();
    assert_eq!(lag(&mut c).await, format!("slave0:ip=127.0.0.1,port=6380,state=online,lag={most}"));
    for (flow, lsn) in lsns.iter().enumerate() {
        replica.ack(flow, *lsn).await;
        until("the ack", || master.acked(flow) == *lsn).await;
    }
    assert!(lag(&mut c).await.ends_with("lag=0"));
    c.send(&["WAIT", "1", "20000"]).await;
    let pinged = |i| {
        let all = entries(&replica.journal(i).unwrap());
        all.contains(&Entry::Ping)
    };
    until("a PING on every flow", || (0..2).all(pinged)).await;
    for (flow, lsn) in lsns.iter().enumerate() {
        replica.ack(flow, lsn + 1).await;
    }
    assert_eq!(c.reply().await, Some(Resp::Int(1)));
    assert_eq!(c.call(&["WAIT", "2", "10"]).await, Resp::Int(0));
}

#[tokio::test]
async fn lsn_ops_come_after_the_first_record_and_then_by_time() {
    let interval = Duration::from_millis(50);
    let master = Simulator::builder().shards(1).lsn_interval(interval).start().await.unwrap();
    let mut replica = Replica::attach(master.addr(), None).await;
    replica.reach_stable().await;
    (0..5).for_each(|_| drop(master.execute(0, &["INCR", "n"])));
    tokio::time::sleep(interval * 2).await;
    (0..5).for_each(|_| drop(master.execute(0, &["INCR", "n"])));
    let ops = || {
        let all = entries(&replica.journal(0).unwrap());
        all.iter().filter_map(|e| if let Entry::Lsn(n) = e { Some(*n) } else { None }).collect::<Vec<u64>>()
    };
    until("two LSN ops", || ops().len() == 2).await;
    assert_eq!(ops(), [1, 6]);
}

async fn stalled(builder: simulator::Builder) -> (Handle, Replica, Client) {
    let master = builder.shards(1).output_limit(20_000).start().await.unwrap();
    let mut replica = Replica::attach(master.addr(), None).await;
    replica.reach_stable().await;
    master.faults().stall_flow(0);
    let client = Client::open(master.addr()).await;
    (master, replica, client)
}

#[tokio::test]
async fn a_slow_flow_holds_writers_up_until_it_drains() {
    let (master, replica, mut c) = stalled(Simulator::builder()).await;
    for _ in 0..9 {
        c.send(&["APPEND", "k", &"x".repeat(5000)]).await;
    }
    let mut answered = 0;
    while tokio::time::timeout(Duration::from_millis(200), c.reply()).await.is_ok() {
        answered += 1;
    }
    assert!((1..9).contains(&answered), "{answered} writes went through");
    assert!(!all_closed(&replica));
    master.faults().resume_flow(0);
    for _ in answered..9 {
        assert!(matches!(c.reply().await, Some(Resp::Int(_))));
    }
}

#[tokio::test]
async fn a_flow_that_does_not_drain_is_given_up() {
    let patience = Duration::from_millis(200);
    let (master, replica, mut c) = stalled(Simulator::builder().replication_timeout(patience)).await;
    for _ in 0..9 {
        assert!(matches!(c.call(&["APPEND", "k", &"x".repeat(5000)]).await, Resp::Int(_)));
    }
    until("the flow to close", || all_closed(&replica)).await;
    assert!(master.attachments().is_empty());
}

#[tokio::test]
async fn startstable_before_the_cut_holds_everyone_up() {
    let master = Simulator::builder().shards(1).start().await.unwrap();
    for i in 0..3000 {
        master.execute(0, &["SET", &format!("k{i}"), &format!("{i}").repeat(50)]);
    }
    let mut replica = Replica::attach(master.addr(), None).await;
    master.faults().stall_flow(0);
    assert_eq!(replica.sync().await, Resp::ok());
    let id = replica.sync_id.clone();
    replica.control.send(&["DFLY", "STARTSTABLE", &id]).await;
    let mut c = Client::open(master.addr()).await;
    // Until the guard is up writes pass.
    loop {
        c.send(&["SET", "other", "1"]).await;
        if tokio::time::timeout(Duration::from_millis(300), c.reply()).await.is_err() {
            break;
        }
    }
    master.faults().resume_flow(0);
    assert_eq!(c.reply().await, Some(Resp::ok()));
    assert_eq!(replica.control.reply().await, Some(Resp::ok()));
}

#[tokio::test]
async fn a_restarted_master_is_another_one() {
    let master = Simulator::builder().start().await.unwrap();
    master.execute(0, &["SET", "k", "v"]);
    let mut replica = Replica::attach(master.addr(), None).await;
    replica.reach_stable().await;
    master.execute(0, &["SET", "k", "w"]);
    let old = master.replication_id();
    master.restart(true).await;
    until("the flows to close", || all_closed(&replica)).await;
    assert_ne!(master.replication_id(), old);
    assert_eq!(master.lsns(), [0, 0]);
    assert_eq!(master.execute(0, &["GET", "k"]), Reply::bulk("w"));
    let mut c = Client::open(master.addr()).await;
    c.call(&["REPLCONF", "capa", "dragonfly"]).await;
    assert_eq!(c.call(&["DFLY", "FLOW", &old, "SYNC1", "0", "2"]).await, error("ERR bad master id"));
    master.restart(false).await;
    assert_eq!(master.execute(0, &["EXISTS", "k"]), Reply::Int(0));
    master.set_loading(true);
    let mut c = Client::open(master.addr()).await;
    let loading = error("LOADING Dragonfly is loading the dataset in memory");
    assert_eq!(c.call(&["REPLCONF", "capa", "dragonfly"]).await.items().len(), 5);
    assert_eq!(c.call(&["DFLY", "FLOW", "x", "SYNC1", "0"]).await, loading);
    assert_eq!(c.call(&["GET", "k"]).await, loading);
}

#[tokio::test]
async fn passwords_and_a_user_with_three_commands() {
    let master =
        Simulator::builder().password("secret").replication_user("repl", "pw").start().await.unwrap();
    let mut c = Client::open(master.addr()).await;
    assert_eq!(c.call(&["PING"]).await, error("NOAUTH Authentication required."));
    let wrong = error("WRONGPASS invalid username-password pair or user is disabled.");
    assert_eq!(c.call(&["AUTH", "wrong"]).await, wrong);
    assert_eq!(c.call(&["AUTH", "secret"]).await, Resp::ok());
    assert_eq!(c.call(&["SET", "k", "v"]).await, Resp::ok());
    let mut c = Client::open(master.addr()).await;
    assert_eq!(c.call(&["AUTH", "repl", "pw"]).await, Resp::ok());
    assert_eq!(c.call(&["PING"]).await, Resp::Simple("PONG".into()));
    assert_eq!(c.call(&["REPLCONF", "capa", "dragonfly"]).await.items().len(), 5);
    for refused in [&["INFO"][..], &["HELLO"], &["GET", "k"]] {
        assert_eq!(c.call(refused).await, error("NOPERM repl has no ACL permissions"));
    }
}

#[tokio::test]
async fn scripted_replies_come_once() {
    let master = Simulator::builder().start().await.unwrap();
    master.faults().reply_once("DFLY SYNC", "-ERR out of luck\r\n");
    let mut replica = Replica::attach(master.addr(), None).await;
    assert_eq!(replica.sync().await, error("ERR out of luck"));
    assert_eq!(replica.sync().await, Resp::ok());
}

#[tokio::test]
async fn paused_writes_wait() {
    let master = Simulator::builder().start().await.unwrap();
    let mut c = Client::open(master.addr()).await;
    assert_eq!(c.call(&["CLIENT", "PAUSE", "60000", "WRITE"]).await, Resp::ok());
    assert_eq!(c.call(&["GET", "k"]).await, Resp::Nil);
    let mut w = Client::open(master.addr()).await;
    w.send(&["SET", "k", "v"]).await;
    assert!(tokio::time::timeout(Duration::from_millis(100), w.reply()).await.is_err());
    assert_eq!(c.call(&["CLIENT", "UNPAUSE"]).await, Resp::ok());
    assert_eq!(w.reply().await, Some(Resp::ok()));
}

#[tokio::test]
async fn the_redis_crate_and_redis_cli_work() {
    let master = Simulator::builder().release(Release::V1_40).start().await.unwrap();
    for protocol in ["resp2", "resp3"] {
        let client = redis::Client::open(format!("redis://{}/2?protocol={protocol}", master.addr())).unwrap();
        let mut c = client.get_multiplexed_async_connection().await.unwrap();
        let _: () = redis::pipe()
            .atomic()
            .cmd("SET")
            .arg("k")
            .arg("v")
            .ignore()
            .cmd("HSET")
            .arg("h")
            .arg("f")
            .arg(1)
            .ignore()
            .cmd("ZADD")
            .arg("z")
            .arg(1.5)
            .arg("m")
            .ignore()
            .query_async(&mut c)
            .await
            .unwrap();
        let value: String = redis::cmd("GET").arg("k").query_async(&mut c).await.unwrap();
        let hash: std::collections::HashMap<String, i64> =
            redis::cmd("HGETALL").arg("h").query_async(&mut c).await.unwrap();
        let zset: Vec<(String, f64)> =
            redis::cmd("ZRANGE").arg("z").arg(0).arg(-1).arg("WITHSCORES").query_async(&mut c).await.unwrap();
        let kind: String = redis::cmd("TYPE").arg("z").query_async(&mut c).await.unwrap();
        assert_eq!(
            (value.as_str(), hash["f"], zset, kind.as_str()),
            ("v", 1, vec![("m".to_owned(), 1.5)], "zset")
        );
    }
    let port = master.addr().port().to_string();
    let cli = tokio::process::Command::new("redis-cli")
        .args(["-p", &port, "-n", "2", "--scan"])
        .output()
        .await
        .unwrap();
    let mut keys: Vec<String> = String::from_utf8(cli.stdout).unwrap().lines().map(str::to_owned).collect();
    keys.sort();
    assert_eq!(keys, ["h", "k", "z"]);
    let mut c = Client::open(master.addr()).await;
    c.send(&["BLPOP", "queue", "0"]).await;
    master.execute(0, &["RPUSH", "queue", "x"]);
    assert_eq!(c.reply().await.unwrap().items()[1].text(), "x");
    assert_eq!(c.call(&["BLPOP", "queue", "0.05"]).await, Resp::Nil);
}

#[tokio::test]
async fn flushed_slots_leave_one_record_on_every_flow() {
    let master = Simulator::builder().shards(3).start().await.unwrap();
    let mut replica = Replica::attach(master.addr(), None).await;
    replica.reach_stable().await;
    // Slots 12182 and 5061, and the tag's slot again.
    for key in ["foo", "bar", "{foo}x"] {
        master.execute(0, &["SET", key, "v"]);
    }
    assert_eq!(master.execute(0, &["DFLYCLUSTER", "FLUSHSLOTS", "10001", "16383"]), Reply::OK);
    assert_eq!(master.execute(0, &["EXISTS", "foo", "{foo}x"]), Reply::Int(0));
    assert_eq!(master.execute(0, &["EXISTS", "bar"]), Reply::Int(1));
    let last = |i: usize| match entries(&replica.journal(i).unwrap())
        .into_iter()
        .rfind(|e| matches!(e, Entry::Record(_)))
    {
        Some(Entry::Record(r)) => {
            (r.txid, r.args.iter().map(|a| String::from_utf8_lossy(a).into_owned()).collect())
        }
        _ => (9, Vec::<String>::new()),
    };
    let want = ["DFLYCLUSTER", "FLUSHSLOTS", "10001", "16383"].map(str::to_owned).to_vec();
    until("the record on every flow", || (0..3).all(|i| last(i) == (0, want.clone()))).await;
}

#[tokio::test]
async fn a_connection_of_a_former_life_ends_no_new_attachment() {
    let master = Simulator::builder().shards(1).start().await.unwrap();
    for _ in 0..20 {
        let mut old = Replica::attach(master.addr(), None).await;
        old.reach_stable().await;
        master.restart(true).await;
        let mut new = Replica::attach(master.addr(), None).await;
        assert_eq!(new.sync_id, "SYNC1");
        until("the old flow to close", || all_closed(&old)).await;
        drop(old);
        new.reach_stable().await;
        assert!(!all_closed(&new));
        assert_eq!(master.attachments().len(), 1);
    }
}
