//! `filter`: what is left out never arrives, what is ours is exact, and nothing else is touched.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use scenarios::client::{Client, Endpoint};
use scenarios::logical::{Contents, Name, Value, diff, mapped, prefixed, read_server, report};
use scenarios::program::{Df2redis, Settings};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;
use scenarios::workload::{Mode, Options, Workload, fill, seed};
use serde_json::json;

const READY: Duration = Duration::from_secs(60);

/// On the target before, and outside of what the filter below lets through: by name, and by database where there are any.
fn foreign(target: &Target) -> &'static [(u32, &'static str)] {
    match target {
        Target::Standalone(_) => &[(0, "h:000001"), (0, "h:foreign"), (2, "e:000001"), (2, "e:foreign")],
        Target::Cluster(_) => &[(0, "h:000001"), (0, "h:foreign")],
    }
}

fn client_for(target: &Target, key: &str) -> Client {
    match target {
        Target::Standalone(server) => server.client(),
        Target::Cluster(cluster) => cluster.client_for(key.as_bytes()),
    }
}

/// Denied by the test below, by kind of target: so that each type is once among them and once not.
fn denied_types(target: &Target) -> &'static [&'static str] {
    match target {
        Target::Standalone(_) => &["string", "zset"],
        Target::Cluster(_) => &["list", "hash", "stream"],
    }
}

/// What the target must hold of the source.
fn wanted(source: &Endpoint, target: &Target) -> Contents {
    let mut contents = read_server(source);
    contents.retain(|(db, key), logical| {
        *db != 2 && !key.starts_with(b"h:") && !denied_types(target).contains(&logical.value.type_name())
    });
    match target {
        Target::Standalone(_) => contents,
        Target::Cluster(_) => mapped(&contents, prefixed),
    }
}

fn assert_equal_but_for_foreign(source: &Source, target: &Target) -> usize {
    let endpoint = source.endpoint();
    let mut keys = 0;
    wait::until_ok(READY, "equal, and foreign keys as they were", || {
        let (expected, mut actual) = (wanted(&endpoint, target), target.read());
        for (db, name) in foreign(target) {
            match actual.remove(&(*db, name.as_bytes().to_vec())).map(|logical| logical.value) {
                Some(Value::String(found)) if found == b"foreign" => {}
                other => return Err(format!("foreign key {name} of database {db} is now {other:?}")),
            }
        }
        keys = expected.len();
        let found = diff(&expected, &actual);
        if found.is_empty() { Ok(()) } else { Err(report(&found)) }
    });
    keys
}

fn settings(source: &Source, target: &Target) -> Settings {
    target
        .settings(source)
        .set("target.on_existing_data", "reconcile")
        .set("filter.deny_keys", json!(["h:*"]))
        .set("filter.deny_databases", json!([2]))
        .set("filter.deny_types", json!(denied_types(target)))
}

#[test]
fn what_is_left_out_never_arrives_and_the_rest_is_exact() {
    let seed = seed();
    for source in Source::each("what_is_left_out_never_arrives_and_the_rest_is_exact", 2) {
        for target in Target::both() {
            source.client().call(&["FLUSHALL"]);
            fill(&source.endpoint(), 6_000, &[0, 1, 2], seed);
            for (db, name) in foreign(&target) {
                let mut client = client_for(&target, name);
                if *db > 0 {
                    client.call(&["SELECT", &db.to_string()]);
                }
                client.call(&["SET", name, "foreign"]);
            }
            // Stale: under a name of ours, of a type of ours.
            client_for(&target, "e:stale").call(&["SADD", "e:stale", "gone"]);
            let options = Options { keys: 100, rate: Some(3_000), ..Options::new(Mode::Full, seed) };
            let writer = Workload::start(&source.endpoint(), options);
            let mut program = Df2redis::replicate(settings(&source, &target));
            program.wait_ready(READY);
            writer.wait_for(3_000);
            program.kill();
            writer.wait_for(1_000);
            program.again();
            program.wait_ready(READY);
            writer.wait_for(3_000);
            writer.stop().assert_no_surprise();
            let keys = assert_equal_but_for_foreign(&source, &target);
            assert!(keys > 300, "{keys} keys are too few to mean anything");
            let status = program.wait_until(READY, "nothing in doubt", |s| s["not_in_sync_count"] == 0);
            for by in ["database", "key", "type"] {
                assert!(status["filtered"]["records"][by].as_u64().unwrap() > 0, "{status}");
            }
            let (_, metrics) = program.http("/metrics").unwrap();
            assert!(metrics.contains("df2redis_filtered_total{what=\"record\",by=\"key\"}"), "{metrics}");
            // Only what is ours goes.
            let mut client = source.client();
            client.call(&["SELECT", "1"]);
            client.call(&["FLUSHDB"]);
            client.call(&["SELECT", "2"]);
            client.call(&["FLUSHDB"]);
            client.call(&["SELECT", "0"]);
            client.call(&["SADD", "e:after", "the", "flush"]);
            let left = assert_equal_but_for_foreign(&source, &target);
            assert!(0 < left && left < keys, "{left} of {keys}");
            client.call(&["FLUSHALL"]);
            client.call(&["SADD", "e:last", "one"]);
            assert_equal_but_for_foreign(&source, &target);
            assert_eq!(program.terminate().code(), 0);
        }
    }
}

