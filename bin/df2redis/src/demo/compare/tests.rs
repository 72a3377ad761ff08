use simulator::{Handle, Simulator};

use super::*;

/// In an hour: what is further away the source rounds.
fn soon() -> u64 {
    replica::ledger::now_ms() + 3_600_000
}

/// Two servers with the same data; the second one has database 1 under its mapped names.
async fn pair(at: &str) -> (Handle, Handle) {
    let servers = (Simulator::builder().start().await.unwrap(), Simulator::builder().start().await.unwrap());
    for server in [&servers.0, &servers.1] {
        for args in [
            &["SET", "s", "value", "PXAT", at][..],
            &["HSET", "h", "a", "1", "b", "2"],
            &["RPUSH", "l", "1", "2", "3"],
            &["SADD", "m", "x", "y"],
            &["ZADD", "z", "1.5", "one", "2", "two"],
        ] {
            server.execute(0, args);
        }
    }
    servers.0.execute(1, &["SET", "s", "other"]);
    servers.1.execute(0, &["SET", "db1:s", "other"]);
    servers
}

async fn found(servers: &(Handle, Handle)) -> Comparison {
    compare(&servers.0.addr().to_string(), &[servers.1.addr().to_string()]).await.unwrap()
}

#[tokio::test]
async fn equal_sides_are_equal() {
    let at = soon().to_string();
    let servers = pair(&at).await;
    let found = found(&servers).await;
    assert_eq!((found.differences, found.described.as_slice()), (0, [].as_slice()));
    assert_eq!((found.kinds.values().sum::<u64>(), found.kinds["string"], found.expiring), (6, 2, 1));
}

#[tokio::test]
async fn every_kind_of_difference_is_found() {
    let (at, later) = (soon().to_string(), (soon() + 60_000).to_string());
    let moved = format!("s: expires at {at} ms, on the target at {later} ms");
    let kept = format!("s: expires at {at} ms, on the target at -1 ms");
    for (args, described) in [
        (
            &["SET", "s", "other", "PXAT", &at][..],
            "s: 1 elements at the source and 1 on the target, not the same",
        ),
        (&["SET", "s", "value", "PXAT", &later], &moved),
        (&["PERSIST", "s"], &kept),
        (&["HSET", "h", "b", "3"], "h: 4 elements at the source and 4 on the target, not the same"),
        (&["LSET", "l", "0", "3"], "l: 3 elements at the source and 3 on the target, not the same"),
        (&["SADD", "m", "z"], "m: 2 elements at the source and 3 on the target, not the same"),
        (&["ZADD", "z", "1.25", "one"], "z: 4 elements at the source and 4 on the target, not the same"),
        (&["DEL", "l"], "l: not on the target"),
        (&["DEL", "db1:s"], "db1:s: not on the target"),
        (&["SET", "more", "1"], "more: only on the target"),
        (&["SET", "l", "1"], "l: a list at the source, a string on the target"),
    ] {
        let servers = pair(&at).await;
        servers.1.execute(0, args);
        let found = found(&servers).await;
        assert_eq!(
            (found.differences, found.described.as_slice()),
            (1, [described.to_owned()].as_slice()),
            "{args:?}"
        );
    }
}
