//! Faults of the target: redirects, refusals, broken connections. Each is caused, under writes.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use scenarios::client::{Client, as_number};
use scenarios::logical::diff;
use scenarios::observe::wait_all_in_sync;
use scenarios::program::{Df2redis, number};
use scenarios::servers::{Cluster, ClusterOptions, RedisOptions, RedisServer, next_lsns};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;
use scenarios::workload::{Mode, Options, Workload, fill, seed};
use simulator::Release;

const READY: Duration = Duration::from_secs(60);

fn source() -> Source {
    Source::simulated(Release::V1_40, 2)
}

fn flows_sum(status: &serde_json::Value, field: &str) -> u64 {
    status["flows"].as_array().unwrap().iter().map(|flow| number(flow, field)).sum()
}

#[test]
fn slots_that_move_under_writes_are_followed_in_order() {
    let (source, seed) = (source(), seed());
    let cluster = Cluster::start(ClusterOptions::default());
    fill(&source.endpoint(), 20_000, &[0, 1], seed);
    // Counters and lists: a command that overtakes another, is lost or comes twice shows.
    let options = Options { rate: Some(4_000), keys: 300, ..Options::new(Mode::Full, seed) };
    let writer = Workload::start(&source.endpoint(), options);
    let target = Target::Cluster(cluster);
    let mut program = Df2redis::replicate(target.settings(&source));
    program.wait_ready(READY);
    let Target::Cluster(cluster) = &target else { unreachable!() };
    for slot in (0..16384).step_by(131) {
        let owner = cluster.master_of(slot);
        let to = cluster.masters().iter().map(|m| m.index).find(|m| *m != owner).unwrap();
        cluster.migrate_slot(slot, to);
    }
    writer.wait_for(2_000);
    writer.stop().assert_no_surprise();
    target.assert_nearly_equal(&source);
    let status = program.status().unwrap();
    assert!(flows_sum(&status, "redirects") > 0, "no redirect was met: {status}");
    wait_all_in_sync(&mut program, READY);
}

#[test]
fn a_key_asked_for_elsewhere_keeps_its_order_while_its_slot_migrates() {
    let source = source();
    let target = Target::Cluster(Cluster::start(ClusterOptions::default()));
    let mut program = Df2redis::replicate(target.settings(&source));
    program.wait_ready(READY);
    let Target::Cluster(cluster) = &target else { unreachable!() };
    let slot = cluster.slot_of(b"{ask}");
    let from = cluster.master_of(slot);
    let to = cluster.masters().iter().map(|m| m.index).find(|m| *m != from).unwrap();
    let mut client = source.client();
    client.call(&["RPUSH", "{ask}:before", "1"]);
    target.assert_equal(&source);
    assert_eq!(cluster.begin_slot_migration(slot, to), from);
    for n in 0..500 {
        // Absent at the old owner: every one of these is answered with ASK. MSET touches both sides: TRYAGAIN.
        client.call(&["RPUSH", "{ask}:new", &n.to_string()]);
        client.call(&["RPUSH", "{ask}:before", &n.to_string()]);
        if n == 250 {
            client.call(&["MSET", "{ask}:x", "1", "{ask}:y", "2"]);
            while cluster.move_keys(slot, from, to, 100) > 0 {}
        }
    }
    cluster.finish_slot_migration(slot, from, to);
    client.call(&["RPUSH", "{ask}:new", "last"]);
    target.assert_equal(&source);
    let status = program.status().unwrap();
    assert!(flows_sum(&status, "redirects") > 0, "no redirect was met: {status}");
    assert_eq!(number(&status, "not_in_sync_count"), 0, "{status}");
}

#[test]
fn a_failover_under_writes_is_followed() {
    let (source, seed) = (source(), seed());
    let target = Target::Cluster(Cluster::with_replicas());
    let options = Options { rate: Some(2_000), ..Options::new(Mode::Idempotent, seed) };
    let writer = Workload::start(&source.endpoint(), options);
    let mut program = Df2redis::replicate(target.settings(&source));
    program.wait_ready(READY);
    let Target::Cluster(cluster) = &target else { unreachable!() };
    let replica = cluster.replica_of(cluster.masters()[0].index).unwrap();
    // A manual failover: the old master hands over everything it has.
    cluster.failover(replica);
    cluster.wait_master(replica);
    writer.wait_for(2_000);
    writer.stop().assert_no_surprise();
    target.assert_equal(&source);
}

