//! Sources that cannot be attached to, each with its own error.

use std::time::Duration;

use handshake::{Error, FlowStart, replica_offset, request_flow};
use resp::{Class, ConnectOptions, Connection};

use crate::peer::{Action, Peer, What, line};
use crate::redis_server::RedisServer;
use crate::{GREETING, REPLID, greet, master};

/// The error of greeting a master with these rules in front, its text checked to be one line with an address.
async fn refusal(rules: &[(&str, &str)]) -> (Error, Peer) {
    let peer = Peer::ruled(master(rules)).await;
    let error = greet(&peer).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&peer.addr) && !text.contains('\n') && text.contains("; "), "{text}");
    (error, peer)
}

/// A greeting of so many elements.
fn array(elements: usize, ordinal: u32) -> String {
    let all = [format!("+{REPLID}"), "+SYNC7".into(), ":16".into(), format!(":{ordinal}")];
    format!("*{elements}\r\n{}", all[..elements].join("\r\n"))
}

#[tokio::test]
async fn a_real_redis_is_no_source() {
    let server = RedisServer::plain::<&str>(&[]);
    let identity = handshake::Identity { listening_port: 6380, client_id: "x".to_owned() };
    let error =
        handshake::Control::greet(&ConnectOptions::new(&server.addr), &identity, None).await.unwrap_err();
    assert!(matches!(&error, Error::NotDragonfly { found, .. } if found.starts_with("Redis ")), "{error:?}");
    assert_eq!(error.class(), Class::Mismatch);
    assert!(error.to_string().contains("not a Dragonfly"), "{error}");
}

#[tokio::test]
async fn other_servers_are_named() {
    let ok = ("REPLCONF capa dragonfly", "+OK");
    let valkey = ("INFO", "$0\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1");
    let noperm = "-NOPERM no permissions";
    let hello = ("HELLO", "*4\r\n$6\r\nserver\r\n$6\r\nvalkey\r\n$7\r\nversion\r\n$5\r\n8.1.0");
    for (rules, expected) in [
        (vec![ok, valkey], "Valkey 8.0.1"),
        (vec![ok, ("INFO", noperm), hello], "Valkey 8.1.0"),
        (vec![ok, ("INFO", noperm), ("HELLO", noperm)], "a Redis or Valkey"),
        (vec![("REPLCONF capa dragonfly", "-ERR Unrecognized REPLCONF option"), valkey], "Valkey 8.0.1"),
    ] {
        let (error, peer) = refusal(&rules).await;
        assert!(matches!(&error, Error::NotDragonfly { found, .. } if found == expected), "{error:?}");
        assert!(!peer.commands().iter().any(|c| c.starts_with("REPLCONF CLIENT")));
    }
}

