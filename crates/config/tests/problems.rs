//! Every mistake gets its one clear line, and all of them at once.
#![allow(clippy::unwrap_used)]

use std::fs;

use config::{Config, Problems};

const GOOD: &str =
    "source:\n  addr: 127.0.0.1:6379\ntarget:\n  type: redis-cluster\n  addr: 127.0.0.1:7000\n";

fn problems(text: &str) -> Problems {
    match Config::parse("f.yaml", text, &|_| None) {
        Err(problems) => problems,
        Ok(config) => panic!("accepted: {text}\n{config:?}"),
    }
}

/// The message for `GOOD` with `more` behind it.
fn with(more: &str) -> String {
    problems(&format!("{GOOD}{more}")).to_string()
}

/// Asserts that `GOOD` with `more` behind it has exactly this problem.
#[track_caller]
fn one(more: &str, line: &str) {
    assert_eq!(with(more), line);
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let text = "\
# comment
source:
  type: redis
  addr: localhost
  pasword: x
target:
  type: rediscluster
  tls:
    enabled: true
    ca_file: /no/such/ca.pem
    cert_file: /no/such/cert.pem
    sni: x
limits:
  qps: many
logging: {level: loud,
  format: text}
";
    assert_eq!(
        problems(text).to_string(),
        "\
f.yaml:3: source.type: unknown source type \"redis\" (the nearest is dragonfly; one of dragonfly)
f.yaml:4: source.addr: not an address: the port is missing (write host:port, for example 127.0.0.1:6379)
f.yaml:5: source.pasword: unknown key (the nearest known key is source.password)
f.yaml:6: target.addr: required key missing (write host:port, for example 127.0.0.1:6379)
f.yaml:7: target.type: unknown target type \"rediscluster\" (the nearest is redis-cluster; one of redis-cluster, redis-standalone, auto)
f.yaml:8: target.tls: a client certificate needs cert_file and key_file (give both or neither)
f.yaml:10: target.tls.ca_file: /no/such/ca.pem: no such file (give a readable file in PEM form)
f.yaml:11: target.tls.cert_file: /no/such/cert.pem: no such file (give a readable file in PEM form)
f.yaml:12: target.tls.sni: unknown key (the nearest known key is target.tls.ca_file)
f.yaml:14: limits.qps: not a number of commands (write commands per second, at most 10000000; 0 for no limit)
f.yaml:15: logging.level: unknown level \"loud\" (the nearest is debug; one of trace, debug, info, warn, error)"
    );
}

#[test]
fn files_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let load = |name: &str| Config::load(&dir.path().join(name), &|_| None).unwrap_err().to_string();
    assert!(load("none.yaml").ends_with("none.yaml: no such file (check the path given to --config)"));
    assert!(load("").contains(": is a directory"));
    fs::write(dir.path().join("latin1"), b"a: \xe9").unwrap();
    assert!(load("latin1").contains(": not valid YAML: not UTF-8"));
    for empty in ["", "\n\n", "# nothing\n", "---\n", "~\n"] {
        fs::write(dir.path().join("empty"), empty).unwrap();
        assert!(load("empty").contains("the file is empty"), "{empty:?}: {}", load("empty"));
    }
}

#[test]
fn text_that_is_not_a_configuration() {
    assert!(problems("a: b: c").to_string().starts_with("f.yaml:1: not valid YAML: "));
    assert!(problems("source:\n  addr: [\n").to_string().starts_with("f.yaml:3: not valid YAML: "));
    assert!(problems("source:\n\taddr: x").to_string().starts_with("f.yaml:2: not valid YAML: "));
    assert!(problems("a: 1\n---\nb: 1").to_string().contains("more than one document"));
    assert!(problems("just text").to_string().starts_with("f.yaml:1: not a configuration"));
    assert!(problems("- a\n- b").to_string().starts_with("f.yaml:1: not a configuration"));
    for text in ["just text", "- a"] {
        assert_eq!(problems(text).problems.len(), 1, "{text}");
    }
    assert!(problems("source: !x {a: 1}").to_string().contains("tags (!name) are not supported"));
}

#[test]
fn required_keys_that_are_missing() {
    let hint = "(write host:port, for example 127.0.0.1:6379)";
    for text in ["target:\n  seed: h:1\n", "source:\ntarget:\n  seed: h:1\n"] {
        assert_eq!(problems(text).to_string(), format!("f.yaml: source.addr: required key missing {hint}"));
    }
    let text = "source: {addr: h:1}\ntarget:\n  addr:\n";
    assert_eq!(problems(text).to_string(), format!("f.yaml:2: target.addr: required key missing {hint}"));
}

