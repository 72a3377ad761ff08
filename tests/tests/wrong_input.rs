//! Wrong input, each with one clear line on stderr and its exit code.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use scenarios::logical::read_server;
use scenarios::program::{Df2redis, Output, Settings, binary, run};
use scenarios::servers::{
    Certificates, Cluster, ClusterOptions, RedisOptions, RedisServer, Simulated, free_port,
};
use scenarios::wait;
use simulator::{Cluster as ClusterMode, Release, Simulator};
use tempfile::TempDir;

/// What is refused at once is refused within this time, also on a loaded machine.
const AT_ONCE: Duration = Duration::from_secs(30);

/// Stands for every password in these tests; it must never be printed.
const SECRET: &str = "s3cr3t-w0rd";

/// Asserts exit code and the one line that tells it: the last line on stderr, which holds all `words`. Log lines
/// may stand before it, a second error line may not.
fn assert_refused(output: &Output, code: i32, words: &[&str]) {
    let all = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code(), code, "{all}");
    let line = output.stderr.lines().last().unwrap_or_default();
    for word in words {
        assert!(line.contains(word), "{word:?} is not in the last line:\n{all}");
    }
    let errors = output.stderr.lines().filter(|line| line.starts_with("df2redis: ")).count();
    assert!(errors <= 1, "several error lines:\n{all}");
    assert!(!all.contains("panicked"), "{all}");
    assert!(!all.contains(SECRET), "a password was printed:\n{all}");
}

/// Runs `replicate` to its end and asserts how it was refused.
fn refused(settings: Settings, code: i32, words: &[&str]) {
    assert_refused(&Df2redis::replicate(settings).wait_exit(AT_ONCE), code, words);
}

/// Writes a configuration as it is and runs `replicate`: exactly one line on stderr, which names file and line.
fn refused_text(text: impl AsRef<[u8]>, line: Option<usize>, words: &[&str]) {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("wrong.yaml");
    std::fs::write(&file, text).unwrap();
    refused_file(&file, line, words);
}

fn refused_file(file: &Path, line: Option<usize>, words: &[&str]) {
    let name = file.to_str().unwrap();
    let output = run(&["replicate", "--config", name], AT_ONCE);
    let place = line.map_or_else(|| format!("{name}:"), |line| format!("{name}:{line}:"));
    assert_refused(&output, 64, &[&[place.as_str()], words].concat());
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert_eq!(output.stdout, "");
}

fn standalone(source: &str, target: &RedisServer) -> Settings {
    Settings::replicate(source, "redis-standalone", &[target.addr()])
}

fn redis() -> RedisServer {
    RedisServer::start(RedisOptions::default())
}

fn redis_with_password() -> RedisServer {
    RedisServer::start(RedisOptions { password: Some(SECRET.to_owned()), ..RedisOptions::default() })
}

fn source_with_password() -> Simulated {
    Simulated::with_password(simulator::Simulator::builder(), SECRET)
}

// ---- the configuration ----------------------------------------------------------------------

#[test]
fn no_such_file() {
    refused_file(Path::new("/does/not/exist.yaml"), None, &["no such file", "--config"]);
}

#[test]
fn unreadable_file() {
    let dir = TempDir::new().unwrap();
    refused_file(dir.path(), None, &["is a directory"]);
    refused_text([0x73, 0xff, 0xfe, 0x3a], None, &["not valid YAML", "UTF-8"]);
    let locked = dir.path().join("locked.yaml");
    std::fs::write(&locked, "source: {}").unwrap();
    let mut permissions = std::fs::metadata(&locked).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o000);
    std::fs::set_permissions(&locked, permissions).unwrap();
    // The superuser reads it all the same.
    if std::fs::read(&locked).is_err() {
        refused_file(&locked, None, &["permission denied"]);
    }
}

