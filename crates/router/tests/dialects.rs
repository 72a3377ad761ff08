//! Targets of other releases: what they say that they understand, and that every encoding arrives on them.
//! `TARGET_BINS` names their servers; the `redis-server` of the path is always among them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use command::{Flavour, Mapping, Translator, Treatment};
use rdb::{KeyMeta, Kind, Value, dump};
use resp::ConnectOptions;
use router::{Expected, Target, TargetOptions};
use scenarios::logical::{Contents, diff, read_server, report};
use scenarios::servers::OtherServer;

const NOW_MS: u64 = 1_000_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../rdb/tests/corpus")
}

/// `x*300` is 300 times `x`, any other word itself.
fn expand(word: &str) -> String {
    match word.split_once('*').map(|(text, times)| (text, times.parse())) {
        Some((text, Ok(times))) => text.repeat(times),
        _ => word.to_owned(),
    }
}

fn unhex(text: &str) -> Bytes {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect::<Vec<_>>().into()
}

/// Redis 6 has no `PEXPIRETIME`, which reading a whole server takes: there every key's digest is compared.
fn digests(server: &OtherServer, but: &[String]) -> Vec<(String, String)> {
    let mut client = server.client();
    let text = fs::read_to_string(corpus().join("commands.txt")).unwrap();
    let names =
        text.lines().filter(|line| !line.starts_with('X')).map(|line| line.split(' ').nth(1).unwrap());
    let mut names: Vec<String> = names.map(str::to_owned).filter(|name| !but.contains(name)).collect();
    names.sort();
    names.dedup();
    let digest = |name: String| {
        let reply = client.call(&["DEBUG", "DIGEST-VALUE", &name]);
        let digest = format!("{reply:?}");
        (name, digest)
    };
    names.into_iter().map(digest).collect()
}

/// Executes the commands that the payloads were made with.
fn make_by_commands(server: &OtherServer) {
    let mut client = server.client();
    client.call(&["FLUSHALL"]);
    for line in fs::read_to_string(corpus().join("commands.txt")).unwrap().lines() {
        let words: Vec<String> = line.split(' ').map(expand).collect();
        client.queue(&words);
    }
    client.flush().unwrap();
}

/// Puts every payload of a file on the server, as its dialect wants them. Encodings that no source has are left out; their
/// keys are returned.
fn put(server: &OtherServer, translator: &mut Translator, file: &Path) -> Vec<String> {
    let mut client = server.client();
    client.call(&["FLUSHALL"]);
    let mut foreign = Vec::new();
    let text = String::from_utf8(zstd::decode_all(fs::File::open(file).unwrap()).unwrap()).unwrap();
    for (key, payload) in text.lines().map(|line| line.split_once(' ').unwrap()) {
        let payload = unhex(payload);
        if matches!(payload[0], 20 | 22..=25) {
            foreign.push(key.to_owned());
            continue;
        }
        let (kind, raw) = dump::parse(&payload).unwrap();
        let meta =
            KeyMeta { db: 0, key: key.to_owned().into(), expire_at_ms: None, sticky: false, mc_flags: None };
        match translator.value(Value { meta, kind, payload: raw }, NOW_MS).unwrap() {
            Treatment::Send(commands) => commands.into_iter().for_each(|command| client.queue(&command.args)),
            other => panic!("{} {key}: {other:?}", server.name),
        }
    }
    let replies = client.flush().unwrap();
    let refused: Vec<_> = replies.iter().filter_map(scenarios::client::as_error).collect();
    assert!(refused.is_empty(), "{} refused of {}: {refused:?}", server.name, file.display());
    foreign
}

#[tokio::test]
async fn every_encoding_arrives_on_every_release() {
    for server in OtherServer::each("every_encoding_arrives_on_every_release") {
        let seeds = vec![ConnectOptions::new(server.addr())];
        let target = Target::connect(&TargetOptions { expected: Expected::Standalone, seeds }).await.unwrap();
        let dialect = target.dialect().clone();
        assert_eq!(
            server.client().number(&["DBSIZE"]),
            0,
            "{}: the questions left something behind",
            server.name
        );

        let release = match dialect.flavour {
            Flavour::Redis => (dialect.version.0, dialect.version.1),
            Flavour::Valkey => (7, 2),
        };
        // Valkey 9 keeps the encodings of Redis 7.2, adds one for hashes whose fields expire, and counts from 80.
        let valkey_9 = dialect.flavour == Flavour::Valkey && dialect.version.0 >= 9;
        let highest = match release {
            _ if valkey_9 => 80,
            (6, _) => 9,
            (7, 0) => 10,
            (7, 2) => 11,
            _ => 12,
        };
        assert_eq!(dialect.restore_version(), Some(highest), "{}", server.name);
        for kind in Kind::ALL {
            let since = kind.restore_since().map(|(major, minor)| (u32::from(major), u32::from(minor)));
            let known = since.is_some_and(|since| since <= release);
            assert_eq!(dialect.restore_accepts(kind), known, "{} and {kind:?}", server.name);
        }
        assert_eq!(dialect.has_hash_field_ttl(), release >= (7, 4) || valkey_9, "{}", server.name);
        assert_eq!(dialect.forbidden(), [], "{}", server.name);

        make_by_commands(&server);
        let old = release.0 == 6;
        let digested = if old { digests(&server, &[]) } else { Vec::new() };
        let expected = if old { Contents::new() } else { read_server(&server.endpoint()) };
        let mut translator = Translator::new(Mapping::keep(), Arc::new(dialect));
        for file in fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_none_or(|end| end != "zst") {
                continue;
            }
            let foreign = put(&server, &mut translator, &file);
            if old {
                let mut expected = digested.clone();
                expected.retain(|(name, _)| !foreign.contains(name));
                assert_eq!(digests(&server, &foreign), expected, "{} from {}", server.name, file.display());
                continue;
            }
            let mut expected = expected.clone();
            // Redis 6 keeps no counters of streams; what it cannot tell cannot arrive.
            let streams = file.display().to_string().contains("redis-6");
            expected.retain(|(_, key), _| {
                let key = String::from_utf8_lossy(key).into_owned();
                !(foreign.contains(&key) || streams && key.starts_with("stream"))
            });
            let mut actual = read_server(&server.endpoint());
            actual.retain(|(_, key), _| !(streams && key.starts_with(b"stream")));
            let differences = diff(&expected, &actual);
            assert!(
                differences.is_empty(),
                "{} from {}: {}",
                server.name,
                file.display(),
                report(&differences)
            );
        }
        println!("{}: every encoding arrived", server.name);
    }
}

#[tokio::test]
async fn what_a_user_may_not_do_is_known_at_the_start() {
    let server = OtherServer::each("what_a_user_may_not_do_is_known_at_the_start").next().unwrap();
    server.client().call(&[
        "ACL",
        "SETUSER",
        "limited",
        "on",
        ">p",
        "~*",
        "+@all",
        "-client|list",
        "-config",
        "-restore",
    ]);
    let mut seed = ConnectOptions::new(server.addr());
    (seed.username, seed.password) = (Some("limited".into()), "p".into());
    let options = TargetOptions { expected: Expected::Standalone, seeds: vec![seed] };
    let target = Target::connect(&options).await.unwrap();
    let forbidden: Vec<_> = target.dialect().forbidden().iter().map(|(command, _)| *command).collect();
    assert_eq!(forbidden, ["CLIENT LIST", "CONFIG GET"]);
    // What RESTORE takes is then what the version takes.
    assert_eq!(target.dialect().restore_version(), None);
    assert!(target.dialect().restore_accepts(Kind::Hash));
}
