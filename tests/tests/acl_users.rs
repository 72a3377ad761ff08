//! The users that docs/configuration.md gives for source and target: they are created with exactly the lines that stand there,
//! and suffice for everything.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use scenarios::client::Client;
use scenarios::observe::wait_all_in_sync;
use scenarios::program::{Df2redis, Settings, number};
use scenarios::servers::{Cluster, ClusterOptions, Dragonfly, DragonflyOptions, RedisOptions, RedisServer};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;
use scenarios::workload::{Mode, Options, Workload, fill, seed};
use simulator::Release;

const READY: Duration = Duration::from_secs(90);

/// The `ACL SETUSER` lines of the page: the source's, then the target's.
fn lines() -> [Vec<String>; 2] {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    let lines: Vec<Vec<String>> =
        page.lines().filter(|line| line.starts_with("ACL SETUSER")).map(words).collect();
    lines.try_into().unwrap()
}

fn create(client: &mut Client, line: &[String]) {
    let words: Vec<&str> = line.iter().map(String::as_str).collect();
    assert_eq!(client.text(&words), "OK");
}

fn with_user(settings: Settings, side: &str) -> Settings {
    settings.set(&format!("{side}.username"), "df2redis").set(&format!("{side}.password"), "secret")
}

/// Everything that a run does: snapshot, journal, repair after cut connections, a kill, the removal of stale keys.
fn nothing_is_missing(source: &Source, target: &Target, settings: Settings) {
    let seed = seed();
    fill(&source.endpoint(), 2_000, &[0, 1], seed);
    let mut program = Df2redis::replicate(settings);
    program.wait_ready(READY);
    let options = Options { rate: Some(2_000), dbs: vec![0, 1], ..Options::new(Mode::Full, seed) };
    let writer = Workload::start(&source.endpoint(), options);
    writer.wait_for(2_000);
    let nodes: Vec<&RedisServer> = match target {
        Target::Standalone(server) => vec![server],
        Target::Cluster(cluster) => cluster.nodes().iter().collect(),
    };
    for node in nodes {
        node.client().call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }
    writer.wait_for(4_000);
    program.kill();
    program.again();
    program.wait_ready(READY);
    writer.wait_for(6_000);
    writer.stop().assert_no_surprise();
    target.assert_equal(source);
    let status = wait_all_in_sync(&mut program, READY);
    assert!(status["repair"]["off_because"].is_null(), "{status}");
    assert_eq!(number(&status, "partial_syncs"), 1, "{status}");
    // A full sync over what is there, with keys of ours that the source lacks.
    let mut client = source.client();
    for number in 0..50 {
        client.call(&["SET", &format!("goes:{number}"), "v"]);
    }
    wait::until(READY, "the keys to arrive", || {
        target.read().len() >= target.expected(&source.endpoint()).len()
    });
    assert_eq!(program.terminate().code(), 0);
    let output = program.output();
    for word in ["NOPERM", "refused", "permission", "may neither", "not allowed"] {
        assert!(!output.contains(word), "{word}:\n{output}");
    }
}

#[test]
fn the_target_s_user_suffices() {
    let [_, line] = lines();
    let source = Source::simulated(Release::V1_40, 2);
    let standalone = Target::Standalone(RedisServer::start(RedisOptions::default()));
    let cluster = Target::Cluster(Cluster::start(ClusterOptions::default()));
    for target in [standalone, cluster] {
        source.client().call(&["FLUSHALL"]);
        match &target {
            Target::Standalone(server) => create(&mut server.client(), &line),
            Target::Cluster(cluster) => {
                cluster.nodes().iter().for_each(|node| create(&mut node.client(), &line))
            }
        }
        nothing_is_missing(&source, &target, with_user(target.settings(&source), "target"));
    }
}

#[test]
fn the_source_s_user_suffices() {
    let [line, _] = lines();
    let name = "the_source_s_user_suffices";
    let Some(dragonfly) = Dragonfly::start_or_skip(name, DragonflyOptions::default()) else { return };
    let source = Source::Real(Box::new(dragonfly));
    create(&mut source.client(), &line);
    let target = Target::Standalone(RedisServer::start(RedisOptions::default()));
    nothing_is_missing(&source, &target, with_user(target.settings(&source), "source"));
}