#[test]
fn unknown_and_repeated_keys() {
    one(
        "dashbord:\n  addr: x\n",
        "f.yaml:6: dashbord: unknown key (the nearest known key is dashboard.addr)",
    );
    one(
        "checkpoint:\n  intervall: 5\n",
        "f.yaml:7: checkpoint.intervall: unknown key (the nearest known key is checkpoint.interval)",
    );
    one("  seed: h:1\n", "f.yaml:6: target.seed: the same setting as target.addr in line 5 (remove one)");
    one("  type: auto\n", "f.yaml:6: target.type: given twice, first in line 4 (remove one)");
    one("spool: 5\n", "f.yaml:6: spool: is a section (write its keys below it, indented)");
    one("  username: [a]\n", "f.yaml:6: target.username: expected a single value");
}

#[test]
fn names_policies_limits_and_logs() {
    const NAME: &str = "(write letters, digits and . _ : - only, at most 64)";
    one("task_name: a b\n", &format!("f.yaml:6: task_name: not a name: \"a b\" {NAME}"));
    one(
        &format!("taskName: {}\n", "x".repeat(65)),
        &format!("f.yaml:6: taskName: 65 characters are too many for a name {NAME}"),
    );
    one(
        "conflict: {policy: replace}\n",
        "f.yaml:6: conflict.policy: unknown policy \"replace\" (the nearest is panic; one of overwrite, skip, panic)",
    );
    one(
        "  on_existing_data: flush\nconflict:\n  policy: skip\n",
        "f.yaml:8: conflict.policy: target.on_existing_data: flush removes what could be in conflict (keep one of the two)",
    );
    one(
        "advanced:\n  qps: 10000001\n",
        "f.yaml:7: advanced.qps: more than 10000000 (write commands per second, at most 10000000; 0 for no limit)",
    );
    for key in ["logging:\n  file: /no/such/x.log\n", "log:\n  dir: /no/such\n"] {
        let message = with(key);
        let place = if key.contains("dir") { "log.dir" } else { "logging.file" };
        let expected = format!(
            "f.yaml:7: {place}: the directory /no/such does not exist (make it, or log to stderr only)"
        );
        assert_eq!(message, expected);
    }
    one(
        "logging:\n  console: perhaps\n",
        "f.yaml:7: logging.console: unknown switch \"perhaps\" (the nearest is yes; one of true, on, yes, false, off, no)",
    );
    one(
        "statusFile: /tmp/\n",
        "f.yaml:6: statusFile: /tmp/ is a directory (name a file in it, for example status.json)",
    );
}

