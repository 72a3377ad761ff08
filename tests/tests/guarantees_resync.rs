//! "Down longer than the source's backlog, or source restarted": a full resync over the existing data; afterwards no stale
//! key remains, foreign keys are untouched, and the target is never emptied in between.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use scenarios::client::{Client, Endpoint, as_text};
use scenarios::logical::{Contents, Name, diff, mapped, read_server, report};
use scenarios::observe::Always;
use scenarios::program::{Df2redis, Settings, number};
use scenarios::servers::{Dragonfly, DragonflyOptions, RedisOptions, RedisServer, Simulated};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;
use scenarios::workload::{Mode, Options, Workload, fill, seed};
use simulator::Simulator;

const READY: Duration = Duration::from_secs(90);
/// Keys that exist at the source all the time.
const LASTING: u64 = 300;
/// Outside the mapping.
const FOREIGN: [&str; 2] = ["other:key", "zero"];

/// A source that keeps this many records, and that has its data again after a restart if it shall.
fn sources(test: &str, backlog: usize) -> impl Iterator<Item = Source> + use<> {
    let test = test.to_owned();
    (0..2).filter_map(move |kind| match kind {
        0 => Some(Source::Simulated(Simulated::start_with(Simulator::builder().shards(2).backlog(backlog)))),
        _ => {
            let flags = vec![
                "--journal_omit_redundant_writes=false".to_owned(),
                format!("--shard_repl_backlog_len={backlog}"),
                "--dbfilename=dump".to_owned(),
            ];
            let options = DragonflyOptions { flags, ..DragonflyOptions::default() };
            Dragonfly::start_or_skip(&format!("{test} with a real Dragonfly"), options)
                .map(|dragonfly| Source::Real(Box::new(dragonfly)))
        }
    })
}

fn restart_with_data(source: &mut Source) {
    match source {
        Source::Simulated(simulated) => simulated.restart(true),
        Source::Real(dragonfly) => {
            dragonfly.client().call(&["SAVE"]);
            dragonfly.restart();
            let loaded = || dragonfly.client().try_call(&["DBSIZE"]).is_ok();
            wait::until(READY, "the source to have loaded its data", loaded);
        }
    }
}

fn restart_empty(source: &mut Source) {
    // What the real one saved earlier would come back.
    if let Source::Real(dragonfly) = source {
        let mut client = dragonfly.client();
        client.call(&["FLUSHALL"]);
        client.call(&["SAVE"]);
    }
    source.restart_empty();
}

fn settings(source: &Source, target: &Target) -> Settings {
    let prefixes: serde_json::Map<_, _> =
        (0..3).map(|db: u32| (db.to_string(), format!("db{db}:").into())).collect();
    target.settings(source).set("mapping.databases", prefixes)
}

fn client_for(target: &Target, key: &str) -> Client {
    match target {
        Target::Standalone(server) => server.client(),
        Target::Cluster(cluster) => cluster.client_for(key.as_bytes()),
    }
}

/// Waits until the target holds what the source has and the foreign keys, and nothing else.
fn assert_equal(source: &Source, target: &Target) -> usize {
    let endpoint = source.endpoint();
    let map = |(db, key): &Name| Some((0, [format!("db{db}:").as_bytes(), key].concat()));
    wait::until_ok(READY, "source and target to be equal", || {
        let (expected, mut actual): (Contents, _) = (mapped(&read_server(&endpoint), map), target.read());
        for foreign in FOREIGN {
            if actual.remove(&(0, foreign.into())).is_none() {
                return Err(format!("the foreign key {foreign} is gone"));
            }
        }
        let found = diff(&expected, &actual);
        if found.is_empty() { Ok(expected.len()) } else { Err(report(&found)) }
    })
}

fn lasting_keys(endpoint: &Endpoint) {
    let mut client = Client::open(endpoint).unwrap();
    for number in 0..LASTING {
        client.queue(&["SET", &format!("lasting:{number}"), "always here"]);
    }
    client.flush().unwrap();
}

/// Somebody who reads keys that exist at the source all the time.
fn reader(target: &Target) -> Always {
    let mut clients: Vec<(String, Client)> = (0..LASTING)
        .step_by(60)
        .map(|number| format!("db0:lasting:{number}"))
        .chain(FOREIGN.map(str::to_owned))
        .map(|key| (key.clone(), client_for(target, &key)))
        .collect();
    Always::watch(move || {
        clients.iter_mut().find_map(|(key, client)| {
            let value = as_text(&client.call(&["GET", key.as_str()]));
            (value.as_deref() != Some("always here")).then(|| format!("{key} was {value:?} for a moment"))
        })
    })
}

