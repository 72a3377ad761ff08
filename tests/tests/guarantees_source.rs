//! "Source silent, half-open connections", takeover by a replica, and a source that may not be read.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use scenarios::observe::{is_listed, wait_all_in_sync};
use scenarios::program::{Df2redis, Settings, number};
use scenarios::servers::{Dragonfly, DragonflyOptions, RedisOptions, RedisServer, Simulated};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;
use scenarios::workload::{Mode, Options, Workload, fill, seed};
use simulator::Simulator;

const READY: Duration = Duration::from_secs(60);
/// What is promised.
const NOTICED: Duration = Duration::from_secs(15);

fn standalone() -> Target {
    Target::Standalone(RedisServer::start(RedisOptions::default()))
}

fn simulated() -> Simulated {
    Simulated::start_with(Simulator::builder().shards(2))
}

/// A replica of it, with an id of its own.
fn replica() -> Simulated {
    let replica = Simulated::start_with(Simulator::builder().shards(2).seed(2));
    replica.handle().become_replica();
    replica
}

/// How long it takes until the daemon says that it is not in stable sync any more.
fn noticed(program: &mut Df2redis) -> Duration {
    let began = Instant::now();
    program.wait_until(READY, "the silence to be noticed", |s| s["ready"] == false);
    began.elapsed()
}

/// A link that leads nowhere: packets are lost, no connection is closed, new ones work.
#[test]
fn a_half_open_link_is_noticed_and_replaced() {
    let seed = seed();
    let source = Source::Simulated(simulated());
    let Source::Simulated(simulated) = &source else { unreachable!() };
    let target = standalone();
    let mut program = Df2redis::replicate(target.settings(&source));
    program.wait_ready(READY);
    for _ in 0..100 {
        source.client().call(&["INCR", "counter"]);
    }
    target.assert_equal(&source);
    simulated.handle().blackhole();
    // On a connection made since: those from before lead nowhere either.
    let writer =
        Workload::start(&source.endpoint(), Options { rate: Some(500), ..Options::new(Mode::Full, seed) });
    let took = noticed(&mut program);
    assert!(took <= NOTICED, "noticed after {took:?}:\n{}", program.output());
    program.wait_ready(READY);
    writer.wait_for(500);
    writer.stop().assert_no_surprise();
    target.assert_equal(&source);
    let status = wait_all_in_sync(&mut program, READY);
    assert_eq!((number(&status, "full_syncs"), number(&status, "partial_syncs")), (1, 1), "{status}");
    println!("noticed after {took:?}");
}

/// The same, and nothing is written: only the control connection, as old as the flows, tells.
#[test]
fn an_idle_half_open_link_is_noticed_and_replaced() {
    let source = Source::Simulated(simulated());
    let Source::Simulated(simulated) = &source else { unreachable!() };
    let target = standalone();
    let mut program = Df2redis::replicate(target.settings(&source));
    program.wait_ready(READY);
    source.client().call(&["INCR", "counter"]);
    target.assert_equal(&source);
    simulated.handle().blackhole();
    let took = noticed(&mut program);
    assert!(took <= NOTICED, "noticed after {took:?}:\n{}", program.output());
    program.wait_ready(READY);
    source.client().call(&["INCR", "counter"]);
    target.assert_equal(&source);
    let status = wait_all_in_sync(&mut program, READY);
    assert_eq!((number(&status, "full_syncs"), number(&status, "partial_syncs")), (1, 1), "{status}");
    println!("noticed after {took:?}");
}

/// The source's process is stopped: everything is accepted, and nothing is answered.
#[test]
fn a_stopped_source_is_noticed_and_waited_for() {
    for source in Source::each("a_stopped_source_is_noticed_and_waited_for", 2) {
        let target = standalone();
        let mut program = Df2redis::replicate(target.settings(&source));
        program.wait_ready(READY);
        source.client().call(&["INCR", "counter"]);
        target.assert_equal(&source);
        match &source {
            Source::Simulated(simulated) => simulated.handle().faults().freeze(),
            Source::Real(dragonfly) => dragonfly.pause(),
        }
        let took = noticed(&mut program);
        match &source {
            Source::Simulated(simulated) => simulated.handle().faults().thaw(),
            Source::Real(dragonfly) => dragonfly.resume(),
        }
        assert!(took <= NOTICED, "noticed after {took:?}:\n{}", program.output());
        program.wait_ready(READY);
        source.client().call(&["INCR", "counter"]);
        target.assert_equal(&source);
        let status = wait_all_in_sync(&mut program, READY);
        assert_eq!(number(&status, "full_syncs"), 1, "{status}");
        println!("{}: noticed after {took:?}", source.name());
    }
}

fn of_two(old: &str, new: &str, target: &Target) -> Settings {
    let Target::Standalone(server) = target else { unreachable!() };
    Settings::replicate(old, "redis-standalone", &[server.addr()])
        .set("source.addr", vec![old.to_owned(), new.to_owned()])
        .set("checkpoint.interval", 1)
}

