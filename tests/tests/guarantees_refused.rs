//! "Target out of memory, or rejects one command": the key is listed durably before the LSN passes the record, repaired as
//! soon as possible, also over a restart, and leaves the list then.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use redis::Value;
use scenarios::client::Client;
use scenarios::observe::{is_listed, sum, wait_all_in_sync};
use scenarios::program::{Df2redis, number};
use scenarios::servers::{RedisOptions, RedisServer};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::workload::{Mode, Options, Workload, seed};

const READY: Duration = Duration::from_secs(60);

fn client_for(target: &Target, key: &str) -> Client {
    match target {
        Target::Standalone(server) => server.client(),
        Target::Cluster(cluster) => cluster.client_for(key.as_bytes()),
    }
}

/// Somebody writes to the target behind our back, so that the next record of each key meets another type, or a key where
/// there should be none.
#[test]
fn a_rejected_command_leads_to_a_repair_and_the_list_empties() {
    for source in Source::each("a_rejected_command_leads_to_a_repair_and_the_list_empties", 2) {
        for target in Target::both() {
            let mut client = source.client();
            client.call(&["FLUSHALL"]);
            client.call(&["SET", "original", "restored elsewhere"]);
            let Value::BulkString(payload) = client.call(&["DUMP", "original"]) else { panic!("no payload") };
            let mut program = Df2redis::replicate(target.settings(&source));
            program.wait_ready(READY);
            client.call(&["RPUSH", "{t}list", "a"]);
            client.call(&["SET", "{t}counter", "7"]);
            client.call(&["SADD", "{t}set", "a"]);
            client.call(&["SELECT", "1"]);
            client.call(&["HSET", "{t}hash", "f", "1"]);
            client.call(&["SELECT", "0"]);
            target.assert_equal(&source);
            let mut intruder = client_for(&target, "{t}");
            intruder.call(&["SET", "{t}list", "not a list"]);
            intruder.call(&["SET", "{t}counter", "not a number"]);
            intruder.call(&["DEL", "{t}set"]);
            intruder.call(&["HSET", "{t}set", "not", "a set"]);
            match &target {
                Target::Standalone(_) => {
                    intruder.call(&["SELECT", "1"]);
                    intruder.call(&["SET", "{t}hash", "not a hash"]);
                    intruder.call(&["SELECT", "0"]);
                }
                // Another slot than "{t}" has no prefix for.
                Target::Cluster(cluster) => {
                    cluster.client_for(b"db1:{t}hash").call(&["SET", "db1:{t}hash", "not a hash"]);
                }
            }
            client_for(&target, "restored").call(&["SET", "restored", "in the way"]);
            // WRONGTYPE, not an integer, WRONGTYPE through a command of several keys, BUSYKEY.
            client.call(&["RPUSH", "{t}list", "b"]);
            client.call(&["INCR", "{t}counter"]);
            client.call(&["SADD", "{t}set", "b"]);
            client.call(&["RENAME", "{t}set", "{t}renamed"]);
            client.call(&[b"RESTORE".as_slice(), b"restored", b"0", &payload]);
            client.call(&["SELECT", "1"]);
            client.call(&["HINCRBY", "{t}hash", "f", "1"]);
            client.call(&["SET", "other", "arrives"]);
            target.assert_equal(&source);
            let status = wait_all_in_sync(&mut program, READY);
            assert!(sum(&status, "failures") >= 3, "nothing was rejected: {status}");
            assert!(number(&status["repair"], "done") >= 4, "{status}");
            // Durably, too.
            assert_eq!(program.terminate().code(), 0);
            let stored = checkpoint::inspect(program.checkpoint_dir(), 10).unwrap().unwrap();
            assert_eq!(stored.not_in_sync_count, 0, "{:?}", stored.not_in_sync);
        }
    }
}