/// Replicates, and writes what is foreign once it has begun.
fn begin(source: &Source, target: &Target, seed: u64) -> Df2redis {
    source.client().call(&["FLUSHALL"]);
    fill(&source.endpoint(), 6_000, &[0, 1], seed);
    lasting_keys(&source.endpoint());
    let mut program = Df2redis::replicate(settings(source, target));
    program.wait_ready(READY);
    for foreign in FOREIGN {
        client_for(target, foreign).call(&["SET", foreign, "always here"]);
    }
    assert_equal(source, target);
    program
}

#[test]
fn down_longer_than_the_backlog() {
    let seed = seed();
    for source in sources("down_longer_than_the_backlog", 100) {
        for target in Target::both() {
            let mut program = begin(&source, &target, seed);
            assert_eq!(program.terminate().code(), 0);
            let reader = reader(&target);
            let mut client = source.client();
            client.call(&["SELECT", "1"]);
            client.call(&["FLUSHDB"]);
            client.call(&["SELECT", "0"]);
            for number in 0..200 {
                client.queue(&["DEL", &format!("s:{number:06}"), &format!("l:{number:06}")]);
            }
            client.flush().unwrap();
            fill(&source.endpoint(), 1_000, &[2], seed + 1);
            let options =
                Options { rate: Some(2_000), keys: 200, dbs: vec![1, 2], ..Options::new(Mode::Full, seed) };
            let writer = Workload::start(&source.endpoint(), options);
            program.again();
            program.wait_ready(READY);
            writer.wait_for(1_000);
            writer.stop().assert_no_surprise();
            assert_equal(&source, &target);
            program.wait_until(READY, "the removal to end", |s| s["reconciling"] == false);
            assert_equal(&source, &target);
            let status = program.status().unwrap();
            assert_eq!((number(&status, "full_syncs"), number(&status, "partial_syncs")), (1, 0), "{status}");
            assert!(number(&status, "removed_keys") > 1_000, "{status}");
            let looks = reader.stop();
            assert!(looks > 10, "looked {looks} times only");
        }
    }
}

#[test]
fn a_source_restarted_with_its_data_is_taken_over_the_old() {
    let seed = seed();
    for mut source in sources("a_source_restarted_with_its_data_is_taken_over_the_old", 100) {
        for target in Target::both() {
            let mut program = begin(&source, &target, seed);
            let reader = reader(&target);
            restart_with_data(&mut source);
            let options =
                Options { rate: Some(2_000), keys: 200, dbs: vec![1], ..Options::new(Mode::Full, seed) };
            let writer = Workload::start(&source.endpoint(), options);
            program.wait_until(READY, "a second full sync", |s| number(s, "full_syncs") == 2);
            program.wait_ready(READY);
            writer.wait_for(1_000);
            writer.stop().assert_no_surprise();
            program.wait_until(READY, "the removal to end", |s| s["reconciling"] == false);
            assert_equal(&source, &target);
            let looks = reader.stop();
            assert!(looks > 10, "looked {looks} times only");
        }
    }
}

/// A source that lost everything takes the target's keys with it, but not before it has answered.
#[test]
fn a_source_restarted_empty_takes_everything_of_it_and_nothing_else() {
    let seed = seed();
    for mut source in sources("a_source_restarted_empty_takes_everything_of_it_and_nothing_else", 100) {
        for target in Target::both() {
            let mut program = begin(&source, &target, seed);
            restart_empty(&mut source);
            source.client().call(&["SET", "only", "key"]);
            program.wait_until(READY, "a second full sync", |s| number(s, "full_syncs") == 2);
            program.wait_ready(READY);
            assert_eq!(assert_equal(&source, &target), 1);
            program.wait_until(READY, "the removal to end", |s| s["reconciling"] == false);
            restart_empty(&mut source);
            program.wait_until(READY, "a third full sync", |s| number(s, "full_syncs") == 3);
            program.wait_ready(READY);
            assert_eq!(
                assert_equal(&source, &target),
                0,
                "nothing at the source, nothing of it on the target"
            );
        }
    }
}

