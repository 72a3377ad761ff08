//! One server: killed, and back with all, some or none of its data.

use std::time::Duration;

use router::Cause;
use router::durability::{Comparison, FlowDurability, Mark, NodeWatch, Settings, Settlement};
use rules::Rules;
use scenarios::servers::{RedisOptions, RedisServer};
use scenarios::wait;

use crate::support::{Bed, connect};

fn with(extra: &[&str]) -> RedisOptions {
    RedisOptions { extra: extra.iter().map(|word| (*word).to_owned()).collect(), ..RedisOptions::default() }
}

fn save(server: &RedisServer) {
    let mut client = server.client();
    let lastsave = |client: &mut scenarios::client::Client| client.number(&["LASTSAVE"]);
    let before = lastsave(&mut client);
    // The time is told in seconds, so a save within the second of the start would not show.
    wait::until(Duration::from_secs(20), "a save in a later second", || {
        client.call(&["BGSAVE"]);
        wait::until(Duration::from_secs(20), "the save to end", || {
            client.info("persistence", "rdb_bgsave_in_progress").as_deref() == Some("0")
        });
        lastsave(&mut client) > before
    });
}

fn last_save(bed: &Bed) -> u64 {
    bed.nodes()[0].persistence.unwrap().last_save
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_returns_from_an_older_snapshot_lost_what_came_since() {
    let mut server = RedisServer::start(RedisOptions::default());
    let mut bed = Bed::on(&[server.addr()]).await;
    bed.write("old", 200);
    bed.settle().await;
    bed.polled().await;
    let before = last_save(&bed);
    save(&server);
    bed.until("the save to be noticed", |bed| last_save(bed) > before).await;
    bed.write("new", 300);
    bed.settle().await;
    server.restart();
    bed.until("the restart to be noticed", |bed| bed.nodes()[0].incarnation == 1).await;
    bed.write("later", 1);
    bed.settle().await;
    assert_eq!((bed.lost_of("old"), bed.lost_of("new")), (0, 300), "{bed:?}");
    assert_eq!(bed.events, [], "{bed:?}");
    assert_eq!(bed.wrong(|_| server.client()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_returns_empty_lost_more_than_is_remembered() {
    let mut server = RedisServer::start(RedisOptions::default());
    let mut bed = Bed::on(&[server.addr()]).await;
    bed.write("old", 200);
    bed.settle().await;
    bed.polled().await;
    server.restart();
    bed.write("later", 1);
    bed.until("the loss to be noticed", |bed| !bed.events.is_empty()).await;
    bed.settle().await;
    let nodes = bed.nodes();
    assert_eq!(nodes[0].incarnation, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_writes_every_command_down_loses_nothing() {
    let mut server = RedisServer::start(RedisOptions { appendonly: true, ..RedisOptions::default() });
    let mut bed = Bed::on(&[server.addr()]).await;
    bed.write("old", 200);
    bed.settle().await;
    bed.polled().await;
    for _ in 0..3 {
        bed.write("new", 300);
        bed.answered().await;
        server.restart();
    }
    bed.write("later", 1);
    bed.settle().await;
    bed.until("the restarts to be noticed", |bed| bed.nodes()[0].incarnation >= 1).await;
    assert_eq!((bed.lost.len(), bed.events.len()), (0, 0), "{bed:?}");
    assert_eq!(bed.wrong(|_| server.client()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_writes_down_every_second_lost_the_last_seconds_at_most() {
    let options = with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let mut server = RedisServer::start(options);
    let mut bed = Bed::on(&[server.addr()]).await;
    bed.write("old", 200);
    bed.settle().await;
    for _ in 0..3 {
        // Polls of a quiet server are a second apart.
        bed.polled().await;
    }
    bed.write("new", 300);
    bed.settle().await;
    server.restart();
    bed.until("the restart to be noticed", |bed| bed.nodes()[0].incarnation == 1).await;
    bed.write("later", 1);
    bed.settle().await;
    assert_eq!((bed.lost_of("old"), bed.lost_of("new"), bed.events.len()), (0, 300, 0), "{bed:?}");
    assert_eq!(bed.wrong(|_| server.client()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_is_no_restart() {
    let server = RedisServer::start(RedisOptions::default());
    let mut bed = Bed::on(&[server.addr()]).await;
    for _ in 0..5 {
        bed.write("key", 50);
        bed.answered().await;
        server.client().call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }
    bed.write("later", 1);
    bed.settle().await;
    assert_eq!((bed.lost.len(), bed.events.len(), bed.nodes()[0].incarnation), (0, 0, 0), "{bed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_holds_back_the_applied_lsn_until_it_has_the_writes() {
    let master = RedisServer::start(RedisOptions::default());
    let port = master.port().to_string();
    let replica = RedisServer::start(with(&["--replicaof", "127.0.0.1", &port]));
    wait::until(Duration::from_secs(20), "the replica to be linked", || {
        master.client().text(&["INFO", "replication"]).contains("state=online")
    });
    let mut bed = Bed::on(&[master.addr()]).await;
    bed.write("with", 100);
    bed.settle().await;
    assert_eq!(bed.router.applied(), 101);
    replica.pause();
    bed.write("without", 100);
    bed.answered().await;
    bed.polled().await;
    bed.polled().await;
    assert_eq!((bed.router.applied(), bed.router.unsettled()), (101, 100), "{bed:?}");
    replica.resume();
    bed.settle().await;
    assert_eq!(bed.router.applied(), 201);

    // What the rule is good for.
    let settings = Settings { rules: Rules::all().without(27), ..Settings::default() };
    let mut bed = Bed::with(connect(&[master.addr()]).await, settings);
    replica.pause();
    bed.write("without", 100);
    bed.answered().await;
    assert_eq!(bed.router.applied(), 101, "called applied, and gone if the replica took over now");
    replica.resume();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_before_the_losses_are_taken() {
    let options = with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let mut server = RedisServer::start(options);
    let mut bed = Bed::on(&[server.addr()]).await;
    bed.write("old", 10);
    bed.settle().await;
    for _ in 0..3 {
        bed.polled().await;
    }
    bed.write("new", 10);
    bed.settle().await;
    let before = bed.watch.marks();
    server.restart();
    bed.until("the connection to break", |bed| bed.router.counters().disconnects == 1).await;
    bed.write("later", 1);
    let router = &mut bed.router;
    while router.counters().failures < 10 {
        router.next_event().await;
    }
    // As long as nobody takes the failures no event lets the command go.
    let more = async {
        loop {
            router.next_event().await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(500), more).await;
    assert_eq!(server.client().number(&["EXISTS", "later:0"]), 0);
    let failures = router.take_failures();
    assert_eq!(failures.len(), 10);
    assert!(failures.iter().all(|failure| failure.cause == Cause::Lost), "{failures:?}");
    let run_ids = |marks: Vec<Mark>| marks.into_iter().map(|mark| mark.run_id).collect::<Vec<_>>();
    assert_eq!(run_ids(bed.watch.marks()), run_ids(before.clone()), "the losses are not written down");
    // A flow that ends now leaves that to a full sync.
    let watch = bed.watch.clone();
    let mut other = FlowDurability::new(watch.clone());
    assert!(!other.owes() && other.resolve().lost.is_empty());
    drop(other);
    assert_eq!(run_ids(watch.marks()), run_ids(before.clone()));
    bed.router.settle_failures(failures);
    assert_ne!(run_ids(watch.marks()), run_ids(before));
    bed.settle().await;
    assert_eq!(server.client().text(&["GET", "later:0"]), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_has_ended_leaves_later_losses_to_a_full_sync() {
    let options = with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let mut server = RedisServer::start(options);
    let mut bed = Bed::on(&[server.addr()]).await;
    bed.write("key", 10);
    bed.settle().await;
    let watch = bed.watch.clone();
    let flow = |masters| {
        let mut flow = FlowDurability::new(watch.clone());
        flow.watch_from_now(masters);
        flow
    };
    let masters = watch.nodes().into_iter().map(|(node, _)| node).collect::<Vec<_>>();
    drop(flow(&masters));
    assert_eq!(watch.succeed(), [], "nothing was lost since then");
    drop(flow(&masters));
    let before = watch.marks();
    server.restart();
    bed.until("the connection to break", |bed| bed.router.counters().disconnects == 1).await;
    bed.write("later", 1);
    bed.settle().await;
    let run_id = |marks: Vec<Mark>| marks[0].run_id.clone();
    assert_eq!(
        run_id(watch.marks()),
        run_id(before.clone()),
        "nobody has written down what it lost of the flow"
    );
    assert_eq!(watch.succeed(), masters);
    watch.forget_losses();
    assert_eq!(watch.succeed(), []);
    assert_ne!(run_id(watch.marks()), run_id(before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_may_not_be_asked_is_believed_after_the_window() {
    let server = RedisServer::start(RedisOptions::default());
    let mut client = server.client();
    let target = connect(&[server.addr()]).await;
    let settings = Settings { loss_window: Duration::from_secs(2), ..Settings::default() };
    // The target is found by a user who may ask; then that right is taken away.
    client.call(&["ACL", "SETUSER", "default", "-info"]);
    let mut bed = Bed::with(target, settings);
    let start = tokio::time::Instant::now();
    bed.write("key", 10);
    bed.settle().await;
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(bed.nodes()[0].denied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_to_every_node_is_settled_or_has_to_be_sent_again() {
    let mut server = RedisServer::start(RedisOptions { appendonly: true, ..RedisOptions::default() });
    let target = connect(&[server.addr()]).await;
    let watch = NodeWatch::start(target.clone(), Settings::default());
    let careless = Settings { rules: Rules::all().without(29), ..Settings::default() };
    let careless = NodeWatch::start(target.clone(), careless);
    let limit = Duration::from_secs(20);
    let standing = watch.stand(&target.masters(), limit).await;
    let unwatched = careless.stand(&target.masters(), limit).await;
    server.client().call(&["FLUSHALL"]);
    assert_eq!(watch.settle_all(&standing, limit).await, Settlement::Settled);
    server.restart();
    assert_eq!(watch.settle_all(&standing, limit).await, Settlement::Changed(target.masters()));
    assert_eq!(careless.settle_all(&unwatched, limit).await, Settlement::Settled, "without the rule");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_while_nobody_watched_is_told_from_the_marks() {
    for appendonly in [true, false] {
        let mut server = RedisServer::start(RedisOptions { appendonly, ..RedisOptions::default() });
        let mut bed = Bed::on(&[server.addr()]).await;
        bed.write("key", 100);
        bed.settle().await;
        bed.polled().await;
        let marks = bed.watch.marks();
        assert_eq!(marks.len(), 1);
        let fresh = || async { NodeWatch::start(connect(&[server.addr()]).await, Settings::default()) };
        let watch = fresh().await;
        assert_eq!(watch.compare(&marks).await, Comparison::Same);
        assert_eq!(watch.marks().len(), 1, "known before anything is written to it");
        drop(watch);
        drop(bed);
        server.restart();
        let watch = NodeWatch::start(connect(&[server.addr()]).await, Settings::default());
        let comparison = watch.compare(&marks).await;
        assert!(matches!(comparison, Comparison::Restarted { .. }), "{comparison:?}");
        assert_eq!(comparison.may_have_lost().is_none(), appendonly, "{comparison:?}");
    }
}