fn stored_id(program: &Df2redis) -> String {
    let stored = checkpoint::inspect(program.checkpoint_dir(), 1).unwrap().unwrap();
    stored.state.unwrap().replication_id
}

/// The replica waited for us and everyone else before it took over: its records go on where the old master's ended.
#[test]
fn a_takeover_is_followed_by_a_partial_sync_under_the_new_replication_id() {
    let (seed, target) = (seed(), standalone());
    let (old, new) = (Source::Simulated(simulated()), Source::Simulated(replica()));
    let (Source::Simulated(first), Source::Simulated(second)) = (&old, &new) else { unreachable!() };
    fill(&old.endpoint(), 2_000, &[0, 1], seed);
    let mut program = Df2redis::replicate(of_two(&old.addr(), &new.addr(), &target));
    program.wait_ready(READY);
    let mut client = old.client();
    for _ in 0..500 {
        client.queue(&["INCR", "counter"]);
        client.queue(&["RPUSH", "list", "element"]);
    }
    client.flush().unwrap();
    second.handle().promote(first.handle().begin_takeover());
    wait::until(READY, "the last records to be acknowledged", || first.handle().acknowledged());
    // Its supervisor starts the old master again at once, empty, and it is the first of the two addresses.
    first.restart(false);
    taken_over(&mut program, &new, &target);
    assert_eq!(stored_id(&program), second.handle().replication_id());
    comes_back_empty(&mut program, &old, &new, &target);
    second.handle().drop_attachments();
    program.wait_until(READY, "the attachment after a cut", |s| number(s, "partial_syncs") == 2);
    program.wait_ready(READY);
    new.client().call(&["INCR", "counter"]);
    target.assert_equal(&new);
    // Nobody knows either of them now.
    assert_eq!(program.terminate().code(), 0);
    second.restart(false);
    let before = target.read();
    program.again();
    let ended = program.wait_exit(READY);
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("name only the right one in source.addr"), "{}", ended.stderr);
    assert!(target.read() == before, "the target was changed although nobody knows the right source");
}

/// Two masters answer, and the one whose records we have is the second.
fn comes_back_empty(program: &mut Df2redis, old: &Source, new: &Source, target: &Target) {
    wait::until(READY, "the old master to be back", || old.client().try_call(&["DBSIZE"]).is_ok());
    program.again();
    program.wait_ready(READY);
    new.client().call(&["RPUSH", "list", "after the restart"]);
    target.assert_equal(new);
    let status = program.status().unwrap();
    assert_eq!((number(&status, "full_syncs"), number(&status, "partial_syncs")), (0, 1), "{status}");
}

/// The same with two real ones and REPLTAKEOVER.
#[test]
fn a_real_takeover_is_followed_by_a_partial_sync_under_the_new_replication_id() {
    const NAME: &str = "a_real_takeover_is_followed_by_a_partial_sync_under_the_new_replication_id";
    let (seed, target) = (seed(), standalone());
    let Some(first) = Dragonfly::start_or_skip(NAME, DragonflyOptions::default()) else { return };
    let second = Dragonfly::start_or_skip(NAME, DragonflyOptions::default()).unwrap();
    fill(&first.endpoint(), 2_000, &[0, 1], seed);
    let (host, port) = first.addr().rsplit_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).unwrap();
    second.client().call(&["REPLICAOF", &host, &port]);
    wait::until(READY, "the replica to be in sync", || {
        second.client().info("replication", "master_sync_in_progress").as_deref() == Some("0")
            && second.client().info("replication", "master_link_status").as_deref() == Some("up")
    });
    let mut program = Df2redis::replicate(of_two(&first.addr(), &second.addr(), &target));
    program.wait_ready(READY);
    let mut client = first.client();
    for _ in 0..500 {
        client.queue(&["INCR", "counter"]);
        client.queue(&["RPUSH", "list", "element"]);
    }
    client.flush().unwrap();
    second.client().call(&["REPLTAKEOVER", "20"]);
    let new = Source::Real(Box::new(second));
    taken_over(&mut program, &new, &target);
    let mut first = first;
    first.restart();
    comes_back_empty(&mut program, &Source::Real(Box::new(first)), &new, &target);
}

fn taken_over(program: &mut Df2redis, new: &Source, target: &Target) {
    let mut client = new.client();
    client.call(&["INCR", "counter"]);
    client.call(&["RPUSH", "list", "after the takeover"]);
    program.wait_until(READY, "the attachment to the new master", |s| {
        s["ready"] == true && number(s, "partial_syncs") + number(s, "full_syncs") == 2
    });
    let status = program.status().unwrap();
    assert_eq!(
        (number(&status, "full_syncs"), number(&status, "partial_syncs")),
        (1, 1),
        "{}",
        program.output()
    );
    target.assert_equal(new);
    wait_all_in_sync(program, READY);
    // What is stored belongs to the new one: a restart resumes from it.
    assert_eq!(program.terminate().code(), 0);
    client.call(&["INCR", "counter"]);
    program.again();
    program.wait_ready(READY);
    target.assert_equal(new);
    let status = program.status().unwrap();
    assert_eq!((number(&status, "full_syncs"), number(&status, "partial_syncs")), (0, 1), "{status}");
    assert_eq!(program.terminate().code(), 0);
}

