//! What the target loses, refuses or holds back, under writes of which none may be lost and none repeated.
//!
//! `SCENARIO_SEED` repeats what is written. `AWAY_SECONDS` is how long all nodes are away (15 by default).
#![allow(clippy::unwrap_used)]

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use scenarios::client::{Client, as_error, as_number};
use scenarios::program::{Df2redis, number};
use scenarios::servers::{
    Behind, Cluster, ClusterOptions, RedisOptions, RedisServer, replication_offset, shared_offset,
};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;
use scenarios::workload::{Mode, Options, Rng, Workload, fill, seed};
use simulator::Release;

const READY: Duration = Duration::from_secs(60);

/// Commands a second.
const RATE: u32 = 1_500;

/// A megabyte.
const BIG: usize = 1 << 20;

/// Only the commands of a writer that keeps a rate.
fn writer(source: &Source, seed: u64) -> Workload {
    let options = Options::new(Mode::Full, seed);
    Workload::start(&source.endpoint(), Options { keys: 300, dbs: vec![0, 1], rate: Some(RATE), ..options })
}

fn start(target: &Target, source: &Source) -> Df2redis {
    let mut program = Df2redis::replicate(target.settings(source));
    program.wait_ready(READY);
    program
}

fn standalone(extra: &[&str]) -> Target {
    let extra = extra.iter().map(|word| (*word).to_owned()).collect();
    Target::Standalone(RedisServer::start(RedisOptions { extra, ..RedisOptions::default() }))
}

fn server(target: &mut Target) -> &mut RedisServer {
    let Target::Standalone(server) = target else { unreachable!("the target is one server") };
    server
}

fn cluster(target: &mut Target) -> &mut Cluster {
    let Target::Cluster(cluster) = target else { unreachable!("the target is a cluster") };
    cluster
}

fn flows_sum(status: &serde_json::Value, field: &str) -> u64 {
    status["flows"].as_array().unwrap().iter().map(|flow| number(flow, field)).sum()
}

/// The writer stops; the target holds what the source has, and no key is in doubt any more. Returns the last status.
fn equal_in_the_end(
    writer: Workload,
    source: &Source,
    target: &Target,
    program: &mut Df2redis,
) -> serde_json::Value {
    writer.stop().assert_no_surprise();
    program.wait_ready(READY);
    target.assert_equal(source);
    let status = program.wait_until(READY, "no key to be in doubt", |s| number(s, "not_in_sync_count") == 0);
    println!(
        "repaired {}, fences {}",
        number(&status["repair"], "done"),
        number(&status["repair"], "fences")
    );
    status
}

/// Full and partial syncs of this process.
fn syncs(status: &serde_json::Value) -> (u64, u64) {
    (number(status, "full_syncs"), number(status, "partial_syncs"))
}

/// How many acknowledged writes the daemon says that a node has lost, each time that a flow says so.
fn told_endings(program: &Df2redis) -> Vec<u64> {
    let output = program.output();
    let lines = output.lines().filter(|line| line.contains("a node of the target is not what it was"));
    let count = |line: &str| line.split_once(" lost=")?.1.split(' ').next()?.parse().ok();
    lines.map(|line| count(line).expect("a number of lost writes")).collect()
}

/// How many acknowledged writes the daemon says that nodes have lost.
fn told_lost(program: &Df2redis) -> u64 {
    told_endings(program).iter().sum()
}

#[test]
fn writes_that_only_a_dead_master_had_are_repaired() {
    for source in Source::each("writes_that_only_a_dead_master_had_are_repaired", 2) {
        let mut target = Target::Cluster(Cluster::with_replicas());
        let writer = writer(&source, seed());
        let mut program = start(&target, &source);
        let behind = Behind::leave(cluster(&mut target), Some(&source));
        writer.wait_for(2_000);
        let lost = behind.take_over(cluster(&mut target));
        assert!(lost > 10_000, "the replica had nearly everything: {lost} bytes missing");
        source.client().call(&["DEL", &behind.filler]);
        writer.wait_for(2_000);
        let status = equal_in_the_end(writer, &source, &target, &mut program);
        assert_eq!(syncs(&status), (1, 0), "{status}");
        let told = told_lost(&program);
        assert!(told > 0 && number(&status["repair"], "done") > 0, "{status}");
        println!("{}: {lost} bytes were lost, {told} writes repaired", source.name());
    }
}

