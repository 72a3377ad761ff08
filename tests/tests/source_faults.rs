//! Faults of the source and of the link to it. Each is caused, most of them under writes.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use scenarios::client::Endpoint;
use scenarios::logical::{read_server, wait_equal};
use scenarios::program::{Df2redis, Settings, number};
use scenarios::servers::{RedisOptions, RedisServer, Simulated};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;
use scenarios::workload::{Mode, Options, Rng, Workload, fill, seed};
use simulator::{Release, Simulator};

const READY: Duration = Duration::from_secs(60);

fn standalone() -> Target {
    Target::Standalone(RedisServer::start(RedisOptions::default()))
}

#[test]
fn a_link_that_is_cut_again_and_again_is_resumed_within_the_process() {
    let seed = seed();
    for release in [Release::V1_40, Release::V1_34] {
        let source = Source::simulated(release, 2);
        let target = standalone();
        fill(&source.endpoint(), 5_000, &[0, 1], seed);
        // Counters and lists: what is applied twice, or not at all, shows.
        let options = Options { rate: Some(3_000), ..Options::new(Mode::Full, seed) };
        let writer = Workload::start(&source.endpoint(), options);
        let mut program = Df2redis::replicate(target.settings(&source));
        program.wait_ready(READY);
        let Source::Simulated(simulated) = &source else { unreachable!() };
        for round in 1..=8 {
            writer.wait_for(700);
            simulated.handle().drop_attachments();
            program.wait_until(READY, "the next partial sync", |s| number(s, "partial_syncs") >= round);
            program.wait_ready(READY);
        }
        writer.stop().assert_no_surprise();
        target.assert_equal(&source);
        let status = program.status().unwrap();
        assert_eq!(number(&status, "full_syncs"), 1, "{status}");
    }
}

#[test]
fn flows_that_answer_differently_lead_to_a_full_sync_that_says_why() {
    let seed = seed();
    let source = Source::simulated(Release::V1_40, 3);
    let target = standalone();
    fill(&source.endpoint(), 3_000, &[0], seed);
    let mut program = Df2redis::replicate(target.settings(&source));
    program.wait_ready(READY);
    let Source::Simulated(simulated) = &source else { unreachable!() };
    simulated.handle().faults().refuse_partial(1, 1);
    simulated.handle().drop_attachments();
    let status = program.wait_until(READY, "a second full sync", |s| number(s, "full_syncs") == 2);
    let reason = status["last_full_sync_reason"].as_str().unwrap();
    assert!(reason.contains("2 of 3 flows"), "{reason}");
    program.wait_ready(READY);
    target.assert_equal(&source);
}

#[test]
fn a_backlog_that_is_gone_leads_to_a_full_sync_and_deleted_keys_go() {
    let seed = seed();
    let source = Source::Simulated(Simulated::start_with(Simulator::builder().shards(2).backlog(50)));
    let target = standalone();
    fill(&source.endpoint(), 3_000, &[0, 1], seed);
    let mut program = Df2redis::replicate(target.settings(&source));
    program.wait_ready(READY);
    target.assert_equal(&source);
    assert_eq!(program.terminate().code(), 0);
    // Far more than 50 records for each flow, deletions among them.
    let mut client = source.client();
    client.call(&["SELECT", "1"]);
    client.call(&["FLUSHDB"]);
    fill(&source.endpoint(), 500, &[1], seed + 1);
    program.again();
    program.wait_ready(READY);
    let status = program.status().unwrap();
    assert_eq!((number(&status, "full_syncs"), number(&status, "partial_syncs")), (1, 0), "{status}");
    target.assert_equal(&source);
}

#[test]
fn a_flush_inside_the_snapshot_starts_it_over() {
    let source = Source::simulated(Release::V1_40, 2);
    let target = standalone();
    let Target::Standalone(server) = &target else { unreachable!() };
    // More than all buffers on the way hold, and nothing that compresses.
    let mut rng = Rng::new(seed());
    let mut client = source.client();
    for key in 0..900u32 {
        let value: Vec<u8> = (0..100_000).map(|_| rng.below(256) as u8).collect();
        client.queue(&[b"SET".as_slice(), format!("big:{key}").as_bytes(), &value]);
        if client.queued() >= 50 {
            client.flush().unwrap();
        }
    }
    client.flush().unwrap();
    server.pause();
    let settings = target.settings(&source);
    server.resume();
    let mut program = Df2redis::replicate(settings);
    program.wait_until(READY, "the snapshot to begin", |s| number(s, "keys") > 5);
    server.pause();
    client.call(&["FLUSHALL"]);
    client.call(&["SET", "after", "the flush"]);
    server.resume();
    program.wait_ready(READY);
    let status = program.status().unwrap();
    assert!(number(&status, "full_syncs") >= 2, "the flush came too late to mean anything: {status}");
    assert!(status["last_full_sync_reason"].as_str().unwrap().contains("FlushAll"), "{status}");
    target.assert_equal(&source);
}