/// Rules 36 to 38: while stale keys are being removed df2redis is killed, more than once, and the source writes to names
/// of which the target still has an older value.
#[test]
fn killed_in_the_middle_of_the_removal_while_stale_names_are_written_to() {
    let seed = seed();
    for mut source in sources("killed_in_the_middle_of_the_removal_while_stale_names_are_written_to", 8_192) {
        let target = Target::Standalone(RedisServer::start(RedisOptions::default()));
        source.client().call(&["FLUSHALL"]);
        fill(&source.endpoint(), 60_000, &[0, 1], seed);
        let mut program = Df2redis::replicate(settings(&source, &target));
        program.wait_ready(READY);
        for foreign in FOREIGN {
            client_for(&target, foreign).call(&["SET", foreign, "always here"]);
        }
        assert_equal(&source, &target);
        assert_eq!(program.terminate().code(), 0);
        restart_empty(&mut source);
        source.client().call(&["SET", "only", "key"]);
        program.again();
        let mut kills = 0;
        for round in 0..3u64 {
            // What the source writes now meets the target's old values: nothing of them may shine through.
            let writes = |from: u64| {
                let mut client = source.client();
                for number in (from..from + 400).step_by(2) {
                    client.queue(&["APPEND", &format!("s:{number:06}"), "new"]);
                    client.queue(&["APPEND", &format!("a:{number:06}"), "new"]);
                    client.queue(&["INCR", &format!("n:{number:06}")]);
                    client.queue(&["HSET", &format!("h:{number:06}"), "new", "1"]);
                    client.queue(&["RPUSH", &format!("l:{number:06}"), "new"]);
                    client.queue(&["SADD", &format!("e:{number:06}"), "new"]);
                    client.queue(&["ZINCRBY", &format!("z:{number:06}"), "1", "new"]);
                }
                assert!(client.flush().unwrap().iter().all(|r| scenarios::client::as_error(r).is_none()));
            };
            program.wait_until(READY, "the removal to be in the middle, or at its end", |s| {
                let removed = number(s, "removed_keys");
                removed > 500 || (number(s, "partial_syncs") > 0 && s["reconciling"] == false)
            });
            writes(round * 1_000);
            program.kill();
            let stored = checkpoint::inspect(program.checkpoint_dir(), 1).unwrap().unwrap().state.unwrap();
            kills += u64::from(stored.reconcile);
            // While it is down, too.
            writes(round * 1_000 + 500);
            program.again();
            program.wait_ready(READY);
        }
        assert!(kills > 0, "the removal had always ended before the kill");
        println!("{}: killed {kills} times in the middle", source.name());
        assert_equal(&source, &target);
        program.wait_until(READY, "the removal to end", |s| s["reconciling"] == false);
        assert_equal(&source, &target);
        assert_eq!(program.terminate().code(), 0);
        let stored = checkpoint::inspect(program.checkpoint_dir(), 1).unwrap().unwrap();
        assert!(!stored.state.unwrap().reconcile, "the removal is still due");
        assert_eq!(stored.not_in_sync_count, 0);
    }
}

/// The stream turned out to be broken, and the source is away: a process that is started meanwhile knows that nothing of
/// it may be resumed from.
#[test]
fn a_full_sync_that_is_due_outlives_the_process() {
    let source = Source::Simulated(Simulated::start());
    let Source::Simulated(simulated) = &source else { unreachable!() };
    let target = Target::Standalone(RedisServer::start(RedisOptions::default()));
    fill(&source.endpoint(), 300, &[0], seed());
    let mut program = Df2redis::replicate(target.settings(&source));
    program.wait_ready(READY);
    let mut client = source.client();
    client.call(&["PING"]);
    simulated.handle().faults().refuse_connections(true);
    simulated.handle().faults().spoil_flow(0);
    for number in 0..20 {
        client.queue(&["SET", &format!("key:{number}"), "value"]);
    }
    client.flush().unwrap();
    program.wait_for_line("full sync starts over", READY);
    program.kill();
    let state = checkpoint::inspect(program.checkpoint_dir(), 0).unwrap().unwrap().state.unwrap();
    assert_eq!((state.phase, state.reconcile), (checkpoint::Phase::FullSync, true));
    simulated.handle().faults().refuse_connections(false);
    program.again();
    program.wait_ready(READY);
    target.assert_equal(&source);
    let status = program.status().unwrap();
    assert_eq!((number(&status, "full_syncs"), number(&status, "partial_syncs")), (1, 0), "{status}");
}