/// A replica that is promoted without having everything has records of its own where we have the old master's: only a full
/// sync is right, however well the numbers fit.
#[test]
fn a_replica_promoted_while_behind_leads_to_a_full_sync() {
    let (seed, target) = (seed(), standalone());
    let (old, new) = (Source::Simulated(simulated()), Source::Simulated(replica()));
    let (Source::Simulated(first), Source::Simulated(second)) = (&old, &new) else { unreachable!() };
    fill(&old.endpoint(), 1_000, &[0, 1], seed);
    let mut program = Df2redis::replicate(of_two(&old.addr(), &new.addr(), &target));
    program.wait_ready(READY);
    target.assert_equal(&old);
    let behind = first.handle().standby();
    let mut client = old.client();
    for _ in 0..300 {
        client.queue(&["INCR", "counter"]);
    }
    client.flush().unwrap();
    target.assert_equal(&old);
    first.handle().shut_down();
    second.handle().promote(behind);
    // Its own records, as many and more: it holds every LSN that could be asked for.
    let mut client = new.client();
    for _ in 0..600 {
        client.queue(&["APPEND", "text", "x"]);
        client.queue(&["INCR", "other"]);
    }
    client.flush().unwrap();
    program.wait_until(READY, "a second full sync", |s| number(s, "full_syncs") == 2);
    program.wait_ready(READY);
    program.wait_until(READY, "the removal to end", |s| s["reconciling"] == false);
    target.assert_equal(&new);
    assert_eq!(number(&program.status().unwrap(), "partial_syncs"), 0);
}

/// The source's ACL allows replication and forbids reading: that is said at the start, keys in doubt are listed instead of
/// repaired, and nothing else suffers.
#[test]
fn a_source_that_may_not_be_read_is_said_to_weaken_the_promise() {
    for source in restricted("a_source_that_may_not_be_read_is_said_to_weaken_the_promise") {
        let target = standalone();
        let Target::Standalone(server) = &target else { unreachable!() };
        let settings =
            target.settings(&source).set("source.username", "replica").set("source.password", "secret");
        let mut program = Df2redis::replicate(settings);
        program.wait_ready(READY);
        program.wait_for_line("the source may not be read", READY);
        let why = program.status().unwrap()["repair"]["off_because"].clone();
        assert!(why.as_str().is_some_and(|why| !why.is_empty()), "{why}");
        let mut client = source.client();
        client.call(&["RPUSH", "list", "a"]);
        client.call(&["SET", "counter", "1"]);
        target.assert_equal(&source);
        server.client().call(&["SET", "list", "not a list"]);
        client.call(&["RPUSH", "list", "b"]);
        client.call(&["SET", "other", "arrives"]);
        program.wait_until(READY, "the key to be listed", |s| is_listed(s, "list"));
        // It stays listed, over a crash as well; what is in doubt then is listed, too.
        server.pause();
        for _ in 0..20 {
            client.call(&["INCR", "counter"]);
        }
        program.wait_until(READY, "the records to be received", |s| {
            scenarios::observe::sum(s, "lag_records") >= 20
        });
        program.kill();
        server.resume();
        program.again();
        program.wait_ready(READY);
        let status = program
            .wait_until(READY, "both to be listed", |s| is_listed(s, "list") && is_listed(s, "counter"));
        assert_eq!(number(&status, "partial_syncs"), 1, "{status}");
        // Whoever overwrites a key puts it right; the daemon lives.
        client.call(&["SET", "counter", "100"]);
        client.call(&["SET", "other", "goes on"]);
        let mut node = server.client();
        wait::until(READY, "the last record to arrive", || node.text(&["GET", "other"]) == "goes on");
        assert_eq!(node.text(&["GET", "counter"]), "100");
        assert_eq!(program.terminate().code(), 0);
    }
}

/// Sources with a user `replica` that may replicate and not read.
fn restricted(test: &str) -> impl Iterator<Item = Source> + use<> {
    let name = format!("{test} with a real Dragonfly");
    (0..2).filter_map(move |kind| match kind {
        0 => {
            let builder = Simulator::builder().shards(2).replication_user("replica", "secret");
            Some(Source::Simulated(Simulated::start_with(builder)))
        }
        _ => {
            let dragonfly = Dragonfly::start_or_skip(&name, DragonflyOptions::default())?;
            let rules =
                ["ON", ">secret", "~*", "-@all", "+PING", "+REPLCONF", "+DFLY", "+INFO", "+HELLO", "+EXISTS"];
            let words: Vec<&str> = ["ACL", "SETUSER", "replica"].into_iter().chain(rules).collect();
            dragonfly.client().call(&words);
            Some(Source::Real(Box::new(dragonfly)))
        }
    })
}