#[tokio::test]
async fn a_replica_is_no_source() {
    let (error, _) = refusal(&[("REPLCONF", "-ERR Replicating a replica is unsupported")]).await;
    assert!(matches!(error, Error::SourceIsReplica { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Retry, "it may be on its way to become the master");

    // Before 1.24 a replica accepts the attachment, so it is asked.
    let old = ("INFO server", "$0\r\ndragonfly_version:df-v1.23.2");
    let role = ("INFO replication", "$0\r\n# Replication\r\nrole:replica\r\nmaster_host:a");
    let (error, peer) = refusal(&[old, role]).await;
    assert!(matches!(error, Error::SourceIsReplica { .. }), "{error:?}");
    assert!(!peer.commands().iter().any(|c| c.starts_with("REPLCONF")));
    let peer = Peer::ruled(master(&[old, ("INFO replication", "$0\r\nrole:master")])).await;
    greet(&peer).await.unwrap();
}

#[tokio::test]
async fn releases_before_1_11_are_no_source() {
    let noperm = "-NOPERM no permissions";
    let (three, four) = (array(3, 0), array(4, 1));
    let named = ("INFO server", "$0\r\ndragonfly_version:df-v1.10.0");
    let custom = ("INFO server", "$0\r\ndragonfly_version:df-dev");
    for (rules, expected) in [
        (vec![named], "1.10.0"),
        (vec![("INFO", noperm), ("HELLO", noperm), ("REPLCONF capa dragonfly", &three)], "1.0 to 1.3"),
        (vec![("INFO", noperm), ("HELLO", noperm), ("REPLCONF capa dragonfly", &four)], "1.4 to 1.10"),
        (vec![custom, ("REPLCONF capa dragonfly", &four)], "1.4 to 1.10"),
    ] {
        let (error, peer) = refusal(&rules).await;
        assert!(
            matches!(&error, Error::UnsupportedRelease { release, .. } if release == expected),
            "{error:?}"
        );
        assert_eq!(error.class(), Class::Mismatch);
        assert!(error.to_string().contains("upgrade it to 1.11.0 or later"), "{error}");
        assert!(!peer.commands().iter().any(|c| c.starts_with("REPLCONF CLIENT")));
    }
}

#[tokio::test]
async fn a_part_of_a_cluster_is_no_source() {
    let on = ("INFO cluster", "$0\r\n# Cluster\r\ncluster_enabled:1");
    let node = |port: u16| format!("*3\r\n$1\r\na\r\n:{port}\r\n$1\r\nx\r\n");
    let range = |from: u16, to: u16, port: u16| format!("*3\r\n:{from}\r\n:{to}\r\n{}", node(port));
    let slots = |ranges: &[String]| format!("*{}\r\n{}", ranges.len(), ranges.concat()).trim_end().to_owned();
    let (half, rest) = (range(0, 8_191, 1), range(8_192, 16_383, 2));
    let shared = slots(&[half.clone(), rest]);
    let own = slots(std::slice::from_ref(&half));
    for (reply, expected) in [
        (shared.as_str(), "its part, one of 2 masters,"),
        (own.as_str(), "the slots 0-8191"),
        ("*0", "no slots"),
        ("-ERR Cluster is not yet configured", "no slots yet"),
    ] {
        let (error, peer) = refusal(&[on, ("CLUSTER SLOTS", reply)]).await;
        assert!(matches!(&error, Error::PartOfCluster { slots, .. } if slots == expected), "{error:?}");
        assert_eq!(error.class(), Class::Mismatch);
        assert!(!peer.commands().iter().any(|c| c.starts_with("REPLCONF")));
    }
    // All of them, in the emulated mode or in two ranges; or the user may not ask.
    let whole = slots(&[range(0, 16_383, 1)]);
    let two = slots(&[half, range(8_192, 16_383, 1)]);
    for reply in [whole.as_str(), two.as_str(), "-NOPERM no permissions"] {
        let peer = Peer::ruled(master(&[on, ("CLUSTER SLOTS", reply)])).await;
        greet(&peer).await.unwrap();
    }
}

#[tokio::test]
async fn a_loading_source_is_tried_again() {
    let loading = "-LOADING Dragonfly is loading the dataset in memory";
    for step in ["PING", "REPLCONF capa dragonfly"] {
        let (error, _) = refusal(&[(step, loading)]).await;
        assert!(error.is_loading() && error.class() == Class::Retry, "{error:?}");
    }
    // A loading master accepts the greeting and refuses the flow.
    let peer = Peer::ruled(master(&[("DFLY FLOW", loading)])).await;
    let control = greet(&peer).await.unwrap();
    let mut connection = Connection::open(&ConnectOptions::new(&peer.addr)).await.unwrap();
    let error = request_flow(&mut connection, control.greeting(), 0, FlowStart::Snapshot).await.unwrap_err();
    assert!(error.is_loading(), "{error:?}");
}

#[tokio::test]
async fn logins_and_permissions() {
    let (error, _) = refusal(&[("PING", "-NOAUTH Authentication required.")]).await;
    assert!(matches!(error, Error::Connection(resp::Error::AuthRequired { .. })), "{error:?}");
    for step in ["PING", "REPLCONF listening-port", "REPLCONF capa dragonfly", "REPLCONF CLIENT-VERSION"] {
        let (error, _) = refusal(&[(step, "-NOPERM sync has no ACL permissions")]).await;
        assert!(matches!(error, Error::Connection(resp::Error::NoPermission { .. })), "{step}: {error:?}");
        assert_eq!(error.class(), Class::AskOperator);
    }
    let (error, _) = refusal(&[("REPLCONF", "-ERR Cannot execute restricted command (admin only)")]).await;
    assert!(matches!(error, Error::AdminOnly { .. }), "{error:?}");
    let (error, _) = refusal(&[("REPLCONF", "-ERR Can not execute during SHUTTING DOWN")]).await;
    assert!(matches!(error, Error::Busy { .. }) && error.class() == Class::Retry, "{error:?}");
    let (error, _) = refusal(&[("REPLCONF", "-ERR something new")]).await;
    assert!(matches!(error, Error::Refused { .. }) && error.class() == Class::Bug, "{error:?}");
}

#[tokio::test]
async fn an_odd_greeting_is_never_answered_with_the_version() {
    let short = &REPLID[..39];
    let upper = REPLID.to_uppercase();
    let replies = [
        "*0".to_owned(),
        format!("*2\r\n+{REPLID}\r\n+SYNC1"),
        format!("*4\r\n+{short}\r\n+SYNC1\r\n:3\r\n:5"),
        format!("*4\r\n+{upper}\r\n+SYNC1\r\n:3\r\n:5"),
        format!("*4\r\n+{REPLID}\r\n+SYNC\r\n:3\r\n:5"),
        format!("*4\r\n+{REPLID}\r\n+sync1\r\n:3\r\n:5"),
        format!("*4\r\n+{REPLID}\r\n+SYNC1\r\n:0\r\n:5"),
        format!("*4\r\n+{REPLID}\r\n+SYNC1\r\n:1025\r\n:5"),
        format!("*4\r\n+{REPLID}\r\n+SYNC1\r\n:3\r\n:-1"),
        format!("*4\r\n+{REPLID}\r\n+SYNC1\r\n:3\r\n$-1"),
        format!("*5\r\n+{REPLID}\r\n+SYNC1\r\n:3\r\n:5\r\n+{short}"),
        "+FINE".to_owned(),
        ":1".to_owned(),
    ];
    for reply in &replies {
        let (error, peer) = refusal(&[("REPLCONF capa dragonfly", reply)]).await;
        assert!(matches!(error, Error::UnknownReply { .. }), "{reply}: {error:?}");
        assert_eq!(peer.commands().last().map(String::as_str), Some("REPLCONF capa dragonfly"));
    }
    let most = GREETING.replace(":3\r\n", ":1024\r\n");
    let peer = Peer::ruled(master(&[("REPLCONF capa dragonfly", &most)])).await;
    assert_eq!(greet(&peer).await.unwrap().greeting().flows, 1024);
}

#[tokio::test]
async fn a_master_that_knows_no_labels_is_greeted() {
    let peer = Peer::ruled(master(&[("REPLCONF CLIENT-ID", "-ERR syntax error")])).await;
    greet(&peer).await.unwrap();
}

#[tokio::test]
async fn refused_flows_and_phases() {
    type Expected = fn(&Error) -> bool;
    let cases: [(&str, Expected); 6] = [
        ("-ERR bad master id", |e| matches!(e, Error::BadMasterId { .. })),
        ("-ERR syncid not found", |e| matches!(e, Error::SyncIdNotFound { .. })),
        ("-ERR invalid state", |e| matches!(e, Error::InvalidState { .. })),
        ("-ERR syntax error", |e| matches!(e, Error::Refused { .. })),
        ("+OK\r\n", |e| matches!(e, Error::UnknownReply { .. })),
        ("*2\r\n+HALF\r\n+0123456789012345678901234567890123456789", |e| {
            matches!(e, Error::UnknownReply { .. })
        }),
    ];
    for (reply, expected) in cases {
        let peer = Peer::ruled(master(&[("DFLY FLOW", reply)])).await;
        let control = greet(&peer).await.unwrap();
        let mut connection = Connection::open(&ConnectOptions::new(&peer.addr)).await.unwrap();
        let error =
            request_flow(&mut connection, control.greeting(), 0, FlowStart::Lsn(7)).await.unwrap_err();
        assert!(expected(&error), "{reply}: {error:?}");
    }
    let token = "*2\r\n+FULL\r\n+short";
    let peer = Peer::ruled(master(&[("DFLY FLOW", token), ("DFLY SYNC", "-ERR invalid state")])).await;
    let mut control = greet(&peer).await.unwrap();
    let mut connection = Connection::open(&ConnectOptions::new(&peer.addr)).await.unwrap();
    let error = request_flow(&mut connection, control.greeting(), 0, FlowStart::Snapshot).await.unwrap_err();
    assert!(matches!(error, Error::UnknownReply { .. }), "{error:?}");
    let error = control.sync(Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(error, Error::InvalidState { .. }), "{error:?}");
}

#[tokio::test]
async fn a_phase_that_takes_too_long_is_given_up() {
    let peer = Peer::start(|_, command| match command {
        "DFLY STARTSTABLE SYNC1" => Action::Send(Vec::new()),
        "REPLCONF capa dragonfly" => line(GREETING),
        "INFO server" | "HELLO" => line("-NOPERM"),
        _ => line("+OK"),
    })
    .await;
    let mut control = greet(&peer).await.unwrap();
    let error = control.start_stable(Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, Error::Connection(resp::Error::Timeout { .. })), "{error:?}");
    assert_eq!(error.class(), Class::Retry);
}

#[tokio::test]
async fn offsets_of_all_shards() {
    let peer =
        Peer::ruled(crate::peer::rules(&[("DFLY REPLICAOFFSET", "*3\r\n:0\r\n:17\r\n:9000000000")])).await;
    let mut connection = Connection::open(&ConnectOptions::new(&peer.addr)).await.unwrap();
    assert_eq!(replica_offset(&mut connection).await.unwrap(), [0, 17, 9_000_000_000]);

    for reply in ["-NOPERM x has no ACL permissions", "*1\r\n:-1", "*1\r\n+x", "+OK"] {
        let peer = Peer::ruled(crate::peer::rules(&[("DFLY REPLICAOFFSET", reply)])).await;
        let mut connection = Connection::open(&ConnectOptions::new(&peer.addr)).await.unwrap();
        replica_offset(&mut connection).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_source_that_leaves_in_the_middle_is_tried_again() {
    for step in ["PING", "INFO server", "REPLCONF listening-port 6380", "REPLCONF capa dragonfly"] {
        let peer =
            Peer::start(move |_, command| if command == step { Action::Close } else { line("+OK") }).await;
        let error = greet(&peer).await.unwrap_err();
        assert!(matches!(error, Error::Connection(resp::Error::Closed { .. })), "{step}: {error:?}");
        assert_eq!(error.class(), Class::Retry);
    }
}

#[tokio::test]
async fn a_close_returns_when_the_master_has_noticed() {
    let mut peer = Peer::ruled(master(&[])).await;
    greet(&peer).await.unwrap().close(Duration::from_secs(5)).await;
    let last = peer.wait_for(|_| true).await.pop().unwrap();
    assert_eq!((last.connection, last.what), (0, What::Closed));
}