#[test]
fn a_failover_while_the_daemon_is_down_takes_nothing_that_counted_as_applied() {
    for source in Source::each("a_failover_while_the_daemon_is_down_takes_nothing_that_counted_as_applied", 2)
    {
        let mut target = Target::Cluster(Cluster::with_replicas());
        let writer = writer(&source, seed());
        let mut program = start(&target, &source);
        let behind = Behind::leave(cluster(&mut target), Some(&source));
        writer.wait_for(1_500);
        program.kill();
        let lost = behind.take_over(cluster(&mut target));
        assert!(lost > 10_000, "the replica had nearly everything: {lost} bytes missing");
        source.client().call(&["DEL", &behind.filler]);
        program.again();
        writer.wait_for(1_500);
        let status = equal_in_the_end(writer, &source, &target, &mut program);
        assert_eq!(syncs(&status), (0, 1), "{status}\n{}", program.output());
    }
}

#[test]
fn a_replica_that_takes_over_without_more_than_is_remembered_is_reconciled() {
    let source = Source::simulated(Release::V1_40, 2);
    let mut target = Target::Cluster(Cluster::with_replicas());
    let writer = writer(&source, seed());
    let mut program = Df2redis::replicate(target.settings(&source).set("target.loss_window", "1s"));
    program.wait_ready(READY);
    let nodes = cluster(&mut target);
    let (master, replica) = (0, nodes.replica_of(0).unwrap());
    let mut client = nodes.nodes()[replica].client();
    client.call(&["CONFIG", "SET", "masterauth", "not the password"]);
    client.call(&["CONFIG", "SET", "masteruser", "nobody"]);
    let mut on_master = nodes.nodes()[master].client();
    wait::until(READY, "the link to be cut", || {
        on_master.call(&["CLIENT", "KILL", "TYPE", "replica"]);
        on_master.info("replication", "connected_slaves").as_deref() == Some("0")
    });
    // For longer than the window, deletions among what is written.
    writer.wait_for(5 * u64::from(RATE));
    let had = replication_offset(&mut on_master);
    client.call(&["CLUSTER", "FAILOVER", "TAKEOVER"]);
    nodes.wait_master(replica);
    let lost = had - shared_offset(&mut client);
    assert!(lost > 10_000, "the replica had nearly everything: {lost} bytes missing");
    program.wait_until(READY, "the full sync", |s| number(s, "full_syncs") == 2);
    writer.wait_for(1_000);
    let status = equal_in_the_end(writer, &source, &target, &mut program);
    assert_eq!(syncs(&status), (2, 0), "{status}");
    let reason = status["last_full_sync_reason"].as_str().unwrap();
    assert!(reason.starts_with("target "), "{reason}");
}

/// With what a server comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Back {
    /// With its last snapshot, which is older.
    OlderSnapshot,
    /// With nothing.
    Empty,
    /// With an append-only file that lacks what no fsync had reached.
    EverySecond,
}

impl Back {
    fn server(self) -> Target {
        match self {
            Back::EverySecond => standalone(&["--appendonly", "yes", "--appendfsync", "everysec"]),
            Back::OlderSnapshot | Back::Empty => standalone(&[]),
        }
    }

    /// What it will come back with is on its disk, and more is written. Kills it after `just_before`.
    fn die(self, server: &mut RedisServer, writer: &Workload, just_before: impl FnOnce()) {
        // The daemon looks at the disk once a second: before and after the save.
        if self == Back::OlderSnapshot {
            writer.wait_for(3 * u64::from(RATE));
            save(server);
        }
        writer.wait_for(4 * u64::from(RATE));
        if self != Back::EverySecond {
            just_before();
            return server.kill();
        }
        // SIGKILL leaves to the kernel what a loss of power would take.
        let file = append_only_file(server);
        let length = file.metadata().unwrap().len();
        writer.wait_for(500);
        just_before();
        server.kill();
        let lost = file.metadata().unwrap().len() - length;
        assert!(lost > 1_000, "nothing was written in a third of a second: {lost} bytes");
        OpenOptions::new().write(true).open(file).unwrap().set_len(length).unwrap();
    }
}

fn append_only_file(server: &RedisServer) -> PathBuf {
    let dir = std::fs::read_dir(server.dir().join("appendonlydir")).unwrap();
    let mut files = dir.map(|entry| entry.unwrap().path());
    files.find(|path| path.to_string_lossy().ends_with(".incr.aof")).expect("an append-only file")
}