#[test]
fn invalid_yaml() {
    refused_text("source:\n  addr: [a:1\ntarget:\n  addr: b:2\n", Some(3), &["not valid YAML"]);
    refused_text("- a list\n", Some(1), &["not a configuration"]);
    refused_text("", None, &["the file is empty"]);
}

#[test]
fn unknown_key() {
    let text = "source:\n  addr: a:1\ntarget:\n  addr: b:2\n  pasword: x\n";
    refused_text(text, Some(5), &["target.pasword", "unknown key", "target.password"]);
}

#[test]
fn required_key_missing() {
    refused_text("source:\n  addr: a:1\ntarget:\n  type: auto\n", Some(3), &["target.addr", "required"]);
}

#[test]
fn unknown_target_type() {
    let text = "source:\n  addr: a:1\ntarget:\n  type: redis-clutser\n  addr: b:2\n";
    refused_text(
        text,
        Some(4),
        &["target.type", "redis-clutser", "redis-cluster", "redis-standalone", "auto"],
    );
}

#[test]
fn a_log_file_in_a_directory_that_does_not_exist() {
    let text = "source:\n  addr: a:1\ntarget:\n  addr: b:2\nlogging:\n  file: /no/such/dir/x.log\n";
    refused_text(text, Some(6), &["logging.file", "/no/such/dir does not exist"]);
}

#[test]
fn all_problems_are_told_at_once() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("wrong.yaml");
    std::fs::write(&file, "source:\n  adr: a:1\ntarget:\n  type: redis\n  addr: nowhere\n").unwrap();
    let output = run(&["replicate", "--config", file.to_str().unwrap()], AT_ONCE);
    assert_eq!(output.code(), 64);
    let lines: Vec<_> = output.stderr.lines().collect();
    assert_eq!(lines.len(), 4, "{}", output.stderr);
    for path in ["source.adr", "source.addr", "target.type", "target.addr"] {
        assert_eq!(lines.iter().filter(|line| line.contains(&format!(" {path}: "))).count(), 1, "{lines:?}");
    }
}

#[test]
fn wrong_usage() {
    for args in
        [&["replicate"] as &[&str], &["replicat", "--config", "x"], &["replicate", "--confg", "x"], &[]]
    {
        let output = run(args, AT_ONCE);
        assert_eq!(output.code(), 64, "{args:?}: {}", output.stderr);
        assert_eq!(output.stdout, "", "{args:?}");
        assert!(!output.stderr.is_empty());
    }
    for args in [&["help"] as &[&str], &["version"], &["--help"]] {
        let output = run(args, AT_ONCE);
        assert_eq!(output.code(), 0, "{args:?}: {}", output.stderr);
        assert!(output.stdout.contains("df2redis"), "{}", output.stdout);
    }
}

// ---- the servers ----------------------------------------------------------------------------

#[test]
fn wrong_password_at_the_source() {
    let (source, target) = (source_with_password(), redis());
    let settings = standalone(&source.addr(), &target).set("source.password", "wr0ng");
    refused(settings, 1, &["source", &source.addr(), "refused the login"]);
}

#[test]
fn wrong_password_at_the_target() {
    let (source, target) = (Simulated::start(), redis_with_password());
    let settings = standalone(&source.addr(), &target).set("target.password", "wr0ng");
    refused(settings, 1, &["target", &target.addr(), "refused the login"]);
}

#[test]
fn password_needed_but_absent() {
    let (source, target) = (source_with_password(), redis());
    refused(standalone(&source.addr(), &target), 1, &["source", &source.addr(), "needs a password"]);
    let (source, target) = (Simulated::start(), redis_with_password());
    refused(standalone(&source.addr(), &target), 1, &["target", &target.addr(), "needs a password"]);
}

