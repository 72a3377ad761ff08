//! What a valid configuration means.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::Duration;

use config::{
    Config, Conflict, Databases, Destination, ExistingData, Filter, Level, LogFormat, TargetType, WhenFull,
};
use secrecy::ExposeSecret;

fn parse(text: &str) -> Config {
    Config::parse("f.yaml", text, &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A configuration with these lines below `target:` and behind.
fn with(more: &str) -> Config {
    parse(&format!("source:\n  addr: s:1\ntarget:\n  addr: t:2\n{more}"))
}

fn password(config: &Config) -> Option<&str> {
    config.target.password.as_ref().map(|password| password.expose_secret())
}

#[test]
fn two_addresses_are_enough() {
    let config = with("");
    assert_eq!(config.target.kind, TargetType::Auto);
    assert_eq!(config.target.on_existing_data, ExistingData::Refuse);
    assert_eq!(config.checkpoint.dir.to_str(), Some("./checkpoint"));
    assert_eq!(config.checkpoint.interval, Duration::from_secs(5));
    assert_eq!((config.spool.memory, config.spool.disk), (256 << 20, 8 << 30));
    assert_eq!(config.spool.when_full, WhenFull::Stall);
    assert_eq!(config.repair.pause_writes, None);
    assert_eq!(config.target.loss_window, Duration::from_secs(10));
    assert_eq!(config.dashboard.addr.unwrap().to_string(), "127.0.0.1:8080");
    assert_eq!((config.logging.level, config.logging.format), (Level::Info, LogFormat::Text));
    assert!(config.source.tls.is_none() && config.source.password.is_none() && config.warnings.is_empty());
}

#[test]
fn every_spelling_of_the_target_address() {
    for text in [
        "  addr: [a:1, b:2]",
        "  addr: a:1,b:2",
        "  addr: a:1, b:2, a:1",
        "  seed: a:1,b:2",
        "  seeds:\n    - a:1\n    - b:2",
        "  cluster:\n    seeds: [a:1, b:2]",
        "  cluster: {seeds: [\"a:1\", \"b:2\"]}",
    ] {
        let config = parse(&format!("source:\n  addr: \"[::1]:6379\"\ntarget:\n{text}\n"));
        let shown: Vec<String> = config.target.addrs.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["a:1", "b:2"], "{text}");
        assert_eq!(config.source.addrs[0].to_string(), "[::1]:6379");
    }
}

#[test]
fn values_in_every_form() {
    for (text, millis) in
        [("5", 5000), ("0.5", 500), ("500ms", 500), ("2s", 2000), ("1m", 60_000), ("1h", 3_600_000)]
    {
        let config = with(&format!("checkpoint: {{interval: {text}}}\n"));
        assert_eq!(config.checkpoint.interval, Duration::from_millis(millis), "{text}");
    }
    for (text, bytes) in [("1048576", 1u64 << 20), ("1 MiB", 1 << 20), ("2mb", 2_000_000), ("1GiB", 1 << 30)]
    {
        assert_eq!(with(&format!("spool: {{memory: {text}}}\n")).spool.memory, bytes, "{text}");
    }
    for (text, addr) in [("\"\"", None), ("\":7777\"", Some("0.0.0.0:7777")), ("h:0", Some("h:0"))] {
        let config = with(&format!("dashboard: {{addr: {text}}}\n"));
        assert_eq!(config.dashboard.addr.map(|a| a.to_string()).as_deref(), addr, "{text}");
    }
    assert_eq!(with("logging: {level: WARN, format: json}\n").logging.level, Level::Warn);
    for (word, choice) in [("flush", ExistingData::Flush), ("reconcile", ExistingData::Reconcile)] {
        let config = with(&format!("  on_existing_data: {word}\n"));
        assert_eq!(config.target.on_existing_data, choice);
    }
    assert_eq!(with("  loss_window: 1500ms\n").target.loss_window, Duration::from_millis(1500));
    let config = with("spool: {disk: 0, when_full: drop}\nrepair: {pause_writes: 20}\n");
    assert_eq!((config.spool.disk, config.spool.when_full), (0, WhenFull::Drop));
    assert_eq!(config.repair.pause_writes, Some(Duration::from_millis(20)));
    assert_eq!(with("repair: {pause_writes: 0}\n").repair.pause_writes, None);
}

#[test]
fn passwords_are_taken_as_written() {
    for (written, value) in
        [("0123", "0123"), ("1e5", "1e5"), ("true", "true"), ("\"a b\"", "a b"), ("'#x'", "#x")]
    {
        assert_eq!(password(&with(&format!("  password: {written}\n"))), Some(value));
    }
    for none in ["\"\"", "", "~"] {
        assert_eq!(password(&with(&format!("  password: {none}\n"))), None, "{none}");
    }
}

#[test]
fn a_password_file_loses_one_line_end() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for (content, value) in [("pw", "pw"), ("pw\n", "pw"), ("pw\r\n", "pw"), (" p w \n\n", " p w \n")] {
        fs::write(file.path(), content).unwrap();
        let config = with(&format!("  password_file: {}\n", file.path().display()));
        assert_eq!(password(&config), Some(value));
    }
}

