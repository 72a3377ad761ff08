//! `target.on_existing_data`: what a first full sync does with data that is there already.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use scenarios::client::{Client, Endpoint};
use scenarios::logical::{Contents, Name, diff, mapped, read_server, report};
use scenarios::program::{Df2redis, Settings};
use scenarios::servers::Simulated;
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;
use simulator::Release;

const READY: Duration = Duration::from_secs(60);

/// On the target before: a key of the source's with another type, one that adds to what the source has, one that the
/// source lacks, and one that cannot come from the source.
const FOREIGN: [&[&str]; 4] = [
    &["RPUSH", "app:string", "was", "a", "list"],
    &["SADD", "app:set", "stale"],
    &["SET", "app:stale", "nobody at the source has this"],
    &["SET", "other:key", "outside the mapping"],
];

fn client_for(target: &Target, key: &str) -> Client {
    match target {
        Target::Standalone(server) => server.client(),
        Target::Cluster(cluster) => cluster.client_for(key.as_bytes()),
    }
}

fn settings(source: &Source, target: &Target, policy: &str) -> Settings {
    let prefixes: serde_json::Map<_, _> = [("0", "app:"), ("1", "one:")]
        .map(|(db, prefix)| (db.to_owned(), prefix.into()))
        .into_iter()
        .collect();
    target.settings(source).set("mapping.databases", prefixes).set("target.on_existing_data", policy)
}

/// What the target must hold of the source.
fn wanted(source: &Endpoint) -> Contents {
    let map = |(db, key): &Name| -> Option<Name> {
        let prefix = if *db == 0 { "app:" } else { "one:" };
        Some((0, [prefix.as_bytes(), key].concat()))
    };
    mapped(&read_server(source), map)
}

/// The source with a few keys, and the target with foreign ones.
fn begin(target: &Target) -> Source {
    let source = Source::Simulated(Simulated::start_with(
        simulator::Simulator::builder().release(Release::V1_40).shards(2),
    ));
    let mut client = source.client();
    client.call(&["SET", "string", "value"]);
    client.call(&["SADD", "set", "member"]);
    client.call(&["SELECT", "1"]);
    client.call(&["HSET", "hash", "field", "value"]);
    for command in FOREIGN {
        client_for(target, command[1]).call(command);
    }
    source
}

/// Names on the target beyond what the source has; what the source has must be equal.
fn beyond(source: &Source, target: &Target) -> BTreeSet<String> {
    let endpoint = source.endpoint();
    let mut rest = BTreeSet::new();
    wait::until_ok(READY, "equal but for what only the target has", || {
        let (expected, mut actual) = (wanted(&endpoint), target.read());
        rest.clear();
        actual.retain(|name, _| {
            let known = expected.contains_key(name);
            if !known {
                rest.insert(String::from_utf8(name.1.clone()).unwrap());
            }
            known
        });
        let found = diff(&expected, &actual);
        if found.is_empty() { Ok(()) } else { Err(report(&found)) }
    });
    rest
}

#[test]
fn refuse_writes_nothing_and_says_what_to_do() {
    for target in Target::both() {
        let source = begin(&target);
        let before = target.read();
        let mut program = Df2redis::replicate(settings(&source, &target, "refuse"));
        let output = program.wait_exit(READY);
        assert_eq!(output.code(), 1, "{}", output.stderr);
        assert!(output.stderr.contains("on_existing_data"), "{}", output.stderr);
        assert_eq!(target.read(), before, "something was written");
    }
}

#[test]
fn merge_writes_over_and_leaves_the_rest() {
    for target in Target::both() {
        let source = begin(&target);
        let mut program = Df2redis::replicate(settings(&source, &target, "merge"));
        program.wait_ready(READY);
        source.client().call(&["SADD", "set", "another"]);
        let rest = beyond(&source, &target);
        assert_eq!(rest, BTreeSet::from(["app:stale".into(), "other:key".into()]));
    }
}

#[test]
fn reconcile_removes_what_the_source_lacks_and_nothing_else() {
    for target in Target::both() {
        let source = begin(&target);
        let mut program = Df2redis::replicate(settings(&source, &target, "reconcile"));
        program.wait_ready(READY);
        program.wait_until(READY, "the removal to end", |s| s["reconciling"] == false);
        assert_eq!(beyond(&source, &target), BTreeSet::from(["other:key".into()]));
    }
}

#[test]
fn flush_empties_what_the_mapping_covers_once() {
    for target in Target::both() {
        let source = begin(&target);
        let mut program = Df2redis::replicate(settings(&source, &target, "flush"));
        program.wait_ready(READY);
        program.wait_for_line("target emptied", READY);
        assert_eq!(beyond(&source, &target), BTreeSet::from(["other:key".into()]));
        // Only the first time: a later full sync goes over what is there.
        assert_eq!(program.terminate().code(), 0);
        if let Source::Simulated(simulated) = &source {
            simulated.restart(true);
        }
        program.again();
        program.wait_ready(READY);
        program.wait_until(READY, "the removal to end", |s| s["reconciling"] == false);
        assert_eq!(beyond(&source, &target), BTreeSet::from(["other:key".into()]));
    }
}

/// What a first full sync is to do with `conflict.policy` alone.
fn conflict(source: &Source, target: &Target, policy: &str) -> Settings {
    settings(source, target, "").unset("target.on_existing_data").set("conflict.policy", policy)
}

