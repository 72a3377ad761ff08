//! Rule 8 at the start: the connections of an earlier process end first.

use resp::ConnectOptions;
use router::{Retired, Target};
use scenarios::servers::{Cluster, RedisOptions, RedisServer};
use scenarios::wait;

use crate::support::{DEADLINE, connect, connect_as};

fn named(server: &RedisServer, name: &str) -> usize {
    let list = server.client().text(&["CLIENT", "LIST"]);
    list.lines().filter(|line| line.contains(&format!(" name={name} "))).count()
}

async fn left_behind(target: &Target, name: &str) -> Vec<resp::Connection> {
    target.set_name(name);
    let mut connections = Vec::new();
    for node in target.masters() {
        connections.push(target.open(node).await.unwrap());
        connections.push(target.open(node).await.unwrap());
    }
    connections
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_connections_end_on_every_node_of_a_cluster() {
    let cluster = Cluster::with_replicas();
    let earlier = connect(&cluster.seeds()[0]).await;
    let mut old = left_behind(&earlier, "df2redis:1").await;
    let other = connect(&cluster.seeds()[0]).await;
    let mut others = left_behind(&other, "df2redis:2").await;
    let replica = cluster.replicas()[0].index;
    let mut on_replica = cluster.nodes()[replica].client();
    on_replica.call(&["CLIENT", "SETNAME", "df2redis:1"]);

    let target = connect(&cluster.seeds()[1]).await;
    assert_eq!(target.retire("df2redis:1").await.unwrap(), Retired::Gone { killed: 7 });
    for node in cluster.nodes() {
        assert_eq!(named(node, "df2redis:1"), 0);
    }
    for connection in &mut old {
        connection.call(&["PING"]).await.unwrap_err();
    }
    for connection in &mut others {
        assert!(connection.call(&["PING"]).await.unwrap().as_error().is_none());
    }
    assert_eq!(target.retire("df2redis:1").await.unwrap(), Retired::Gone { killed: 0 });
}

fn options_of(server: &RedisServer, user: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(server.addr());
    options.username = Some(user.into());
    options.password = "secret".into();
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_kill_waits() {
    let users = vec![
        "waits on >secret ~* +@all -client|kill".into(),
        "blind on >secret ~* +@all -client|kill -client|list -client|setname".into(),
    ];
    let server = RedisServer::start(RedisOptions { users, ..RedisOptions::default() });
    let earlier = connect(&server.addr()).await;
    let old = left_behind(&earlier, "df2redis:1").await;

    let blind = connect_as(options_of(&server, "blind")).await;
    let unknown = Retired::Unknown { nodes: vec![server.addr()] };
    assert_eq!(blind.retire("df2redis:1").await.unwrap(), unknown);
    blind.set_name("df2redis:1");
    assert!(!blind.name_refused());
    let mut nameless = blind.open(blind.masters()[0]).await.unwrap();
    assert!(blind.name_refused() && nameless.call(&["SET", "a", "1"]).await.unwrap().is_ok());

    let waits = connect_as(options_of(&server, "waits")).await;
    let retired = tokio::spawn(async move { waits.retire("df2redis:1").await });
    let looks = || {
        server
            .client()
            .text(&["INFO", "commandstats"])
            .lines()
            .find_map(|line| {
                line.strip_prefix("cmdstat_client|kill:")?
                    .split("rejected_calls=")
                    .nth(1)?
                    .split(',')
                    .next()?
                    .parse()
                    .ok()
            })
            .unwrap_or(0)
    };
    wait::until(DEADLINE, "it tried to kill, more than once", || looks() > 4);
    assert!(!retired.is_finished());
    drop(old);
    assert_eq!(retired.await.unwrap().unwrap(), Retired::Gone { killed: 0 });
}