#[test]
fn the_environment_comes_first_and_each_side_has_its_own() {
    let env = |name: &str| match name {
        "DF2REDIS_TARGET_PASSWORD" => Some("from-env".to_owned()),
        "DF2REDIS_SOURCE_PASSWORD" => Some(String::new()),
        _ => None,
    };
    let text = "source: {addr: \"s:1\", password: own}\ntarget: {addr: \"t:2\", password: own}\n";
    let config = Config::parse("f", text, &env).unwrap();
    assert_eq!(password(&config), Some("from-env"));
    assert_eq!(config.source.password.unwrap().expose_secret(), "own", "an empty variable is none");
}

#[test]
fn nothing_shows_a_password() {
    let config = with("  password: hunter2\n  username: u\n");
    assert!(!format!("{config:?}").contains("hunter2"));
    let wrong =
        Config::parse("f", "target:\n  password: hunter2\n  password: hunter3\n  tls: x\n", &|_| None);
    let problems = wrong.unwrap_err();
    assert!(!format!("{problems} {problems:?}").contains("hunter"), "{problems}");
    let wrong = Config::from_urls("redis://u:hunter2@h:1/7", "hunter2@h", &|_| None).unwrap_err();
    assert!(!format!("{wrong} {wrong:?}").contains("hunter"), "{wrong}");
}

#[test]
fn tls_is_a_switch_or_a_map() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display();
    assert!(with("  tls: true\n").target.tls.is_some());
    assert!(with("  tls: false\n").target.tls.is_none());
    assert!(with("  tls: {enabled: false, ca_file: /no/such/file}\n").target.tls.is_none());
    let all = format!("  tls: {{ca_file: {path}, cert_file: {path}, key_file: {path}, server_name: n}}\n");
    let tls = with(&all).target.tls.unwrap();
    assert_eq!(tls.ca_file.as_deref(), Some(file.path()));
    assert_eq!(tls.key_file.as_deref(), Some(file.path()));
    assert_eq!(tls.server_name.as_deref(), Some("n"));
}

#[test]
fn databases_go_where_the_mapping_says() {
    let prefix = |text: &str| Destination::Prefix(text.as_bytes().to_vec());
    let none = with("").mapping;
    assert_eq!(none.for_cluster(), Some(Databases::Prefix));
    assert_eq!(none.for_standalone(), Databases::Keep);
    assert_eq!(Databases::Prefix.resolve(0), Destination::Keep(0));
    assert_eq!(Databases::Prefix.resolve(12), prefix("db12:"));
    assert_eq!(Databases::Keep.resolve(12), Destination::Keep(12));

    let keep = with("mapping: {databases: keep}\n").mapping;
    assert_eq!(keep.for_cluster(), None);

    let map = with("mapping: {databases: {0: \"zero:\", 1: \"app1:\", 2: drop}}\n").mapping;
    let cluster = map.for_cluster().unwrap();
    assert_eq!(cluster.resolve(0), prefix("zero:"));
    assert_eq!(cluster.resolve(1), prefix("app1:"));
    assert_eq!(cluster.resolve(2), Destination::Drop);
    assert_eq!(cluster.resolve(3), prefix("db3:"));
    assert_eq!(map.for_standalone().resolve(3), Destination::Keep(3));
}