/// The foreign keys as they were, and what else there is.
fn besides_foreign(target: &Target, before: &Contents) -> Result<Contents, String> {
    let mut actual = target.read();
    for (name, value) in before {
        let text = String::from_utf8_lossy(&name.1).into_owned();
        if actual.remove(name).as_ref() != Some(value) {
            return Err(format!("foreign key {text} was touched"));
        }
    }
    Ok(actual)
}

fn assert_skipped(source: &Source, target: &Target, before: &Contents) {
    let endpoint = source.endpoint();
    wait::until_ok(READY, "foreign keys as they were, the others equal", || {
        let mut expected = wanted(&endpoint);
        expected.retain(|name, _| !before.contains_key(name));
        let found = diff(&expected, &besides_foreign(target, before)?);
        if found.is_empty() { Ok(()) } else { Err(report(&found)) }
    });
}

#[test]
fn skip_never_touches_a_key_that_was_there() {
    for target in Target::both() {
        let source = begin(&target);
        let before = target.read();
        let mut client = source.client();
        for i in 0..600 {
            client.call(&["SET", &format!("own:{i}"), "first"]);
        }
        // Slowly, so that it can be interrupted: what it wrote is ours then, and is written over.
        let slow = conflict(&source, &target, "skip").set("limits.qps", 200);
        let mut program = Df2redis::replicate(slow);
        let some = |count: usize| target.read().len() > before.len() + count;
        wait::until(READY, "some keys to be copied", || some(50));
        program.kill();
        for i in 0..600 {
            client.call(&["SET", &format!("own:{i}"), "second"]);
        }
        program.again();
        program.wait_ready(READY);
        client.call(&["SADD", "set", "another"]);
        client.call(&["SET", "stale", "the source has it now"]);
        client.call(&["RENAME", "own:1", "string"]);
        client.call(&["MSET", "string", "x", "own:2", "third"]);
        client.call(&["COPY", "string", "own:3", "REPLACE"]);
        assert_skipped(&source, &target, &before);
        let status = program.status().unwrap();
        assert_eq!(status["existing_keys"], 3, "other:key is outside the mapping: {status}");
        assert!(status["filtered"]["records"]["existing"].as_u64().unwrap() >= 4, "{status}");
        // A repeated full sync removes what is stale of ours, and a flush what is ours.
        assert_eq!(program.terminate().code(), 0);
        if let Source::Simulated(simulated) = &source {
            simulated.restart(true);
        }
        client = source.client();
        client.call(&["DEL", "own:7"]);
        program.again();
        program.wait_ready(READY);
        program
            .wait_until(READY, "the removal to end", |s| s["reconciling"] == false && s["full_syncs"] == 1);
        assert_skipped(&source, &target, &before);
        client.call(&["FLUSHALL"]);
        client.call(&["SET", "last", "1"]);
        assert_skipped(&source, &target, &before);
        assert_eq!(program.terminate().code(), 0);
    }
}

#[test]
fn panic_stops_before_anything_is_written() {
    for target in Target::both() {
        let source = begin(&target);
        let before = target.read();
        let mut program = Df2redis::replicate(conflict(&source, &target, "panic"));
        let output = program.wait_exit(READY);
        assert_eq!(output.code(), 1, "{}", output.stderr);
        let last = output.stderr.lines().last().unwrap();
        assert!(last.contains("conflict.policy is panic") && last.contains("key "), "{last}");
        assert_eq!(target.read(), before, "something was written");
        // Without a conflict it runs, until the source makes one.
        let mut client = source.client();
        client.call(&["DEL", "string", "set"]);
        program.again();
        program.wait_ready(READY);
        client.call(&["SET", "fine", "1"]);
        client.call(&["APPEND", "stale", "x"]);
        let output = program.wait_exit(READY);
        assert_eq!(output.code(), 1, "{}", output.stderr);
        assert!(
            output.stderr.lines().last().unwrap().contains("key stale of database 0"),
            "{}",
            output.stderr
        );
        let kept = besides_foreign(&target, &before).unwrap();
        assert!(kept.len() <= 2, "{kept:?}");
    }
}

#[test]
fn names_that_collide_are_refused_before_anything_is_written() {
    let target = Target::both().nth(1).unwrap();
    let source = Source::simulated(Release::V1_40, 2);
    let mut client = source.client();
    for i in 0..200 {
        client.call(&["SET", &format!("key:{i}"), "1"]);
    }
    client.call(&["SET", "db1:x", "1"]);
    client.call(&["SELECT", "1"]);
    client.call(&["SET", "y", "1"]);
    let mut program = Df2redis::replicate(target.settings(&source));
    let output = program.wait_exit(READY);
    assert_eq!(output.code(), 1, "{}", output.stderr);
    let last = output.stderr.lines().last().unwrap();
    assert!(last.contains("db1:x of database 0") && last.contains("x of database 1"), "{last}");
    assert!(target.read().is_empty(), "something was written");
    // With the key left out, nothing collides.
    let allowed = target.settings(&source).set("filter.deny_keys", "db1:*");
    let mut program = Df2redis::replicate(allowed);
    program.wait_ready(READY);
    wait::until(READY, "the rest", || target.read().len() == 201);
}
