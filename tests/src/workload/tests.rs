//! The writers themselves, against a real server.

use std::time::Duration;

use super::operations::{Command, Generator};
use super::{Mode, Options, Workload, fill, seed};
use crate::client::{as_error, readable};
use crate::logical::{diff, read_server, report, wait_equal};
use crate::servers::{RedisOptions, RedisServer};

fn draw(options: Options, count: usize) -> Vec<(u32, Vec<Command>)> {
    let mut generator = Generator::new(options);
    let mut pipelines = Vec::new();
    for _ in 0..count {
        let db = generator.database();
        let mut commands = Vec::new();
        generator.next(&mut commands);
        pipelines.push((db, commands));
    }
    pipelines
}

fn play(server: &RedisServer, pipelines: &[(u32, Vec<Command>)]) {
    let mut client = server.client();
    for (db, commands) in pipelines {
        client.queue(&["SELECT", &db.to_string()]);
        for command in commands {
            client.queue(command);
        }
    }
    client.flush().unwrap();
}

fn few_keys(mode: Mode, seed: u64) -> Options {
    println!("seed {seed}");
    Options { keys: 30, short_ttls: false, ..Options::new(mode, seed) }
}

#[test]
fn the_same_seed_draws_the_same_commands() {
    let seed = seed();
    assert_eq!(draw(few_keys(Mode::Full, seed), 500), draw(few_keys(Mode::Full, seed), 500));
    assert_ne!(draw(few_keys(Mode::Full, seed), 500), draw(few_keys(Mode::Full, seed + 1), 500));
}

#[test]
fn idempotent_commands_may_be_repeated_in_order_and_the_others_may_not() {
    for (mode, repeatable) in [(Mode::Idempotent, true), (Mode::Full, false)] {
        let pipelines = draw(few_keys(mode, seed()), 5_000);
        let (once, again) =
            (RedisServer::start(RedisOptions::default()), RedisServer::start(RedisOptions::default()));
        play(&once, &pipelines);
        play(&again, &pipelines);
        play(&again, &pipelines[2_000..]);
        let differences = diff(&read_server(&once.endpoint()), &read_server(&again.endpoint()));
        assert_eq!(differences.is_empty(), repeatable, "{mode:?}: {}", report(&differences));
    }
}

#[test]
fn every_command_is_valid() {
    let server = RedisServer::start(RedisOptions::default());
    let mut client = server.client();
    for (_, commands) in draw(Options { short_ttls: true, ..few_keys(Mode::Full, seed()) }, 5_000) {
        for command in commands {
            client.queue(&command);
            let reply = client.flush().unwrap().remove(0);
            let line = as_error(&reply).unwrap_or_default();
            let words: Vec<_> = command.iter().map(|word| readable(word)).collect();
            let normal = ["WRONGTYPE", "ERR no such key", "ERR index out of range"];
            let known = line.is_empty() || normal.iter().any(|start| line.starts_with(start));
            assert!(known, "{}: {line}", words.join(" "));
        }
    }
}

#[test]
fn a_writer_goes_on_after_the_server_restarted() {
    let mut server = RedisServer::start(RedisOptions::default());
    let workload = Workload::start(&server.endpoint(), Options::new(Mode::Full, seed()));
    workload.wait_for(500);
    server.restart();
    workload.wait_for(500);
    let report = workload.stop();
    assert!(report.commands >= 1_000);
    assert!(report.reconnects >= 1);
    report.assert_no_surprise();
}

#[test]
fn keys_that_expire_soon_are_gone_soon() {
    let server = RedisServer::start(RedisOptions::default());
    let options = Options { rate: None, ..Options::new(Mode::Idempotent, seed()) };
    let workload = Workload::start(&server.endpoint(), options);
    workload.wait_for(5_000);
    workload.stop();
    let lasting = || {
        let mut contents = read_server(&server.endpoint());
        contents.retain(|(_, key), _| !key.starts_with(b"short:"));
        contents
    };
    assert!(wait_equal(Duration::from_secs(5), lasting, || read_server(&server.endpoint())) > 100);
}

#[test]
fn filling_makes_the_number_of_keys_asked_for_and_repeats_itself() {
    let (one, other) =
        (RedisServer::start(RedisOptions::default()), RedisServer::start(RedisOptions::default()));
    let seed = seed();
    for server in [&one, &other] {
        fill(&server.endpoint(), 20_001, &[0, 3], seed);
    }
    assert_eq!(one.client().number(&["DBSIZE"]), 10_001);
    assert_eq!(
        wait_equal(Duration::ZERO, || read_server(&one.endpoint()), || read_server(&other.endpoint())),
        20_001
    );
}