fn save(server: &RedisServer) {
    let mut client = server.client();
    let before = client.number(&["LASTSAVE"]);
    // The time is told in seconds: a save in the second of the start does not show.
    wait::until(READY, "a save in a later second", || {
        // Refused while one is under way.
        let _ = client.try_call(&["BGSAVE"]);
        client.info("persistence", "rdb_bgsave_in_progress").as_deref() == Some("0")
            && client.number(&["LASTSAVE"]) > before
    });
}

#[test]
fn a_server_that_comes_back_older_is_repaired_or_reconciled() {
    for back in [Back::OlderSnapshot, Back::EverySecond, Back::Empty] {
        for source in Source::each("a_server_that_comes_back_older_is_repaired_or_reconciled", 2) {
            let mut target = back.server();
            let writer = writer(&source, seed());
            let mut program = start(&target, &source);
            back.die(server(&mut target), &writer, || ());
            server(&mut target).start_again();
            if back == Back::Empty {
                program.wait_until(READY, "the full sync", |s| number(s, "full_syncs") == 2);
            }
            writer.wait_for(1_000);
            let status = equal_in_the_end(writer, &source, &target, &mut program);
            println!("{back:?}: {} lost", told_lost(&program));
            match back {
                Back::Empty => assert_eq!(syncs(&status), (2, 0), "{status}"),
                _ => {
                    assert_eq!(syncs(&status), (1, 0), "{back:?}: {status}\n{}", program.output());
                    assert!(told_lost(&program) > 0, "{back:?}: nothing was lost:\n{}", program.output());
                }
            }
        }
    }
}

#[test]
fn a_server_that_came_back_older_while_the_daemon_was_down_is_noticed() {
    for back in [Back::OlderSnapshot, Back::EverySecond, Back::Empty] {
        let source = Source::simulated(Release::V1_40, 2);
        let mut target = back.server();
        let writer = writer(&source, seed());
        let mut program = start(&target, &source);
        back.die(server(&mut target), &writer, || {
            program.kill();
        });
        server(&mut target).start_again();
        program.again();
        let status = equal_in_the_end(writer, &source, &target, &mut program);
        // What an fsync may not have reached is not told key by key over a restart of the daemon.
        assert_eq!(syncs(&status), (1, 0), "{back:?}: {status}\n{}", program.output());
        println!("{back:?}: {}", status["last_full_sync_reason"]);
    }
}

#[test]
fn a_quiet_server_with_everything_on_its_disk_may_restart_unnoticed() {
    let source = Source::simulated(Release::V1_40, 2);
    let mut target = Back::EverySecond.server();
    let writer = writer(&source, seed());
    let mut program = start(&target, &source);
    writer.wait_for(1_000);
    equal_in_the_end(writer, &source, &target, &mut program);
    // The next fsync, the daemon's look at the disk, and its checkpoint.
    wait::pace(Duration::from_secs(6));
    program.kill();
    server(&mut target).restart();
    source.client().call(&["INCR", "later"]);
    program.again();
    program.wait_ready(READY);
    target.assert_equal(&source);
    let status = program.status().unwrap();
    assert_eq!(syncs(&status), (0, 1), "{status}\n{}", program.output());
}

#[test]
fn a_stopped_node_does_not_hold_up_the_others() {
    let source = Source::simulated(Release::V1_40, 2);
    let extra = ["--cluster-node-timeout", "60000"].map(str::to_owned).to_vec();
    let node = RedisOptions { extra, ..RedisOptions::default() };
    let mut target = Target::Cluster(Cluster::start(ClusterOptions { node, ..ClusterOptions::default() }));
    let writer = writer(&source, seed());
    let mut program = start(&target, &source);
    let cluster = cluster(&mut target);
    let stopped = cluster.masters()[0].index;
    // Several for each of the others, so that each flow carries some.
    let elsewhere = |key: &String| cluster.master_of(cluster.slot_of(key.as_bytes())) != stopped;
    let probes: Vec<String> = (0..).map(|n| format!("probe:{n}")).filter(elsewhere).take(12).collect();
    let mut targets: Vec<Client> = probes.iter().map(|key| cluster.client_for(key.as_bytes())).collect();
    cluster.nodes()[stopped].pause();
    let (began, mut client) = (Instant::now(), source.client());
    let (mut slowest, mut rounds) = (Duration::ZERO, 0);
    while began.elapsed() < Duration::from_secs(10) {
        let asked = Instant::now();
        for (key, target) in probes.iter().zip(&mut targets) {
            let wanted = client.number(&["INCR", key]);
            wait::until(Duration::from_secs(5), "a key of another node to be current", || {
                as_number(&target.call(&["GET", key])) == Some(wanted)
            });
        }
        slowest = slowest.max(asked.elapsed());
        rounds += 1;
    }
    let behind = program.status().unwrap();
    assert!(
        flows_sum(&behind, "received_lsn") > flows_sum(&behind, "applied_lsn"),
        "nothing waited: {behind}"
    );
    cluster.nodes()[stopped].resume();
    println!("{rounds} rounds of {} keys, the slowest took {slowest:?}", probes.len());
    writer.wait_for(1_000);
    let status = equal_in_the_end(writer, &source, &target, &mut program);
    assert_eq!(syncs(&status), (1, 0), "{status}");
}

