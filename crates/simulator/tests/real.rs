//! The simulator against Dragonfly itself, where `DRAGONFLY_BIN` names one: the same requests must get the same answers.
#![allow(clippy::unwrap_used)]

mod common;

use common::dragonfly::Dragonfly;
use common::{Client, Resp};
use simulator::Simulator;

/// Writes and reads in the order in which they are sent. What a repair reads is all here.
const SCRIPT: &[&str] = &[
    "TYPE nokey",
    "GET nokey",
    "DUMP nokey",
    "PEXPIRETIME nokey",
    "EXPIRETIME nokey",
    "PTTL nokey",
    "STRLEN nokey",
    "GETRANGE nokey 0 0",
    "LLEN nokey",
    "LRANGE nokey 0 0",
    "SCARD nokey",
    "SMEMBERS nokey",
    "SSCAN nokey 0",
    "HLEN nokey",
    "HKEYS nokey",
    "HGETALL nokey",
    "HSCAN nokey 0",
    "ZCARD nokey",
    "ZRANGE nokey 0 0",
    "ZRANGE nokey 0 -1 WITHSCORES",
    "ZSCAN nokey 0",
    "XLEN nokey",
    "XRANGE nokey - +",
    "FIELDTTL nokey m",
    "MEMORY USAGE nokey",
    "OBJECT ENCODING nokey",
    "SET s hello",
    "SET n 17",
    "SET px v PXAT 1999999999999",
    "TYPE s",
    "GET s",
    "GETRANGE s 1 3",
    "GETRANGE s -3 100",
    "STRLEN s",
    "PEXPIRETIME s",
    "PEXPIRETIME px",
    "EXPIRETIME px",
    "DUMP s",
    "DUMP n",
    "RPUSH l a b 3",
    "TYPE l",
    "LLEN l",
    "LRANGE l 0 -1",
    "LRANGE l 1 1",
    "DUMP l",
    "SADD one m",
    "SMEMBERS one",
    "SSCAN one 0 COUNT 10",
    "FIELDTTL one m",
    "FIELDTTL one x",
    "HSET h f v",
    "TYPE h",
    "HGETALL h",
    "HSCAN h 0",
    "HLEN h",
    "HKEYS h",
    "FIELDTTL h f",
    "FIELDTTL h x",
    "FIELDTTL s x",
    "DUMP h",
    "ZADD z 1 a 2.5 b -1 c",
    "ZRANGE z 0 -1 WITHSCORES",
    "ZRANGE z 1 1",
    "ZCARD z",
    "ZSCAN z 0",
    "TYPE z",
    "DUMP z",
    "XADD x 1-1 f v",
    "XADD x 2-1 g w",
    "XGROUP CREATE x grp 1-1",
    "TYPE x",
    "XLEN x",
    "XRANGE x - +",
    "GET l",
    "HGETALL s",
    "LRANGE h 0 -1",
    "ZRANGE s 0 -1",
    "SMEMBERS s",
    "GETRANGE l 0 1",
    "PEXPIREAT s 1999999999999",
    "PERSIST s",
    "PERSIST s",
    "PERSIST nokey",
    "PEXPIREAT nokey 1999999999999",
    "RENAME nokey other",
    "EXISTS s n nokey",
    "CLIENT PAUSE 1 WRITE",
    "CLIENT UNPAUSE",
    "CLIENT PAUSE x",
    "SELECT 3",
    "TYPE s",
    "SELECT 99",
    "SELECT 0",
    "CONFIG GET shard_repl_backlog_len",
    "CONFIG GET replication_timeout",
    "DFLY REPLICAOFFSET",
    "REPLCONF",
    "REPLCONF ACK",
    "ROLE",
    "WAIT 0 10",
    "NOSUCH x",
];

async fn both(name: &str, shards: usize) -> Option<(Dragonfly, simulator::Handle)> {
    let real = Dragonfly::start(name, &[])?;
    Some((real, Simulator::builder().shards(shards).start().await.unwrap()))
}