#[test]
fn untrusted_certificate() {
    let tls = |certificates: Certificates| {
        RedisServer::start(RedisOptions { tls: Some(certificates), ..RedisOptions::default() })
    };
    let server = tls(Certificates::generate());
    let stranger = Certificates::generate();
    let ca = stranger.ca_file.to_string_lossy().into_owned();
    let source = Simulated::start();
    let settings = Settings::replicate(&source.addr(), "redis-standalone", &[server.tls_addr()])
        .set("target.tls.ca_file", ca.as_str());
    refused(settings, 1, &["target", &server.tls_addr(), "certificate", "not trusted", "ca_file"]);
    let target = redis();
    let settings = standalone(&server.tls_addr(), &target).set("source.tls.ca_file", ca);
    refused(settings, 1, &["source", &server.tls_addr(), "certificate", "not trusted", "ca_file"]);
}

#[test]
fn source_is_plain_redis() {
    let (source, target) = (redis(), redis());
    refused(standalone(&source.addr(), &target), 64, &["source", &source.addr(), "not a Dragonfly"]);
}

#[test]
fn source_is_of_a_release_that_cannot_be_followed() {
    let target = redis();
    for (release, named) in [(Release::V1_3, "Dragonfly 1.3.0"), (Release::V1_10, "Dragonfly 1.10.0")] {
        let source = Simulated::start_with(Simulator::builder().release(release));
        let words = ["source", &source.addr(), named, "upgrade it to 1.11.0 or later"];
        refused(standalone(&source.addr(), &target), 64, &words);
        assert_eq!(source.handle().crashes(), 0);
        assert!(source.handle().attachments().is_empty());
    }
    // The user may ask for nothing, so that only the greeting tells.
    for (release, named) in [(Release::V1_3, "1.0 to 1.3"), (Release::V1_10, "1.4 to 1.10")] {
        let builder = Simulator::builder().release(release).replication_user("sync", SECRET);
        let source = Simulated::start_with(builder);
        let settings =
            standalone(&source.addr(), &target).set("source.username", "sync").set("source.password", SECRET);
        refused(settings, 64, &["source", &source.addr(), named, "upgrade it to 1.11.0 or later"]);
        assert_eq!(source.handle().crashes(), 0);
    }
}

#[test]
fn source_is_a_part_of_a_cluster() {
    let target = redis();
    for (cluster, named) in [
        (ClusterMode::UpTo(8_191), "its part, one of 2 masters"),
        (ClusterMode::Unconfigured, "no slots yet"),
    ] {
        let source = Simulated::start_with(Simulator::builder().cluster(cluster));
        let words = ["source", &source.addr(), named, "a master that has all slots"];
        refused(standalone(&source.addr(), &target), 64, &words);
        assert!(source.handle().attachments().is_empty());
    }
    // One server that calls itself a cluster has everything.
    let source = Simulated::start_with(Simulator::builder().cluster(ClusterMode::Emulated));
    for n in 0..200 {
        source.client().call(&["SET", &format!("{{user:{}}}:{n}", n % 20), "v"]);
    }
    let mut program = Df2redis::replicate(standalone(&source.addr(), &target));
    program.wait_ready(AT_ONCE);
    for n in 0..200 {
        source.client().call(&[
            "RENAME",
            &format!("{{user:{}}}:{n}", n % 20),
            &format!("{{user:{}}}:new:{n}", n % 20),
        ]);
    }
    let read = |endpoint| move || read_server(&endpoint);
    let keys = scenarios::logical::wait_equal(AT_ONCE, read(source.endpoint()), read(target.endpoint()));
    assert_eq!(keys, 200);
}

#[test]
fn target_is_not_a_cluster() {
    let (source, target) = (Simulated::start(), redis());
    let settings = Settings::replicate(&source.addr(), "redis-cluster", &[target.addr()]);
    refused(settings, 64, &["target", &target.addr(), "not a Redis Cluster", "redis-standalone"]);
}

#[test]
fn target_is_a_cluster_but_standalone_was_asked_for() {
    let (source, cluster) = (Simulated::start(), Cluster::start(ClusterOptions::default()));
    let seed = cluster.seeds().remove(0);
    let settings = Settings::replicate(&source.addr(), "redis-standalone", std::slice::from_ref(&seed));
    refused(settings, 64, &["target", &seed, "belongs to a Redis Cluster", "redis-cluster"]);
}

