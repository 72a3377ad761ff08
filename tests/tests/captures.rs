//! What real masters sent, through the whole program into real targets: exactly what they held arrives.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use checkpoint::{Phase, State, Store, TargetIdentity};
use scenarios::captures::{self, Capture};
use scenarios::client::{Endpoint, readable};
use scenarios::known_differences::{self, KNOWN, Known};
use scenarios::logical::{Name, What, diff, mapped, prefixed_with, read_cluster, read_server, write};
use scenarios::program::{Df2redis, Settings, number};
use scenarios::servers::{Cluster, ClusterOptions, RedisOptions, RedisServer, Replayed};
use scenarios::wait;
use serde_json::Value as Json;
use tempfile::TempDir;

/// A whole capture, on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A prefix with which no name of the captures begins.
fn prefix(db: u32) -> String {
    format!("from-db-{db}:")
}

fn into_prefixes(name: &Name) -> Option<Name> {
    prefixed_with(&prefix)(name)
}

fn unchanged(name: &Name) -> Option<Name> {
    Some(name.clone())
}

fn into_standalone(replay: &Replayed, target: &RedisServer) -> Settings {
    Settings::replicate(&replay.addr(), "redis-standalone", &[target.addr()])
}

fn into_cluster(replay: &Replayed, target: &Cluster) -> Settings {
    let prefixes: serde_json::Map<String, serde_json::Value> =
        (1..16).map(|db| (db.to_string(), prefix(db).into())).collect();
    Settings::replicate(&replay.addr(), "redis-cluster", &target.seeds()).set("mapping.databases", prefixes)
}

/// One at a time: a process that another test starts holds the files that are open here until it has become another program,
/// the lock of a checkpoint among them.
static STARTING: Mutex<()> = Mutex::new(());

/// Applies the capture until the last record is acknowledged. A resume starts from a checkpoint with the LSNs that
/// the recorded replica asked for.
fn apply(
    capture: &Capture,
    replay: &Replayed,
    settings: Settings,
    target: TargetIdentity,
    dir: &TempDir,
) -> Df2redis {
    let starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(first) = &capture.first {
        let state = State {
            phase: Phase::Stable,
            replication_id: first.replid.clone(),
            applied: first.next_lsns.clone(),
            reserved: first.next_lsns.clone(),
            reconcile: false,
            target,
            updated_at_ms: 0,
            nodes: Vec::new(),
        };
        store(dir.path(), &state);
    }
    let mut program = Df2redis::replicate(settings.set("checkpoint.dir", dir.path().to_string_lossy()));
    drop(starting);
    let done = wait::try_until_some(DEADLINE, &mut || {
        (replay.is_acknowledged() || !program.is_running()).then_some(())
    });
    assert!(done.is_some() && program.is_running(), "{}", program.output());
    assert_eq!(replay.handle().attachments(), 1, "one attachment is enough: {}", program.output());
    let status = program.status().unwrap();
    assert_eq!(status["phase"], "stable", "{status}");
    let applied: Vec<u64> =
        status["flows"].as_array().unwrap().iter().map(|flow| number(flow, "applied_lsn")).collect();
    assert_eq!(applied, capture.meta.next_lsn_at_end, "{status}");
    program
}

/// Looks until there is nothing to complain of: keys in doubt are read a while after the last record.
fn settled(mut look: impl FnMut() -> Option<String>) -> Option<String> {
    let mut complaint = None;
    wait::try_until_some(DEADLINE, &mut || {
        complaint = look();
        complaint.is_none().then_some(())
    });
    complaint
}

/// Nothing is passed over silently: the status names every key that is not there, or has lost the TTLs of members.
fn told(status: &Json, known: &[Known]) -> Option<String> {
    let kinds = status["not_on_target"].as_array().unwrap().iter();
    let mut names: BTreeSet<String> = kinds
        .flat_map(|kind| kind["keys"].as_array().unwrap())
        .map(|key| key.as_str().unwrap().into())
        .collect();
    let listed = status["not_in_sync"].as_array().unwrap().iter();
    names.extend(listed.map(|entry| format!("db{}:{}", entry["db"], entry["key"].as_str().unwrap())));
    let untold: Vec<_> = known
        .iter()
        .filter(|known| matches!(known.what, What::Missing | What::MemberTtl))
        .map(|known| format!("db{}:{}", known.db, known.key.escape_ascii()))
        .filter(|name| !names.contains(name))
        .collect();
    (!untold.is_empty()).then(|| format!("not in the status: {}", untold.join(", ")))
}

