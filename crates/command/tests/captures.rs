//! Real snapshots and journals on a real server, read back by an independent client.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use command::{Mapping, MissingKind, table};
use rdb::Limits;
use scenarios::{
    captures::{self, Capture},
    logical::{self, Contents},
    servers::{RedisOptions, RedisServer},
};
use support::apply::{self, Applied, Target};

/// Captures whose snapshot equals `before.jsonl`.
fn recorded() -> Vec<Capture> {
    let all = captures::all().into_iter().filter(|(_, scenario)| {
        scenario.starts_with("types") || ["commands", "flush"].contains(&scenario.as_str())
    });
    let all: Vec<_> = all.map(|(version, scenario)| captures::load(&version, &scenario)).collect();
    assert!(all.len() >= 9, "captures are missing");
    all
}

/// Executes the snapshot of a capture on an empty server.
fn apply_snapshot(server: &RedisServer, capture: &Capture, limits: &Limits) -> Applied {
    server.client().call(&["FLUSHALL"]);
    let mut target = Target::new(server);
    apply::snapshot(capture, &mut target, &Mapping::keep(), &apply::ask(server), limits);
    target.applied
}

/// What the target can hold of the source's contents: no keys of types it lacks, no TTLs of members.
fn holdable(contents: &Contents, applied: &Applied) -> Contents {
    let ttls = [MissingKind::HashFieldTtl, MissingKind::SetMemberTtl, MissingKind::MemberTtl];
    let all = applied.lacking.iter().chain(&applied.reduced);
    let whole = all.filter(|(kind, _)| !ttls.contains(kind));
    let lacking: BTreeSet<_> =
        whole.flat_map(|(_, keys)| keys).map(|key| (key.db, key.key.to_vec())).collect();
    let mut rest = contents.clone();
    rest.retain(|name, _| !lacking.contains(name));
    rest.values_mut().for_each(|logical| logical.member_ttls.clear());
    rest
}

fn check(server: &RedisServer, capture: &Capture, limits: &Limits) -> Applied {
    let applied = apply_snapshot(server, capture, limits);
    let name = format!("{}/{}", capture.version, capture.scenario);
    assert_eq!(applied.refused, [], "{name}");
    let expected = holdable(capture.before.as_ref().unwrap(), &applied);
    let differences = logical::diff(&expected, &logical::read_server(&server.endpoint()));
    assert!(differences.is_empty(), "{name}: {}", logical::report(&differences));
    applied
}

#[test]
fn whole_values_arrive() {
    let server = RedisServer::start(RedisOptions::default());
    for capture in recorded() {
        let applied = check(&server, &capture, &Limits::default());
        assert!(applied.sent.contains_key("RESTORE"), "collections are restored");
        assert!(!applied.sent.contains_key("XADD"), "streams are re-encoded: {:?}", applied.sent);
    }
}

#[test]
fn values_in_pieces_arrive() {
    let server = RedisServer::start(RedisOptions::default());
    for capture in recorded() {
        // one element a piece takes long, and the captures hold the same data
        let smallest = if capture.scenario == "types-untagged" { 1 } else { 700 };
        for piece in [smallest, 64 << 10] {
            let limits = Limits { whole_value: 0, piece, ..Limits::default() };
            let applied = check(&server, &capture, &limits);
            assert!(!applied.sent.contains_key("RESTORE"), "{:?}", applied.sent);
        }
    }
}

#[test]
fn what_the_target_lacks_is_named() {
    let server = RedisServer::start(RedisOptions::default());
    let capture = captures::load("v1.40.1", "types");
    for whole_value in [0, 256 << 10] {
        let limits = Limits { whole_value, ..Limits::default() };
        let applied = apply_snapshot(&server, &capture, &limits);
        let keys = |kind| -> Vec<String> {
            let all = applied.lacking.get(&kind).into_iter().chain(applied.reduced.get(&kind)).flatten();
            all.map(|key| String::from_utf8_lossy(&key.key).into_owned()).collect()
        };
        assert_eq!(keys(MissingKind::Json), ["json:arr", "json:doc"]);
        assert_eq!(keys(MissingKind::Bloom), ["bloom"]);
        assert_eq!(keys(MissingKind::CountMin), ["cms"]);
        assert_eq!(keys(MissingKind::TopK), ["topk"]);
        assert_eq!(keys(MissingKind::Cuckoo), ["cuckoo"]);
        assert_eq!(keys(MissingKind::HashFieldTtl), ["hash:fieldttl"]);
        assert_eq!(keys(MissingKind::SetMemberTtl), ["set:memberttl"]);
    }
}

