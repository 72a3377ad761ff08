//! The program's own helpers, and the writers against the simulated master.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use scenarios::logical::{read_server, wait_equal};
use scenarios::program::{Df2redis, Settings, run};
use scenarios::servers::{RedisOptions, RedisServer, Simulated};
use scenarios::workload::{Mode, Options, Workload, fill, seed};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn settings_become_yaml() {
    let settings = Settings::replicate("a:1", "redis-cluster", &["b:2".to_owned(), "c:3".to_owned()])
        .set("mapping.databases", serde_json::json!({"1": "one:"}))
        .set("checkpoint.interval", 1);
    let yaml = settings.to_yaml();
    let back: serde_json::Value = serde_yaml::from_str(&yaml).unwrap();
    assert_eq!(back["target"]["addr"], serde_json::json!(["b:2", "c:3"]));
    assert_eq!(back["checkpoint"]["interval"], 1);
    assert_eq!(settings.unset("target.addr").get("target.addr"), None);
}

#[test]
fn the_program_runs_to_its_end_and_says_why() {
    let output = run(&["replicate", "--config", "/does/not/exist.yaml"], SOON);
    assert_eq!(output.code(), 64);
    assert!(output.stderr.contains("/does/not/exist.yaml"), "{}", output.stderr);
}

#[test]
fn the_program_is_started_watched_stopped_and_started_again() {
    let source = Simulated::start();
    let target = RedisServer::start(RedisOptions::default());
    source.client().call(&["SET", "k", "v"]);
    let mut program =
        Df2redis::replicate(Settings::replicate(&source.addr(), "redis-standalone", &[target.addr()]));
    let read = |endpoint| move || read_server(&endpoint);
    wait_equal(SOON, read(source.endpoint()), read(target.endpoint()));
    let first = program.pid();
    assert!(program.resident_bytes().unwrap() > 1 << 20);
    assert_eq!(program.terminate().code(), 0);
    program.again();
    assert_ne!(program.pid(), first);
    source.client().call(&["SET", "k", "w"]);
    wait_equal(SOON, read(source.endpoint()), read(target.endpoint()));
    assert!(!program.kill().status.success());
}

#[test]
fn the_simulated_master_takes_everything_the_writers_send() {
    let source = Simulated::start();
    fill(&source.endpoint(), 5_000, &[0, 1, 2], seed());
    let workload =
        Workload::start(&source.endpoint(), Options { rate: None, ..Options::new(Mode::Full, seed()) });
    workload.wait_for(20_000);
    let report = workload.stop();
    println!("{report:?}");
    report.assert_no_surprise();
    assert!(read_server(&source.endpoint()).len() > 5_000);
}