#[test]
fn connections_cut_under_repeatable_writes_lose_nothing() {
    let (source, seed) = (source(), seed());
    for target in Target::both() {
        source.client().call(&["FLUSHALL"]);
        let options = Options { rate: Some(4_000), ..Options::new(Mode::Idempotent, seed) };
        let writer = Workload::start(&source.endpoint(), options);
        let mut program = Df2redis::replicate(target.settings(&source));
        program.wait_ready(READY);
        let mut nodes: Vec<Client> = match &target {
            Target::Standalone(server) => vec![server.client()],
            Target::Cluster(cluster) => {
                cluster.master_endpoints().iter().map(|e| Client::open(e).unwrap()).collect()
            }
        };
        for _ in 0..10 {
            writer.wait_for(300);
            for node in &mut nodes {
                node.call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
            }
        }
        writer.stop().assert_no_surprise();
        target.assert_equal(&source);
        let status = program.status().unwrap();
        assert!(flows_sum(&status, "disconnects") > 0, "nothing was cut: {status}");
    }
}

#[test]
fn a_counter_whose_connection_broke_is_listed_or_exact() {
    let source = source();
    let server = RedisServer::start(RedisOptions::default());
    let target = Target::Standalone(server);
    let mut program = Df2redis::replicate(target.settings(&source));
    program.wait_ready(READY);
    let Target::Standalone(server) = &target else { unreachable!() };
    let (mut client, mut node) = (source.client(), server.client());
    for _ in 0..20 {
        for _ in 0..200 {
            client.queue(&["INCR", "counter"]);
        }
        client.flush().unwrap();
        node.call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }
    let end: u64 = next_lsns(&mut client).iter().sum();
    program.wait_until(READY, "every record to be applied", |s| flows_sum(s, "applied_lsn") == end);
    let (there, here) = (client.text(&["GET", "counter"]), node.text(&["GET", "counter"]));
    let status = program.status().unwrap();
    let listed = status["not_in_sync"].as_array().unwrap().iter().any(|k| k["key"] == "counter");
    assert!(there == here || listed, "source {there}, target {here}, and nothing listed: {status}");
    assert!(here.parse::<u64>().unwrap() <= there.parse().unwrap(), "doubled: {here} instead of {there}");
}

#[test]
fn out_of_memory_is_waited_out_in_order() {
    let (source, seed) = (source(), seed());
    let target = Target::Standalone(RedisServer::start(RedisOptions::default()));
    let mut program = Df2redis::replicate(target.settings(&source));
    program.wait_ready(READY);
    let Target::Standalone(server) = &target else { unreachable!() };
    let mut node = server.client();
    node.call(&["CONFIG", "SET", "maxmemory", "1"]);
    let options = Options { rate: Some(3_000), keys: 100, ..Options::new(Mode::Idempotent, seed) };
    let writer = Workload::start(&source.endpoint(), options);
    program.wait_until(READY, "OOM to be met", |s| flows_sum(s, "retries") > 3);
    writer.wait_for(2_000);
    node.call(&["CONFIG", "SET", "maxmemory", "0"]);
    writer.wait_for(2_000);
    writer.stop().assert_no_surprise();
    target.assert_equal(&source);
}

#[test]
fn a_key_that_the_target_refused_is_repaired_and_the_rest_goes_on() {
    let source = source();
    for target in Target::both() {
        source.client().call(&["FLUSHALL"]);
        let mut program = Df2redis::replicate(target.settings(&source));
        program.wait_ready(READY);
        let mut client = source.client();
        client.call(&["RPUSH", "list", "a"]);
        target.assert_equal(&source);
        // Somebody writes to the target: the type is another one now.
        let mut intruder = match &target {
            Target::Standalone(server) => server.client(),
            Target::Cluster(cluster) => cluster.client_for(b"list"),
        };
        intruder.call(&["SET", "list", "not a list"]);
        client.call(&["RPUSH", "list", "b"]);
        client.call(&["SET", "other", "arrives"]);
        let end: u64 = next_lsns(&mut client).iter().sum();
        program.wait_until(READY, "the LSN to pass it", |s| flows_sum(s, "applied_lsn") == end);
        program.wait_until(READY, "the list to be empty", |s| number(s, "not_in_sync_count") == 0);
        target.assert_equal(&source);
        assert!(program.output().contains("WRONGTYPE"), "{}", program.output());
        assert_eq!(number(&program.status().unwrap(), "full_syncs"), 1);
    }
}

#[test]
fn a_target_that_is_away_for_a_while_is_waited_for() {
    let (source, seed) = (source(), seed());
    let options = RedisOptions { appendonly: true, ..RedisOptions::default() };
    let mut target = Target::Standalone(RedisServer::start(options));
    let mut program = Df2redis::replicate(target.settings(&source));
    program.wait_ready(READY);
    let options = Options { rate: Some(2_000), ..Options::new(Mode::Idempotent, seed) };
    let writer = Workload::start(&source.endpoint(), options);
    writer.wait_for(1_000);
    let Target::Standalone(server) = &mut target else { unreachable!() };
    server.kill();
    writer.wait_for(2_000);
    server.start_again();
    writer.wait_for(1_000);
    writer.stop().assert_no_surprise();
    target.assert_equal(&source);
    assert_eq!(number(&program.status().unwrap(), "full_syncs"), 1);
}

