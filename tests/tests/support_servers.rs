//! The servers of the support library themselves: start, login, TLS, pause, restart, cluster, slots, failover.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use scenarios::client::{Client, Endpoint};
use scenarios::servers::{Certificates, Cluster, ClusterOptions, Dragonfly, DragonflyOptions};
use scenarios::servers::{RedisOptions, RedisServer};

#[test]
fn a_server_keeps_data_over_a_restart_only_with_persistence() {
    for appendonly in [false, true] {
        let mut server = RedisServer::start(RedisOptions { appendonly, ..RedisOptions::default() });
        server.client().call(&["SET", "k", "v"]);
        let addr = server.addr();
        server.restart();
        assert_eq!(server.addr(), addr);
        assert_eq!(server.client().number(&["EXISTS", "k"]) == 1, appendonly);
    }
}

#[test]
fn a_dropped_server_is_gone() {
    let server = RedisServer::start(RedisOptions::default());
    let endpoint = server.endpoint();
    assert!(Client::open(&endpoint).is_ok());
    drop(server);
    assert!(Client::open(&endpoint).is_err());
}

#[test]
fn a_paused_server_answers_after_it_is_resumed() {
    let server = RedisServer::start(RedisOptions::default());
    server.pause();
    let mut impatient = server.client();
    impatient.set_timeout(Duration::from_millis(200));
    assert!(impatient.try_call(&["PING"]).is_err(), "a paused server must not answer");
    let mut patient = server.client();
    server.resume();
    assert_eq!(patient.text(&["PING"]), "PONG");
}

#[test]
fn logins_and_limits_are_set() {
    let server = RedisServer::start(RedisOptions {
        password: Some("secret".to_owned()),
        users: vec!["writer on >other ~* &* +@all -config".to_owned()],
        maxmemory: Some("50mb".to_owned()),
        databases: Some(4),
        ..RedisOptions::default()
    });
    assert!(Client::open(&Endpoint::new(server.addr())).unwrap().try_call(&["GET", "k"]).is_err());
    assert!(server.client().try_call(&["SELECT", "4"]).is_err());
    let user = Endpoint {
        username: Some("writer".to_owned()),
        password: Some("other".to_owned()),
        ..Endpoint::new(server.addr())
    };
    let mut client = Client::open(&user).unwrap();
    client.call(&["SET", "k", "v"]);
    assert!(client.try_call(&["CONFIG", "GET", "maxmemory"]).unwrap_err().to_string().contains("NOPERM"));
    assert_eq!(server.client().info("memory", "maxmemory").unwrap(), "52428800");
}

#[test]
fn tls_wants_the_right_authority_and_certificate() {
    let certificates = Certificates::generate();
    let server = RedisServer::start(RedisOptions {
        tls: Some(certificates.clone()),
        require_client_certificate: true,
        ..RedisOptions::default()
    });
    let ping = |ca: &Certificates, with_client_certificate: bool| {
        let (host, port) =
            server.tls_addr().rsplit_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).unwrap();
        let mut command = std::process::Command::new("redis-cli");
        command.args(["-h", &host, "-p", &port, "--tls", "--cacert"]).arg(&ca.ca_file);
        if with_client_certificate {
            command.arg("--cert").arg(&ca.client_cert).arg("--key").arg(&ca.client_key);
        }
        String::from_utf8_lossy(&command.arg("PING").output().unwrap().stdout).contains("PONG")
    };
    assert!(ping(&certificates, true));
    assert!(!ping(&certificates, false));
    assert!(!ping(&Certificates::generate(), true));
}

#[test]
fn a_cluster_forms_and_serves_a_key_on_every_master() {
    let begin = Instant::now();
    let cluster = Cluster::start(ClusterOptions::default());
    println!("three masters in {:?}", begin.elapsed());
    assert_eq!(cluster.seeds().len(), 3);
    assert_eq!(cluster.masters().len(), 3);
    let mut owners = std::collections::BTreeSet::new();
    for number in 0..30 {
        let key = format!("key:{number}");
        cluster.client_for(key.as_bytes()).call(&["SET", &key, "v"]);
        owners.insert(cluster.master_of(cluster.slot_of(key.as_bytes())));
    }
    assert_eq!(owners.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_slot_moves_with_its_keys() {
    let cluster = Cluster::start(ClusterOptions::default());
    let slot = cluster.slot_of(b"{moving}");
    let from = cluster.master_of(slot);
    let to = (from + 1) % 3;
    for number in 0..250 {
        cluster.nodes()[from].client().call(&["SET", &format!("{{moving}}{number}"), "v"]);
    }
    assert_eq!(cluster.begin_slot_migration(slot, to), from);
    assert_eq!(cluster.move_keys(slot, from, to, 100), 100);
    let absent = cluster.nodes()[from].client().try_call(&["GET", "{moving}absent"]);
    assert!(absent.unwrap_err().to_string().contains("ASK"));
    while cluster.move_keys(slot, from, to, 100) > 0 {}
    cluster.finish_slot_migration(slot, from, to);
    let moved = cluster.nodes()[from].client().try_call(&["GET", "{moving}1"]);
    assert!(moved.unwrap_err().to_string().contains("MOVED"));
    assert_eq!(cluster.nodes()[to].client().text(&["GET", "{moving}249"]), "v");
    cluster.migrate_slot(slot, from);
    assert_eq!(
        cluster.nodes()[from].client().number(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]),
        250
    );
}

#[test]
fn a_replica_takes_over_when_asked_and_when_its_master_dies() {
    let begin = Instant::now();
    let mut cluster = Cluster::with_replicas();
    println!("three masters with replicas in {:?}", begin.elapsed());
    let replica = cluster.replica_of(0).unwrap();
    cluster.failover(replica);
    assert_eq!(cluster.master_of(0), replica);
    assert_eq!(cluster.replica_of(replica), Some(0));
    cluster.kill(replica);
    cluster.wait_master(0);
    cluster.wait_ok();
    assert_eq!(cluster.master_of(0), 0);
}

#[test]
fn dragonfly_tells_its_lsns() {
    let name = "dragonfly_tells_its_lsns";
    let Some(mut dragonfly) = Dragonfly::start_or_skip(name, DragonflyOptions::default()) else { return };
    assert_eq!(dragonfly.next_lsns().len(), 2);
    dragonfly.client().call(&["SET", "k", "v"]);
    dragonfly.restart();
    assert_eq!(dragonfly.client().number(&["EXISTS", "k"]), 0);
}

#[test]
#[should_panic(expected = "waited 50ms in vain for: the impossible")]
fn waiting_in_vain_says_what_for() {
    scenarios::wait::until(Duration::from_millis(50), "the impossible", || false);
}