/// What is wrong with the run, if anything.
fn complaint(
    status: &Json,
    capture: &Capture,
    known: &[Known],
    differences: Option<String>,
) -> Option<String> {
    // What a target lacks from the beginning of a resume was told in the run before.
    let untold = if capture.first.is_some() { None } else { told(status, known) };
    let all: Vec<_> = differences.into_iter().chain(untold).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn store(dir: &Path, state: &State) {
    Store::open(dir).unwrap().write(state).unwrap();
}

/// Does it with every capture; what each of them complains of is told together.
fn every_capture(mut one: impl FnMut(&Capture) -> Option<String>) {
    let mut complaints = Vec::new();
    for (version, scenario) in captures::all() {
        println!("{version}/{scenario}");
        if let Some(complaint) = one(&captures::load(&version, &scenario)) {
            complaints.push(format!("{version}/{scenario}: {complaint}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_capture_arrives_exactly_in_a_standalone_server() {
    let target = RedisServer::start(RedisOptions::default());
    every_capture(|capture| {
        target.client().call(&["FLUSHALL"]);
        if capture.first.is_some() {
            write(&[target.endpoint()], capture.before.as_ref().unwrap());
        }
        let replay = Replayed::start(&capture.version, &capture.scenario);
        let run_id = target.client().info("server", "run_id").unwrap();
        let identity = TargetIdentity::Standalone { address: target.addr(), run_id };
        let dir = TempDir::new().unwrap();
        let program = apply(capture, &replay, into_standalone(&replay, &target), identity, &dir);
        let known = known_differences::of(KNOWN, &capture.version, &capture.scenario, false);
        settled(|| {
            let found = diff(&capture.expected(), &read_server(&target.endpoint()));
            let differences = known_differences::complaint(&known, &found, unchanged);
            complaint(&program.status().unwrap(), capture, &known, differences)
        })
    });
}

#[test]
fn every_capture_arrives_exactly_in_a_cluster() {
    let target = Cluster::start(ClusterOptions::default());
    let masters: Vec<Endpoint> = target.master_endpoints();
    every_capture(|capture| {
        for node in target.nodes() {
            node.client().call(&["FLUSHALL"]);
        }
        if let (Some(_), Some(before)) = (&capture.first, &capture.before) {
            write(&masters, &mapped(before, into_prefixes));
        }
        let replay = Replayed::start(&capture.version, &capture.scenario);
        let node_ids = target.masters().into_iter().map(|node| node.id).collect();
        let identity = TargetIdentity::Cluster { node_ids };
        let dir = TempDir::new().unwrap();
        let program = apply(capture, &replay, into_cluster(&replay, &target), identity, &dir);
        let known = known_differences::of(KNOWN, &capture.version, &capture.scenario, true);
        settled(|| {
            let found = diff(&mapped(&capture.expected(), into_prefixes), &read_cluster(&masters));
            let differences = known_differences::complaint(&known, &found, into_prefixes);
            complaint(&program.status().unwrap(), capture, &known, differences)
        })
    });
}

/// Database 0 of these captures holds names such as `db1:str:1`, and database 1 a `str:1`.
#[test]
fn the_default_prefix_collides_and_stops_the_run() {
    let target = Cluster::start(ClusterOptions::default());
    let mut collisions = 0;
    every_capture(|capture| {
        let looks_prefixed = |(db, key): &Name| *db == 0 && key.starts_with(b"db1:");
        if capture.first.is_some() || !capture.before.iter().flatten().any(|(name, _)| looks_prefixed(name)) {
            return None;
        }
        collisions += 1;
        for node in target.nodes() {
            node.client().call(&["FLUSHALL"]);
        }
        let replay = Replayed::start(&capture.version, &capture.scenario);
        let starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut program =
            Df2redis::replicate(Settings::replicate(&replay.addr(), "redis-cluster", &target.seeds()));
        drop(starting);
        let output = program.wait_exit(DEADLINE);
        let line = output.stderr.lines().last().unwrap();
        assert_eq!(output.code(), 1, "{}", output.stderr);
        assert!(line.contains("str:1") && line.contains("mapping.databases"), "{line}");
        println!("{line}");
        // The name in question was not written.
        let collided = |((_, key), _): &(&Name, &_)| key.starts_with(b"db") && line.contains(&readable(key));
        assert_eq!(read_cluster(&target.master_endpoints()).iter().filter(collided).count(), 0);
        None
    });
    assert!(collisions >= 7, "{collisions}");
}
