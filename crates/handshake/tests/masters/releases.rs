//! What masters of all ages say about themselves, and what they are told.

use handshake::{Greeting, Release, ResumeStyle};

use crate::peer::Peer;
use crate::{GREETING, REPLID, greet, greet_knowing, master};

const NOPERM: &str = "-NOPERM sync has no ACL permissions";

async fn greeting(rules: &[(&str, &str)]) -> (Greeting, Vec<String>) {
    let peer = Peer::ruled(master(rules)).await;
    let greeting = greet(&peer).await.unwrap().greeting().clone();
    (greeting, peer.commands())
}

fn told_version(commands: &[String]) -> Option<&str> {
    commands.iter().find_map(|c| c.strip_prefix("REPLCONF CLIENT-VERSION "))
}

#[tokio::test]
async fn greetings_of_four_and_five_elements() {
    for (ordinal, told) in [(2, "2"), (3, "3"), (4, "4"), (5, "4"), (9, "4")] {
        let four = format!("*4\r\n+{REPLID}\r\n+SYNC12\r\n:1\r\n:{ordinal}");
        let (g, commands) = greeting(&[("REPLCONF capa dragonfly", &four)]).await;
        assert_eq!((g.sync_id.as_str(), g.version, g.lineage), ("SYNC12", Some(ordinal), None));
        assert_eq!(told_version(&commands), Some(told));
    }

    let (g, commands) = greeting(&[]).await;
    assert_eq!((g.replid.as_str(), g.flows, g.version), (REPLID, 3, Some(5)));
    assert_eq!(g.lineage.as_deref(), Some(REPLID));
    assert_eq!(g.release, Some(Release::new(1, 40, 1)));
    let expected = [
        "PING",
        "INFO server",
        "INFO cluster",
        "REPLCONF listening-port 6380",
        "REPLCONF capa eof capa psync2",
        "REPLCONF capa dragonfly",
        "REPLCONF CLIENT-ID df2redis-test",
        "REPLCONF CLIENT-VERSION 4",
    ];
    assert_eq!(commands, expected);
}

#[tokio::test]
async fn a_release_is_found_without_info() {
    let hello = "*6\r\n$6\r\nserver\r\n$5\r\nredis\r\n$17\r\ndragonfly_version\r\n$10\r\ndf-v1.34.0\r\n$5\r\nproto\r\n:2";
    let (g, _) = greeting(&[("INFO", NOPERM), ("HELLO", hello)]).await;
    assert_eq!(g.release, Some(Release::new(1, 34, 0)));
    assert_eq!(g.resume_style(), ResumeStyle::Rdb);
}

#[tokio::test]
async fn a_user_without_info_and_hello_is_enough() {
    let barred = [("INFO", NOPERM), ("HELLO", NOPERM)];
    let (g, commands) = greeting(&barred).await;
    assert_eq!((g.release, g.custom_build), (None, false));
    assert_eq!(g.resume_style(), ResumeStyle::Journal, "by its ordinal");
    assert!(commands.contains(&"HELLO".to_owned()), "HELLO without a protocol number");

    let peer = Peer::ruled(master(&barred)).await;
    let known = greet_knowing(&peer, Some(Release::new(1, 34, 0))).await.unwrap();
    assert_eq!(known.greeting().resume_style(), ResumeStyle::Rdb);

    let peer = Peer::ruled(master(&[])).await;
    let told = greet_knowing(&peer, Some(Release::new(1, 34, 0))).await.unwrap();
    assert_eq!(told.greeting().release, Some(Release::new(1, 40, 1)), "the master's own word counts more");
}

#[tokio::test]
async fn a_custom_build_counts_as_the_newest() {
    let four = GREETING.replace(":5\r\n", ":3\r\n");
    let (g, _) =
        greeting(&[("REPLCONF capa dragonfly", &four), ("INFO", "$0\r\ndragonfly_version:df-dev-0123abc")])
            .await;
    assert_eq!((g.release, g.custom_build), (None, true));
    assert_eq!(g.resume_style(), ResumeStyle::Journal);
}