#[test]
fn target_holds_foreign_data() {
    let (source, target) = (Simulated::start(), redis());
    target.client().call(&["SET", "foreign", "v"]);
    let before = read_server(&target.endpoint());
    refused(standalone(&source.addr(), &target), 1, &[&target.addr(), "1 keys", "on_existing_data"]);
    assert_eq!(read_server(&target.endpoint()), before);
}

/// A minute of patience, told line by line, then 75: on both sides at the same time.
#[test]
fn nothing_listening() {
    let target = redis();
    let nowhere = format!("127.0.0.1:{}", free_port());
    let source = Simulated::start();
    let mut no_source = Df2redis::replicate(standalone(&nowhere, &target));
    let mut no_target = Df2redis::replicate(Settings::replicate(
        &source.addr(),
        "redis-standalone",
        std::slice::from_ref(&nowhere),
    ));
    // A replica may be on its way to become the master: it is given the same time. Releases before 1.24 do not refuse by
    // themselves.
    let replicas = [Release::V1_23, Release::V1_40].map(|release| {
        let replica = Simulated::start_with(Simulator::builder().release(release));
        replica.handle().become_replica();
        replica
    });
    let mut followers = replicas.each_ref().map(|r| Df2redis::replicate(standalone(&r.addr(), &target)));
    let mut all = vec![
        (&mut no_source, "source", nowhere.clone(), "cannot reach"),
        (&mut no_target, "target", nowhere.clone(), "cannot reach"),
    ];
    let addrs = replicas.each_ref().map(Simulated::addr);
    let told = "is itself a replica; point source.addr at its master";
    all.extend(followers.iter_mut().zip(addrs).map(|(program, addr)| (program, "source", addr, told)));
    for (program, side, addr, told) in all {
        let output = program.wait_exit(Duration::from_secs(100));
        assert_refused(&output, 75, &[side, &addr, told, "gave up after 60 s"]);
        let tries = output.stderr.lines().filter(|line| line.contains(&addr)).count();
        assert!(tries >= 5, "a line per try is expected:\n{}", output.stderr);
    }
    assert!(replicas.iter().all(|replica| replica.handle().attachments().is_empty()));
}

// ---- the checkpoint -------------------------------------------------------------------------

#[test]
fn checkpoint_directory_not_writable() {
    let (source, target) = (Simulated::start(), redis());
    let dir = TempDir::new().unwrap();
    // Nobody can make a directory inside a file, not even the superuser.
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let inside = file.join("checkpoint").to_string_lossy().into_owned();
    let settings = standalone(&source.addr(), &target).set("checkpoint.dir", inside.as_str());
    refused(settings, 1, &["checkpoint", &inside, "not writable"]);
}

#[test]
fn checkpoint_in_use() {
    let (source, target) = (Simulated::start(), redis());
    let mut first = Df2redis::replicate(standalone(&source.addr(), &target));
    first.wait_ready(AT_ONCE);
    let dir = first.checkpoint_dir().to_string_lossy().into_owned();
    let settings = standalone(&source.addr(), &target).set("checkpoint.dir", dir.as_str());
    refused(settings, 1, &["checkpoint", &dir, "in use"]);
    // The first one is not disturbed.
    source.client().call(&["SET", "k", "v"]);
    let read = |endpoint| move || read_server(&endpoint);
    scenarios::logical::wait_equal(AT_ONCE, read(source.endpoint()), read(target.endpoint()));
}

