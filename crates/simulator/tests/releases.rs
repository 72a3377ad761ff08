//! What tells the releases apart on the wire, as `release.rs` has it: greetings, flows, resumes, ops of the journal.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, Replica, Resp, entries, until};
use journal::{Entry, Record, RecordKind};
use simulator::{Handle, LsnOps, Release, Resume, Simulator};

/// Those that can be followed.
fn followed() -> impl Iterator<Item = Release> {
    Release::ALL.iter().copied().filter(|release| *release >= Release::V1_11)
}

async fn start(release: Release) -> Handle {
    Simulator::builder().shards(2).release(release).start().await.unwrap()
}

fn run(master: &Handle, line: &str) {
    let reply = master.execute(0, &line.split(' ').collect::<Vec<_>>());
    assert!(!reply.is_error(), "{line}: {reply:?}");
}

/// What flow 0 and 1 have brought behind the snapshot, once `n` entries have come.
async fn journal(replica: &Replica, n: usize) -> Vec<Entry> {
    let all = || (0..2).flat_map(|i| entries(&replica.journal(i).unwrap())).collect::<Vec<_>>();
    until("the entries", || all().iter().filter(|e| !matches!(e, Entry::Lsn(_))).count() >= n).await;
    all()
}

#[tokio::test]
async fn greetings_and_the_arguments_of_flows() {
    for &release in Release::ALL {
        let (master, profile) = (start(release).await, release.profile());
        let mut control = Client::open(master.addr()).await;
        let greeting = control.call(&["REPLCONF", "capa", "dragonfly"]).await;
        let items = greeting.items();
        assert_eq!(items.len(), profile.greeting, "{release:?}");
        assert_eq!(items.get(3).cloned(), (items.len() > 3).then_some(Resp::Int(profile.ordinal as i64)));
        assert_eq!(items.get(4), (items.len() > 4).then_some(&items[0]), "the lineage of a master is its id");
        let version = control.call(&["REPLCONF", "CLIENT-VERSION", "1"]).await;
        assert_eq!(version == Resp::ok(), items.len() > 3, "{release:?}: {version:?}");
        let address = control.call(&["REPLCONF", "ip-address", "127.0.0.1"]).await;
        assert_eq!(address == Resp::ok(), profile.ip_address, "{release:?}");

        let (id, sync) = (items[0].text(), items[1].text());
        let former = "f".repeat(40);
        for (more, arguments) in [(vec![former.as_str(), "1-1"], 5), (vec!["1"], 4)] {
            let mut flow = Client::open(master.addr()).await;
            let args = [&["DFLY", "FLOW", &id, &sync, "0"][..], &more].concat();
            let reply = flow.call(&args).await;
            if arguments > profile.flow_arguments {
                assert_eq!(reply, Resp::Error("ERR syntax error".into()), "{release:?}");
                continue;
            }
            let resumes = arguments == 4 && profile.resume != Resume::Full;
            assert_eq!(reply.items()[0].text(), if resumes { "PARTIAL" } else { "FULL" }, "{release:?}");
            // A flow is opened once.
            break;
        }
        let mut client = Client::open(master.addr()).await;
        client.call(&["SET", "k", "v", "PX", "90000000"]).await;
        assert_eq!(client.call(&["PEXPIRETIME", "k"]).await.is_error(), !profile.pexpiretime, "{release:?}");
        assert!(client.call(&["INFO", "server"]).await.text().contains(profile.version));
    }
}

/// What is answered to an LSN, and what is to be sent after it.
#[tokio::test]
async fn resumes() {
    for release in followed() {
        let (master, profile) = (start(release).await, release.profile());
        let mut replica = Replica::attach(master.addr(), None).await;
        replica.reach_stable().await;
        (0..20).for_each(|i| run(&master, &format!("SET k{i} v")));
        let lsns = master.lsns();
        drop(replica);
        until("the attachment to go", || master.attachments().is_empty()).await;

        let resumes = profile.resume != Resume::Full;
        let kinds = |partial: bool| vec![if partial { "PARTIAL" } else { "FULL" }; 2];
        let quiet = Replica::attach(master.addr(), Some(&lsns)).await;
        assert_eq!(quiet.kinds, kinds(resumes), "{release:?}: nothing is missing");
        drop(quiet);
        (0..20).for_each(|i| run(&master, &format!("INCR n{i}")));
        let mut behind = Replica::attach(master.addr(), Some(&lsns)).await;
        assert_eq!(behind.kinds, kinds(resumes && profile.backlog > 0), "{release:?}: records are missing");
        let ahead: Vec<u64> = lsns.iter().map(|lsn| lsn + 1_000).collect();
        assert_eq!(Replica::attach(master.addr(), Some(&ahead)).await.kinds, kinds(false), "{release:?}");
        if behind.kinds == kinds(false) {
            continue;
        }
        let invalid = Resp::Error("ERR invalid state".into());
        match profile.resume {
            Resume::Blobs => {
                assert_eq!(behind.start_stable().await, invalid, "{release:?}: SYNC comes first");
                behind.reach_stable().await;
            }
            Resume::RecordsOnly => {
                assert_eq!(behind.sync().await, invalid, "{release:?}");
                assert_eq!(behind.start_stable().await, Resp::ok());
            }
            Resume::Records => {
                assert_eq!(behind.start_stable().await, Resp::ok());
                assert_eq!(master.crashes(), 0);
                let mut wrong = Replica::attach(master.addr(), Some(&lsns)).await;
                assert_eq!((wrong.sync().await, master.crashes()), (Resp::ok(), 1), "{release:?}");
            }
            Resume::Full | Resume::Refused => unreachable!("answered FULL above"),
        }
        assert_eq!(master.full_syncs(), 1, "{release:?}");
    }
}