#[test]
fn batches_are_bounded() {
    let server = RedisServer::start(RedisOptions::default());
    let capture = captures::load("v1.40.1", "types");
    let limits = Limits { whole_value: 0, piece: 1 << 20, ..Limits::default() };
    let (args, bytes) = apply_snapshot(&server, &capture, &limits).largest;
    assert!(args > 500, "elements are gathered");
    assert!(args <= 2 + 2 * 512, "{args} arguments");
    assert!(bytes <= 128 << 10, "{bytes} bytes");
}

#[test]
fn every_recorded_command_is_in_the_table() {
    let mut seen = BTreeSet::new();
    for (version, scenario) in captures::all() {
        let capture = captures::load(&version, &scenario);
        for (flow, kind) in capture.flows.iter().zip(&capture.meta.kinds) {
            let journal = if flow.starts_with(b"REDIS") {
                let mut decoder = rdb::Decoder::new(Limits::default());
                decoder.feed(bytes::Bytes::copy_from_slice(flow));
                while decoder.next().unwrap().is_some() {}
                decoder.into_rest()
            } else {
                assert_eq!(kind, "PARTIAL");
                bytes::Bytes::copy_from_slice(flow)
            };
            for record in apply::records(journal) {
                assert!(
                    table::find(&record.args[0]).is_some(),
                    "{:?} of {version}/{scenario}",
                    record.args[0]
                );
                seen.insert(record.args[0].clone());
            }
        }
    }
    assert!(seen.len() >= 75, "only {} commands were recorded", seen.len());
}

/// What a faithful replica of v1.34.0 and v1.40.1 still has otherwise: the source does not log what it did.
const KNOWN: &[(&str, &str)] = &[
    ("j:f", "INCRBYFLOAT: Redis computes other digits"),
    ("j:georesult", "GEORADIUS STORE is truncated"),
    ("j:l", "LMPOP COUNT 2 is logged as one LPOP"),
    ("j:sorted", "SORT STORE is truncated"),
    ("j:zd", "scores of ZDIFFSTORE are rounded"),
    ("{j:sortsrc}dst", "SORT STORE is truncated"),
];

#[test]
fn recorded_journals_are_executed() {
    let server = RedisServer::start(RedisOptions::default());
    // when the recorded RESTORE with a TTL beyond the source's maximum was executed; v1.34.0 does not log XREADGROUP
    let recorded = [("v1.34.0", 1_795_169_873_734, Some("j:x")), ("v1.40.1", 1_795_169_606_184, None)];
    for (version, arrived_ms, groups) in recorded {
        let capture = captures::load(version, "commands");
        server.client().call(&["FLUSHALL"]);
        let mut target = Target::new(&server);
        let dialect = apply::ask(&server);
        let journals = apply::snapshot(&capture, &mut target, &Mapping::keep(), &dialect, &Limits::default());
        for (mut translator, journal) in journals {
            for record in apply::records(journal) {
                target.take(translator.record(record, arrived_ms));
            }
        }
        target.flush();
        assert_eq!(target.applied.refused, [], "{version}");
        let expected = holdable(&capture.expected(), &target.applied);
        let differences = logical::diff(&expected, &logical::read_server(&server.endpoint()));
        let found: BTreeSet<_> =
            differences.iter().map(|d| String::from_utf8_lossy(&d.key).into_owned()).collect();
        let known: BTreeSet<_> = KNOWN.iter().map(|(key, _)| *key).chain(groups).map(String::from).collect();
        assert_eq!(found, known, "{version}: {}", logical::report(&differences));
    }
}