#[test]
fn commands_of_several_keys_keep_their_order_while_memory_is_out() {
    let source = source();
    let target = Target::Standalone(RedisServer::start(RedisOptions::default()));
    let mut program = Df2redis::replicate(target.settings(&source));
    program.wait_ready(READY);
    let Target::Standalone(server) = &target else { unreachable!() };
    let (mut node, mut client) = (server.client(), source.client());
    client.call(&["MSET", "{k}old", "1", "{k}gone", "1"]);
    target.assert_equal(&source);
    node.call(&["CONFIG", "SET", "maxmemory", "1"]);
    // MSET and SET are refused, DEL, RENAME and LPOP are not: each of these would overtake.
    for command in [
        "MSET {k}a 1 {k}b 2",
        "DEL {k}a",
        "SET {k}c 1",
        "RENAME {k}old {k}c",
        "SET {k}gone 2",
        "DEL {k}gone {k}other",
        "RPUSH {k}list 1 2 3",
        "LPOP {k}list",
    ] {
        client.call(&command.split(' ').collect::<Vec<_>>());
    }
    program.wait_until(READY, "OOM to be met", |s| flows_sum(s, "retries") > 2);
    node.call(&["CONFIG", "SET", "maxmemory", "0"]);
    let end: u64 = next_lsns(&mut client).iter().sum();
    let status =
        program.wait_until(READY, "every record to be applied", |s| flows_sum(s, "applied_lsn") == end);
    // Whatever differs now is listed; nothing is silently lost or back.
    let listed: Vec<String> = status["not_in_sync"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["key"].as_str().unwrap().to_owned())
        .collect();
    let differences = diff(&target.expected(&source.endpoint()), &target.read());
    for difference in &differences {
        let key = String::from_utf8_lossy(&difference.key).into_owned();
        assert!(listed.contains(&key), "{difference} is not among {listed:?}");
    }
    println!("listed {listed:?}, different {}", differences.len());
}

#[test]
fn sigterm_ends_in_time_although_the_target_hangs() {
    let source = source();
    let target = Target::Cluster(Cluster::start(ClusterOptions::default()));
    let mut program = Df2redis::replicate(target.settings(&source));
    program.wait_ready(READY);
    let Target::Cluster(cluster) = &target else { unreachable!() };
    let mut client = source.client();
    client.call(&["SET", "moved", "1"]);
    target.assert_equal(&source);
    cluster.nodes().iter().for_each(RedisServer::pause);
    // A value that has to be carried from one node to another, and plain commands behind it.
    client.call(&["MOVE", "moved", "3"]);
    client.call(&["INCR", "counter"]);
    let behind = |s: &serde_json::Value| flows_sum(s, "received_lsn") > flows_sum(s, "applied_lsn");
    program.wait_until(READY, "the records to be received", behind);
    let asked = Instant::now();
    assert_eq!(program.terminate().code(), 0);
    assert!(asked.elapsed() < Duration::from_secs(10), "took {:?}", asked.elapsed());
    cluster.nodes().iter().for_each(RedisServer::resume);
    program.again();
    program.wait_ready(READY);
    target.assert_equal(&source);
    assert_eq!(number(&program.status().unwrap(), "partial_syncs"), 1);
}

/// The only node is dead: what waits for it is told for as long as it does, and nobody says that it takes writes again.
#[test]
fn a_killed_node_is_told_as_waiting_until_it_is_back() {
    let source = source();
    let mut server = RedisServer::start(RedisOptions { appendonly: true, ..RedisOptions::default() });
    let settings =
        scenarios::program::Settings::replicate(&source.addr(), "redis-standalone", &[server.addr()]);
    let mut program = Df2redis::replicate(settings);
    program.wait_ready(READY);
    let mut client = source.client();
    client.call(&["SET", "key:0", "before"]);
    let mut node = server.client();
    wait::until(READY, "the first key", || as_number(&node.call(&["EXISTS", "key:0"])) == Some(1));
    server.kill();
    for number in 0..500 {
        client.queue(&["SET", &format!("key:{number}"), "after"]);
    }
    client.flush().unwrap();
    let waits = |status: &serde_json::Value| {
        let node = &status["nodes"][0];
        node["waiting"] == "disconnected" && number(node, "unsettled") > 0
    };
    for _ in 0..3 {
        program.wait_until(READY, "the node to be told as waiting", waits);
    }
    let metric = format!("df2redis_node_waiting{{node=\"{}\"}} 1", server.addr());
    let (_, metrics) = program.http("/metrics").unwrap();
    assert!(metrics.lines().any(|line| line == metric), "no {metric}:\n{metrics}");
    assert!(!program.output().contains("takes writes again"), "{}", program.output());
    server.start_again();
    program.wait_until(READY, "everything to be sent", |status| status["nodes"][0]["waiting"].is_null());
    Target::Standalone(server).assert_equal(&source);
}
