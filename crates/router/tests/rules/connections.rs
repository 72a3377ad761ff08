//! Rules 8 and 9: connections that break in the middle.

use std::collections::BTreeMap;

use bytes::Bytes;
use router::{Cause, RouterOptions};
use rules::Rules;
use scenarios::servers::RedisServer;
use scenarios::wait;

use crate::proxy::{Proxy, unread};
use crate::support::{Bed, DEADLINE, command_of, repairing, server};

/// More than the server reads of a connection before it looks at the next.
const KEYS: usize = 2000;

/// How often it reads the old connection in [`overtaken_by_its_predecessor`]; all of it fits a socket's buffer.
const READS: usize = 7;

/// A pipeline of commands none of which may run twice is killed when the server has executed a part of it and answered
/// none of that. Returns what the keys hold, and how often each was reported.
async fn killed_in_the_middle(server: &RedisServer, rules: Rules) -> (BTreeMap<String, i64>, Bed) {
    let mut bed =
        Bed::on(&server.addr(), RouterOptions { name: Some("lane".into()), ..repairing(rules) }).await;
    bed.record(&["SET first 1"]);
    bed.settle().await;
    let lane = server.client().text(&["CLIENT", "LIST"]);
    let lane = lane.lines().find(|line| line.contains(" name=lane ")).expect("a lane has its name");
    let id = lane.split(' ').next().unwrap().strip_prefix("id=").unwrap().to_owned();

    let mut killer = server.client();
    server.pause();
    for n in 0..KEYS {
        bed.record(&[&format!("INCR key:{n}")]);
    }
    bed.router.flush();
    let all: usize = (0..KEYS).map(|n| format!("*2\r\n$4\r\nINCR\r\n$5\r\nkey:{n}\r\n").len()).sum();
    // The pipeline is in the server's socket before the command that ends it.
    wait::until(DEADLINE, "the pipeline is at the server", || unread(server.port()) >= all);
    let killing = std::thread::spawn(move || killer.call(&["CLIENT", "KILL", "ID", &id]));
    wait::until(DEADLINE, "the kill is at the server", || unread(server.port()) >= all + 40);
    server.resume();
    tokio::task::spawn_blocking(move || killing.join().unwrap()).await.unwrap();
    bed.settle().await;

    let mut client = server.client();
    let values = (0..KEYS).map(|n| format!("key:{n}")).map(|key| {
        let value = client.text(&["EVAL", "return redis.call('GET', KEYS[1]) or '0'", "1", &key]);
        (key, value.parse().unwrap())
    });
    (values.collect(), bed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_9_what_was_not_answered_is_reported_once_and_never_doubled() {
    let server = server();
    let (values, bed) = killed_in_the_middle(&server, Rules::all()).await;
    assert!(values.values().all(|value| *value <= 1), "nothing is doubled");
    let mut reported: BTreeMap<&str, usize> = BTreeMap::new();
    for report in &bed.reports {
        assert_eq!((report.cause, report.keys.len()), (Cause::Unanswered, 1));
        *reported.entry(&report.keys[0]).or_default() += 1;
    }
    assert!(reported.values().all(|count| *count == 1));
    assert!(bed.reports.is_sorted_by_key(|report| report.seq), "in the order of the flow");
    for (key, value) in &values {
        assert!(*value == 1 || reported.contains_key(key.as_str()), "{key} was lost");
    }
    let executed = reported.keys().filter(|key| values[**key] == 1).count();
    println!("{} reported, {executed} of them executed", reported.len());
    assert!(executed > 0 && executed < reported.len(), "the kill came in the middle");
    assert_eq!(bed.router.counters().disconnects, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_rule_9_something_is_doubled() {
    let server = server();
    let (values, bed) = killed_in_the_middle(&server, Rules::all().without(9)).await;
    let repeatable = values.values().all(|value| *value <= 1);
    assert!(!repeatable && bed.reports.is_empty());
}

/// The old connection's commands wait at a server that takes long over each, the new one writes. Returns what is there
/// when both are done.
async fn overtaken_by_its_predecessor(server: &RedisServer, rules: Rules) -> String {
    let proxy = Proxy::to(server.addr()).await;
    let mut bed = Bed::on(proxy.addr(), repairing(rules)).await;
    bed.record(&["SET first 1"]);
    bed.settle().await;

    server.pause();
    // As much as the server reads at once, so that it looks at other connections in between.
    let padding = Bytes::from(vec![b'x'; 16 << 10]);
    let words =
        |line: &str| line.split(' ').map(|w| Bytes::copy_from_slice(w.as_bytes())).collect::<Vec<_>>();
    for _ in 0..READS {
        let mut set = words("SET pad");
        set.push(padding.clone());
        bed.record_of(vec![command_of(false, set), command_of(false, words("DEBUG SLEEP 0.3"))]);
    }
    bed.record(&["SET last old"]);
    bed.router.flush();
    wait::until(DEADLINE, "all of it is at the server", || unread(server.port()) >= READS * padding.len());
    proxy.cut();
    while bed.router.counters().disconnects == 0 {
        bed.router.next_event().await;
    }
    bed.report();
    bed.repair(1, "SET last new");
    bed.router.flush();
    server.resume();
    bed.settle().await;
    assert_eq!(bed.router.take_settled_repairs(), [1]);
    // The old connection is done when nothing of it is left to read.
    wait::until(DEADLINE, "the old connection is done", || {
        let list = server.client().text(&["CLIENT", "LIST"]);
        unread(server.port()) == 0
            && list.lines().all(|line| line.contains(" qbuf=0 ") || line.contains("cmd=client|list"))
    });
    server.client().text(&["GET", "last"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_8_the_old_connection_executes_nothing_behind_the_new_one() {
    let server = server();
    assert_eq!(overtaken_by_its_predecessor(&server, Rules::all()).await, "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_rule_8_the_old_connection_wins() {
    let server = server();
    assert_eq!(overtaken_by_its_predecessor(&server, Rules::all().without(8)).await, "old");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_restarted_has_no_predecessor() {
    let mut server = server();
    let mut bed = Bed::on(&server.addr(), repairing(Rules::all())).await;
    bed.record(&["SET first 1"]);
    bed.settle().await;
    let last = server.client().number(&["CLIENT", "ID"]);
    server.restart();
    // One of these has the number that the lane had.
    let mut others: Vec<_> = std::iter::repeat_with(|| server.client()).take(last as usize + 1).collect();
    assert!(others.last_mut().unwrap().number(&["CLIENT", "ID"]) >= last);
    bed.record(&["SET second 1"]);
    bed.settle().await;
    for other in &mut others {
        other.call(&["PING"]);
    }
    let mut client = server.client();
    assert!(
        client.number(&["EXISTS", "second"]) == 1 || bed.failed() == [(Cause::Unanswered, "second".into())]
    );
}