#[test]
fn a_loading_source_is_waited_for() {
    let source = Source::simulated(Release::V1_40, 2);
    let target = standalone();
    source.client().call(&["SET", "key", "value"]);
    let Source::Simulated(simulated) = &source else { unreachable!() };
    simulated.handle().set_loading(true);
    let mut program = Df2redis::replicate(target.settings(&source));
    program.wait_for_line("loading", READY);
    simulated.handle().set_loading(false);
    program.wait_ready(READY);
    target.assert_equal(&source);
}

#[test]
fn a_user_with_nothing_but_the_replication_commands_is_enough() {
    let builder = Simulator::builder().shards(2).replication_user("replica", "secret-of-the-source");
    let simulated = Simulated::start_with(builder);
    let server = RedisServer::start(RedisOptions {
        password: Some("secret-of-the-target".into()),
        ..Default::default()
    });
    let settings = Settings::replicate(&simulated.addr(), "redis-standalone", &[server.addr()])
        .set("source.username", "replica")
        .set("source.password", "secret-of-the-source")
        .set("target.password", "secret-of-the-target")
        .set("checkpoint.interval", 1);
    simulated.handle().execute(0, &["SET", "a", "1"]);
    simulated.handle().execute(3, &["SET", "b", "2"]);
    let mut program = Df2redis::replicate(settings);
    program.wait_ready(READY);
    simulated.handle().execute(0, &["INCR", "a"]);
    let mut client = server.client();
    wait::until(READY, "the increment to arrive", || client.text(&["GET", "a"]) == "2");
    // A restart resumes although the release is not told.
    assert_eq!(program.terminate().code(), 0);
    simulated.handle().execute(0, &["INCR", "a"]);
    program.again();
    program.wait_ready(READY);
    wait::until(READY, "the increment to arrive", || client.text(&["GET", "a"]) == "3");
    let status = program.status().unwrap();
    assert_eq!(number(&status, "partial_syncs"), 1, "{status}");
    let output = program.output();
    for secret in ["secret-of-the-source", "secret-of-the-target"] {
        assert!(!output.contains(secret), "a password is in the log");
        assert!(!status.to_string().contains(secret), "a password is in the status");
        assert!(!program.http("/metrics").unwrap().1.contains(secret), "a password is in the metrics");
    }
}

#[test]
fn acknowledgements_carry_the_next_lsn_of_what_the_target_has() {
    let simulated = Simulated::start_with(Simulator::builder().shards(2));
    let server = RedisServer::start(RedisOptions::default());
    let settings = Settings::replicate(&simulated.addr(), "redis-standalone", &[server.addr()]);
    let mut program = Df2redis::replicate(settings);
    program.wait_ready(READY);
    for n in 0..500 {
        simulated.handle().execute(0, &["SET", &format!("key:{n}"), "v"]);
    }
    wait::until(READY, "every flow to be acknowledged", || {
        simulated.next_lsns().iter().enumerate().all(|(flow, next)| simulated.handle().acked(flow) == *next)
    });
    // Nothing is acknowledged that the target has not taken.
    server.pause();
    simulated.handle().execute(0, &["SET", "key:last", "v"]);
    let before: Vec<u64> = (0..2).map(|flow| simulated.handle().acked(flow)).collect();
    let received = |status: &serde_json::Value| -> u64 {
        status["flows"].as_array().unwrap().iter().map(|f| number(f, "received_lsn")).sum()
    };
    program.wait_until(READY, "the record to be received", |s| received(s) == before.iter().sum::<u64>() + 1);
    assert_eq!((0..2).map(|flow| simulated.handle().acked(flow)).collect::<Vec<_>>(), before);
    server.resume();
    let endpoint: Endpoint = simulated.endpoint();
    wait_equal(READY, || read_server(&endpoint), || read_server(&server.endpoint()));
    wait::until(READY, "the last record to be acknowledged", || {
        simulated.next_lsns().iter().enumerate().all(|(flow, next)| simulated.handle().acked(flow) == *next)
    });
}
