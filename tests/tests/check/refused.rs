//! A check that cannot be made says why, and nothing else.

use std::time::Duration;

use scenarios::program::run;
use scenarios::servers::{Cluster, ClusterOptions, RedisOptions, RedisServer, free_port};
use tempfile::TempDir;

use crate::checked::Checked;
use crate::{between, redis};

fn assert_refused(checked: &Checked, code: i32, parts: &[&str]) {
    assert_eq!(checked.output.code(), code, "{:?}", checked.output);
    let last = checked.output.stderr.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("df2redis: ") && parts.iter().all(|part| last.contains(part)),
        "{parts:?}: {last}"
    );
    assert!(!checked.output.stdout.contains("OK:"), "{:?}", checked.output);
}

#[test]
fn servers_that_cannot_be_compared() {
    let (server, dir) = (redis(), TempDir::new().unwrap());
    let nobody = format!("127.0.0.1:{}", free_port());
    assert_refused(
        &Checked::run(&between(&nobody, &server.addr(), &dir), &[]),
        75,
        &["source: cannot reach"],
    );
    assert_refused(&Checked::run(&between(&server.addr(), &nobody, &dir), &[]), 75, &["cannot reach"]);
    let other = redis();
    let cluster = between(&server.addr(), &other.addr(), &dir).set("target.type", "redis-cluster");
    assert_refused(&Checked::run(&cluster, &[]), 64, &["is not a Redis Cluster"]);
    let replica = RedisServer::start(RedisOptions {
        extra: ["--replicaof", "127.0.0.1", &server.port().to_string()].map(str::to_owned).to_vec(),
        ..RedisOptions::default()
    });
    assert_refused(&Checked::run(&between(&replica.addr(), &server.addr(), &dir), &[]), 75, &["is a master"]);
}

#[test]
fn rights_that_are_missing() {
    let dir = TempDir::new().unwrap();
    let (source, target) = (
        RedisServer::start(RedisOptions {
            users: vec!["blind on >secret ~* +@all -scan".to_owned()],
            ..RedisOptions::default()
        }),
        redis(),
    );
    source.client().call(&["SET", "a", "1"]);
    let settings = between(&source.addr(), &target.addr(), &dir)
        .set("source.username", "blind")
        .set("source.password", "secret");
    assert_refused(&Checked::run(&settings, &[]), 1, &["SCAN", "permission"]);
    let settings = settings.set("source.password", "wrong");
    assert_refused(&Checked::run(&settings, &[]), 1, &["refused the login"]);
}

#[test]
fn a_result_file_that_cannot_be_written() {
    let args =
        ["check", "--source", "redis://a", "--target", "redis://b", "--json", "/no/such/directory/file"];
    let output = run(&args, Duration::from_secs(60));
    assert_eq!(output.code(), 64, "{output:?}");
    assert!(output.stderr.contains("--json /no/such/directory/file"), "{output:?}");
}

#[test]
fn an_empty_cluster_lacks_everything() {
    let (source, dir) = (redis(), TempDir::new().unwrap());
    let target = Cluster::start(ClusterOptions::default());
    let mut client = source.client();
    for n in 0..3_000 {
        client.queue(&["SET", &format!("key:{n}"), "v"]);
    }
    client.flush().unwrap();
    let settings = between(&source.addr(), &source.addr(), &dir)
        .set("target.type", "redis-cluster")
        .set("target.addr", target.seeds());
    let checked = Checked::run(&settings, &["--rounds", "2", "--interval", "0"]);
    assert_eq!(checked.output.code(), 2, "{:?}", checked.output);
    assert_eq!((checked.number("missing"), checked.number("ok")), (3_000, 0), "{:?}", checked.output);
}