/// Every file of a checkpoint, damaged in every way: refused wherever something is lost, and never taken for a
/// fresh start.
#[test]
fn checkpoint_corrupted() {
    let (source, target) = (Simulated::start(), redis());
    source.client().call(&["SET", "k", "v"]);
    let mut program = Df2redis::replicate(standalone(&source.addr(), &target));
    program.wait_ready(AT_ONCE);
    assert_eq!(program.terminate().code(), 0);
    let dir = program.checkpoint_dir().to_owned();
    let files = files_below(&dir);
    assert!(files.len() >= 2, "a store and its guard: {files:?}");
    let full_syncs = source.handle().full_syncs();
    let mut refusals = 0;
    for (file, whole) in &files {
        // The lock's contents mean nothing.
        if whole.is_empty() {
            continue;
        }
        for (how, damage) in damages(whole) {
            match damage {
                Some(bytes) => std::fs::write(file, bytes).unwrap(),
                None => std::fs::remove_file(file).unwrap(),
            }
            program.again();
            let ready = wait::until_some(AT_ONCE, "a refusal or stable sync", || {
                let running = program.is_running();
                (!running || program.http("/readyz").is_ok_and(|(code, _)| code == 200)).then_some(running)
            });
            if ready {
                // Sled makes a deleted `conf` anew and loses nothing by it, and the guard has two slots, of which one may be
                // damaged: the position is known all the same.
                let name = file.file_name().unwrap().to_string_lossy();
                assert!(
                    matches!((how, &*name), ("deleted", "conf") | ("flipped" | "cut", "guard")),
                    "{how} {name}"
                );
                program.terminate();
            } else {
                let words = ["checkpoint", &dir.to_string_lossy(), "corrupted", "checkpoint reset"];
                assert_refused(&program.wait_exit(AT_ONCE), 1, &words);
                refusals += 1;
            }
            restore(&dir, &files);
        }
    }
    assert!(refusals >= 9, "{refusals}");
    assert_eq!(
        source.handle().full_syncs(),
        full_syncs,
        "a damaged checkpoint must not lead to a fresh start"
    );
    // Undamaged it still resumes.
    program.again();
    program.wait_ready(AT_ONCE);
    assert_eq!(source.handle().full_syncs(), full_syncs);
}

#[test]
fn a_corrupted_checkpoint_has_a_way_out() {
    let (source, target) = (Simulated::start(), redis());
    source.client().call(&["SET", "k", "v"]);
    let settings = standalone(&source.addr(), &target).set("target.on_existing_data", "merge");
    let mut program = Df2redis::replicate(settings);
    program.wait_ready(AT_ONCE);
    assert_eq!(program.terminate().code(), 0);
    for (file, whole) in files_below(program.checkpoint_dir()) {
        std::fs::write(file, vec![0; whole.len()]).unwrap();
    }
    program.again();
    assert_eq!(program.wait_exit(AT_ONCE).code(), 1);
    let config = program.config_file().to_string_lossy().into_owned();
    let reset = run(&["checkpoint", "reset", "--config", &config], AT_ONCE);
    assert_eq!(reset.code(), 0, "{}", reset.stderr);
    source.client().call(&["SET", "k", "w"]);
    program.again();
    program.wait_ready(AT_ONCE);
    assert_eq!(target.client().text(&["GET", "k"]), "w");
}

fn files_below(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

/// Flipped, cut, zeroed and deleted (`None`).
fn damages(whole: &[u8]) -> Vec<(&'static str, Option<Vec<u8>>)> {
    let mut flipped = whole.to_vec();
    flipped[whole.len().min(16) / 2] ^= 0x55;
    vec![
        ("flipped", Some(flipped)),
        ("cut", Some(whole[..whole.len() / 2].to_vec())),
        ("zeroed", Some(vec![0; whole.len()])),
        ("deleted", None),
    ]
}

/// Puts every file back as it was, and takes away what was made meanwhile.
fn restore(dir: &Path, files: &[(std::path::PathBuf, Vec<u8>)]) {
    for (path, _) in files_below(dir) {
        if !files.iter().any(|(known, _)| *known == path) {
            std::fs::remove_file(path).unwrap();
        }
    }
    for (path, bytes) in files {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
fn the_program_under_test_is_the_built_one() {
    assert!(binary().is_file(), "{}", binary().display());
}
