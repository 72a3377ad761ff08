//! A cluster: a replica takes over that lacks some writes, a handover, slots that move.

use std::time::Duration;

use router::durability::{Comparison, Event, Mark, NodeWatch, Settings};
use rules::Rules;
use scenarios::servers::Cluster;
use scenarios::wait;

use crate::support::{Bed, connect};

/// A megabyte, to fill the buffers between a master and its replica.
const BIG: usize = 1 << 20;

/// Fills what the kernel buffers between a master and its paused replica, so that what follows stays with the master.
fn fill_link(cluster: &Cluster, master: usize) {
    let mut client = cluster.nodes()[master].client();
    let value = "x".repeat(BIG);
    let slot = cluster.masters().into_iter().find(|node| node.index == master).unwrap().slots[0].0;
    let key = (0..).map(|n| format!("fill:{n}")).find(|key| cluster.slot_of(key.as_bytes()) == slot).unwrap();
    for _ in 0..32 {
        client.call(&["SET", &key, &value]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_takes_over_without_the_last_writes_lost_them() {
    let (cluster, bed, on_master, marks) = taken_over(Rules::all()).await;
    let missed: Vec<_> = on_master.iter().filter(|key| !bed.lost.contains(*key)).collect();
    assert!(missed.is_empty(), "not reported: {missed:?}; {bed:?}");
    assert_eq!(bed.lost.len(), on_master.len(), "{bed:?}");
    assert_eq!(bed.events, [], "{bed:?}");
    assert_eq!(bed.wrong(|key| cluster.client_for(key.as_bytes())), Vec::<String>::new());
    // What counted as applied before the failover was safe.
    let watch = NodeWatch::start(connect(&cluster.seeds()[1..]).await, Settings::default());
    let comparison = watch.compare(&marks).await;
    assert!(matches!(comparison, Comparison::TookOver { may_have_lost: None, .. }), "{comparison:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_rule_28_they_are_lost_unnoticed() {
    let (cluster, bed, on_master, _) = taken_over(Rules::all().without(28)).await;
    let wrong = bed.wrong(|key| cluster.client_for(key.as_bytes()));
    assert_eq!((bed.lost.len(), wrong.len()), (0, on_master.len()), "{bed:?}");
}

/// A master is killed whose replica lacks the counters `new:`; which of those it had is told, and the marks from before.
async fn taken_over(rules: Rules) -> (Cluster, Bed, Vec<String>, Vec<Mark>) {
    let mut cluster = Cluster::with_replicas();
    let settings = Settings { rules, ..Settings::default() };
    let mut bed = Bed::with(connect(&cluster.seeds()).await, settings);
    bed.write("old", 600);
    bed.settle().await;
    bed.polled().await;
    let marks = bed.watch.marks();
    assert_eq!(marks.len(), 3);
    let replica = cluster.replica_of(0).unwrap();
    cluster.nodes()[replica].pause();
    fill_link(&cluster, 0);
    bed.write("new", 600);
    bed.answered().await;
    let on_master: Vec<String> = (0..600)
        .map(|n| format!("new:{n}"))
        .filter(|key| cluster.master_of(cluster.slot_of(key.as_bytes())) == 0)
        .collect();
    assert!(on_master.len() > 50);
    bed.until("the others to be settled", |bed| bed.router.unsettled() as usize == on_master.len()).await;
    cluster.kill(0);
    cluster.nodes()[replica].resume();
    bed.write("later", 100);
    bed.settle().await;
    (cluster, bed, on_master, marks)
}

/// Replication of master 0 is cut, counters `new:` are written, and when `ready` the replica takes over without asking.
async fn cut_off(window: Duration, ready: impl AsyncFn(&mut Bed)) -> (Cluster, Bed) {
    let cluster = Cluster::with_replicas();
    let settings = Settings { loss_window: window, ..Settings::default() };
    let mut bed = Bed::with(connect(&cluster.seeds()).await, settings);
    bed.write("old", 600);
    bed.settle().await;
    bed.polled().await;
    let replica = cluster.replica_of(0).unwrap();
    let mut client = cluster.nodes()[replica].client();
    client.call(&["CONFIG", "SET", "masterauth", "not the password"]);
    client.call(&["CONFIG", "SET", "masteruser", "nobody"]);
    let mut master = cluster.nodes()[0].client();
    wait::until(Duration::from_secs(20), "the link to be cut", || {
        master.call(&["CLIENT", "KILL", "TYPE", "replica"]);
        master.info("replication", "connected_slaves").as_deref() == Some("0")
    });
    bed.write("new", 600);
    bed.answered().await;
    ready(&mut bed).await;
    client.call(&["CLUSTER", "FAILOVER", "TAKEOVER"]);
    cluster.wait_master(replica);
    (cluster, bed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_without_a_link_that_takes_over_within_the_window_is_repaired() {
    let (cluster, mut bed) = cut_off(Duration::from_secs(60), async |_| ()).await;
    bed.until("the takeover to be noticed", |bed| !bed.lost.is_empty()).await;
    bed.write("later", 600);
    bed.settle().await;
    assert_eq!((bed.lost_of("old"), bed.events.len()), (0, 0), "{bed:?}");
    assert!(bed.lost_of("new") > 50, "{bed:?}");
    assert_eq!(bed.wrong(|key| cluster.client_for(key.as_bytes())), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_without_a_link_that_takes_over_after_the_window_asks_for_a_full_sync() {
    let wait_for_it = async |bed: &mut Bed| {
        let start = tokio::time::Instant::now();
        bed.settle().await;
        assert!(start.elapsed() > Duration::from_millis(900), "settled too early: {bed:?}");
        // Long enough for what was settled to be forgotten.
        for _ in 0..4 {
            bed.polled().await;
        }
        bed.write("newest", 600);
        bed.settle().await;
    };
    let (_cluster, mut bed) = cut_off(Duration::from_secs(1), wait_for_it).await;
    bed.until("the loss to be noticed", |bed| !bed.events.is_empty()).await;
    bed.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handover_under_writes_loses_nothing_unnoticed() {
    let cluster = Cluster::with_replicas();
    let mut bed = Bed::on(&cluster.seeds()).await;
    bed.write("old", 600);
    bed.settle().await;
    bed.polled().await;
    let replica = cluster.replica_of(0).unwrap();
    for round in 0..5 {
        bed.write(&format!("round{round}"), 600);
        if round == 2 {
            cluster.nodes()[replica].client().call(&["CLUSTER", "FAILOVER"]);
        }
        bed.answered().await;
    }
    bed.until("the handover", |_| cluster.masters().iter().any(|node| node.index == replica)).await;
    bed.write("later", 600);
    bed.settle().await;
    assert_eq!((bed.lost_of("old"), bed.events.len()), (0, 0), "{bed:?}");
    assert_eq!(bed.wrong(|key| cluster.client_for(key.as_bytes())), Vec::<String>::new());
    println!("reported as lost after a handover that lost nothing: {} of 3000", bed.lost.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leads_again_after_another_one_has_what_that_one_had() {
    let cluster = Cluster::with_replicas();
    let mut bed = Bed::on(&cluster.seeds()).await;
    bed.write("old", 600);
    bed.settle().await;
    let replica = cluster.replica_of(0).unwrap();
    for (round, leader) in [replica, 0].into_iter().enumerate() {
        wait::until(Duration::from_secs(30), "the next leader to follow", || {
            let mut client = cluster.nodes()[leader].client();
            client.info("replication", "master_link_status").as_deref() == Some("up")
        });
        cluster.failover(leader);
        bed.write(&format!("round{round}"), 300);
        bed.write("old", 300);
        bed.answered().await;
    }
    bed.write("later", 300);
    bed.settle().await;
    assert_eq!(bed.events, [], "{bed:?}");
    assert_eq!(bed.wrong(|key| cluster.client_for(key.as_bytes())), Vec::<String>::new());
    println!("reported as lost after two handovers that lost nothing: {}", bed.lost.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_returns_empty_before_its_replica_took_over_is_noticed() {
    let mut cluster = Cluster::with_replicas();
    let mut bed = Bed::on(&cluster.seeds()).await;
    bed.write("old", 600);
    bed.settle().await;
    bed.polled().await;
    cluster.node_mut(0).restart();
    bed.until("the loss to be noticed", |bed| !bed.events.is_empty()).await;
    let Event::LostBeyond { node, .. } = &bed.events[0];
    assert_eq!(*node, cluster.nodes()[0].addr());
    bed.write("later", 600);
    bed.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_lose_nothing() {
    let cluster = Cluster::with_replicas();
    let mut bed = Bed::on(&cluster.seeds()).await;
    bed.write("key", 600);
    bed.settle().await;
    let moving: Vec<u16> = (0..10).map(|n| cluster.slot_of(format!("key:{n}").as_bytes())).collect();
    for slot in moving {
        bed.write("key", 600);
        let owner = cluster.master_of(slot);
        let to = cluster.masters().iter().map(|node| node.index).find(|index| *index != owner).unwrap();
        cluster.migrate_slot(slot, to);
    }
    bed.write("key", 600);
    bed.settle().await;
    assert!(bed.router.counters().redirects > 0);
    assert_eq!((bed.lost.len(), bed.doubtful.len(), bed.events.len()), (0, 0, 0), "{bed:?}");
    assert_eq!(bed.wrong(|key| cluster.client_for(key.as_bytes())), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_were_quiet_are_not_tried_at_the_node_that_failed() {
    let mut cluster = Cluster::with_replicas();
    let mut bed = Bed::with(connect(&cluster.seeds()).await, Settings::default());
    bed.write("old", 20);
    bed.settle().await;
    let replica = cluster.replica_of(0).unwrap();
    cluster.kill(0);
    cluster.wait_master(replica);
    cluster.node_mut(0).restart();
    wait::until(Duration::from_secs(30), "the old master to follow", || {
        cluster.replica_of(replica) == Some(0)
    });
    bed.write("old", 20);
    bed.settle().await;
    let before = bed.router.counters().disconnects;
    // One after the other, and most of them on slots that nothing was written to so far.
    for n in 0..300 {
        bed.write(&format!("quiet:{n}"), 1);
        bed.answered().await;
    }
    bed.settle().await;
    // A slot map as an old node tells it may cost one or two; when every slot was tried there were a hundred.
    assert!(bed.router.counters().disconnects - before < 10, "{before} before; {bed:?}");
    assert_eq!(bed.wrong(|key| cluster.client_for(key.as_bytes())), Vec::<String>::new());
}