async fn line(client: &mut Client, line: &str) -> Resp {
    client.call(&line.split(' ').collect::<Vec<_>>()).await
}

/// Keys and values only: the fields of an INFO section that both sides have in the same order.
fn fields(info: &Resp) -> Vec<String> {
    let known = ["role:", "connected_slaves:", "master_replid:", "master_link_status:", "slave_read_only:"];
    let text = info.text();
    let of_replicas = |l: &str| l.starts_with("slave0:");
    let lines = text.lines().filter(|l| of_replicas(l) || known.iter().any(|k| l.starts_with(k)));
    lines
        .map(|l| match l.split_once(':') {
            Some(("master_replid", id)) => format!("master_replid of {} digits", id.len()),
            _ => l.to_owned(),
        })
        .collect()
}

#[tokio::test]
async fn requests_get_the_same_answers() {
    let Some((real, simulated)) = both("requests_get_the_same_answers", 2).await else { return };
    let (mut theirs, mut ours) = (Client::open(real.addr()).await, Client::open(simulated.addr()).await);
    let mut differences = Vec::new();
    for request in SCRIPT {
        let (want, got) = (line(&mut theirs, request).await, line(&mut ours, request).await);
        if want != got {
            differences.push(format!("{request}\n  Dragonfly: {want:?}\n  simulator: {got:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let (want, got) =
        (line(&mut theirs, "INFO replication").await, line(&mut ours, "INFO replication").await);
    assert_eq!(fields(&want), fields(&got));
}

/// Asks both sides the same and demands the same answer.
async fn same(theirs: &mut Client, ours: &mut Client, request: &str) -> Resp {
    let (want, got) = (line(theirs, request).await, line(ours, request).await);
    assert_eq!(want, got, "{request}");
    got
}

#[tokio::test]
async fn a_right_that_is_taken_away_is_missing_on_open_connections_too() {
    let name = "a_right_that_is_taken_away_is_missing_on_open_connections_too";
    let Some((real, simulated)) = both(name, 2).await else { return };
    let (mut theirs, mut ours) = (Client::open(real.addr()).await, Client::open(simulated.addr()).await);
    let mut admin = Client::open(real.addr()).await;
    same(&mut theirs, &mut ours, "TYPE x").await;
    assert_eq!(line(&mut admin, "ACL SETUSER default -TYPE -DFLY -ECHO").await, Resp::ok());
    for command in ["TYPE", "DFLY", "ECHO"] {
        simulated.faults().deny(command);
    }
    // Every thread of a real one hears of it by itself.
    until_denied(&mut theirs, "TYPE x", true).await;
    for request in ["TYPE x", "DFLY REPLICAOFFSET", "ECHO x", "GET x", "INFO nosuchsection"] {
        let answer = same(&mut theirs, &mut ours, request).await;
        assert_eq!(answer.is_error(), !request.ends_with("section") && request != "GET x", "{request}");
    }
    assert_eq!(line(&mut admin, "ACL SETUSER default +TYPE").await, Resp::ok());
    simulated.faults().allow("TYPE");
    until_denied(&mut theirs, "TYPE x", false).await;
    assert!(!same(&mut theirs, &mut ours, "TYPE x").await.is_error());
}

async fn offsets(client: &mut Client) -> Vec<i64> {
    let reply = line(client, "DFLY REPLICAOFFSET").await;
    reply.items().iter().map(|n| n.text().parse().unwrap()).collect()
}

async fn until_denied(client: &mut Client, request: &str, denied: bool) {
    let began = std::time::Instant::now();
    while line(client, request).await.is_error() != denied {
        assert!(began.elapsed() < common::PATIENCE, "{request}");
    }
}

/// A replica of a real master, caught up.
async fn replicate(replica: &Dragonfly, master: &Dragonfly) -> Client {
    let mut client = Client::open(replica.addr()).await;
    let mut at_master = Client::open(master.addr()).await;
    let request = format!("REPLICAOF 127.0.0.1 {}", master.addr().port());
    assert_eq!(line(&mut client, &request).await, Resp::ok());
    let began = std::time::Instant::now();
    loop {
        // Only the master knows: the replica calls its link up before the full sync begins.
        let info = line(&mut at_master, "INFO replication").await.text();
        if info.contains("state=online") && !line(&mut client, "GET k").await.is_error() {
            return client;
        }
        assert!(began.elapsed() < common::PATIENCE, "{info}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_replica_and_its_promotion_look_the_same() {
    let Some((real, simulated)) = both("a_replica_and_its_promotion_look_the_same", 2).await else { return };
    let (replica, new) = (Dragonfly::start("", &[]).unwrap(), Simulator::builder().start().await.unwrap());
    let mut theirs = replicate(&replica, &real).await;
    new.become_replica();
    let mut ours = Client::open(new.addr()).await;
    for request in ["REPLCONF capa dragonfly", "REPLCONF listening-port 1", "SET a 1", "GET a", "PING"] {
        same(&mut theirs, &mut ours, request).await;
    }
    let first = |role: Resp| role.items()[0].clone();
    assert_eq!(first(line(&mut theirs, "ROLE").await), first(line(&mut ours, "ROLE").await));
    let (want, got) =
        (line(&mut theirs, "INFO replication").await, line(&mut ours, "INFO replication").await);
    assert_eq!(fields(&want), fields(&got));

    // The simulated journal starts with its first replica.
    let replica_of_ours = common::Replica::attach(simulated.addr(), None).await;
    drop(replica_of_ours);
    let (mut old_theirs, mut old_ours) =
        (Client::open(real.addr()).await, Client::open(simulated.addr()).await);
    for i in 0..20 {
        same(&mut old_theirs, &mut old_ours, &format!("SET k{i} {i}")).await;
    }
    let before = same(&mut old_theirs, &mut old_ours, "DFLY REPLICAOFFSET").await;
    assert_eq!(line(&mut theirs, "REPLTAKEOVER 5").await, Resp::ok());
    new.take_over(&simulated, common::PATIENCE).await;
    // One PING on every shard.
    let after = same(&mut theirs, &mut ours, "DFLY REPLICAOFFSET").await;
    let plus_one =
        |r: &Resp| r.items().iter().map(|n| Resp::Int(n.text().parse::<i64>().unwrap() + 1)).collect();
    assert_eq!(after, Resp::Array(plus_one(&before)));
    same(&mut theirs, &mut ours, "GET k7").await;
    same(&mut theirs, &mut ours, "SET own 1").await;
    same(&mut theirs, &mut ours, "DFLY REPLICAOFFSET").await;
}

#[tokio::test]
async fn a_replica_promoted_alone_goes_on_without_a_ping() {
    let name = "a_replica_promoted_alone_goes_on_without_a_ping";
    let Some((real, simulated)) = both(name, 2).await else { return };
    let (replica, new) = (Dragonfly::start("", &[]).unwrap(), Simulator::builder().start().await.unwrap());
    drop(common::Replica::attach(simulated.addr(), None).await);
    let mut theirs = replicate(&replica, &real).await;
    let mut ours = Client::open(new.addr()).await;
    assert_eq!(line(&mut theirs, "REPLICAOF NO ONE").await, Resp::ok());
    new.promote(simulated.standby());
    // Where a real one begins depends on when the promotion meets its link; no record is added by it.
    let (theirs_from, ours_from) = (offsets(&mut theirs).await, offsets(&mut ours).await);
    for request in ["SET a 1", "SET b 1", "SET c 1"] {
        same(&mut theirs, &mut ours, request).await;
    }
    let (theirs_to, ours_to) = (offsets(&mut theirs).await, offsets(&mut ours).await);
    assert_eq!(theirs_to.iter().sum::<i64>(), theirs_from.iter().sum::<i64>() + 3);
    for shard in 0..2 {
        assert_eq!(theirs_to[shard] - theirs_from[shard], ours_to[shard] - ours_from[shard]);
    }
}
