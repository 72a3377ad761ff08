//! Targets with modules: documents arrive as documents, filters and sketches are reported. `TARGET_MODULES` names the
//! modules' files, separated by colons, and `TARGET_BINS` servers to load them; without them the tests say that they skip.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use scenarios::client::{Client, Endpoint, as_error, as_number, as_text};
use scenarios::observe::wait_all_in_sync;
use scenarios::program::{Df2redis, Settings, number, run};
use scenarios::servers::OtherServer;
use scenarios::source::Source;
use scenarios::wait;
use serde_json::Value;

const READY: Duration = Duration::from_secs(60);

/// What is there when the snapshot is taken.
const SNAPSHOT: &[&[&str]] = &[
    &["JSON.SET", "snapshot:plain", "$", r#"{"a":1,"b":[1,2,3],"c":{"d":"e"}}"#],
    &["JSON.SET", "snapshot:scalar", "$", "\"text\""],
    &["JSON.SET", "snapshot:numbers", "$", "[0.1,1e20,-3,9007199254740993,1.5e-7,0.30000000000000004]"],
    &["JSON.SET", "snapshot:unicode", "$", "{\"\u{e9}\":\"\\u00e9\\n\\\"\"}"],
    &["JSON.SET", "snapshot:empty", "$", r#"{"a":[],"b":{},"c":null,"d":true}"#],
    &["JSON.SET", "snapshot:expires", "$", r#"{"a":1}"#],
    &["PEXPIREAT", "snapshot:expires", "FAR"],
    &["JSON.SET", "snapshot:changes", "$", r#"{"n":1,"s":"x","l":[1,2,3],"b":false,"o":{"p":{"q":1}}}"#],
    &["JSON.SET", "snapshot:goes", "$", "1"],
];

/// What comes as records: whole documents, parts, and what differs most between the servers' modules.
const RECORDS: &[&[&str]] = &[
    &["JSON.SET", "record:plain", "$", r#"{"a":[1,{"b":2}]}"#],
    &["JSON.SET", "record:root", ".", r#"{"a":1}"#],
    // A whole document ends an expiry, and takes the place of a string.
    &["JSON.SET", "record:expired", "$", r#"{"a":1}"#],
    &["PEXPIREAT", "record:expired", "FAR"],
    &["JSON.SET", "record:expired", "$", r#"{"a":2}"#],
    &["SET", "record:string", "text"],
    &["JSON.SET", "record:string", "$", r#"{"a":1}"#],
    &["JSON.SET", "snapshot:goes", "$", "2"],
    &["DEL", "snapshot:goes"],
    &["RENAME", "snapshot:scalar", "record:renamed"],
    // From here on a source may lack the commands.
    &["JSON.SET", "record:plain", "$", "7", "NX"],
    &["JSON.SET", "record:none", "$", "7", "XX"],
    &["JSON.SET", "snapshot:changes", "$.o.p.new", "[1]"],
    &["JSON.SET", "snapshot:changes", "$..q", "2.50"],
    &["JSON.SET", "snapshot:changes", ".s", "\"legacy\""],
    &["JSON.MSET", "record:m1", "$", "{\"x\":1}", "record:m2", "$", "[]", "snapshot:plain", "$.b[0]", "9"],
    &["JSON.MERGE", "snapshot:changes", "$", r#"{"o":null,"z":{"y":[null]}}"#],
    &["JSON.NUMINCRBY", "snapshot:changes", "$.n", "1.5"],
    &["JSON.NUMINCRBY", "snapshot:changes", "$..*", "1"],
    &["JSON.NUMMULTBY", "snapshot:numbers", "$[*]", "3"],
    &["JSON.STRAPPEND", "snapshot:changes", "$.s", "\"more\""],
    &["JSON.TOGGLE", "snapshot:changes", "$.b"],
    &["JSON.ARRAPPEND", "snapshot:changes", "$.l", "4", "{\"five\":5}"],
    &["JSON.ARRINSERT", "snapshot:changes", "$.l", "-1", "0"],
    &["JSON.ARRPOP", "snapshot:changes", "$.l", "-3"],
    &["JSON.ARRTRIM", "snapshot:changes", "$.l", "-2", "99"],
    &["JSON.CLEAR", "snapshot:empty", "$.*"],
    &["JSON.CLEAR", "record:root"],
    &["JSON.DEL", "snapshot:plain", "$..d"],
    &["JSON.FORGET", "record:m1"],
    &["JSON.DEL", "record:nothing", "$.a"],
];

/// Commands that the source does not have, or not in this form, are passed over; how many were executed.
/// `FAR` is a time in a day.
fn execute(client: &mut Client, commands: &[&[&str]]) -> usize {
    let refused = |reply: &redis::Value| as_error(reply).is_some();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let far = (now.as_millis() + 86_400_000).to_string();
    let mut passed_over = Vec::new();
    for command in commands {
        let words: Vec<&str> = command.iter().map(|word| if *word == "FAR" { &far } else { *word }).collect();
        match client.try_call(&words) {
            Ok(reply) if !refused(&reply) => {}
            Ok(_) | Err(_) => passed_over.push(command.join(" ")),
        }
    }
    println!("passed over: {passed_over:?}");
    commands.len() - passed_over.len()
}

/// Every key with its type or document, and its expiry.
fn documents(endpoint: &Endpoint) -> BTreeMap<String, (String, Value, i64)> {
    let mut client = Client::open(endpoint).unwrap();
    let redis::Value::Array(names) = client.call(&["KEYS", "*"]) else { panic!("KEYS answers an array") };
    let names = names.iter().map(|name| as_text(name).unwrap());
    let read = |name: String| {
        let kind = client.text(&["TYPE", &name]);
        let value = match kind.as_str() {
            "ReJSON-RL" => serde_json::from_str(&client.text(&["JSON.GET", &name])).unwrap(),
            _ => Value::Null,
        };
        let expiry = as_number(&client.call(&["PTTL", &name])).unwrap();
        (name, (kind, value, expiry))
    };
    names.map(read).collect()
}

/// The same keys, types, documents, and expiries to a second; numbers by their value.
fn assert_same(source: &Endpoint, target: &Endpoint, what: &str) {
    wait::until_ok(READY, what, || {
        let (expected, found) = (documents(source), documents(target));
        let names = |all: &BTreeMap<String, _>| all.keys().cloned().collect::<Vec<_>>();
        if expected.keys().ne(found.keys()) {
            return Err(format!("{:?} instead of {:?}", names(&found), names(&expected)));
        }
        for (name, (kind, value, expiry)) in &expected {
            let (other_kind, other, other_expiry) = &found[name];
            let near = expiry.abs_diff(*other_expiry) < 1_000;
            if kind != other_kind || !same(value, other) || !near {
                return Err(format!("{name}: {other} ({other_expiry} ms) instead of {value} ({expiry} ms)"));
            }
        }
        Ok(())
    });
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || a.as_f64().map(f64::to_bits) == b.as_f64().map(f64::to_bits)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

fn settings(source: &Source, server: &OtherServer) -> Settings {
    Settings::replicate(&source.addr(), "redis-standalone", &[server.addr()]).set("checkpoint.interval", 1)
}

#[test]
fn documents_arrive_as_documents_whatever_the_module_does_with_them() {
    let test = "documents_arrive_as_documents_whatever_the_module_does_with_them";
    for server in OtherServer::each_with_module(test, "JSON.SET") {
        for source in Source::each(test, 2) {
            println!("{} to {}", source.name(), server.name);
            server.client().call(&["FLUSHALL"]);
            let mut client = source.client();
            client.call(&["FLUSHALL"]);
            execute(&mut client, SNAPSHOT);
            let mut program = Df2redis::replicate(settings(&source, &server));
            program.wait_ready(READY);
            assert_same(&source.endpoint(), &server.endpoint(), &format!("the snapshot on {}", server.name));
            assert!(execute(&mut client, RECORDS) >= 10);
            assert_same(&source.endpoint(), &server.endpoint(), &format!("the records on {}", server.name));
            // One document, changed more often than it can be read.
            for n in 0..2_000 {
                let text = format!("{{\"n\":{n}}}");
                client.queue(&["JSON.SET", "busy", "$", &text]);
                client.queue(&["JSON.NUMINCRBY", "busy", "$.n", "1"]);
            }
            client.flush().unwrap();
            assert_same(&source.endpoint(), &server.endpoint(), &format!("a busy one on {}", server.name));
            let status = wait_all_in_sync(&mut program, READY);
            assert_eq!(status["not_on_target"].as_array().map(Vec::len), Some(0), "{status}");
            let config = program.config_file().to_str().unwrap().to_owned();
            for mode in ["full", "outline"] {
                let checked = run(&["check", "--config", &config, "--mode", mode], READY);
                assert_eq!(checked.code(), 0, "{}: {checked:?}", server.name);
            }
            // A document that differs is found, and repaired through the daemon.
            server.client().call(&["JSON.SET", "snapshot:numbers", "$", "[0.1,1e20]"]);
            let checked = run(&["check", "--config", &config, "--rounds", "2"], READY);
            assert_eq!(checked.code(), 2, "{checked:?}");
            assert!(checked.stdout.contains("value:1 "), "{checked:?}");
            let checked = run(&["check", "--config", &config, "--rounds", "2", "--repair"], READY);
            assert_eq!(checked.code(), 0, "{checked:?}");
            assert_same(&source.endpoint(), &server.endpoint(), "the repaired document");
            assert_eq!(program.terminate().code(), 0);
        }
    }
}

/// A filter that begins empty on the target would deny what the source's affirms: so none is made, and each is reported.
#[test]
fn filters_and_sketches_are_reported_although_the_target_has_their_module() {
    let test = "filters_and_sketches_are_reported_although_the_target_has_their_module";
    for server in OtherServer::each_with_module(test, "BF.ADD") {
        for source in Source::each(test, 2) {
            server.client().call(&["FLUSHALL"]);
            let mut client = source.client();
            client.call(&["FLUSHALL"]);
            let snapshot: &[&[&str]] = &[
                &["SET", "plain", "1"],
                &["BF.ADD", "bloom", "a"],
                &["CMS.INITBYDIM", "cms", "20", "3"],
                &["TOPK.RESERVE", "topk", "3"],
                &["CF.ADD", "cuckoo", "a"],
            ];
            let kinds = execute(&mut client, snapshot) - 1;
            if kinds == 0 {
                println!("skipped for {}, which has no filters: {test}", source.name());
                continue;
            }
            let mut program = Df2redis::replicate(settings(&source, &server));
            program.wait_ready(READY);
            let records: &[&[&str]] = &[
                &["BF.ADD", "bloom", "b"],
                &["BF.RESERVE", "bloom:new", "0.01", "100"],
                &["CMS.INCRBY", "cms", "a", "1"],
                &["TOPK.ADD", "topk", "a"],
                &["CF.ADD", "cuckoo", "b"],
                &["SET", "last", "1"],
            ];
            execute(&mut client, records);
            wait::until(READY, "the last key", || server.client().number(&["EXISTS", "last"]) == 1);
            let status = program.wait_until(READY, "every kind to be counted", |status| {
                status["not_on_target"].as_array().is_some_and(|kinds_told| kinds_told.len() == kinds)
            });
            let told = status["not_on_target"].as_array().unwrap();
            assert!(told.iter().all(|kind| number(kind, "count") >= 1), "{status}");
            assert_eq!(server.client().number(&["DBSIZE"]), 2, "{}", server.name);
            let config = program.config_file().to_str().unwrap().to_owned();
            let checked = run(&["check", "--config", &config], READY);
            assert_eq!(checked.code(), 0, "{checked:?}");
            assert!(
                checked.stdout.contains("OK:2 missing:0 ") && checked.stdout.contains("not comparable: ")
            );
            assert_eq!(program.terminate().code(), 0);
        }
    }
}