#[test]
fn moves_between_what_is_ours_and_what_is_not() {
    for source in Source::each("moves_between_what_is_ours_and_what_is_not", 2) {
        let target = Target::both().next().unwrap();
        let mut client = source.client();
        client.call(&["FLUSHALL"]);
        client.call(&["MSET", "in:1", "1", "out:1", "1"]);
        client.call(&["RPUSH", "in:list", "a", "b"]);
        let settings = target.settings(&source).set("filter.allow_key_prefixes", json!(["in:"]));
        let mut program = Df2redis::replicate(settings);
        program.wait_ready(READY);
        for command in [
            &["MSET", "in:2", "2", "out:2", "2", "in:3", "3"][..],
            &["RENAME", "in:1", "out:3"],
            &["RENAME", "out:1", "in:4"],
            &["RENAME", "in:2", "in:5"],
            &["COPY", "out:2", "in:6"],
            &["COPY", "in:3", "out:7"],
            &["LMOVE", "in:list", "out:list", "LEFT", "RIGHT"],
            &["DEL", "out:2", "in:3"],
            // Effects of a script come as inner writes.
            &[
                "EVAL",
                "redis.call('SET', KEYS[1], 'x') redis.call('APPEND', KEYS[2], 'y') redis.call('SADD', KEYS[1]..'s', 'm') return 1",
                "3",
                "in:8",
                "out:8",
                "in:8s",
            ],
            &["MULTI"],
            &["INCR", "in:9"],
            &["INCR", "out:9"],
            &["EXEC"],
        ] {
            let refused = matches!(&source, Source::Simulated(_)) && command[0] == "EVAL";
            if refused {
                // The simulator runs no scripts: the same as it would be logged.
                client.call(&["SET", "in:8", "x"]);
                client.call(&["APPEND", "out:8", "y"]);
                client.call(&["SADD", "in:8s", "m"]);
            } else {
                client.call(command);
            }
        }
        let endpoint = source.endpoint();
        let ours = |name: &Name| name.1.starts_with(b"in:").then(|| name.clone());
        wait::until_ok(READY, "equal", || {
            let expected = mapped(&read_server(&endpoint), ours);
            assert!(expected.len() >= 6, "{expected:?}");
            let found = diff(&expected, &target.read());
            if found.is_empty() { Ok(()) } else { Err(report(&found)) }
        });
        assert_eq!(program.terminate().code(), 0);
    }
}

#[test]
fn a_flush_can_be_left_out() {
    let source = Source::simulated(simulator::Release::V1_40, 2);
    let target = Target::both().next().unwrap();
    let mut client = source.client();
    client.call(&["SET", "before", "1"]);
    let settings = target.settings(&source).set("filter.deny_commands", json!(["FLUSHALL", "flushdb"]));
    let mut program = Df2redis::replicate(settings);
    program.wait_ready(READY);
    client.call(&["FLUSHALL"]);
    client.call(&["SET", "after", "1"]);
    wait::until(READY, "the key from after the flush", || target.read().len() == 2);
    let status = program.status().unwrap();
    assert_eq!(status["filtered"]["records"]["command"], 2, "one copy for each flow: {status}");
    assert_eq!(program.terminate().code(), 0);
}

#[test]
fn a_command_that_no_journal_has_is_refused() {
    let source = Source::simulated(simulator::Release::V1_40, 1);
    let target = Target::both().next().unwrap();
    let mut program =
        Df2redis::replicate(target.settings(&source).set("filter.deny_commands", json!(["FLUSHAL"])));
    let output = program.wait_exit(READY);
    assert_eq!(output.code(), 64, "{}", output.stderr);
    assert!(output.stderr.contains("no journal contains the command FLUSHAL"), "{}", output.stderr);
}