#[test]
fn sizes_durations_ports_and_addresses() {
    for (more, message) in [
        ("spool: {memory: 256M}\n", "not a size: \"256M\""),
        ("spool: {memory: -1}\n", "not a size"),
        ("spool: {memory: 1023KiB}\n", "less than 1MiB"),
        ("spool: {memory: 99999999999TiB}\n", "too large"),
        ("spool: {disk: 8G}\n", "not a size: \"8G\""),
        ("spool: {disk: 15MiB}\n", "less than 16MiB"),
        ("spool: {when_full: stop}\n", "unknown choice \"stop\""),
        ("types: {json: yaml}\n", "unknown choice \"yaml\""),
        ("types: {set_member_ttl: keep}\n", "unknown choice \"keep\""),
        ("types: {bloom: convert}\n", "cannot be converted: a filter does not hold its elements"),
        ("repair: {pause_writes: 50ms}\n", "not a number of milliseconds"),
        ("repair: {pause_writes: 1001}\n", "longer than 1000 ms"),
        ("  loss_window: 0\n", "must be longer than 0"),
        ("  loss_window: 601\n", "longer than 10m"),
        ("checkpoint: {interval: 0}\n", "must be longer than 0"),
        ("checkpoint: {interval: 61m}\n", "longer than 1h"),
        ("checkpoint: {interval: soon}\n", "not a duration: \"soon\""),
        ("checkpoint: {interval: .inf}\n", "not a duration"),
        ("dashboard: {addr: 127.0.0.1}\n", "the port is missing"),
        ("dashboard: {addr: \"h:99999\"}\n", "the port is not a number up to 65535"),
        ("replica: {listening_port: 0}\n", "not a port"),
    ] {
        assert!(with(more).contains(message), "{more}: {}", with(more));
    }
    for (address, why) in [
        ("redis://u:secret@h:1", "a URL stands where host:port belongs"),
        ("u:secret@h:1", "keys of their own"),
        ("::1:6379", "needs brackets"),
        (":6379", "the host is missing"),
        ("h:0", "the port is 0"),
        ("h:x", "not a number"),
        ("[::1]6379", "the port is missing"),
        ("a b:1", "no host has"),
    ] {
        let text = GOOD.replace("127.0.0.1:6379", &format!("\"{address}\""));
        let message = problems(&text).to_string();
        assert!(message.starts_with("f.yaml:2: source.addr: not an address: "), "{message}");
        assert!(message.contains(why), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn one_server_is_not_two_and_not_its_own_target() {
    let text = GOOD.replace("redis-cluster", "redis-standalone").replace("127.0.0.1:7000", "[a:1, b:2]");
    assert!(problems(&text).to_string().contains("f.yaml:5: target.addr: redis-standalone is one server"));
    let text = GOOD.replace("7000", "6379");
    assert!(problems(&text).to_string().contains("127.0.0.1:6379 is also the source"));
}

#[test]
fn mappings_that_would_mix_databases() {
    let map = |map: &str| with(&format!("mapping:\n  databases: {map}\n"));
    assert!(map("keep").starts_with("f.yaml:7: mapping.databases: a cluster has no databases"));
    assert!(map("{1: keep}").contains("mapping.databases.1: a cluster has no databases"));
    assert!(map("shuffle").contains("unknown mapping \"shuffle\""));
    assert!(map("{1: \"\"}").contains("mapping.databases.1: an empty prefix"));
    assert!(map("{one: x}").contains("mapping.databases.one: not a database number"));
    assert!(map("{01: x}").contains("not a database number"));
    assert!(map("{1: a, 1: b}").contains("mapped twice"));
    assert!(map("{1: \"a:\", 2: \"a:\"}").contains("the same prefix as database 1"));
    assert!(map("{1: \"a:\", 2: \"a:b:\"}").contains("one begins with the other"));
    assert!(map("{1: \"a:b:\", 2: \"a:\"}").contains("one begins with the other"));
    for clash in ["db2:", "db2:x", "db", "d", "db2"] {
        assert!(map(&format!("{{1: \"{clash}\"}}")).contains("clashes with db"), "{clash}");
    }
}

#[test]
fn passwords_in_two_places_and_in_bad_files() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    fs::write(&empty, "\n").unwrap();
    one(
        "  password: hunter2\n  password_file: f\n",
        "f.yaml:6: target.password: both password and password_file are given (keep one)",
    );
    let missing = with("  password_file: /no/such/file\n");
    assert!(missing.starts_with("f.yaml:6: target.password_file: /no/such/file: no such file"), "{missing}");
    let message = with(&format!("  password_file: {}\n", empty.display()));
    assert!(message.contains("the file is empty"), "{message}");
}

#[test]
fn filters() {
    let text = "filter:\n  allow_keys: [\"a[b\", \"\"]\n  deny_key_prefixes: [\"\"]\n  allow_databases: [1, x]\n  deny_types: [lists]\n  \
        deny_commands: [\"FLUSH ALL\"]\n  deny_keys: {a: b}\n  allow_key: x\n";
    assert_eq!(
        with(text),
        "\
f.yaml:7: filter.allow_keys.0: the [ in \"a[b\" is not closed (write a name, with * ? [a-z] as in KEYS, and \\ before one of these that is meant as it is)
f.yaml:7: filter.allow_keys.1: an empty pattern fits no key but the one without a name (write a name, with * ? [a-z] as in KEYS, and \\ before one of these that is meant as it is)
f.yaml:8: filter.deny_key_prefixes.0: every name begins with nothing (write the beginning of a name)
f.yaml:9: filter.allow_databases.1: not a database number: \"x\" (write 0, 1, ...)
f.yaml:10: filter.deny_types.0: unknown type \"lists\" (the nearest is list; one of string, list, set, zset, hash, stream, json, bloom, cms, topk, cuckoo)
f.yaml:11: filter.deny_commands.0: not the name of a command: \"FLUSH ALL\" (write it as the journal has it, for example FLUSHALL)
f.yaml:12: filter.deny_keys: expected a list (write [a, b], or one below the other)
f.yaml:13: filter.allow_key: unknown key (the nearest known key is filter.allow_keys)"
    );
    one(
        "filter:\n  allow_types: [set]\n  deny_types: [set, hash]\n",
        "f.yaml:8: filter.deny_types: denies all that is allowed, so nothing would be replicated (remove one of the two lists)",
    );
}