#[tokio::test]
async fn lsn_ops_are_sent_to_those_who_know_them() {
    for release in followed() {
        let (master, profile) = (start(release).await, release.profile());
        for knows in [true, false] {
            let announced = (!knows).then_some(1);
            let mut replica = Replica::attach_as(master.addr(), None, announced).await;
            replica.reach_stable().await;
            (0..10).for_each(|i| run(&master, &format!("SET k{i} v")));
            let entries = journal(&replica, 10).await;
            let told = entries.iter().any(|e| matches!(e, Entry::Lsn(_)));
            let expected = match profile.lsn_ops {
                LsnOps::Never => false,
                LsnOps::From(_) => knows,
                LsnOps::Always => true,
            };
            assert_eq!(told, expected, "{release:?}, announced: {knows}");
        }
    }
}

#[tokio::test]
async fn transactions_expiry_and_pings() {
    for release in followed() {
        let (master, profile) = (start(release).await, release.profile());
        let mut replica = Replica::attach(master.addr(), None).await;
        replica.reach_stable().await;
        let before = master.lsns();
        let mut client = Client::open(master.addr()).await;
        client.call(&["MULTI"]).await;
        // The first few lie on one shard.
        for i in 0..20 {
            client.call(&["SET", &format!("k{i}"), "v"]).await;
        }
        client.call(&["EXEC"]).await;
        client.call(&["SET", "short", "v", "PX", "20"]).await;
        until("it to expire", || master.execute(0, &["EXISTS", "short"]) == simulator::Reply::Int(0)).await;
        // Both shards have a part in it: an EXEC each; the SET and the DEL; PINGs.
        client.call(&["WAIT", "1", "1"]).await;
        let execs = if profile.transactions { 2 } else { 0 };
        let entries = journal(&replica, 20 + execs + 2 + 2).await;
        let records: Vec<&Record> =
            entries.iter().filter_map(|e| if let Entry::Record(r) = e { Some(r) } else { None }).collect();
        let of = |kind: RecordKind| records.iter().filter(|r| r.kind == kind).count();
        let multi = if profile.transactions { 20 } else { 0 };
        let expired = usize::from(profile.expired_op);
        assert_eq!(of(RecordKind::Multi), multi, "{release:?}");
        assert_eq!(of(RecordKind::Expired), expired, "{release:?}");
        assert_eq!(of(RecordKind::Command), 22 - multi - expired, "{release:?}");
        let ends: Vec<_> = entries.iter().filter(|e| matches!(e, Entry::Exec { shards: 2, .. })).collect();
        assert_eq!(ends.len(), execs, "{release:?}");
        // All of them are counted.
        let counted: u64 = entries.iter().filter(|e| !matches!(e, Entry::Lsn(_))).count() as u64;
        let lsns: u64 = master.lsns().iter().zip(&before).map(|(now, then)| now - then).sum();
        assert_eq!(lsns, counted, "{release:?}");
        let pings = (0..2).filter(|&i| replica.journal(i).unwrap().ends_with(b"\x06\x00\x0d")).count();
        assert_eq!(pings, if profile.ping_selects { 2 } else { 0 }, "{release:?}");
    }
}

/// EXEC does not come in blobs, but is counted: only JOURNAL_OFFSET tells.
#[tokio::test]
async fn the_end_of_a_transaction_in_a_full_sync_is_counted_and_not_sent() {
    let master = start(Release::V1_11).await;
    let mut replica = Replica::attach(master.addr(), None).await;
    assert_eq!(replica.sync().await, Resp::ok());
    let mut client = Client::open(master.addr()).await;
    for _ in 0..5 {
        client.call(&["MULTI"]).await;
        client.call(&["INCR", "a"]).await;
        client.call(&["EXEC"]).await;
    }
    assert_eq!(replica.start_stable().await, Resp::ok());
    until("every token", || (0..2).all(|i| replica.journal(i).is_some())).await;
    let (mut blobs, mut offsets) = (0, 0);
    for flow in 0..2 {
        let mut decoder = rdb::Decoder::new(rdb::Limits::default());
        decoder.feed(replica.bytes(flow).into());
        while let Some(item) = decoder.next().unwrap() {
            match item {
                rdb::Item::JournalBlob(blob) => {
                    let entry = journal::decode_blob(blob).unwrap();
                    assert!(matches!(entry, Entry::Record(r) if r.kind == RecordKind::Multi));
                    blobs += 1;
                }
                rdb::Item::JournalOffset(next) => offsets += next - 1,
                rdb::Item::Eof { .. } => break,
                _ => {}
            }
        }
    }
    assert_eq!((blobs, offsets), (5, 10));
}
