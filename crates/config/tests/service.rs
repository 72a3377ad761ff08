//! What running as a service needs: credentials, and a configuration that is read again.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use config::{Config, Problems};
use secrecy::ExposeSecret;

const TWO: &str = "source: {addr: \"s:1\"}\ntarget: {addr: \"t:2\"}\n";

fn parse(text: &str, dir: &Path) -> Result<Config, Problems> {
    let dir = dir.to_str().unwrap().to_owned();
    Config::parse("f.yaml", text, &move |name| (name == "CREDENTIALS_DIRECTORY").then(|| dir.clone()))
}

fn passwords(config: &Config) -> [Option<&str>; 2] {
    [&config.source.password, &config.target.password].map(|p| p.as_ref().map(|p| p.expose_secret()))
}

#[test]
fn credentials_are_found_by_themselves_and_come_last() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(passwords(&parse(TWO, dir.path()).unwrap()), [None, None]);
    std::fs::write(dir.path().join("source_password"), "one\n").unwrap();
    assert_eq!(passwords(&parse(TWO, dir.path()).unwrap()), [Some("one"), None]);
    std::fs::write(dir.path().join("target_password"), "two").unwrap();
    assert_eq!(passwords(&parse(TWO, dir.path()).unwrap()), [Some("one"), Some("two")]);
    // What is written comes first, the environment before everything.
    let text = "source: {addr: \"s:1\", password: written}\ntarget: {addr: \"t:2\", password: \"\"}\n";
    assert_eq!(passwords(&parse(text, dir.path()).unwrap()), [Some("written"), Some("two")]);
    let path = dir.path().to_str().unwrap().to_owned();
    let env = move |name: &str| match name {
        "CREDENTIALS_DIRECTORY" => Some(path.clone()),
        "DF2REDIS_TARGET_PASSWORD" => Some("environment".to_owned()),
        _ => None,
    };
    assert_eq!(passwords(&Config::parse("f", TWO, &env).unwrap()), [Some("one"), Some("environment")]);
    let urls = Config::from_urls("redis://:url@s:1", "redis://t:2", &env).unwrap();
    assert_eq!(passwords(&urls), [Some("url"), Some("environment")]);
    let urls = Config::from_urls("redis://s:1", "redis://:url@t:2", &|name| {
        env(name).filter(|_| name == "CREDENTIALS_DIRECTORY")
    });
    assert_eq!(passwords(&urls.unwrap()), [Some("one"), Some("url")]);
}

#[test]
fn a_credential_that_cannot_be_used_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("target_password");
    std::fs::write(&file, "\n").unwrap();
    let problems = parse(TWO, dir.path()).unwrap_err();
    let line = format!(
        "f.yaml:2: target.password: {}: the file is empty (the credential is the password and nothing else)",
        file.display()
    );
    assert_eq!(problems.to_string(), line);
    // Nobody asks for it where a password is given.
    parse("source: {addr: \"s:1\"}\ntarget: {addr: \"t:2\", password: x}\n", dir.path()).unwrap();
}

#[test]
fn every_setting_that_differs_is_named() {
    let plain = |text: &str| Config::parse("f", text, &|_| None).unwrap();
    let config = plain(TWO);
    assert_eq!(config.differences(&config.clone()), <[&str; 0]>::default());
    let all = "source: {addr: \"s:9\", username: u, password: p, tls: true, listening_port: 7, backlog_records: 9}\n\
        target: {addr: \"t:9\", type: redis-standalone, username: u, password: p, tls: true, on_existing_data: merge}\n\
        mapping: {databases: keep}\ncheckpoint: {dir: /elsewhere, interval: 1}\nspool: {memory: 1GiB}\n\
        types: {json: text, hash_field_ttl: fail, set_member_ttl: fail, bloom: fail, cuckoo: fail, cms: fail, topk: fail}\n\
        filter: {deny_keys: a, allow_keys: b, deny_key_prefixes: a, allow_key_prefixes: b, deny_databases: 1, allow_databases: 2, \
        deny_types: set, allow_types: hash, deny_commands: DEL, allow_commands: SET}\n\
        dashboard: {addr: \"\"}\nlogging: {level: debug, format: json, file: ./x.log, console: false}\n\
        conflict: {policy: skip}\nlimits: {qps: 5}\ntask_name: x\nstatus_file: y\n";
    let found = config.differences(&plain(all));
    let (all_sections, _) = all.split_once("task_name").unwrap();
    assert!(found.contains(&"task_name") && found.contains(&"status_file"), "{found:?}");
    for path in all_sections.lines().flat_map(|line| {
        let (section, rest) = line.split_once(": {").unwrap();
        rest.split(", ").map(move |entry| format!("{section}.{}", entry.split(':').next().unwrap()))
    }) {
        assert!(found.contains(&path.as_str()), "{path} is not in {found:?}");
    }
    assert_eq!(plain(all).differences(&config), found);
}