/// The value cannot be read while the source is away: the key stays listed, through a SIGKILL and a restart, and is
/// repaired when the source is back.
#[test]
fn while_the_source_is_away_a_key_stays_listed_over_a_restart() {
    for source in Source::each("while_the_source_is_away_a_key_stays_listed_over_a_restart", 2) {
        let target = Target::Standalone(RedisServer::start(RedisOptions::default()));
        let Target::Standalone(server) = &target else { unreachable!() };
        let mut program = Df2redis::replicate(target.settings(&source));
        program.wait_ready(READY);
        let mut client = source.client();
        client.call(&["RPUSH", "list", "a"]);
        target.assert_equal(&source);
        server.client().call(&["SET", "list", "not a list"]);
        server.pause();
        client.call(&["RPUSH", "list", "b"]);
        let under_way = |s: &serde_json::Value| sum(s, "received_lsn") > sum(s, "applied_lsn");
        program.wait_until(READY, "the record to be received", under_way);
        // As with a stopped process: connections stay open, and nothing answers.
        stop(&source);
        server.resume();
        program.wait_until(READY, "the key to be listed", |s| is_listed(s, "list"));
        program.wait_until(READY, "the LSN to pass the record", |s| !under_way(s));
        program
            .wait_until(READY, "that to be stored", |s| sum(s, "checkpointed_lsn") == sum(s, "received_lsn"));
        program.kill();
        let stored = checkpoint::inspect(program.checkpoint_dir(), 10).unwrap().unwrap();
        assert_eq!(stored.not_in_sync_count, 1, "{:?}", stored.not_in_sync);
        assert_eq!(stored.not_in_sync[0].key, b"list");
        program.again();
        program.wait_until(READY, "the key to be listed again", |s| is_listed(s, "list"));
        cont(&source);
        program.wait_ready(READY);
        target.assert_equal(&source);
        let status = wait_all_in_sync(&mut program, READY);
        assert_eq!((number(&status, "partial_syncs"), number(&status, "full_syncs")), (1, 0), "{status}");
    }
}

fn stop(source: &Source) {
    match source {
        Source::Simulated(simulated) => simulated.handle().faults().freeze(),
        Source::Real(dragonfly) => dragonfly.pause(),
    }
}

fn cont(source: &Source) {
    match source {
        Source::Simulated(simulated) => simulated.handle().faults().thaw(),
        Source::Real(dragonfly) => dragonfly.resume(),
    }
}

#[test]
fn out_of_memory_under_commands_that_may_not_be_repeated() {
    let seed = seed();
    for source in Source::each("out_of_memory_under_commands_that_may_not_be_repeated", 2) {
        for target in Target::both() {
            source.client().call(&["FLUSHALL"]);
            let mut program = Df2redis::replicate(target.settings(&source));
            program.wait_ready(READY);
            let mut nodes: Vec<Client> = match &target {
                Target::Standalone(server) => vec![server.client()],
                Target::Cluster(cluster) => {
                    cluster.master_endpoints().iter().map(|e| Client::open(e).unwrap()).collect()
                }
            };
            let options = Options { rate: Some(2_000), keys: 100, ..Options::new(Mode::Full, seed) };
            let writer = Workload::start(&source.endpoint(), options);
            writer.wait_for(500);
            // Reached and raised again, and once more; DEL, LPOP and the like are executed all the while.
            for round in 1..=2 {
                for node in &mut nodes {
                    node.call(&["CONFIG", "SET", "maxmemory", "1"]);
                }
                let refused = |s: &serde_json::Value| sum(s, "retries") + sum(s, "failures");
                let before = refused(&program.status().unwrap());
                program.wait_until(READY, "OOM to be met", |s| refused(s) > before + round);
                writer.wait_for(1_000);
                for node in &mut nodes {
                    node.call(&["CONFIG", "SET", "maxmemory", "0"]);
                }
                writer.wait_for(1_000);
            }
            writer.stop().assert_no_surprise();
            target.assert_equal(&source);
            wait_all_in_sync(&mut program, READY);
        }
    }
}