#[test]
fn policies_names_limits_and_logs() {
    let config = with("");
    assert_eq!((config.conflict, config.limits.qps, config.task_name), (Conflict::Overwrite, 0, None));
    assert_eq!((config.logging.file, config.logging.console, config.status_file), (None, true, None));
    // Who says what to do about single keys means to start on data.
    for (word, policy) in [("skip", Conflict::Skip), ("panic", Conflict::Panic)] {
        let config = with(&format!("conflict: {{policy: {word}}}\n"));
        assert_eq!((config.conflict, config.target.on_existing_data), (policy, ExistingData::Reconcile));
        assert!(config.warnings.is_empty());
    }
    let config = with("  on_existing_data: merge\nconflict: {policy: skip}\n");
    assert_eq!(config.target.on_existing_data, ExistingData::Merge);
    let config = with("  on_existing_data: refuse\nconflict: {policy: skip}\n");
    assert_eq!(config.warnings[0].path, "conflict.policy");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display();
    let named = |text: &str| with(&text.replace("DIR", &path.to_string())).logging;
    assert_eq!(named("logging: {file: DIR/x.log}\n").file.unwrap(), dir.path().join("x.log"));
    assert_eq!(named("logging: {file: DIR}\n").file.unwrap(), dir.path().join("df2redis.log"));
    let logging = named("taskName: orders\nlog: {dir: DIR, consoleEnabled: false}\n");
    assert_eq!((logging.file.unwrap(), logging.console), (dir.path().join("orders.log"), false));
    let config = with("logging: {console: off}\ntask_name: a.b\nstatusFile: s.json\nlimits: {qps: 7}\n");
    assert!(config.logging.console, "somebody has to hear of it");
    assert_eq!(config.warnings[0].path, "logging.console");
    assert_eq!((config.task_name.as_deref(), config.limits.qps), (Some("a.b"), 7));
    assert_eq!(config.status_file.unwrap().to_str(), Some("s.json"));
}

#[test]
fn a_filter_is_lists_or_single_values_in_either_spelling() {
    assert_eq!(with("").filter, Filter::default());
    let text = "filter:\n  allow_keys: [\"user:*\", \"order:[0-9]\"]\n  deny_keys: \"*:tmp\"\n  allow_key_prefixes:\n    - a*\n  \
        deny_databases: [2, 3]\n  allow_types: [Hash, string]\n  deny_commands: [flushall, Json.Set]\n";
    let filter = with(text).filter;
    assert_eq!(filter.allow_keys, ["user:*", "order:[0-9]"]);
    assert_eq!(
        (filter.deny_keys, filter.allow_key_prefixes),
        (vec!["*:tmp".to_owned()], vec!["a*".to_owned()])
    );
    assert_eq!((filter.allow_databases, filter.deny_databases), (vec![], vec![2, 3]));
    assert_eq!(filter.allow_types, ["hash", "string"]);
    assert_eq!(filter.deny_commands, ["FLUSHALL", "JSON.SET"]);
    let earlier = "filter: {allow_key_prefix: [a], block_key_prefix: b, block_keys: c, allow_db: 1, block_db: [2], \
        allow_command: SET, block_command: [DEL]}\n";
    let filter = with(earlier).filter;
    assert_eq!(
        (filter.allow_key_prefixes, filter.deny_key_prefixes),
        (vec!["a".to_owned()], vec!["b".to_owned()])
    );
    assert_eq!(
        (filter.deny_keys, filter.allow_databases, filter.deny_databases),
        (vec!["c".to_owned()], vec![1], vec![2])
    );
    assert_eq!(
        (filter.allow_commands, filter.deny_commands),
        (vec!["SET".to_owned()], vec!["DEL".to_owned()])
    );
}

#[test]
fn two_urls_stand_for_a_configuration() {
    let env = |_: &str| None;
    let config =
        Config::from_urls("redis://u%40x:p%3Aw@s", "rediss+cluster://a:1,b:2,[::1]:3/", &env).unwrap();
    assert_eq!(config.source.addrs[0].to_string(), "s:6379");
    assert_eq!(config.source.username.as_deref(), Some("u@x"));
    assert_eq!(config.source.password.unwrap().expose_secret(), "p:w");
    assert!(config.source.tls.is_none() && config.target.tls.is_some());
    assert_eq!((config.target.kind, config.target.addrs.len()), (TargetType::Cluster, 3));
    let config = Config::from_urls("rediss://:pw@s:1", "redis://t:2/0", &env).unwrap();
    assert_eq!((config.source.username, config.target.kind), (None, TargetType::Auto));

    let both = Config::from_urls("http://h", "redis://h:1/?a=b", &env).unwrap_err();
    assert_eq!(both.problems.len(), 2);
    for wrong in ["h:1", "redis://", "redis://h:x", "redis://h/3", "redis://%zz@h", "redis+cluster://h:1"] {
        assert!(Config::from_urls(wrong, "redis://t", &env).is_err(), "{wrong}");
    }
    assert!(
        Config::from_urls("redis://h", "redis://h:6379", &env)
            .unwrap_err()
            .to_string()
            .contains("also the source")
    );
}