#[test]
fn all_nodes_away_are_waited_for_and_the_source_does_not_notice() {
    let seconds = std::env::var("AWAY_SECONDS").map_or(15, |text| text.parse().expect("a number"));
    for source in Source::each("all_nodes_away_are_waited_for_and_the_source_does_not_notice", 2) {
        all_nodes_away(&source, seconds);
    }
}

fn all_nodes_away(source: &Source, seconds: u64) {
    let node = RedisOptions { appendonly: true, ..RedisOptions::default() };
    let mut target = Target::Cluster(Cluster::start(ClusterOptions { node, ..ClusterOptions::default() }));
    let writer = writer(source, seed());
    let mut program = Df2redis::replicate(target.settings(source).set("spool.memory", "1MiB"));
    program.wait_ready(READY);
    writer.wait_for(1_000);
    let nodes = cluster(&mut target);
    for index in 0..nodes.nodes().len() {
        nodes.kill(index);
    }
    let (began, before) = (Instant::now(), writer.count());
    // More than the lanes and the memory of the spool take.
    let mut client = source.client();
    for n in 0..32 {
        client.call(&[b"SET".as_slice(), format!("big:{n}").as_bytes(), &vec![b'b'; BIG]]);
    }
    wait::pace(Duration::from_secs(seconds).saturating_sub(began.elapsed()));
    let written = writer.count() - before;
    let due = (began.elapsed().as_secs_f64() * f64::from(RATE)) as u64;
    let status = program.wait_until(READY, "a status", |_| true);
    println!("{written} of {due} commands in {:?}; spool {}", began.elapsed(), status["spool"]);
    assert!(written * 2 > due, "the writer was held up: {written} commands instead of {due}");
    // By flow and node a few times a second, however many slots wait.
    let tries = flows_sum(&status, "disconnects");
    assert!(tries < 2 * 3 * 5 * (began.elapsed().as_secs() + 5), "{tries} connections were tried");
    assert!(number(&status["spool"], "disk_bytes") > 0, "the spool did not reach the disk: {status}");
    for index in 0..nodes.nodes().len() {
        nodes.node_mut(index).start_again();
    }
    nodes.wait_ok();
    writer.wait_for(1_000);
    let status = equal_in_the_end(writer, source, &target, &mut program);
    assert_eq!(syncs(&status), (1, 0), "{status}");
    assert_eq!(number(&status["spool"], "disk_bytes"), 0, "{status}");
}

#[test]
fn slots_that_move_while_connections_break_keep_every_write() {
    for source in Source::each("slots_that_move_while_connections_break_keep_every_write", 2) {
        let mut rng = Rng::new(seed());
        let mut target = Target::Cluster(Cluster::start(ClusterOptions::default()));
        let writer = writer(&source, rng.bits());
        let mut program = start(&target, &source);
        let cluster = cluster(&mut target);
        let mut cuts = 0;
        for slot in (0..16_384).step_by(229) {
            let owner = cluster.master_of(slot);
            let to = cluster.masters().iter().map(|m| m.index).find(|m| *m != owner).unwrap();
            cluster.begin_slot_migration(slot, to);
            cluster.move_keys(slot, owner, to, 1);
            if rng.chance(30) {
                cut(&cluster.nodes()[if rng.chance(50) { owner } else { to }]);
                cuts += 1;
            }
            while cluster.move_keys(slot, owner, to, 100) > 0 {}
            cluster.finish_slot_migration(slot, owner, to);
        }
        writer.wait_for(500);
        writer.stop().assert_no_surprise();
        target.assert_nearly_equal(&source);
        let status = program.wait_until(READY, "no key in doubt", |s| number(s, "not_in_sync_count") == 0);
        assert!(flows_sum(&status, "redirects") > 0, "no redirect was met: {status}");
        assert!(number(&status["repair"], "done") > 0, "no key was in doubt: {status}");
        assert_eq!(syncs(&status), (1, 0), "{status}");
        println!("{}: {cuts} cuts, {} repairs", source.name(), number(&status["repair"], "done"));
    }
}

/// Kills the connections that clients have to a node, with commands in flight.
fn cut(node: &RedisServer) {
    let mut killer = node.client();
    killer.queue(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    node.pause();
    wait::pace(Duration::from_millis(50));
    std::thread::scope(|scope| {
        let killed = scope.spawn(|| killer.flush());
        node.resume();
        killed.join().unwrap().unwrap();
    });
}

#[test]
fn memory_that_runs_out_again_and_again_loses_nothing() {
    let source = Source::simulated(Release::V1_40, 2);
    let mut target = standalone(&[]);
    let writer = writer(&source, seed());
    let mut program = start(&target, &source);
    for round in 1..=4u64 {
        writer.wait_for(500);
        let before = flows_sum(&program.status().unwrap(), "retries");
        let mut node = server(&mut target).client();
        node.call(&["CONFIG", "SET", "maxmemory", "1"]);
        program.wait_until(READY, "OOM to be met", |s| flows_sum(s, "retries") > before + 2);
        if round % 2 == 0 {
            // What waits is sent on another connection.
            cut(server(&mut target));
        }
        writer.wait_for(1_000);
        node = server(&mut target).client();
        node.call(&["CONFIG", "SET", "maxmemory", "0"]);
    }
    let status = equal_in_the_end(writer, &source, &target, &mut program);
    assert_eq!(syncs(&status), (1, 0), "{status}");
}

#[test]
fn a_server_that_follows_another_one_for_a_while_is_waited_for() {
    let source = Source::simulated(Release::V1_40, 2);
    let mut target = standalone(&[]);
    let writer = writer(&source, seed());
    let mut program = start(&target, &source);
    let mut node = server(&mut target).client();
    // A writable replica with nothing to serve answers MASTERDOWN instead of READONLY.
    let rounds = [("yes", "yes", "READONLY"), ("no", "no", "MASTERDOWN")];
    for (round, (read_only, serve, error)) in (1..).zip(rounds) {
        // The daemon has looked at it once more: a snapshot is not remembered key by key.
        writer.wait_for(3 * u64::from(RATE));
        node.call(&["CONFIG", "SET", "replica-read-only", read_only]);
        node.call(&["CONFIG", "SET", "replica-serve-stale-data", serve]);
        node.call(&["REPLICAOF", "127.0.0.1", "1"]);
        let refused = node.try_call(&["SET", "short:refused", "1", "PX", "1"]).unwrap_err();
        assert!(refused.to_string().contains(error), "{refused}");
        writer.wait_for(3_000);
        node.call(&["REPLICAOF", "NO", "ONE"]);
        // A history that begins and ends unseen is a stranger's.
        wait::until(READY, "the daemon to see who leads", || told_endings(&program).len() >= 2 * round);
    }
    writer.wait_for(1_000);
    let status = equal_in_the_end(writer, &source, &target, &mut program);
    assert_eq!(syncs(&status), (1, 0), "{status}\n{}", program.output());
}

#[test]
fn a_master_handed_back_and_forth_keeps_every_write() {
    let source = Source::simulated(Release::V1_40, 2);
    let mut target = Target::Cluster(Cluster::with_replicas());
    let writer = writer(&source, seed());
    let mut program = start(&target, &source);
    let cluster = cluster(&mut target);
    let (first, second) = (0, cluster.replica_of(0).unwrap());
    for leader in [second, first] {
        writer.wait_for(3 * u64::from(RATE));
        let seen = told_endings(&program).len();
        cluster.hand_over(leader);
        // Two handovers in a row, the first of them unseen, count as a stranger's taking over.
        wait::until(READY, "the daemon to see who leads", || told_endings(&program).len() >= seen + 2);
    }
    writer.wait_for(1_000);
    let status = equal_in_the_end(writer, &source, &target, &mut program);
    assert_eq!(syncs(&status), (1, 0), "{status}\n{}", program.output());
}

#[test]
fn a_cluster_that_is_down_is_waited_for() {
    let source = Source::simulated(Release::V1_40, 2);
    let mut target = Target::Cluster(Cluster::start(ClusterOptions::default()));
    let writer = writer(&source, seed());
    let mut program = start(&target, &source);
    let nodes = cluster(&mut target);
    for stopped in [0, 2] {
        writer.wait_for(1_000);
        nodes.nodes()[stopped].pause();
        let mut other = nodes.nodes()[1].client();
        wait::until(READY, "the cluster to be down", || {
            other.text(&["CLUSTER", "INFO"]).contains("cluster_state:fail")
        });
        let before = flows_sum(&program.status().unwrap(), "retries");
        program.wait_until(READY, "CLUSTERDOWN to be met", |s| flows_sum(s, "retries") > before + 1);
        writer.wait_for(1_000);
        nodes.nodes()[stopped].resume();
        nodes.wait_ok();
    }
    writer.wait_for(1_000);
    let status = equal_in_the_end(writer, &source, &target, &mut program);
    assert_eq!(syncs(&status), (1, 0), "{status}");
}

#[test]
fn keys_whose_type_somebody_changes_on_the_target_are_repaired_under_writes() {
    let source = Source::simulated(Release::V1_40, 2);
    let mut target = Target::Cluster(Cluster::start(ClusterOptions::default()));
    let writer = writer(&source, seed());
    let mut program = start(&target, &source);
    let cluster = cluster(&mut target);
    let mut rng = Rng::new(seed());
    let keys: Vec<String> = (0..30).map(|n| format!("wrong:{{{}}}:{n}", n % 5)).collect();
    let mut intruders: Vec<Client> = keys.iter().map(|key| cluster.client_for(key.as_bytes())).collect();
    let mut client = source.client();
    for n in 0..3_000 {
        let at = rng.below(30) as usize;
        if rng.chance(3) {
            intruders[at].call(&["SET", &keys[at], "not a list"]);
        }
        // Keys of one tag are moved into each other: what is built from a wrong one is wrong as well.
        let other = &keys[(at + 5) % 30];
        match rng.below(3) {
            0 => client.queue(&["LMOVE", &keys[at], other, "LEFT", "RIGHT"]),
            _ => client.queue(&["RPUSH", &keys[at], &n.to_string()]),
        }
        if client.queued() >= 20 {
            client.flush().unwrap();
        }
    }
    // Who intrudes is noticed at the next write.
    for key in &keys {
        client.queue(&["RPUSH", key, "last"]);
    }
    assert!(client.flush().unwrap().iter().all(|reply| as_error(reply).is_none()));
    let status = equal_in_the_end(writer, &source, &target, &mut program);
    assert!(flows_sum(&status, "failures") > 0, "nothing was refused: {status}");
    assert_eq!(syncs(&status), (1, 0), "{status}");
}

#[test]
fn a_flush_that_a_failover_takes_back_is_executed_again() {
    for source in Source::each("a_flush_that_a_failover_takes_back_is_executed_again", 2) {
        let mut target = Target::Cluster(Cluster::with_replicas());
        fill(&source.endpoint(), 3_000, &[0], seed());
        let mut program = start(&target, &source);
        target.assert_equal(&source);
        let cluster = cluster(&mut target);
        // Its own writes the daemon would see through to the replica before it flushes.
        let behind = Behind::leave(cluster, None);
        source.client().call(&["FLUSHALL"]);
        let writer = writer(&source, seed());
        let mut on_master = cluster.nodes()[behind.master].client();
        wait::until(READY, "the master to be empty", || on_master.number(&["DBSIZE"]) == 0);
        // Not before its replica has it: nothing else is written meanwhile.
        writer.wait_for(1_000);
        assert_eq!(on_master.number(&["DBSIZE"]), 0, "written before the flush was safe");
        behind.take_over(cluster);
        writer.wait_for(1_000);
        let status = equal_in_the_end(writer, &source, &target, &mut program);
        assert_eq!(syncs(&status), (1, 0), "{status}\n{}", program.output());
        let output = program.output();
        assert!(output.contains("failed over meanwhile"), "the flush was not sent again:\n{output}");
    }
}
